"""Shifts from the line that any two projections have in common."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.alignment import aligned, measured, shift_forecast
from aetx.core.tomography import grid, pixel_size, rotations
from aetx.errors import InputError, Problem
from aetx.kernels import common_lines as kernel
from aetx.kernels.common_lines import C128
from aetx.kernels.projection import F64
from aetx.model import TILT_SERIES


class CommonLineParams(Params):
    """Parameters of `common_line`."""

    space: Literal["fourier", "real"] = Field(
        "fourier",
        description="compare transforms of lines, in least squares, or sums across lines, by absolute differences",
    )
    resolution: Length = Field(2.0, gt=0, le=1000, description="finest period of a line that is compared")
    reach: Length = Field(4.0, gt=0, le=1000, description="greatest shift between two lines that is looked for")
    shift_error: Length = Field(2.0, gt=0, le=1000, description="standard deviation of the shifts before the fit")
    least: Angle = Field(3.0, ge=0.01, le=90, description="least angle between two beams for a common line to count")


def _forecast(inputs: InputSizes, params: CommonLineParams) -> Forecast:
    tilts = inputs["series"][0].get("tilt", 1)
    return shift_forecast(inputs, 1e-6 + 1e-8 * tilts * (10 if params.space == "real" else 4))


@stage(
    "align.common_line", takes={"series": TILT_SERIES}, gives=TILT_SERIES, params=CommonLineParams, forecast=_forecast
)
def common_line(series: xr.Dataset, params: CommonLineParams) -> xr.Dataset:
    """Images moved so that the lines that any two have in common agree.

    The planes of two projections meet in a line d = n_i x n_j, n the directions of the beam. In image i it lies along
    e_i, the x and y of transpose(R_i) d, and there the transforms are equal,

        F_i(k e_i) exp(2 pi i k e_i . s_i) = F_j(k e_j) exp(2 pi i k e_j . s_j)

    for images that are shifted by s. So does each image summed across that line equal the other one. How far the two
    lie apart is measured for every pair, and all shifts are fitted to that in weighted least squares.

    With one tilt axis all lines are parallel to it: only shifts along the axis are found, and the errors across it
    are NaN, as are all that the fit does not narrow to half of `shift_error`. One translation of the specimen is not
    told by projections; shifts that any makes are left as they were. Backgrounds must be gone, and the whole specimen
    in view; wrong for films.

    References
    ----------
    R. A. Crowther, D. J. DeRosier, A. Klug, Proc. R. Soc. A 317, 319 (1970), doi:10.1098/rspa.1970.0119;
    M. C. Scott et al., Nature 483, 444 (2012), doi:10.1038/nature10934.
    """
    images, _ = measured("align.common_line", series)
    step, turned = pixel_size(series), rotations(series)
    pairs = kernel.common_lines(turned, np.deg2rad(params.least))
    if not pairs.first.size:
        found = f"no two beams that differ by {params.least:g} degrees"
        raise InputError(Problem("align.common_line", "theta", found, "images at several tilts", "lower least"))
    apart, variance = _apart(series, images, pairs, params)
    result = kernel.shifts(pairs, apart, variance, turned, params.shift_error / step)
    error = np.sqrt(np.diagonal(result.covariance, axis1=1, axis2=2)) * step
    known = error < params.shift_error / 2
    return aligned(series, np.where(known, result.shift * step, 0.0), np.where(known, error, np.nan))


def _apart(series: xr.Dataset, images: np.ndarray, pairs: kernel.Pairs, params: CommonLineParams) -> tuple[F64, F64]:
    """Return how far the second line of each pair lies from the first, in pixels, and the variance."""
    step = pixel_size(series)
    place = grid(series, "yx", step)
    size = int(np.ceil(np.hypot(place.shape[0], place.shape[1])))
    frequency = kernel.frequencies(size, min(step / params.resolution, 0.5))
    along: F64 = np.arange(size, dtype=float) - size // 2
    lines = np.concatenate([pairs.first_line, pairs.second_line])
    owner = np.concatenate([pairs.first, pairs.second])
    held: list[C128] = [np.empty(0, complex)] * len(owner)
    for i, image in enumerate(images):
        mine = np.flatnonzero(owner == i)
        distinct, back = np.unique(np.round(lines[mine], 9), axis=0, return_inverse=True)
        if params.space == "real":
            values = kernel.profiles(image, place, distinct, along).astype(complex)
        else:
            values = kernel.transforms(image[None], place, distinct, frequency)[0]
        for row, which in zip(mine, back.ravel(), strict=True):
            held[row] = values[which]
    first, second = np.stack(held[: len(pairs.first)]), np.stack(held[len(pairs.first) :])
    if params.space == "real":
        return kernel.differences(first.real, second.real, params.reach / step)
    return kernel.displacements(first, second, frequency, params.reach / step)
