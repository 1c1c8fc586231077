"""Equal-slope tomography: iterations between the pseudo-polar grid of each slice and a positive density."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, optional, stage
from aetx.core.tomography import coordinates, density_units, grid, pixel_size, support_mask
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import pseudopolar as kernel
from aetx.model import TILT_SERIES, VOLUME

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

ROWS = 16
"""Rows of the images that are worked on at once, however the data come cut: rounding depends on it."""
STRAIGHT = 1e-3
"""Greatest phi and psi of a single tilt axis, degree."""
FINEST = 4
"""Most lines of a fan over the width of a slice where their number is found from the tilts."""
NEAR, FAR = 0.125, 0.5
"""Farthest that the edge of a slice is moved by taking a line for a tilt, in pixels: where the number of lines is found
from the tilts, and where a given number draws a warning."""


class EstParams(Params):
    """Parameters of `est`."""

    iterations: int = Field(100, ge=1, le=100_000, description="number of steps")
    slopes: int | None = Field(
        None,
        ge=2,
        le=65_536,
        description="lines of equal slope in each fan, an even number; none for the width of a slice, or up to four "
        "times that where tilts lie between the lines",
    )
    positive: bool = Field(True, description="keep the density from falling below zero")
    momentum: bool = Field(True, description="extrapolate (Nesterov, with restart): some five times fewer steps")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")


def _forecast(inputs: InputSizes, params: EstParams) -> Forecast:
    series = inputs["series"][0]
    tilts, y, x = (series.get(name, 1) for name in ("tilt", "y", "x"))
    slopes = params.slopes or FINEST * x
    rows = min(ROWS, y)
    fans = max(kernel.BLOCK["cpu"], 4 * x * slopes) * 8 * 6 + 4 * x * (slopes + 2 * x) * 16 * 3
    slices = rows * x * x * 4 * 14
    seconds = y * (params.iterations * x * x * 1e-7 + x * slopes * 3e-7) + 0.1
    return Forecast({"z": x, "y": y, "x": x}, memory=fans + slices + rows * tilts * x * 40, seconds=seconds)


@stage(
    "reconstruct.est",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=EstParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": -1, "z": -1, "y": ROWS, "x": -1},
    forecast=_forecast,
)
def est(series: xr.Dataset, support: xr.Dataset | None, params: EstParams, *, device: str) -> xr.Dataset:
    """Volume whose slices take the measured values on lines of equal slope, density not below zero.

    For a single tilt axis, slice by slice. A slice (z, x) and the lines at theta of its images meet on a pseudo-polar
    grid, tan(theta) = 2 k / slopes or cot(theta) = 2 k / slopes, which has an exact fast transform. Each step puts the
    transforms of images in place of those of the slice on their lines, goes back by the weighted transpose, and
    keeps the density above zero (and in `support`). Images are taken for those of the nearest lines: `line_theta` says
    which. With the default number of lines that moves nothing by more than an eighth of a pixel, whatever the tilts;
    best are tilts acquired at equal slopes. Other geometries are refused: use `reconstruct.genfire`.

    Rows do not depend on each other and are worked on a few at a time, so that memory does not grow with the volume.
    `r_fourier` is sum |F - M| / sum |M| along the line of each image, F of the volume and M measured. Every pixel
    counts: a `mask` that hides some is refused.

    References
    ----------
    J. Miao, F. Foerster, O. Levi, Phys. Rev. B 72, 052103 (2005), doi:10.1103/PhysRevB.72.052103.
    """
    step = pixel_size(series)
    image = grid(series, "yx", step)
    width = image.shape[1]
    depth = width if params.thickness is None else max(1, round(params.thickness / step))
    lines, slopes = _lines(series, max(depth, width), params.slopes)
    wanted = coordinates(series, depth, step)
    values = series["image"]
    if "mask" in series:
        values = values.where(series["mask"].astype(bool))
    inputs, dims = [values], [["tilt", "x"]]
    if support is not None:
        inputs.append(support_mask(support, wanted))
        dims.append(["z", "x"])
    density, apart, total = xr.apply_ufunc(
        partial(
            _slices,
            start=(-float(depth // 2), image.start[1]),
            depth=depth,
            lines=lines,
            slopes=slopes,
            scheme=kernel.Scheme(params.iterations, params.positive, params.momentum),
            device=device,
        ),
        *(one.drop_vars(list(one.coords)) for one in inputs),
        input_core_dims=dims,
        output_core_dims=[["z", "across"], ["tilt"], ["tilt"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"z": depth, "across": width}},
        output_dtypes=[np.float32, np.float64, np.float64],
    )
    one, length = {"units": "1"}, {"units": "angstrom"}
    density = density.rename(across="x").transpose("z", "y", "x") / np.float32(step)
    above, below = (_total(one) for one in (apart, total))
    r = (above / below.where(below > 0)).assign_attrs({**one, "long_name": "R Fourier of each image"})
    return xr.Dataset(
        {
            "density": density.assign_attrs(units=density_units(series)),
            "r_fourier": r,
            "line_theta": ("tilt", np.rad2deg(lines.theta), {"units": "degree"}),
        },
        {axis: (axis, place, length) for axis, place in wanted.items()}
        | {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")},
    )


def _total(each: xr.DataArray) -> xr.DataArray:
    """Return the sum over the rows, added up in one go however they are cut."""
    return (each.chunk(y=-1) if each.chunks else each).sum("y")


def _lines(series: xr.Dataset, edge: int, slopes: int | None) -> tuple[kernel.Lines, int]:
    """Return the lines of the images and how many each fan has; refuse tilts about several axes."""
    for name in ("phi", "psi"):
        turned = series[name].values.astype(float)
        if np.abs(turned).max() > STRAIGHT:
            found = f"up to {np.abs(turned).max():g} degree"
            fix = "use reconstruct.genfire or reconstruct.resire"
            raise InputError(Problem("series", name, found, "0, tilts about y alone", fix))
    theta = np.deg2rad(series["theta"].values.astype(float))
    if slopes is not None:
        if slopes % 2:
            raise InputError(Problem("reconstruct.est", "slopes", f"{slopes}", "an even number", f"give {slopes + 1}"))
        lines = kernel.nearest_lines(theta, slopes)
        far = np.abs(lines.theta - theta).max() * edge / 2
        if far > FAR:
            text = f"the nearest of {slopes} lines move the edge of a slice by {far:.1f} pixels: give more slopes"
            warnings.warn(text, AetxWarning, stacklevel=4)
        return lines, slopes
    even = edge + edge % 2
    for times in (1, 2, 4, FINEST):
        lines = kernel.nearest_lines(theta, times * even)
        if np.abs(lines.theta - theta).max() * edge / 2 <= NEAR:
            break
    return lines, times * even


def _slices(
    images: F32,
    support: F32 | None = None,
    *,
    start: tuple[float, float],
    depth: int,
    lines: kernel.Lines,
    slopes: int,
    scheme: kernel.Scheme,
    device: str,
) -> tuple[F32, F64, F64]:
    if not np.isfinite(images).all():
        fix = "use reconstruct.resire, or leave the images out"
        raise InputError(Problem("series", "image", "pixels that are hidden or not finite", "every pixel", fix))
    made = []
    for first in range(0, len(images), ROWS):
        some = slice(first, first + ROWS)
        rows = torch.from_numpy(np.ascontiguousarray(images[some], np.float32)).to(device)
        allowed = None if support is None else torch.from_numpy(np.ascontiguousarray(support[some])).to(device)
        made.append(kernel.reconstruct(rows, start, depth, lines, slopes, scheme, allowed))
    density, apart, total = (
        np.concatenate([getattr(one, name).cpu().numpy() for one in made]) for name in ("density", "apart", "total")
    )
    return density, apart, total
