"""The motion that takes one set of points onto another, and the pairs that go with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.matching import nearest, pairs
from aetx.kernels.rotation import nearest_rotation

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Pairing = Callable[[F64, F64, float], tuple[I64, I64]]

ALIGNMENTS = ("none", "translation", "rigid", "scale", "affine")
"""What may be fitted, each with the freedom of those before it: nothing, a shift, a rotation, a scale, any matrix."""
SETTLED = 1e-4
"""Motion of any point below which pairing and fitting end, angstrom, as published."""
ROUNDS = 50
"""Most rounds of pairing and fitting."""
CORE, GROWTH = 30, 1.25
"""Points with which a fit from the centre begins, and how much farther it reaches each time."""
ENOUGH = 0.95
"""Share of paired points from which no other start is tried."""


@dataclass(frozen=True)
class Motion:
    """The map from r to ``matrix @ r + shift``."""

    matrix: F64
    shift: F64

    def __call__(self, points: F64) -> F64:
        """Return where points of shape (points, 3) go."""
        moved: F64 = points @ self.matrix.T + self.shift
        return moved

    @property
    def rotation(self) -> F64:
        """The rotation in the matrix, by polar decomposition."""
        turn: F64 = nearest_rotation(self.matrix)
        return turn

    @property
    def stretch(self) -> F64:
        """The symmetric matrix S with ``matrix = rotation @ S``."""
        return self.rotation.T @ self.matrix

    @property
    def scale(self) -> float:
        """The cube root of the change in volume."""
        return float(np.cbrt(np.linalg.det(self.matrix)))


@dataclass(frozen=True)
class Match:
    """Pairs: indices into the found and the true points; and the motion of the found ones that goes with them."""

    found: I64
    true: I64
    motion: Motion

    def residual(self, found: F64, true: F64) -> F64:
        """Return moved found minus true, shape (pairs, 3)."""
        return self.motion(found[self.found]) - true[self.true]


def at_rest() -> Motion:
    """Return the motion that moves nothing."""
    return Motion(np.eye(3), np.zeros(3))


def fitted(moving: F64, fixed: F64, free: str) -> Motion:
    """Return the motion of the given freedom that takes one set of paired points nearest to another.

    A proper rotation by Kabsch, with a scale by Umeyama, or any matrix by least squares; where the points are too few
    or too flat for that freedom, the next smaller one.

    References
    ----------
    S. Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 13, 376 (1991), doi:10.1109/34.88573.
    """
    centre, target = moving.mean(0), fixed.mean(0)
    matrix = np.eye(3)
    here, there = moving - centre, fixed - target
    if free == "affine" and np.linalg.matrix_rank(here, tol=1e-3 * len(here) ** 0.5) == 3:
        matrix = np.linalg.lstsq(here, there, rcond=None)[0].T
    elif free in ("rigid", "scale", "affine") and len(moving) >= 3:
        product = there.T @ here
        matrix = nearest_rotation(product)
        if free != "rigid" and (here**2).sum() > 0:
            matrix = matrix * float((matrix * product).sum() / (here**2).sum())
    return Motion(matrix, target - matrix @ centre)


def settled(found: F64, true: F64, radius: float, free: str, start: Motion, pairing: Pairing = pairs) -> Match:
    """Pair points and fit the motion of the found ones in turn, from a start, until nothing changes."""
    motion = start
    one, other = pairing(motion(found), true, radius)
    if free == "none" or len(one) == 0:
        return Match(one, other, motion)
    for _ in range(ROUNDS):
        before = motion(found)
        motion = fitted(found[one], true[other], free)
        after = motion(found)
        one, other = pairing(after, true, radius)
        if len(one) == 0 or np.abs(after - before).max() < SETTLED:
            break
    return Match(one, other, motion)


def ladder(found: F64, true: F64, radius: float) -> dict[str, Match]:
    """Return the one-to-one match for each of `ALIGNMENTS`.

    Each rung starts from the one below; a shift also from equal centres; what turns or stretches also from a fit that
    begins with the points next to the centre and grows outwards. Of the starts, the one that pairs more, or as many
    more closely, wins. So sets that are turned by some ten degrees, or stretched by a few percent, are found as long
    as their centres agree to half the distance of neighbours; symmetric specimens may settle in a twin.
    """
    rungs = {"none": settled(found, true, radius, "none", at_rest())}
    centred = Motion(np.eye(3), true.mean(0) - found.mean(0)) if len(found) and len(true) else at_rest()
    for below, free in itertools.pairwise(ALIGNMENTS):
        starts = [rungs[below].motion]
        if free == "translation":
            starts.append(centred)
        elif not _close(rungs[below], found, true, radius):
            starts.append(_grown(found, true, radius, free, centred))
        tried = [settled(found, true, radius, free, start) for start in starts]
        rungs[free] = max(tried, key=lambda match: _worth(match, found, true))
    return rungs


def published(found: F64, true: F64, radius: float) -> Match:
    """Return the many-to-one match after a fitted shift: each true point with the found one nearest to it."""
    return settled(found, true, radius, "translation", at_rest(), nearest)


def _close(match: Match, found: F64, true: F64, radius: float) -> bool:
    """Tell whether nearly all points are paired, and well within the radius: there is nothing to search for."""
    many = len(match.found) >= ENOUGH * min(len(found), len(true))
    return many and bool((match.residual(found, true) ** 2).sum() <= len(match.found) * (radius / 4) ** 2)


def _worth(match: Match, found: F64, true: F64) -> tuple[int, float]:
    return len(match.found), -float((match.residual(found, true) ** 2).sum())


def _grown(found: F64, true: F64, radius: float, free: str, start: Motion) -> Motion:
    """Fit to the points next to the centre, where a turn moves little, and reach farther step by step."""
    if len(found) < CORE or len(true) < CORE:
        return start
    centre = true.mean(0)
    away = np.linalg.norm(true - centre, axis=1)
    reach, motion = float(np.sort(away)[CORE - 1]), start
    while True:
        inner = np.flatnonzero(away <= reach)
        for _ in range(2):
            moved = motion(found)
            near = np.flatnonzero(np.linalg.norm(moved - centre, axis=1) <= reach + radius)
            one, other = pairs(moved[near], true[inner], radius)
            if len(one) >= CORE // 2:
                motion = fitted(found[near[one]], true[inner[other]], "rigid" if reach < 3 * radius else free)
        if reach >= away.max():
            return motion
        reach *= GROWTH
