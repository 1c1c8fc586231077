"""Atoms as the peaks of a volume, all fitted at once by Gaussians."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, Length, Params, stage
from aetx.core.halo import Box
from aetx.core.peaks import Blocks, atoms_at, separated_maxima, typical_maximum
from aetx.errors import AetxWarning
from aetx.kernels import gaussian
from aetx.kernels.peaks import crowding, least_height, separated
from aetx.model import ATOMS, VOLUME

F64 = NDArray[np.float64]

LOWEST = 0.25
"""Least value over the typical maximum that is looked at where the threshold is found from the volume."""
EARLY = 0.6
"""The same, over a given threshold: a maximum between voxels looks lower than it is."""
SEARCH, PASSES = 4, 10
"""Most passes of the fit before and after noise is dropped."""
ROUGH, SETTLED = 0.03, 0.01
"""Steps below this, in voxels, end the fit: of nine atoms in ten before noise is dropped, of all atoms after."""
SAMPLE = 4096
"""Atoms from which the shared widths and the correlation of the noise are estimated."""
NARROWEST = 0.4
"""Least width in voxels."""
WIDER = 0.5
"""Largest logarithm of an atom's own width over the shared one."""
UNSETTLED, HELD, CUT = 1, 2, 4
"""Flags: still moving when the fit ended; held at the farthest allowed place; window cut by a face of the volume."""


class PeaksParams(Params):
    """Parameters of `peaks`."""

    separation: Length = Field(2.0, gt=0, le=20, description="least distance between two atoms")
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="least fitted height over that of a typical atom; without one, the first valley in the histogram "
        "of fitted heights, between noise and atoms",
    )
    own_width: bool = Field(False, description="whether each atom has a width of its own, or all share one")


def _forecast(inputs: Mapping[str, tuple[Mapping[str, int], ...]], _: PeaksParams) -> Forecast:
    sizes = inputs["volume"][0]
    voxels = sizes["z"] * sizes["y"] * sizes["x"]
    atoms = max(1, voxels // 800)
    return Forecast({"atom": atoms, "axis": 3}, memory=min(voxels, 280**3) * 16 + atoms * 400, seconds=voxels * 6e-8)


@stage(
    "trace.peaks",
    takes={"volume": VOLUME},
    gives=ATOMS,
    params=PeaksParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def peaks(volume: xr.Dataset, params: PeaksParams, memory: int | None = None) -> xr.Dataset:
    """Fit one Gaussian to each peak of a volume, all of them at once, and return them as atoms.

    density(r) = sum_i height_i exp(-sum_k (r_k - r_ik)**2 / (2 width_k**2)) + background, local to each atom.

    Local maxima over 26 neighbours are taken brightest first, none nearer than `separation` to a brighter one. All
    are then fitted jointly by Gauss-Newton: each to what the others leave over, with a background of its own, and
    widths along z, y and x that all atoms share, so that neighbours do not pull at each other and the elongation of a
    missing wedge is part of the model. Peaks whose fitted height is below the threshold are dropped, and the rest is
    fitted once more. Computes; the volume is read in blocks, and the result does not depend on them.

    `intensity` is the fitted height in units of the volume, `width` the geometric mean of the three widths, `sigma` the
    standard error of the position from the noise that the fit leaves over, widened for its correlation between
    voxels. `flag` adds 1 (still moving at the end), 2 (held where it may not move on), 4 (cut by a face of the volume).

    A maximum on a face of the volume is not seen. Two atoms that share one maximum are one atom.
    """
    blocks = Blocks.of(volume, memory)
    typical = typical_maximum(blocks)
    floor = typical * (LOWEST if params.threshold is None else EARLY * params.threshold)
    found = separated_maxima(blocks, floor, params.separation) if typical > 0 else np.empty((0, 10))
    fitted = _fit(blocks, _start(blocks, found, params), params, SEARCH, 0.9, ROUGH)
    fitted = fitted.take(fitted.state[:, 3] >= least_height(fitted.state[:, 3], params.threshold))
    fitted = _fit(blocks, fitted, params, PASSES, 1.0, SETTLED)
    fitted = _finish(blocks, fitted, params)
    fitted = fitted.take(separated(fitted.state[:, :3] * _steps(blocks), params.separation))
    if len(fitted.state) == 0:
        warnings.warn("trace.peaks found no atom in the volume", AetxWarning, stacklevel=2)
    return _table(blocks, fitted, str(volume["density"].attrs["units"]))


@dataclass(frozen=True)
class _Fitted:
    """Atoms as far as they are fitted.

    `home` is the voxel of the maximum, `state` that of `gaussian.fit`, `move` the last step of the position in voxels,
    `sigma` its standard error, `width` the shared widths in voxels and `wider` the last step of their logarithms.
    """

    home: F64
    state: F64
    move: F64
    sigma: F64
    flag: NDArray[np.int32]
    width: F64
    wider: F64

    def take(self, chosen: NDArray[Any]) -> _Fitted:
        return replace(
            self,
            home=self.home[chosen],
            state=self.state[chosen],
            move=self.move[chosen],
            sigma=self.sigma[chosen],
            flag=self.flag[chosen],
        )

    def settled(self, share: float, step: float) -> bool:
        """Tell whether a share of the atoms, and the widths, moved less than `step` voxels in the last pass."""
        if len(self.state) == 0:
            return True
        still = np.abs(self.move).max(1) < step
        return bool(np.abs(self.wider).max() < step and still.mean() >= share)


def _steps(blocks: Blocks) -> F64:
    return blocks.steps if min(blocks.shape) > 2 else np.ones(3)


def _start(blocks: Blocks, found: F64, params: PeaksParams) -> _Fitted:
    """Begin at the vertex of the parabola through three logarithms, with widths from the mean of the bright peaks."""
    found = found[np.lexsort(found[:, 2::-1].T)]  # neighbours in space are neighbours in memory
    state = np.zeros((len(found), 5))
    state[:, :4] = found[:, :4]
    width = np.ones(3)
    here = found[:, 3]
    bright = here >= 0.5 * np.quantile(here, 0.75) if len(here) else np.zeros(0, bool)
    for k in range(3 if len(here) else 0):
        before = np.maximum(found[:, 4 + 2 * k], 0.05 * here)
        after = np.maximum(found[:, 5 + 2 * k], 0.05 * here)
        bend = np.maximum(2 * np.log(here) - np.log(before) - np.log(after), 1e-3)
        state[:, k] += np.clip(0.5 * (np.log(after) - np.log(before)) / bend, -0.5, 0.5)
        bend = max(np.log(here[bright].mean() ** 2 / (before[bright].mean() * after[bright].mean())), 1e-6)
        width[k] = np.clip(bend**-0.5, NARROWEST, _widest(blocks, params)[k])
    far = np.full((len(found), 3), np.inf)
    flag = np.zeros(len(found), np.int32)
    return _Fitted(found[:, :3].copy(), state, far, np.zeros_like(far), flag, width, np.full(3, np.inf))


def _widest(blocks: Blocks, params: PeaksParams) -> F64:
    """Return the largest widths in voxels: half the separation, beyond which two atoms would not be two peaks."""
    return np.maximum(NARROWEST, 0.5 * params.separation / blocks.steps)


def _fit(blocks: Blocks, fitted: _Fitted, params: PeaksParams, passes: int, share: float, step: float) -> _Fitted:
    """Step all atoms together until they have settled; each pass reads the volume once."""
    for _ in range(passes):
        if fitted.settled(share, step):
            break
        rows, shared, _ = _all_blocks(blocks, fitted, params, final=False)
        fitted = _moved(fitted, rows)
        wider = _wider(shared)
        width = np.clip(fitted.width * np.exp(wider), NARROWEST, _widest(blocks, params))
        fitted = replace(fitted, width=width, wider=wider)
    return fitted


def _finish(blocks: Blocks, fitted: _Fitted, params: PeaksParams) -> _Fitted:
    """Take a last step, with errors and flags, and order the atoms by height."""
    if len(fitted.state) == 0:
        return fitted
    rows, _, products = _all_blocks(blocks, fitted, params, final=True)
    fitted = _moved(fitted, rows)
    half = np.rint(gaussian.WINDOW * fitted.width * np.exp(fitted.state[:, 4:5]))
    centre = np.rint(fitted.state[:, :3])
    flag = CUT * ((centre - half < 0) | (centre + half >= np.array(blocks.shape))).any(1)
    flag += UNSETTLED * (np.abs(fitted.move).max(1) > 10 * SETTLED)
    flag += HELD * (np.abs(fitted.state[:, :3] - fitted.home) > _far(fitted.width) - 1e-6).any(1)
    sigma = rows[:, 7:10] * gaussian.widening(products, fitted.width)
    order = np.argsort(-fitted.state[:, 3], kind="stable")
    return replace(fitted, flag=flag.astype(np.int32), sigma=sigma).take(order)


def _far(width: F64) -> F64:
    """Return how far from its maximum an atom may move along each axis, in voxels."""
    return np.maximum(1.5, 0.75 * width)


def _moved(fitted: _Fitted, rows: F64) -> _Fitted:
    """Apply one step, held back where atoms overlap, as all of them step at once."""
    old, home, far = fitted.state, fitted.home, _far(fitted.width)
    damping = 1.0 / (1.0 + crowding(old[:, :3] / fitted.width, 5.0))
    state = old.copy()
    state[:, :3] += np.clip(damping[:, None] * rows[:, :3], -0.5, 0.5)
    state[:, :3] = np.clip(state[:, :3], home - far, home + far)
    state[:, 3] = np.maximum(old[:, 3] + damping * rows[:, 3], 1e-3 * old[:, 3].max())
    state[:, 4] = np.clip(old[:, 4] + damping * rows[:, 4], -WIDER, WIDER)
    return replace(fitted, state=state, move=state[:, :3] - old[:, :3])


def _all_blocks(blocks: Blocks, fitted: _Fitted, params: PeaksParams, *, final: bool) -> tuple[F64, F64, F64]:
    """Return the rows of `gaussian.fit`, and the sums for the widths and for the correlation of the noise."""
    count = len(fitted.state)
    sample = np.arange(count) % -(-count // SAMPLE) == 0
    task = _Task(np.array(blocks.shape), fitted.home, fitted.state, fitted.width, sample, params.own_width, final)
    window = gaussian.WINDOW * fitted.width.max() * np.exp(WIDER * params.own_width)
    depth = int(np.ceil(_far(fitted.width).max() + window)) + 3
    return _gather(blocks.tables(partial(_pass, task=task), depth), count, sample)


@dataclass(frozen=True)
class _Task:
    """What a block must know of all atoms to do its own."""

    shape: NDArray[np.int64]
    home: F64
    state: F64
    width: F64
    sample: NDArray[np.bool_]
    own: bool
    final: bool


Part = tuple[NDArray[np.int64], F64, F64, F64]


def _pass(block: NDArray[Any], box: Box, outer: Box, *, task: _Task) -> Part:
    low, high = np.array(outer).T
    state = task.state
    reach = gaussian.REACH * task.width * np.exp(max(state[:, 4].max(), 0.0)) + 2
    near = ((state[:, :3] >= low - reach) & (state[:, :3] <= high + reach)).all(1)
    residual = np.array(block, np.float32, order="C")
    gaussian.subtract(residual, low, state[near], task.width)
    inner_low, inner_high = np.array(box).T
    mine = np.flatnonzero(((task.home >= inner_low) & (task.home < inner_high)).all(1))
    chosen = mine[task.sample[mine]]
    fixed = (residual, low, task.shape)
    rows = gaussian.fit(*fixed, state[mine], task.width, task.own, task.final)
    if task.final:
        lags = int(gaussian.WINDOW * task.width.max()) + 1
        background = rows[task.sample[mine], 5]
        products = gaussian.correlation(*fixed, state[chosen], task.width, background, lags)
        return mine, rows, np.zeros((len(chosen), 12)), products
    shared = gaussian.widths(*fixed, state[chosen], task.width)
    return mine, rows, shared, np.zeros((len(chosen), 3, 1, 2))


def _gather(parts: list[Part], count: int, sample: NDArray[np.bool_]) -> tuple[F64, F64, F64]:
    """Put what the blocks give in order of the atoms, so that no sum depends on the blocks."""
    rows = np.empty((count, gaussian.COLUMNS))
    place = np.cumsum(sample) - 1
    shared = np.empty((int(sample.sum()), *parts[0][2].shape[1:]))
    products = np.empty((int(sample.sum()), *parts[0][3].shape[1:]))
    for mine, part, width, product in parts:
        rows[mine] = part
        there = place[mine[sample[mine]]]
        shared[there] = width
        products[there] = product
    return rows, shared.sum(0), products.sum(0)


def _wider(shared: F64) -> F64:
    """Return the step of the logarithms of the shared widths."""
    matrix = shared[:9].reshape(3, 3)
    if not np.linalg.eigvalsh(matrix)[0] > 1e-9 * np.trace(matrix):
        return np.zeros(3)
    step: F64 = np.clip(np.linalg.solve(matrix, shared[9:]), -0.25, 0.25)
    return step


def _table(blocks: Blocks, fitted: _Fitted, units: str) -> xr.Dataset:
    steps = _steps(blocks)
    sigma = (fitted.sigma * steps)[:, ::-1]
    width = np.prod(fitted.width * steps) ** (1 / 3) * np.exp(fitted.state[:, 4])
    return atoms_at(
        blocks.density,
        fitted.state[:, :3],
        intensity=xr.DataArray(fitted.state[:, 3].astype(np.float32), dims="atom", attrs={"units": units}),
        width=xr.DataArray(width.astype(np.float32), dims="atom", attrs={"units": "angstrom"}),
        sigma=xr.DataArray(sigma.astype(np.float32), dims=("atom", "axis"), attrs={"units": "angstrom"}),
        flag=xr.DataArray(fitted.flag, dims="atom", attrs={"units": "1"}),
    )
