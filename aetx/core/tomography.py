"""A tilt series seen as the problem that a reconstruction solves: poses, grids, projector, images, and the way back."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import dask.array as da
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.params import Length, Params
from aetx.core.stage import Forecast, InputSizes
from aetx.errors import AetxWarning, EnvironmentFault, InputError, Problem
from aetx.kernels.projection import F64, Grid, Projector, rotation
from aetx.kernels.reconstruction import POWERS, Reconstruction, film_grid
from aetx.model import spacing, units

FLATTEST = 0.05
"""Least cosine between the beam and the normal of a film that fills the field of view."""
NEGATIVE = 0.05
"""Share of negative intensity above which the user is warned."""


class BoxParams(Params):
    """What every reconstruction has to know: the box.

    `burden` is the memory that a method needs, as a multiple of `forecast_bytes`, measured.
    """

    burden: ClassVar[float] = 1.2
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    extended: bool = Field(
        False, description="the specimen fills the field of view: reconstruct in a longer box, keep the field of view"
    )


class IterativeParams(BoxParams):
    """What every iterative reconstruction has to know."""

    iterations: int = Field(100, ge=1, le=100_000, description="greatest number of steps")
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="stop when ten steps lowered the mean R1 by less than this fraction; 0 for never"
    )
    positive: bool = Field(True, description="keep the density from falling below zero")


def rotations(series: xr.Dataset) -> F64:
    """Return R of each tilt, shape (tilts, 3, 3)."""
    return rotation(*(np.deg2rad(series[name].values.astype(float)) for name in ("phi", "theta", "psi")))


def pixel_size(series: xr.Dataset) -> float:
    """Return the edge of the square pixels of a series, angstrom.

    Raises
    ------
    InputError
        If the pixels are not square.
    """
    x, y = spacing(series, "x"), spacing(series, "y")
    if abs(x - y) > 1e-3 * x:
        found = f"{x:g} by {y:g} angstrom"
        raise InputError(Problem("series", "pixel size", found, "square pixels", "resample the images"))
    return x


def origin(series: xr.Dataset) -> dict[str, float]:
    """Return the specimen position of the rotation centre, angstrom by axis name; zero where the series has none."""
    if "origin" not in series:
        return dict.fromkeys("zyx", 0.0)
    return {axis: float(series["origin"].sel(axis=axis)) for axis in "zyx"}


def grid(dataset: xr.Dataset, axes: str, step: float, centre: dict[str, float] | None = None) -> Grid:
    """Return the grid of a dataset along the axes, in steps from the rotation centre."""
    shape = tuple(int(dataset.sizes[axis]) for axis in axes)
    first = (float(dataset[axis].values[0]) - (centre[axis] if centre else 0.0) for axis in axes)
    return Grid(shape, tuple(value / step for value in first))


def density_units(series: xr.Dataset) -> str:
    """Return the unit of a density whose sum times the step gives the images."""
    return units.canonical(f"{series['image'].attrs['units']}/angstrom")


@dataclass(frozen=True)
class Task:
    """What an iteration needs, tensors on the device; `crop` is the field of view within the box (z, y, x).

    `trusted` marks the pixels to fit, and `held` those of the images held out to judge by; None for all and for none.
    """

    projector: Projector
    images: torch.Tensor
    support: torch.Tensor | None
    trusted: torch.Tensor | None
    held: torch.Tensor | None
    step: float
    crop: tuple[slice, slice, slice]


def reconstruction_task(
    series: xr.Dataset,
    support: xr.Dataset | None,
    params: BoxParams,
    *,
    device: str,
    memory: int | None,
    make: Callable[[F64, Grid, Grid, str], Projector] = Projector,
    told: bool = True,
) -> Task:
    """Return the problem that a reconstruction of the series solves.

    Parameters
    ----------
    series
        Tilt series; `mask` is honoured.
    support
        Volume on the grid of the result: its `support`, or where its density is above zero.
    params
        Its `thickness`, and whether the specimen is `extended` so that the box must be longer than the images.
    device
        Where torch computes.
    memory
        Bytes allowed.
    make
        The projector for rotations, grid of the volume, grid of the images and device.
    told
        Say what is odd about the images.
    """
    step = pixel_size(series)
    turned = rotations(series)
    image = grid(series, "yx", step)
    box = box_of(series, params)
    depth = box.shape[0]
    if memory is not None:
        require_memory(task_bytes(series, params), memory)
    values, mask = measured_images(series) if told else read_images(series)
    projector = make(turned, box, image, device)
    above, left = (round(image.start[i] - box.start[i + 1]) for i in (0, 1))
    crop = (slice(0, depth), slice(above, above + image.shape[0]), slice(left, left + image.shape[1]))
    task = Task(
        projector=projector,
        images=projector.images_in(values),
        support=None,
        trusted=None if mask is None else projector.images_in(mask),
        held=None,
        step=step,
        crop=crop,
    )
    if support is None:
        return task
    allowed = np.ones(box.shape, np.float32)
    allowed[crop] = support_mask(support, coordinates(series, depth, step)).values
    return replace(task, support=projector.volume_in(allowed))


def coordinates(series: xr.Dataset, depth: int, step: float) -> dict[str, F64]:
    """Return the coordinates of a result of `depth` slices, angstrom by axis."""
    place = origin(series)
    z: F64 = (np.arange(depth) - depth // 2).astype(float) * step
    return {
        "z": z + place["z"],
        "y": series["y"].values.astype(float) + place["y"],
        "x": series["x"].values.astype(float) + place["x"],
    }


def reconstructed(series: xr.Dataset, task: Task, found: Reconstruction) -> xr.Dataset:
    """Return a reconstruction as a volume, with `r1` of each tilt and `r1_history` of each iteration beside it."""
    return volume_dataset(series, density_of(task, found), found.r1, found.history)


def density_of(task: Task, found: Reconstruction) -> NDArray[np.float32]:
    """Return the density (z, y, x) in the field of view."""
    density = task.projector.volume_out(found.volume)[task.crop]
    return np.ascontiguousarray(density) / np.float32(task.step)


def volume_dataset(
    series: xr.Dataset, density: NDArray[np.float32] | da.Array, r1: F64 | da.Array, history: F64 | da.Array
) -> xr.Dataset:
    """Return a density (z, y, x) as a volume, with the R1 of each tilt and their mean after each iteration."""
    length = {"units": "angstrom"}
    return xr.Dataset(
        {
            "density": (("z", "y", "x"), density, {"units": density_units(series)}),
            "r1": ("tilt", r1, {"units": "1", "long_name": "R1 of each image"}),
            "r1_history": ("iteration", history, {"units": "1", "long_name": "mean R1 after each iteration"}),
        },
        {axis: (axis, at, length) for axis, at in coordinates(series, density.shape[0], pixel_size(series)).items()}
        | {"iteration": ("iteration", np.arange(len(history)), {"units": "1"})}
        | {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")},
    )


def reconstruction_forecast(inputs: InputSizes, params: IterativeParams) -> Forecast:
    """Return the forecast of an iterative reconstruction whose poses and pixel size are not known yet."""
    return forecast_of(inputs, params, params.iterations)


def forecast_of(inputs: InputSizes, params: BoxParams, passes: int, rows: int | None = None) -> Forecast:
    """Return the forecast of a reconstruction that projects there and back so many times.

    `rows` is the height of the slabs that it can make do with, two of them at once; None where it needs the whole.
    """
    series = inputs["series"][0]
    tilts, y, x = (series.get(name, 1) for name in ("tilt", "y", "x"))
    wide = 3 * x if params.extended else x
    entries = _entries(tilts, (x, y, wide), x)

    def needed(height: int) -> int:
        return int(params.burden * forecast_bytes(tilts, (x, height, wide), (height, x)))

    whole = needed(y)
    return Forecast(
        {"z": x, "y": y, "x": x},
        memory=whole,
        seconds=1.0 + (passes + POWERS) * entries * y * 3e-10,
        least=whole if rows is None or rows >= y else min(whole, 2 * needed(rows)),
    )


def forecast_bytes(tilts: int, box: tuple[int, ...], image: tuple[int, ...]) -> int:
    """Return the bytes of the matrices (both ways, and while they are made), the volumes and the images."""
    z, y, x = box
    matrices = _entries(tilts, box, image[1]) * 32
    return int(1.25 * (matrices + z * y * x * 4 * 4 + tilts * image[0] * image[1] * 4 * 8))


def _entries(tilts: int, box: tuple[int, ...], width: int) -> int:
    """Return the greatest number of weights of a projector: four for each voxel (z, x) that an image shows."""
    z, _, x = box
    return tilts * min(z * x, 2 * z * width) * 4


def require_memory(needed: int, memory: int) -> None:
    """Refuse what needs more bytes than are allowed."""
    if needed > memory:
        fix = f"give --memory {-(-needed // 10**6)}MB beside what the program holds, or cut the series into sub-areas"
        raise EnvironmentFault(Problem("run", "memory", f"{memory} bytes", f"about {needed} bytes", fix))


def task_bytes(series: xr.Dataset, params: BoxParams) -> int:
    """Return the bytes that the reconstruction of a series needs."""
    image = grid(series, "yx", pixel_size(series))
    shape = box_of(series, params).shape
    return int(params.burden * forecast_bytes(series.sizes["tilt"], shape, image.shape))


def box_of(series: xr.Dataset, params: BoxParams) -> Grid:
    """Return the grid (z, y, x) in which a series is reconstructed, in voxels from the rotation centre."""
    step = pixel_size(series)
    turned, image = rotations(series), grid(series, "yx", step)
    depth = image.shape[1] if params.thickness is None else max(1, round(params.thickness / step))
    if not params.extended:
        return Grid((depth, *image.shape), (-float(depth // 2), *image.start))
    steepest = int(np.abs(turned[:, 2, 2]).argmin())
    if abs(turned[steepest, 2, 2]) < FLATTEST:
        angle = np.rad2deg(np.arccos(abs(turned[steepest, 2, 2])))
        found = f"tilt {steepest}: {angle:.1f} degrees between the beam and z"
        raise InputError(Problem("series", "theta", found, "less than 87 degrees", "leave that image out"))
    return film_grid(turned, image, depth)


def measured_images(series: xr.Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return images and mask, and say what is odd about them."""
    values, mask = read_images(series)
    warn_of(*sums_of(values), stacklevel=5)
    return values, mask


def read_images(series: xr.Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return images, zero where they are masked, and mask; refuse values that are not finite."""
    values = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    mask = None
    if "mask" in series:
        trusted = series["mask"].transpose("tilt", "y", "x").values.astype(bool)
        values = np.where(trusted, values, np.float32(0))
        mask = trusted.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if bad.size:
        found = f"values that are not finite in tilt {', '.join(map(str, bad[:5]))}"
        raise InputError(
            Problem("series", "image", found, "finite values", "mask those pixels or leave the images out")
        )
    return values, mask


def sums_of(values: NDArray[np.float32]) -> tuple[F64, float]:
    """Return the sum of absolute values of each image, and the sum of all negative values, without their sign."""
    return np.abs(values).sum(axis=(1, 2), dtype=float), float(-np.minimum(values, 0).sum(dtype=float))


def warn_of(sums: F64, negative: float, stacklevel: int) -> None:
    """Say what is odd about images whose sums are those of `sums_of`."""
    empty = np.flatnonzero(sums == 0)
    if empty.size:
        text = f"{empty.size} images are zero everywhere: tilt {empty[:5].tolist()}"
        warnings.warn(text, AetxWarning, stacklevel=stacklevel)
    if negative > NEGATIVE * sums.sum():
        share = 100 * negative / sums.sum()
        text = (
            f"{share:.0f} % of the intensity is negative, and no density explains that: is too much background removed?"
        )
        warnings.warn(text, AetxWarning, stacklevel=stacklevel)


def support_mask(support: xr.Dataset, wanted: dict[str, F64]) -> xr.DataArray:
    """Return ones where a support allows density and zeros elsewhere, unread; refuse another grid than `wanted`."""
    for axis, values in wanted.items():
        have = support[axis].values.astype(float)
        step = values[1] - values[0] if values.size > 1 else 1.0
        if have.size != values.size or np.abs(have - values).max() > 1e-2 * step:
            found = f"{have.size} values from {have[0]:g}"
            fix = "make the support on the grid of the reconstruction"
            raise InputError(Problem("support", axis, found, f"{values.size} values from {values[0]:g}", fix))
    inside = support["support"] if "support" in support else support["density"] > 0
    return inside.transpose("z", "y", "x").astype(np.float32)
