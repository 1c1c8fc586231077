"""Fourier iterations between measured grid points and a positive density in a box."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.fft
import torch
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, optional, stage
from aetx.core.tomography import (
    coordinates,
    density_units,
    grid,
    measured_images,
    pixel_size,
    require_memory,
    rotations,
    support_mask,
)
from aetx.errors import InputError, Problem
from aetx.kernels import genfire as kernel
from aetx.kernels.gridding import F32, F64, Points, from_planes, from_samples
from aetx.kernels.projection import Grid, Projector
from aetx.kernels.reconstruction import r1_by_tilt
from aetx.model import TILT_SERIES, VOLUME


class GenfireParams(Params):
    """Parameters of `genfire`."""

    iterations: int = Field(40, ge=1, le=100_000, description="number of steps")
    oversampling: float = Field(2.0, ge=1, le=10, description="edge of the padded grid over that of the volume")
    gridding: Literal["fft", "dft"] = Field(
        "dft",
        description="where images are transformed: at the samples of a padded image, or at the foot of each grid point",
    )
    radius: float = Field(
        0.3, gt=0, le=2, description="farthest distance of a grid point from what was measured, in steps of that grid"
    )
    resolution: Length | None = Field(
        None, gt=0, description="shortest period that is used; none for two pixels, the shortest that images hold"
    )
    schedule: Literal["all", "extension", "suppression"] = Field(
        "all",
        description="enforce all measured points always; from low to high frequencies; or up to all and back again",
    )
    positive: bool = Field(True, description="keep the density from falling below zero")
    momentum: bool = Field(True, description="extrapolate (Nesterov, with restart): some five times fewer steps")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    held_out: float = Field(0.05, ge=0, le=0.5, description="share of the measured points of each shell held out")
    shells: int = Field(35, ge=1, le=1000, description="shells of frequency in which points are held out")
    keep: Literal["last", "best"] = Field(
        "last", description="the last volume, or of those judged the one with the least R free"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the choice of held-out points")


def padded(edge: int, oversampling: float) -> int:
    """Return the edge of the padded grid: at least `oversampling` times as long, and quick to transform."""
    return int(scipy.fft.next_fast_len(int(np.ceil(oversampling * edge - 1e-9)), real=True))


def forecast_bytes(tilts: int, box: tuple[int, int, int], image: tuple[int, int], params: GenfireParams) -> int:
    """Return the bytes of the volumes, of the planes between two transforms, of the factor, and of the points.

    `box` is z, y, x. The measured share of the grid is that of slabs about every plane; a point holds its key and
    value, and some more while it is found and while its transform is compared.
    """
    size = padded(max(box), params.oversampling)
    z, y, x = box
    double = [min(size, scipy.fft.next_fast_len(2 * edge - 1, real=True)) for edge in (y, z, x)]
    volumes = z * y * x * 4 * (8 + (params.keep == "best"))
    planes = (size // 2 + 1) * z * x * 8 * 2
    factor = (double[0] // 2 + 1) * double[1] * double[2] * 4
    block = max(2**18, size * size) * 8 * 4
    points = int(tilts * 0.4 * size**2 * min(2 * params.radius, size) * 1.2) * 110
    projector = tilts * min(z * x, 2 * z * image[1]) * 4 * 32
    return int(1.1 * (volumes + factor + max(planes + block + points, projector)) + tilts * image[0] * image[1] * 40)


def _forecast(inputs: InputSizes, params: GenfireParams) -> Forecast:
    series = inputs["series"][0]
    tilts, y, x = (series.get(name, 1) for name in ("tilt", "y", "x"))
    box = (x, y, x)
    size = padded(max(box), params.oversampling)
    step = 2.5e-8 * min(size, 2 * x) ** 2 * min(size, 2 * y) / 4
    look = 2.0e-8 * size**2 * size / 4
    seconds = 1.0 + params.iterations * step + (kernel.LOOKS + 3) * look + tilts * size**2 * 1e-7
    memory = forecast_bytes(tilts, box, (y, x), params)
    return Forecast({"z": x, "y": y, "x": x}, memory=memory, seconds=seconds, least=memory)


@stage(
    "reconstruct.genfire",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=GenfireParams,
    version=1,
    forecast=_forecast,
)
def genfire(
    series: xr.Dataset, support: xr.Dataset | None, params: GenfireParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume whose transform takes the measured values at grid points near the planes of the images.

    The grid is that of the volume in a box `oversampling` times its longest edge, 1 / (size * step) apart. With the
    `dft` gridding each point nearer than `radius` to a plane takes the transform of that image at its foot on the
    plane, weight 1 / distance; with `fft` it takes the samples of the padded image that are nearer than `radius`. Each
    step puts these values in place of those of the volume, goes back, and keeps the density in the box (or in
    `support`) and above zero. The published settings are, for experiments, dft, 1,000 iterations, oversampling 5,
    radius 0.1, and for simulations, fft, 100 iterations, 2 and 0.3, all without momentum. The fft gridding moves values
    by up to `radius` on the plane, an error that grows with the distance from the centre. Both take points off a plane
    for points on it, so that a faint haze adds some percent to the total; it falls with `radius`. A step costs the same
    whatever the oversampling.

    `r_fourier` is sum ||F| - |M|| / sum |M| of the points that are fitted, F of the volume and M measured; `r_work` and
    `r_free` are sum |F - M| / sum |M| of these and of those held out, which no step has seen: at some ten
    iterations, and for the last volume in shells (`r_work_shell`, `r_free_shell`). A held-out point has neighbours on
    the same plane, so that R free tells noise that is fitted, not what the missing wedge hides: for that hold out
    images. `measured_shell` is the share of the grid that was measured. `r1` is sum|projection - image| / sum|image|
    of each image, as in `reconstruct.resire`. Every pixel counts: a `mask` that hides some is refused. Background must
    be gone, and the object inside the images.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1.
    """
    step, turned = pixel_size(series), rotations(series)
    image = grid(series, "yx", step)
    depth = image.shape[1] if params.thickness is None else max(1, round(params.thickness / step))
    z, y, x = depth, *image.shape
    if memory is not None:
        require_memory(forecast_bytes(len(turned), (z, y, x), (y, x), params), memory)
    values, mask = measured_images(series)
    if mask is not None and not mask.all():
        found = f"{int(mask.size - mask.sum())} pixels hidden by the mask"
        fix = "use reconstruct.resire, or leave the images out"
        raise InputError(Problem("series", "mask", found, "every pixel, as each counts in a Fourier transform", fix))
    size = padded(max(z, y, x), params.oversampling)
    reach = _reach(size, step, params.resolution)
    points = _points(values, image, turned, size, reach, params)
    fraction = np.minimum(kernel.quality(points, reach), 1.0)
    shell = np.minimum((fraction * params.shells).astype(np.int64), params.shells - 1)
    wanted = coordinates(series, depth, step)
    allowed = None
    if support is not None:
        allowed = torch.from_numpy(support_mask(support, wanted).transpose("y", "z", "x").values.copy()).to(device)
    found_volume = kernel.reconstruct(
        points,
        (image.start[0], -float(depth // 2), image.start[1]),
        (y, z, x),
        kernel.Scheme(params.iterations, params.positive, params.momentum, params.schedule, params.keep == "best"),
        fraction=fraction,
        shells=params.shells,
        free=kernel.held_out(shell, params.held_out, params.seed),
        support=allowed,
        device=device,
    )
    density = np.ascontiguousarray(found_volume.volume.cpu().numpy().transpose(1, 0, 2))
    r1 = _r1(density, values, turned, image, device)
    one, length = {"units": "1"}, {"units": "angstrom"}
    centre = (np.arange(params.shells) + 0.5) * reach / (params.shells * size * step)
    grid_points = 2 / 3 * np.pi * np.diff((np.arange(params.shells + 1) * reach / params.shells) ** 3)
    return xr.Dataset(
        {
            "density": (("z", "y", "x"), density / np.float32(step), {"units": density_units(series)}),
            "r1": ("tilt", r1, {**one, "long_name": "R1 of each image"}),
            "r_fourier": ("iteration", found_volume.magnitude, {**one, "long_name": "R of magnitudes"}),
            "r_work": ("iteration", found_volume.work, {**one, "long_name": "R of fitted points"}),
            "r_free": ("iteration", found_volume.free, {**one, "long_name": "R of held-out points"}),
            "r_work_shell": ("shell", found_volume.work_shell, one),
            "r_free_shell": ("shell", found_volume.free_shell, one),
            "measured_shell": ("shell", np.bincount(shell, minlength=params.shells) / grid_points, one),
        },
        {axis: (axis, place, length) for axis, place in wanted.items()}
        | {"iteration": ("iteration", found_volume.steps, one)}
        | {"frequency": ("shell", centre, {"units": "1/angstrom"})}
        | {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")},
    )


def _reach(size: int, step: float, resolution: float | None) -> float:
    """Return the radius of the sphere of frequencies that are used, in steps of the grid."""
    nyquist = size / 2
    if resolution is None:
        return nyquist
    reach = size * step / resolution
    if reach > nyquist * (1 + 1e-9):
        found, wanted = f"{resolution:g} angstrom", f"at least {2 * step:g} angstrom, two pixels"
        raise InputError(Problem("reconstruct.genfire", "resolution", found, wanted, "raise it, or leave it out"))
    return reach


def _points(values: F32, image: Grid, turned: F64, size: int, reach: float, params: GenfireParams) -> Points:
    gridded = from_planes if params.gridding == "dft" else from_samples
    points = gridded(values, (image.start[0], image.start[1]), turned, size, params.radius, reach)
    if points.key.size == 0 or points.key[0] != 0:
        found = f"no point within {params.radius:g} of a plane"
        raise InputError(Problem("reconstruct.genfire", "radius", found, "points to fit", "raise radius"))
    return points


def _r1(density: F32, values: F32, turned: F64, image: Grid, device: str) -> F64:
    volume = Grid(density.shape, (-float(density.shape[0] // 2), *image.start))
    projector = Projector(turned, volume, image, device)
    shown = projector.project(projector.volume_in(density))
    return r1_by_tilt(shown, projector.images_in(values))
