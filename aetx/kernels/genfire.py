"""Fourier iterations between measured points of an oversampled grid and a box of voxels, on torch.

One step puts the measured values in place of those that the volume has there, and keeps of the inverse transform only
the box of voxels: x <- P(x + b - T x). Here b is the inverse transform of the measured values; T is the transform to
the grid, its values at measured points, and the way back; P the constraints. What T tells one voxel about another
depends on their difference only. So T is a convolution, exact on a grid of twice the box, however fine the padded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray

from aetx.kernels.gridding import F64, I64, Points

Box = tuple[int, int, int]
Mask = NDArray[np.bool_]

BLOCK = {"cpu": 2**16, "cuda": 2**24}
"""Points of the planes that are transformed at once: as many as a cache holds."""
EVERYTHING = -10.0
"""Cut-off below the confidence of every point."""
LOOKS = 10
"""Times that a volume is judged while it forms."""


@dataclass(frozen=True)
class Scheme:
    """How to iterate: steps, constraint, momentum, what is enforced when, and which volume is kept."""

    iterations: int
    positive: bool
    momentum: bool
    schedule: str
    best: bool


@dataclass(frozen=True)
class Found:
    """A volume (y, z, x), and how it fits: at the numbers of `steps`, and in shells of frequency.

    `magnitude` is sum ||F| - |M|| / sum |M| of the points that are fitted, `work` and `free` are sum |F - M| / sum |M|
    of these and of those held out; NaN where there are none.
    """

    volume: torch.Tensor
    steps: I64
    magnitude: F64
    work: F64
    free: F64
    work_shell: F64
    free_shell: F64


def cutoffs(schedule: str, iterations: int) -> F64:
    """Return the confidence that a point must exceed to be enforced at each step.

    A point at k has the confidence 1 - |k| / largest |k|. ``all`` enforces every point always; ``extension`` begins
    with the lowest frequencies and ends with all; ``suppression`` goes on from there and back again.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1.
    """
    falling = np.arange(0.95, -0.2, -0.1)
    if schedule == "all":
        levels = np.array([EVERYTHING])
    elif schedule == "extension":
        levels = np.concatenate([falling, np.full(3, EVERYTHING)])
    else:
        levels = np.concatenate([falling, np.full(3, EVERYTHING), falling[::-1]])
    return np.asarray(levels[np.arange(iterations) * levels.size // iterations])


def quality(points: Points, reach: float) -> F64:
    """Return |k| of each point as a fraction of `reach`."""
    return np.asarray(np.linalg.norm(points.waves(), axis=1) / reach)


def held_out(shell: I64, share: float, seed: int) -> Mask:
    """Choose that share of the points of each shell at random; never the origin, which is the first point."""
    draw = np.random.default_rng(seed).random(shell.size)
    order = np.lexsort([draw, shell])
    count = np.bincount(shell)
    rank = np.empty(shell.size, np.int64)
    rank[order] = np.arange(shell.size) - (np.cumsum(count) - count)[shell[order]]
    chosen = rank < np.floor(share * count + 0.5)[shell]
    chosen[:1] = False
    return np.asarray(chosen)


class Transform:
    """The transform of a box of voxels at points of a padded grid, with the first voxel as origin, and its inverse.

    Volumes are tensors of shape (y, z, x). A few planes ky of the grid are in memory at a time, never the whole.

    Parameters
    ----------
    points
        Where; `value` is not looked at.
    box
        Voxels along y, z, x.
    device
        Where torch computes.
    """

    def __init__(self, points: Points, box: Box, device: str) -> None:
        self.size, self.box, self.device = points.size, box, device
        self.planes = int(points.key[-1]) // points.size**2 + 1 if points.key.size else 1
        self.block = max(1, BLOCK[torch.device(device).type] // points.size**2)
        self.key = torch.from_numpy(points.key).to(device)
        edges = np.arange(0, self.planes + self.block, self.block) * points.size**2
        self.edges = np.searchsorted(points.key, edges)

    def _blocks(self) -> Iterator[tuple[slice, slice, torch.Tensor]]:
        """Yield planes, the points on them, and where these are in the flattened planes."""
        for number, (first, last) in enumerate(zip(self.edges[:-1], self.edges[1:], strict=True)):
            start = number * self.block
            planes = slice(start, min(start + self.block, self.planes))
            yield planes, slice(int(first), int(last)), self.key[first:last] - start * self.size**2

    def sample(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the transform of a volume at the points, complex."""
        waves = torch.fft.rfft(volume, n=self.size, dim=0)[: self.planes].contiguous()
        told = torch.empty(self.key.shape, dtype=torch.complex64, device=self.device)
        for planes, points, place in self._blocks():
            plane = torch.fft.fft(torch.fft.fft(waves[planes], n=self.size, dim=2), n=self.size, dim=1)
            told[points] = plane.reshape(-1)[place]
        return told

    def inverse(self, values: torch.Tensor) -> torch.Tensor:
        """Return the box of the inverse transform of a grid with these values at the points and their partners."""
        y, z, x = self.box
        waves = torch.empty((self.planes, z, x), dtype=torch.complex64, device=self.device)
        for planes, points, place in self._blocks():
            plane = torch.zeros(
                ((planes.stop - planes.start), self.size, self.size), dtype=torch.complex64, device=self.device
            )
            plane.view(-1)[place] = values[points]
            if planes.start == 0:
                self._mirror(plane[0])
            plane = torch.fft.ifft(plane, dim=1)[:, :z]
            waves[planes] = torch.fft.ifft(plane, dim=2)[:, :, :x]
        return torch.fft.irfft(waves, n=self.size, dim=0)[:y].contiguous()

    def mask(self, chosen: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield planes and the mask on them, one at chosen points and their partners."""
        for planes, points, place in self._blocks():
            plane = torch.zeros(((planes.stop - planes.start), self.size, self.size), device=self.device)
            plane.view(-1)[place] = chosen[points]
            if planes.start == 0:
                self._mirror(plane[0])
            yield planes, plane

    @staticmethod
    def _mirror(plane: torch.Tensor) -> None:
        """Fill in the partners of the points of the plane ky = 0."""
        partner = torch.roll(torch.flip(plane, (0, 1)), (1, 1), (0, 1)).conj()
        plane.copy_(torch.where(plane == 0, partner, plane))


class Convolution:
    """What comes back of a box from chosen points of its transform, by two real transforms of at most twice its edges.

    Parameters
    ----------
    transform
        Of the box at the points.
    chosen
        One at those points that count, zero at the others.
    """

    def __init__(self, transform: Transform, chosen: torch.Tensor) -> None:
        size, self.box = transform.size, transform.box
        self.sizes = [min(size, scipy.fft.next_fast_len(2 * count - 1, real=True)) for count in self.box]
        height, depth, width = self.sizes
        if self.sizes == [size] * 3:
            shape = (transform.planes, size, size)
            self.factor = torch.empty(shape, dtype=torch.float32, device=transform.device)
            for planes, mask in transform.mask(chosen):
                self.factor[planes] = mask
        else:
            self.factor = torch.zeros((height // 2 + 1, depth, width), device=transform.device)
            up, along, across = (
                _resampling(size, count, other).to(transform.device)
                for count, other in zip(self.box, self.sizes, strict=True)
            )
            flat = self.factor.view(len(self.factor), -1)
            for planes, mask in transform.mask(chosen):
                part = torch.matmul(torch.matmul(along, mask), across.T)
                waves = torch.arange(planes.start, planes.stop, device=transform.device)
                flat.addmm_(up[: len(flat), waves], part.view(len(waves), -1))
                back = torch.roll(torch.flip(part, (1, 2)), (1, 1), (1, 2))
                paired = up[: len(flat), (-waves) % size] * (waves > 0)
                flat.addmm_(paired, back.view(len(waves), -1))
        self.block = max(1, BLOCK[torch.device(transform.device).type] // (depth * width))
        self.padded = torch.zeros((self.block, depth, width), dtype=torch.complex64, device=transform.device)

    def __call__(self, volume: torch.Tensor) -> torch.Tensor:
        """Return T applied to a volume (y, z, x)."""
        (y, z, x), (height, _, width) = self.box, self.sizes
        waves = torch.fft.rfft(volume, n=height, dim=0)[: len(self.factor)].contiguous()
        for start in range(0, len(waves), self.block):
            some = slice(start, start + self.block)
            padded = self.padded[: len(waves[some])]
            padded[:, :z] = torch.fft.fft(waves[some], n=width, dim=2)
            plane = torch.fft.ifft(torch.fft.fft(padded, dim=1).mul_(self.factor[some]), dim=1)[:, :z]
            waves[some] = torch.fft.ifft(plane, dim=2)[:, :, :x]
        return torch.fft.irfft(waves, n=height, dim=0)[:y]


def _resampling(size: int, count: int, other: int) -> torch.Tensor:
    """Return the matrix from a mask on a grid to the factor on another that acts alike on differences below `count`.

    Its elements are sum over |d| < count of exp(2 pi i d (k / size - q / other)) / size, shape (other, size); the
    identity where both grids are the same.
    """
    if size == other:
        return torch.eye(size)
    angle = np.pi * (np.arange(size)[None, :] / size - np.arange(other)[:, None] / other)
    below = np.sin(angle)
    pole = np.abs(below) < 1e-12
    kernel = np.where(pole, 2 * count - 1, np.sin((2 * count - 1) * angle) / np.where(pole, 1.0, below))
    return torch.from_numpy((kernel / size).astype(np.float32))


def reconstruct(
    points: Points,
    start: tuple[float, float, float],
    box: Box,
    scheme: Scheme,
    *,
    fraction: F64,
    shells: int,
    free: Mask,
    support: torch.Tensor | None,
    device: str,
) -> Found:
    """Return the volume whose transform agrees with the measured points, under the constraints.

    Parameters
    ----------
    points
        What was measured.
    start
        Where the first voxel is, in voxels from the rotation centre: y, z, x.
    box
        Voxels along y, z, x.
    scheme
        How to iterate; with momentum, volumes are extrapolated as by Nesterov, anew whenever that points uphill.
    fraction
        |k| of each point over the largest.
    shells
        Number of shells of frequency.
    free
        Points that are held out.
    support
        Mask (y, z, x) of ones and zeros, or None.
    device
        Where torch computes.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1; restart: B. O'Donoghue, E. Candes,
    Found. Comput. Math. 15, 715 (2015), doi:10.1007/s10208-013-9150-3.
    """
    transform = Transform(points, box, device)
    turn = np.exp(2j * np.pi / points.size * (points.waves() @ np.array(start)))
    measured = torch.from_numpy((points.value * turn).astype(np.complex64)).to(device)
    watch = _Watch(transform, measured, free, np.minimum((fraction * shells).astype(np.int64), shells - 1), shells)
    looks = np.unique(np.ceil(np.arange(1, LOOKS + 1) * scheme.iterations / LOOKS).astype(np.int64))
    levels, level = cutoffs(scheme.schedule, scheme.iterations), np.inf
    volume = torch.zeros(box, dtype=torch.float32, device=device)
    ahead, speed, kept = volume.clone(), 1.0, volume
    for number in range(1, scheme.iterations + 1):
        if levels[number - 1] != level:
            level = float(levels[number - 1])
            chosen = torch.from_numpy(~free & (1.0 - fraction > level)).to(device)
            convolution = Convolution(transform, chosen.to(torch.float32))
            target = transform.inverse(measured * chosen)
            ahead, speed = volume.clone(), 1.0
        made = ahead.add(target).sub_(convolution(ahead))
        if scheme.positive:
            made.clamp_(min=0.0)
        if support is not None:
            made.mul_(support)
        step = made - volume
        if scheme.momentum:
            if float(torch.vdot((ahead - made).view(-1), step.view(-1))) > 0.0:
                speed = 1.0
            following = (1 + (1 + 4 * speed * speed) ** 0.5) / 2
            ahead = torch.add(made, step, alpha=(speed - 1) / following)
            speed = following
        else:
            ahead = made
        volume = made
        if number in looks and watch.see(number, volume):
            kept = volume
    return watch.result(kept if scheme.best else volume)


class _Watch:
    """Compares the transform of a volume with the measured points."""

    def __init__(self, transform: Transform, measured: torch.Tensor, free: Mask, shell: I64, shells: int) -> None:
        self.transform, self.measured, self.shells = transform, measured, shells
        self.size = measured.abs().double()
        self.free = torch.from_numpy(free).to(measured.device)
        self.shell = torch.from_numpy(shell).to(measured.device)
        self.seen: list[list[float]] = []

    def see(self, number: int, volume: torch.Tensor) -> bool:
        """Note how a volume fits; tell whether none fitted better so far, held-out points first."""
        told = self.transform.sample(volume)
        apart = [(told.abs() - self.measured.abs()).abs().double(), (told - self.measured).abs().double()]
        parts = ((apart[0], ~self.free), (apart[1], ~self.free), (apart[1], self.free))
        found = [self._ratio(values[chosen].sum(), self.size[chosen].sum()) for values, chosen in parts]
        self.seen.append([float(number), *found])
        place = 3 if bool(self.free.any()) else 1
        return self.seen[-1][place] <= min(one[place] for one in self.seen)

    def result(self, volume: torch.Tensor) -> Found:
        apart = (self.transform.sample(volume) - self.measured).abs().double()
        shells = [self._by_shell(apart, chosen) for chosen in (~self.free, self.free)]
        history = np.array(self.seen)
        return Found(volume, history[:, 0].astype(np.int64), *history.T[1:], *shells)

    def _by_shell(self, apart: torch.Tensor, chosen: torch.Tensor) -> F64:
        above, below = (
            torch.bincount(self.shell[chosen], values[chosen], minlength=self.shells) for values in (apart, self.size)
        )
        ratio: F64 = torch.where(below > 0, above / below, torch.nan).cpu().numpy()
        return ratio

    @staticmethod
    def _ratio(above: torch.Tensor, below: torch.Tensor) -> float:
        return float(above / below) if float(below) > 0 else float("nan")
