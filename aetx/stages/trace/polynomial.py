"""Atoms as the peaks of a volume, by the published polynomial."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.halo import Box
from aetx.core.peaks import Blocks, TracingParams, atoms_at, tracing_forecast
from aetx.errors import AetxWarning
from aetx.kernels import polynomial as kernel
from aetx.kernels.peaks import separated
from aetx.model import ATOMS, VOLUME

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

QUANTILE = 0.999
"""Voxels below the one whose value the threshold is a fraction of."""
COPIES = 9
"""float32 arrays of a padded block's size that a task holds."""
DEPTH = kernel.SUPPORT + 4


class PolynomialParams(TracingParams):
    """Parameters of `polynomial`."""

    threshold: float = Field(
        0.03, ge=0, lt=1, description="least value of a maximum over the 99.9th percentile of the volume"
    )
    most: int = Field(100_000, ge=1, description="how many of the highest maxima are looked at")
    rejected: bool = Field(False, description="keep maxima that are not accepted, with their flags")


def _forecast(inputs: InputSizes, _: PolynomialParams) -> Forecast:
    return tracing_forecast(inputs, edge=170, voxel=72, seconds=1e-6)


@stage(
    "trace.polynomial",
    takes={"volume": VOLUME},
    gives=ATOMS,
    params=PolynomialParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def polynomial(volume: xr.Dataset, params: PolynomialParams, memory: int | None = None) -> xr.Dataset:
    """Atoms at the peaks of a volume, placed by the published fourth-order polynomial.

    The volume is interpolated threefold by cubic splines. Each maximum over the ball of size 3 is the start of a walk:
    a polynomial of fourth order is fitted to the ball of radius 3.5 fine voxels, weighted by exp(-|x - p|**2 / 9)
    around the present place p (the weights enter squared), and p moves to the vertex of its quadratic part, by at most
    half a fine voxel at a time, until seven steps in a row were shorter than that. From the highest maximum down, a
    peak nearer than `separation` to one accepted before is refused.

    `flag` is 0 for atoms; with `rejected`, -1 for no maximum, -2 for a walk farther than three fine voxels, -3 for
    too near a higher one, -4 for a walk that did not settle. `intensity` is the value at the maximum, `width` the
    Gaussian width that the curvature there corresponds to. Computes, in blocks that do not change the result.

    A maximum whose box leaves the volume is skipped. The plain vertex has no model of its neighbours, so that close
    atoms pull at each other; `trace.peaks` fits them together.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0, Methods, and the code published with it.
    """
    blocks = Blocks.of(volume, memory)
    floor = max(params.threshold * _quantile(blocks), 0.0)
    work = partial(_fitted, shape=np.array(blocks.shape), floor=floor)
    rows = np.concatenate(blocks.tables(work, DEPTH, COPIES))
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0], -rows[:, 3]))][: params.most]
    steps = blocks.steps if len(rows) else np.ones(3)
    fine = np.flatnonzero(rows[:, 8] == 0)
    rows[fine[~separated(rows[fine, 4:7] * steps, params.separation)], 8] = kernel.TOO_NEAR
    if not params.rejected:
        rows = rows[rows[:, 8] == 0]
    if len(rows) == 0:
        warnings.warn("trace.polynomial found no atom in the volume", AetxWarning, stacklevel=2)
    width = rows[:, 7] * np.prod(steps) ** (1 / 3)
    units = str(volume["density"].attrs["units"])
    return atoms_at(
        blocks.density,
        rows[:, 4:7],
        intensity=xr.DataArray(rows[:, 3].astype(np.float32), dims="atom", attrs={"units": units}),
        width=xr.DataArray(width.astype(np.float32), dims="atom", attrs={"units": "angstrom"}),
        flag=xr.DataArray(rows[:, 8].astype(np.int32), dims="atom", attrs={"units": "1"}),
    )


def _quantile(blocks: Blocks) -> float:
    """Return the value below which 99.9 % of the voxels lie: an order statistic, exact whatever the blocks."""
    rank = int(QUANTILE * (np.prod(blocks.shape, dtype=float) - 1))
    leading, within = _place(np.sum(np.stack(blocks.tables(partial(_counts, leading=None), 0)), axis=0), rank)
    trailing, _ = _place(np.sum(np.stack(blocks.tables(partial(_counts, leading=leading), 0)), axis=0), within)
    return kernel.ranked(leading, trailing)


def _place(counts: I64, rank: int) -> tuple[int, int]:
    """Return the bin that holds the value of a rank, and its rank within."""
    total = np.cumsum(counts)
    place = int(np.searchsorted(total, rank, side="right"))
    return place, rank - int(total[place - 1] if place else 0)


def _counts(block: NDArray[Any], _: Box, __: Box, *, leading: int | None) -> I64:
    return kernel.rank_counts(np.ascontiguousarray(block, np.float32), leading)


def _fitted(block: NDArray[Any], box: Box, outer: Box, *, shape: I64, floor: float) -> F64:
    spline = kernel.coefficients(np.asarray(block, np.float32))
    low, high = np.array(box).T
    return kernel.peaks(spline, np.array(outer)[:, 0], shape, low, high, floor, kernel.powers())
