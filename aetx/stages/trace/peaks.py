"""Atoms as the peaks of a volume, all fitted at once by Gaussians."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.halo import Box
from aetx.core.peaks import (
    Blocks,
    Cubes,
    TracingParams,
    atoms_at,
    inner,
    separated_maxima,
    tracing_forecast,
    typical_maximum,
    vertices,
)
from aetx.errors import AetxWarning
from aetx.kernels import gaussian
from aetx.kernels.peaks import crowding, least_height, local_maxima, middle_height, separated
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
SIGNIFICANT, HIGHEST = 5.0, 0.6
"""Least height over its standard error, unless that is more than this fraction of the typical height."""
DOUBT = 2.0
"""Standard errors by which an atom cut by a face must exceed a least height that is found from the volume."""
LOOKS = 4
"""Most times that what all atoms leave over is searched for atoms that were missed."""
SAMPLE = 4096
"""Atoms from which the shared widths and the correlation of the noise are estimated."""
NARROWEST = 0.4
"""Least width in voxels."""
WIDER = 0.5
"""Largest logarithm of an atom's own width over the shared one."""
UNSETTLED, HELD, CUT = 1, 2, 4
"""Flags: still moving when the fit ended; held at the farthest allowed place; window cut by a face of the volume."""


class PeaksParams(TracingParams):
    """Parameters of `peaks`."""

    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="least fitted height over that of a typical atom; without one, the first valley in the histogram "
        "of heights, or five standard errors where it has none",
    )
    own_width: bool = Field(False, description="fit a width to each atom, instead of one that all share")


def _forecast(inputs: InputSizes, _: PeaksParams) -> Forecast:
    return tracing_forecast(inputs, edge=280, voxel=16, seconds=6e-8)


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
    missing wedge is part of the model. Peaks whose fitted height is below the threshold are dropped, the rest is fitted
    again, and atoms that show only in what they leave over are added. Computes; the volume is read in blocks, and the
    result does not depend on them.

    `intensity` is the fitted height in units of the volume, `width` the geometric mean of the three widths, `sigma` the
    standard error of the position from the noise that the fit leaves over, widened for its correlation between
    voxels. `flag` adds 1 (still moving at the end), 2 (held where it may not move on), 4 (cut by a face of the volume).

    Voxels on a face of the volume count as maxima by the neighbours they have; without a threshold, an atom cut
    by a face must exceed the least height by twice its standard error. An atom fitted more than half a voxel beyond a
    face is dropped. An axis of fewer than three voxels holds no maximum. Two atoms that share one maximum are one atom.
    """
    blocks = Blocks.of(volume, memory)
    middle = (np.array(blocks.shape) - 1) / 2
    typical = typical_maximum(blocks)
    floor = typical * (LOWEST if params.threshold is None else EARLY * params.threshold)
    found = separated_maxima(blocks, floor, params.separation) if typical > 0 else np.empty((0, 10))
    fitted = _fit(blocks, _start(blocks, found, params), params, SEARCH, 0.9, ROUGH)
    least, sure = _least(fitted.state[:, 3], params)
    fitted = fitted.take(fitted.state[:, 3] >= least)
    for look in range(LOOKS):
        fitted = _fit(blocks, fitted, params, PASSES, 1.0, SETTLED)
        fitted, seen = _finish(blocks, fitted, params, floor)
        if not sure and len(fitted.state):
            heights, noise = fitted.state[:, 3], np.median(fitted.sigma[:, 3])
            least = max(least, min(SIGNIFICANT * noise, HIGHEST * middle_height(heights)))
        tall = fitted.state[:, 3] >= least
        if params.threshold is None:
            tall &= (fitted.flag & CUT == 0) | (fitted.state[:, 3] - DOUBT * fitted.sigma[:, 3] >= least)
        fitted = fitted.take(tall)
        missed = _missed(blocks, fitted, seen, params, least)
        if look == LOOKS - 1 or (tall.all() and len(missed) == 0):
            break
        fitted = _with(fitted, missed)
    inside = (np.abs(fitted.state[:, :3] - middle) <= middle + 0.5).all(axis=1)
    fitted = fitted.take(np.flatnonzero(inside))
    fitted = fitted.take(separated(fitted.state[:, :3] * _steps(blocks), params.separation))
    if len(fitted.state) == 0:
        warnings.warn("trace.peaks found no atom in the volume", AetxWarning, stacklevel=2)
    return _table(blocks, fitted, str(volume["density"].attrs["units"]))


@dataclass(frozen=True)
class _Fitted:
    """Atoms as far as they are fitted.

    `home` is the voxel of the maximum, `state` that of `gaussian.fit`, `move` the last step of the position in voxels,
    `sigma` the standard errors of z, y, x and height, `width` the shared widths in voxels and `wider` the last step of
    their logarithms.
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
    state[:, :3] += vertices(found)
    width = np.ones(3)
    here = found[:, 3]
    bright = here >= 0.5 * np.quantile(here, 0.75) if len(here) else np.zeros(0, bool)
    for k in range(3 if len(here) else 0):
        before = np.maximum(found[:, 4 + 2 * k], 0.05 * here)
        after = np.maximum(found[:, 5 + 2 * k], 0.05 * here)
        bend = max(np.log(here[bright].mean() ** 2 / (before[bright].mean() * after[bright].mean())), 1e-6)
        width[k] = np.clip(bend**-0.5, 1.0, max(1.0, _widest(blocks, params)[k]))
    move, sigma = np.full((len(found), 3), np.inf), np.full((len(found), 4), np.nan)
    flag = np.zeros(len(found), np.int32)
    return _Fitted(found[:, :3].copy(), state, move, sigma, flag, width, np.full(3, np.inf))


def _least(heights: F64, params: PeaksParams) -> tuple[float, bool]:
    """Return the least height of an atom, and whether heights alone can tell."""
    if params.threshold is not None:
        return params.threshold * middle_height(heights), True
    return least_height(heights)


def _widest(blocks: Blocks, params: PeaksParams) -> F64:
    """Return the largest widths in voxels: half the separation, beyond which two atoms would not be two peaks."""
    return np.maximum(NARROWEST, 0.5 * params.separation / blocks.steps)


def _fit(blocks: Blocks, fitted: _Fitted, params: PeaksParams, passes: int, share: float, step: float) -> _Fitted:
    """Step all atoms together until they have settled; each pass reads the volume once."""
    for _ in range(passes):
        if fitted.settled(share, step):
            break
        rows, shared, _ = _all_blocks(blocks, fitted, params, None)
        fitted = _moved(fitted, rows)
        wider = _wider(shared)
        width = np.clip(fitted.width * np.exp(wider), NARROWEST, _widest(blocks, params))
        fitted = replace(fitted, width=width, wider=wider)
    return fitted


def _finish(blocks: Blocks, fitted: _Fitted, params: PeaksParams, floor: float) -> tuple[_Fitted, F64]:
    """Take a last step, with errors and flags, order the atoms by height, and look at what they leave over."""
    if len(fitted.state) == 0:
        return fitted, np.empty((0, 7))
    rows, products, seen = _all_blocks(blocks, fitted, params, floor)
    fitted = _moved(fitted, rows)
    half = np.rint(gaussian.WINDOW * fitted.width * np.exp(fitted.state[:, 4:5]))
    centre = np.rint(fitted.state[:, :3])
    flag = CUT * ((centre - half < 0) | (centre + half >= np.array(blocks.shape))).any(1)
    flag += UNSETTLED * (np.abs(fitted.move).max(1) > 10 * SETTLED)
    flag += HELD * (np.abs(fitted.state[:, :3] - fitted.home) > _far(fitted.width) - 1e-6).any(1)
    sigma = rows[:, 7:11] * gaussian.widening(products, fitted.width)
    order = np.argsort(-fitted.state[:, 3], kind="stable")
    return replace(fitted, flag=flag.astype(np.int32), sigma=sigma).take(order), seen


def _missed(blocks: Blocks, fitted: _Fitted, seen: F64, params: PeaksParams, least: float) -> F64:
    """Choose from maxima of the residual those tall enough and far enough from all atoms."""
    tall = seen[seen[:, 6] >= least]
    tall = tall[np.lexsort((tall[:, 2], tall[:, 1], tall[:, 0], -tall[:, 6]))]
    together = np.concatenate([fitted.state[:, :3], tall[:, 3:6]]) * _steps(blocks)
    return tall[separated(together, params.separation)[len(fitted.state) :]]


def _with(fitted: _Fitted, missed: F64) -> _Fitted:
    """Add atoms that were missed, in order of place."""
    count = len(missed)
    home = np.concatenate([fitted.home, missed[:, :3]])
    state = np.concatenate([fitted.state, np.column_stack([missed[:, 3:7], np.zeros(count)])])
    move = np.concatenate([fitted.move, np.full((count, 3), np.inf)])
    sigma = np.concatenate([fitted.sigma, np.full((count, 4), np.inf)])
    flag = np.concatenate([fitted.flag, np.zeros(count, np.int32)])
    joined = replace(fitted, home=home, state=state, move=move, sigma=sigma, flag=flag)
    return joined.take(np.lexsort(home[:, ::-1].T))


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
    tall = np.clip(old[:, 3] + damping * rows[:, 3], old[:, 3] / 2, old[:, 3] * 2)
    state[:, 3] = np.maximum(tall, 1e-3 * old[:, 3].max())
    state[:, 4] = np.clip(old[:, 4] + damping * rows[:, 4], -WIDER, WIDER)
    return replace(fitted, state=state, move=state[:, :3] - old[:, :3])


def _all_blocks(blocks: Blocks, fitted: _Fitted, params: PeaksParams, floor: float | None) -> tuple[F64, F64, F64]:
    """Return the rows of `gaussian.fit`, sums over atoms, and maxima of the residual.

    Without a `floor` the sums are those of `gaussian.widths`; with one, in the last pass, those of
    `gaussian.correlation`, and the maxima of the residual above it are looked for.
    """
    count = len(fitted.state)
    sample = np.arange(count) % -(-count // SAMPLE) == 0
    task = _Task(
        shape=np.array(blocks.shape),
        home=fitted.home,
        state=fitted.state,
        width=fitted.width,
        sample=sample,
        own=params.own_width,
        floor=floor,
        reach=gaussian.REACH * fitted.width * np.exp(max(fitted.state[:, 4].max(), 0.0)) + 2,
        moved=np.abs(fitted.state[:, :3] - fitted.home).max(0),
        cubes=Cubes.of(fitted.home, blocks.shape),
    )
    window = gaussian.WINDOW * fitted.width.max() * np.exp(WIDER * params.own_width)
    depth = int(np.ceil(_far(fitted.width).max() + window)) + 3
    wanted = partial(_holds, task=task) if floor is None else None
    parts = blocks.tables(partial(_pass, task=task), depth, wanted=wanted)
    rows = np.empty((count, gaussian.COLUMNS))
    place = np.cumsum(sample) - 1
    summed = np.empty((int(sample.sum()), *parts[0][2].shape[1:]))
    for mine, part, chosen, _ in parts:
        rows[mine] = part
        summed[place[mine[sample[mine]]]] = chosen  # in order of the atoms, so that no sum depends on the blocks
    return rows, summed.sum(0), np.concatenate([seen for *_, seen in parts])


@dataclass(frozen=True)
class _Task:
    """What a block must know of all atoms to do its own."""

    shape: NDArray[np.int64]
    home: F64
    state: F64
    width: F64
    sample: NDArray[np.bool_]
    own: bool
    floor: float | None
    reach: F64
    """How far from its place an atom is seen, in voxels along z, y and x."""
    moved: F64
    """How far the farthest atom is from its `home`."""
    cubes: Cubes
    """The atoms by their `home`."""


Part = tuple[NDArray[np.int64], F64, F64, F64]


def _holds(box: Box, *, task: _Task) -> bool:
    """Tell whether a block has atoms of its own."""
    return len(_of_box(box, task)) > 0


def _of_box(box: Box, task: _Task) -> NDArray[np.int64]:
    low, high = np.array(box).T
    some = task.cubes.near(low, high)
    home = task.home[some]
    return some[((home >= low) & (home < high)).all(1)]


def _pass(block: NDArray[Any], box: Box, outer: Box, *, task: _Task) -> Part:
    low, high = np.array(outer).T
    state = task.state
    first, last = low - task.reach, high + task.reach
    some = task.cubes.near(first - task.moved, last + task.moved)
    near = some[((state[some, :3] >= first) & (state[some, :3] <= last)).all(1)]
    residual = np.array(block, np.float32, order="C")
    gaussian.subtract(residual, low, state[near], task.width)
    mine = _of_box(box, task)
    chosen = mine[task.sample[mine]]
    fixed = (residual, low, task.shape)
    rows = gaussian.fit(*fixed, state[mine], task.width, task.own, task.floor is not None)
    if task.floor is None:
        return mine, rows, gaussian.widths(*fixed, state[chosen], task.width), np.empty((0, 7))
    lags = int(gaussian.WINDOW * task.width.max()) + 1
    background = rows[task.sample[mine], 5]
    products = gaussian.correlation(*fixed, state[chosen], task.width, background, lags)
    indices, _ = local_maxima(residual, *inner(box, outer), task.floor)
    trial = np.zeros((len(indices), 5))
    trial[:, :3] = indices + low
    trial[:, 3] = 1.0
    step = gaussian.fit(*fixed, trial, task.width, False, False)
    height = np.maximum(step[:, 3], 0.0)
    place = trial[:, :3] + np.clip(step[:, :3] / np.maximum(height, 1e-30)[:, None], -0.5, 0.5)
    return mine, rows, products, np.column_stack([trial[:, :3], place, height])


def _wider(shared: F64) -> F64:
    """Return the step of the logarithms of the shared widths."""
    matrix = shared[:9].reshape(3, 3)
    if not np.linalg.eigvalsh(matrix)[0] > 1e-9 * np.trace(matrix):
        return np.zeros(3)
    step: F64 = np.clip(np.linalg.solve(matrix, shared[9:]), -0.25, 0.25)
    return step


def _table(blocks: Blocks, fitted: _Fitted, units: str) -> xr.Dataset:
    steps = _steps(blocks)
    sigma = (fitted.sigma[:, :3] * steps)[:, ::-1]
    width = np.prod(fitted.width * steps) ** (1 / 3) * np.exp(fitted.state[:, 4])
    return atoms_at(
        blocks.density,
        fitted.state[:, :3],
        intensity=xr.DataArray(fitted.state[:, 3].astype(np.float32), dims="atom", attrs={"units": units}),
        width=xr.DataArray(width.astype(np.float32), dims="atom", attrs={"units": "angstrom"}),
        sigma=xr.DataArray(sigma.astype(np.float32), dims=("atom", "axis"), attrs={"units": "angstrom"}),
        flag=xr.DataArray(fitted.flag, dims="atom", attrs={"units": "1"}),
    )
