"""How an alignment is carried: images that were moved, angles that were changed, and the record of both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core.model_images import euler
from aetx.core.params import Length, Params
from aetx.core.stage import Forecast, InputSizes
from aetx.core.tilts import NAMES, pose_coords
from aetx.core.tomography import pixel_size
from aetx.errors import InputError, Problem
from aetx.kernels.centring import centre_of_mass
from aetx.kernels.image_shift import F32, Flags, shifted, shifted_mask, shifted_variance
from aetx.kernels.projection import F64

LENGTH, ANGLE, ONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}


def measured(stage: str, series: xr.Dataset) -> tuple[F32, Flags]:
    """Return the images, shape (tilts, y, x), zero where they are not trusted, and which pixels are.

    Raises
    ------
    InputError
        If a trusted pixel is not finite, or an image shows nothing.
    """
    values = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    trusted = np.ones(values.shape, bool)
    if "mask" in series:
        trusted = series["mask"].transpose("tilt", "y", "x").values.astype(bool)
        values = np.where(trusted, values, np.float32(0))
    found: list[Problem] = []
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if bad.size:
        what = f"values that are not finite in tilt {', '.join(map(str, bad[:5]))}"
        found.append(Problem(f"{stage}: series", "image", what, "finite values", "mask those pixels or leave them out"))
    flat = values.max(axis=(1, 2), initial=-np.inf) <= values.min(axis=(1, 2), initial=np.inf)
    empty = np.flatnonzero(flat)
    if empty.size:
        what = f"tilt {', '.join(map(str, empty[:5]))} constant everywhere"
        found.append(Problem(f"{stage}: series", "image", what, "images that show something", "leave those out"))
    if found:
        raise InputError(found)
    return values, trusted


def pixel_variance(series: xr.Dataset, images: F32) -> F32 | None:
    """Return the variance of each pixel: that of the series, that of Poisson counts, or None where none is known."""
    if "variance" in series:
        found: F32 = series["variance"].transpose("tilt", "y", "x").values.astype(np.float32)
        return found
    return np.maximum(images, 0) if series["image"].attrs["units"] == "count" else None


def aligned(
    series: xr.Dataset,
    shift: F64,
    error: F64,
    *,
    turned: F64 | None = None,
    turn_error: F64 | None = None,
) -> xr.Dataset:
    """Return a series whose images were moved back, with new angles, and what was done.

    `shift_x` and `shift_y` say how far the content of each image lay from where it belongs when the series was taken,
    the sum over all stages, and `shift_x_error` and so on the standard errors of what this one found. Pixels that
    came from beyond an edge are not trusted in the `mask`; a `variance` moves along.

    Parameters
    ----------
    series
        As it was.
    shift
        How far the content of each image lies from where it belongs: x, y in angstrom, shape (tilts, 2).
    error
        Standard errors, NaN where nothing was found, the same shape.
    turned
        New R of each image, shape (tilts, 3, 3), or None where angles stay.
    turn_error
        Standard errors of the turn of each image about the camera's x, y, z, in radian, shape (tilts, 3).
    """
    step = pixel_size(series)
    made: dict[str, Any] = dict(_moved(series, -shift / step)) if shift.any() else {}
    for k, axis in enumerate("xy"):
        before = series[f"shift_{axis}"].values if f"shift_{axis}" in series else 0.0
        made[f"shift_{axis}"] = ("tilt", before + shift[:, k], LENGTH)
        made[f"shift_{axis}_error"] = ("tilt", error[:, k], LENGTH)
    if turn_error is not None:
        made["turn_error"] = (("tilt", "camera"), np.rad2deg(turn_error), ANGLE)
    if turned is None:
        return series.assign(made)
    before = np.stack([series[name].values.astype(float) for name in NAMES], axis=1)
    for i, name in enumerate(NAMES):
        if f"stated_{name}" not in series:
            made[f"stated_{name}"] = ("tilt", before[:, i], ANGLE)
    coords = {name: value for name, value in pose_coords(euler(turned, before)).items() if name != "tilt"}
    camera = {"camera": ["x", "y", "z"]} if turn_error is not None else {}
    return series.assign(made).assign_coords({**coords, **camera})


def _moved(series: xr.Dataset, shift: F64) -> dict[str, Any]:
    """Return image, mask and variance with content that moved by `shift`, in pixels."""
    dims = ("tilt", "y", "x")
    image, trusted = series["image"].transpose(*dims), np.ones(series["image"].transpose(*dims).shape, bool)
    if "mask" in series:
        trusted = series["mask"].transpose(*dims).values.astype(bool)
    values = np.empty(image.shape, np.float32)
    for i, step in enumerate(shift):
        values[i] = shifted(np.where(trusted[i], image[i].values, 0).astype(np.float32), step)
    kept = np.stack([shifted_mask(one, step) for one, step in zip(trusted, shift, strict=True)])
    made: dict[str, Any] = {"image": (dims, values, image.attrs), "mask": (dims, kept, ONE)}
    if "variance" in series:
        variance = series["variance"].transpose(*dims)
        moved = [
            shifted_variance(one.values.astype(np.float32), step) for one, step in zip(variance, shift, strict=True)
        ]
        made["variance"] = (dims, np.stack(moved), variance.attrs)
    return made


class MassParams(Params):
    """How the specimen is told from what surrounds it."""

    threshold: float = Field(
        0.07, gt=0, lt=1, description="the specimen is what is above this fraction of the greatest smoothed value"
    )
    smooth: Length = Field(2.0, ge=0, le=100, description="Gaussian width of that smoothing")
    margin: Length = Field(4.0, ge=0, le=1000, description="by how much the mask reaches beyond that")
    rounds: int = Field(5, ge=1, le=100, description="most times that mask and background are found anew")


class Centres(NamedTuple):
    """Centre of mass of each image from the rotation centre, x, y in angstrom, its errors, what meets an edge."""

    place: F64
    error: F64
    cut: Flags


def centres_of_mass(stage: str, series: xr.Dataset, images: F32, trusted: Flags, params: MassParams) -> Centres:
    """Return the centres of mass of images that `measured` has returned; refuse those that show no specimen."""
    step, variance = pixel_size(series), pixel_variance(series, images)
    found = [
        centre_of_mass(
            image,
            seen,
            None if variance is None else variance[i],
            params.threshold,
            params.smooth / step,
            round(params.margin / step),
            params.rounds,
        )
        for i, (image, seen) in enumerate(zip(images, trusted, strict=True))
    ]
    place, error = (np.array([getattr(one, name) for one in found]) * step for name in ("place", "error"))
    lost = np.flatnonzero(~np.isfinite(place).all(axis=1))
    if lost.size:
        text = f"no specimen above the background in tilt {', '.join(map(str, lost[:5]))}"
        fix = "subtract the background, or leave those images out"
        raise InputError(Problem(f"{stage}: series", "image", text, "images of one specimen", fix))
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    return Centres(place + corner, error, np.array([one.cut > 0 for one in found]))


def single_axis(series: xr.Dataset, most: float = 5.0) -> bool:
    """Tell whether the tilts of a series turn about y alone, within `most` degrees."""
    return bool(max(np.abs(series[name].values).max(initial=0.0) for name in ("phi", "psi")) <= most)


def shift_forecast(inputs: InputSizes, seconds: float) -> Forecast:
    """Return the forecast of a stage that reads all images, takes `seconds` for each pixel, and moves them."""
    sizes = inputs["series"][0]
    pixels = sizes.get("tilt", 1) * sizes.get("y", 1) * sizes.get("x", 1)
    return Forecast(sizes, memory=20 * pixels + 200 * pixels // max(1, sizes.get("tilt", 1)), seconds=pixels * seconds)
