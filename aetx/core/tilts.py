"""Poses and pixels of a simulated series: stated, or those of a measured series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.params import Angle, Length, Params
from aetx.core.stage import InputSizes
from aetx.core.tomography import origin, pixel_size
from aetx.errors import InputError, Problem

F64 = NDArray[np.float64]
NAMES = ("phi", "theta", "psi")


class TiltParams(Params):
    """Angles of a series: `theta`, or even steps from `first` to `last`."""

    tilts: int = Field(21, ge=1, le=10_000, description="number of images, at even steps from first to last")
    first: Angle = Field(-65.0, ge=-360, le=360, description="theta of the first image")
    last: Angle = Field(65.0, ge=-360, le=360, description="theta of the last image")
    theta: tuple[Angle, ...] = Field(
        (), max_length=10_000, description="theta of every image, in place of tilts, first and last"
    )
    phi: Angle = Field(0.0, ge=-360, le=360, description="phi of every image")
    psi: Angle = Field(0.0, ge=-360, le=360, description="psi of every image")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        twice = sorted({"tilts", "first", "last"} & self.model_fields_set)
        if self.theta and twice:
            raise ValueError(f"either theta or {', '.join(twice)}, not both")
        return self


class SeriesParams(TiltParams):
    """Angles of a series of square images, how wrong they may be, and the pixels."""

    tilt_error: Angle = Field(
        0.0, ge=0, le=20, description="greatest error of each of the three angles; the series carries those without"
    )
    pixels: int = Field(256, ge=2, le=16384, description="rows and columns of each image")
    pixel_size: Length = Field(0.358, gt=0, le=10, description="edge of a pixel")


def count_of(params: TiltParams) -> int:
    """Return the number of images."""
    return len(params.theta) or params.tilts


def poses(params: TiltParams, like: xr.Dataset | None = None) -> F64:
    """Return phi, theta, psi of every image in degree, shape (tilts, 3): those of the series `like` where given."""
    if like is not None:
        return np.stack([like[name].values.astype(float) for name in NAMES], axis=1)
    theta = np.array(params.theta) if params.theta else np.linspace(params.first, params.last, params.tilts)
    return np.stack([np.full(theta.size, params.phi), theta, np.full(theta.size, params.psi)], axis=1)


def refuse_twice(stage: str, params: TiltParams, like: xr.Dataset | None, *further: str) -> None:
    """Refuse angles, and the parameters that `further` names, where they are stated beside a series that has them."""
    twice = sorted({*TiltParams.model_fields, *further} & params.model_fields_set)
    if like is not None and twice:
        raise InputError(
            Problem(stage, ", ".join(twice), "stated beside a series `like`", "one of the two", "leave out the other")
        )


@dataclass(frozen=True)
class Frame:
    """The images of a series before anything is in them."""

    series: xr.Dataset
    """Poses and pixels, the origin of a series that lent them, and the true angles."""
    true: F64
    """phi, theta, psi of every image with their errors, degree, shape (tilts, 3)."""
    centre: F64
    """Where the rotation centre is in the specimen: x, y, z in angstrom."""
    step: float
    """Edge of a pixel, angstrom."""


def series_sizes(inputs: InputSizes, params: SeriesParams) -> dict[str, int]:
    """Return the sizes of the images of a series: those stated, or those of an input `like`."""
    sizes = {"tilt": count_of(params), "y": params.pixels, "x": params.pixels}
    for like in inputs.get("like", ()):
        sizes = {name: like.get(name, 1) for name in sizes}
    return sizes


def framed(stage: str, params: SeriesParams, like: xr.Dataset | None, generator: np.random.Generator) -> Frame:
    """Return the frame of a series, whose errors of the angles are drawn evenly.

    Parameters
    ----------
    stage
        Who asks.
    params
        What it was told.
    like
        The series that lends its poses, pixels and origin; then `params` must not state them.
    generator
        Where the errors come from.
    """
    refuse_twice(stage, params, like, "pixels", "pixel_size")
    nominal = poses(params, like)
    true = nominal + generator.uniform(-params.tilt_error, params.tilt_error, nominal.shape)
    told = {f"true_{name}": ("tilt", true[:, i], {"units": "degree"}) for i, name in enumerate(NAMES)}
    if like is None:
        axes = {axis: centred_axis(axis, params.pixels, params.pixel_size) for axis in ("y", "x")}
        series = xr.Dataset(told, {**pose_coords(nominal), **axes})
        return Frame(series, true, np.zeros(3), params.pixel_size)
    place = {"origin": like["origin"].variable} if "origin" in like else {}
    names = ("tilt", *NAMES, "y", "x", *(["axis"] if place else []))
    series = xr.Dataset({**place, **told}, {name: like[name].variable for name in names})
    centre = origin(like)
    return Frame(series, true, np.array([centre[axis] for axis in "xyz"]), pixel_size(like))


def pose_coords(angles: F64) -> Mapping[str, Any]:
    """Return the coordinates `tilt`, `phi`, `theta` and `psi` of a series with these angles in degree, (tilts, 3)."""
    named = {name: ("tilt", angles[:, i], {"units": "degree"}) for i, name in enumerate(NAMES)}
    return {"tilt": ("tilt", np.arange(len(angles)), {"units": "1"}), **named}


def elongation(most: F64) -> F64:
    """Return by how much the wedge beyond a greatest tilt, in degree, stretches a point along the beam.

    With that tilt a it is ((a + sin a cos a) / (a - sin a cos a)) ** 1/2.

    References
    ----------
    M. Radermacher, J. Electron Microsc. Tech. 9, 359 (1988), doi:10.1002/jemt.1060090405.
    """
    a = np.deg2rad(most)
    turn = np.sin(a) * np.cos(a)
    return np.asarray(np.sqrt((a + turn) / (a - turn)))


def centred_axis(name: str, size: int, step: float) -> tuple[str, NDArray[np.floating], dict[str, str]]:
    """Return an even axis whose zero is at index size // 2, angstrom, as xarray takes it."""
    return name, step * (np.arange(size, dtype=float) - size // 2), {"units": "angstrom"}
