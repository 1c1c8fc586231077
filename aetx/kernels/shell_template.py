"""How well the nearest neighbours of atoms fit those of a crystal: turned, scaled, and compared one by one."""

from __future__ import annotations

import math
from functools import cache
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import Neighbours
from aetx.kernels.rotation import nearest_rotation

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

TRIED = 3
"""Nearest neighbours on which a template is laid to begin with."""
SKEW = 0.35
"""How far (radian) the angle of two neighbours may be from that of the template on which they are laid."""
BEST = 2
"""Beginnings that are refined."""
ROUNDS = 20
"""Most rounds of matching and fitting."""


class Template(NamedTuple):
    """Unit vectors to the neighbours of a site, shape (neighbours, 3), and the ways to lay two of them on two atoms.

    `start` holds pairs of neighbours at the smallest angle, one of each kind that no rotation of the template turns
    into another, shape (pairs, 2); `angle` is that angle in radian.
    """

    vector: F64
    start: I64
    angle: float


class ShellFit(NamedTuple):
    """What fits best around each atom; each of shape (atoms,) but `rotation`, (atoms, 3, 3).

    `rms` is the root of the mean square of the distances of the neighbours from the template's vectors, none above the
    tolerance; `mean` and `largest` are of those within the tolerance only, `matched` counts them, `bond` is the length
    of the vectors, `rotation` turns the template's axes into the lab's. NaN and 0 matched where nothing fits.
    """

    rms: F64
    mean: F64
    largest: F64
    matched: I64
    bond: F64
    rotation: F64


@cache
def template(name: str) -> Template:
    """Return the first shell of fcc, hcp, bcc (its eight), sc, diamond or ico; cubic axes lie along x, y, z."""
    golden = (1 + math.sqrt(5)) / 2
    cubic: dict[str, list[tuple[float, ...]]] = {
        "fcc": [(1, 1, 0)],
        "bcc": [(1, 1, 1)],
        "sc": [(1, 0, 0)],
        "diamond": [(1, 1, 1)],
    }
    if name in cubic:
        found = {
            tuple(s * v for s, v in zip(signs, turned, strict=True))
            for turned in permutations(cubic[name][0])
            for signs in product((1.0, -1.0), repeat=3)
        }
        vector = np.array(sorted(one for one in found if name != "diamond" or math.prod(one) > 0))
    elif name == "ico":
        base = [(0.0, s, t * golden) for s in (1, -1) for t in (1, -1)]
        vector = np.array([np.roll(one, k) for one in base for k in range(3)])
    else:
        angle = np.arange(6) * math.pi / 3
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(6)], axis=1)
        side = np.arange(3) * 2 * math.pi / 3 + math.pi / 6
        cap = np.stack([np.cos(side), np.sin(side), np.full(3, math.sqrt(2))], axis=1) / math.sqrt(3)
        vector = np.concatenate([ring, cap, cap * [1, 1, -1]])
    vector = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    cosine = vector @ vector.T
    closest = float(np.sort(cosine, axis=1)[:, -2].max())
    pairs = np.argwhere((cosine > closest - 1e-9) & (cosine < 1 - 1e-9))
    chosen: list[NDArray[np.int64]] = []
    for one in pairs:
        frame = _frame(*vector[one])
        turns = [_frame(*vector[other]) @ frame.T for other in chosen]
        if not any(np.linalg.norm(vector @ t.T - vector[:, None], axis=2).min(axis=0).max() < 1e-6 for t in turns):
            chosen.append(one)
    return Template(vector, np.array(chosen, np.int64), math.acos(closest))


def fit(position: F64, neighbours: Neighbours, of: Template, tolerance: float) -> ShellFit:
    """Fit a template to the neighbours of each atom: any rotation, any length of its vectors.

    It is first laid on pairs of the nearest neighbours at about its smallest angle; the best of these beginnings are
    refined by turns: each neighbour takes the nearest vector within the tolerance, and all are fitted in least squares.
    Vectors without a neighbour cost nothing, so that an atom of the surface is judged by what it has.

    Parameters
    ----------
    position
        Shape (atoms, 3).
    neighbours
        Of each atom, nearest first; no more count than the template has.
    of
        The template.
    tolerance
        Farthest distance of a neighbour from the end of a vector, over the mean distance of the neighbours.
    """
    count = len(position)
    table = np.full((count, 4), np.nan)
    matched, rotation = np.zeros(count, np.int64), np.full((count, 3, 3), np.nan)
    _fit(
        position, neighbours.start, neighbours.index, of.vector, of.start, of.angle, tolerance, table, matched, rotation
    )
    return ShellFit(table[:, 0], table[:, 1], table[:, 2], matched, table[:, 3], rotation)


def slopes(position: F64, neighbours: Neighbours, of: Template, found: ShellFit, tolerance: float) -> tuple[I64, F64]:
    """Return how the root mean square distance of each atom follows its neighbours, to first order.

    The fit is at its best, so that only the distances themselves count: the slope on neighbour j is e_j / (n rms), e_j
    from its place to it, and on the atom itself minus the sum of these.

    Parameters
    ----------
    position, neighbours, of, tolerance
        As for `fit`.
    found
        What `fit` found.

    Returns
    -------
    Neighbours, shape (atoms, neighbours of the template), -1 where there are fewer; slopes, shape (..., 3). NaN where
    nothing fits, and where the distance is 0, about which it has no slope.
    """
    size = len(of.vector)
    place = neighbours.start[:-1, None] + np.arange(size)
    there = place < neighbours.start[1:, None]
    index = np.where(there, np.append(neighbours.index, -1)[np.where(there, place, -1)], -1).astype(np.int64)
    away = np.where(there[..., None], position[index] - position[:, None], 0.0)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        limit = tolerance * np.linalg.norm(away, axis=2).sum(axis=1) / count
        goal = np.einsum("nij,tj->nti", found.rotation, of.vector) * found.bond[:, None, None]
        nearest = np.einsum("nki,nti->nkt", away, np.nan_to_num(goal)).argmax(axis=2)
        rest = away - np.take_along_axis(goal, nearest[..., None], axis=1)
        kept = there & (np.linalg.norm(rest, axis=2) < limit[:, None])
        slope = np.where(kept[..., None], rest, 0.0) / (count * found.rms)[:, None, None]
    slope[~(found.rms > 1e-9)] = np.nan
    return index, slope


def carried(index: I64, slope: F64, covariance: F64) -> F64:
    """Return the standard error, shape (atoms,), that covariances of positions, (atoms, 3, 3), give through slopes."""
    own = slope.sum(axis=1)
    theirs = np.where((index >= 0)[..., None, None], covariance[index], 0.0)
    variance = np.einsum("nki,nkij,nkj->n", slope, theirs, slope)
    return np.asarray(np.sqrt(variance + np.einsum("ni,nij,nj->n", own, covariance, own)))


@njit(nogil=True, cache=True)
def _frame(first: F64, second: F64) -> F64:
    """Return a right-handed frame of unit columns, the first along a vector, the third across two."""
    made = np.empty((3, 3))
    across = np.cross(first, second)
    made[:, 0] = first / np.sqrt((first**2).sum())
    made[:, 2] = across / np.sqrt((across**2).sum())
    made[:, 1] = np.cross(made[:, 2], made[:, 0])
    return made


@njit(nogil=True, cache=True)
def _cost(near: F64, vector: F64, bond: float, turn: F64, limit: float, partner: I64) -> float:
    """Match each atom to its nearest vector within a limit, -1 where there is none; return the sum of squares."""
    total = 0.0
    for j in range(len(near)):
        x = (turn[0, 0] * near[j, 0] + turn[1, 0] * near[j, 1] + turn[2, 0] * near[j, 2]) / bond
        y = (turn[0, 1] * near[j, 0] + turn[1, 1] * near[j, 1] + turn[2, 1] * near[j, 2]) / bond
        z = (turn[0, 2] * near[j, 0] + turn[1, 2] * near[j, 1] + turn[2, 2] * near[j, 2]) / bond
        most, partner[j] = -np.inf, -1
        for t in range(len(vector)):
            along = x * vector[t, 0] + y * vector[t, 1] + z * vector[t, 2]
            if along > most:
                most, partner[j] = along, t
        square = max(0.0, bond * bond * (x * x + y * y + z * z + 1 - 2 * most))
        if square >= limit * limit:
            square, partner[j] = limit * limit, -1
        total += square
    return total


@njit(nogil=True, cache=True)
def _turned(near: F64, vector: F64, partner: I64, turn: F64) -> float:
    """Fit rotation and length to the matched atoms, write the rotation, return the length; 0 for fewer than three."""
    product, many = np.zeros((3, 3)), 0
    for j in range(len(near)):
        if partner[j] >= 0:
            many += 1
            for a in range(3):
                for b in range(3):
                    product[a, b] += near[j, a] * vector[partner[j], b]
    if many < 3:
        return 0.0
    turn[:] = nearest_rotation(product)
    return float((product * turn).sum() / many)


@njit(nogil=True, cache=True)
def _fit(
    position: F64,
    start: I64,
    index: NDArray[np.int32],
    vector: F64,
    pairs: I64,
    angle: float,
    tolerance: float,
    table: F64,
    matched: I64,
    rotation: F64,
) -> None:
    size = len(vector)
    frames = np.empty((len(pairs), 3, 3))
    for p in range(len(pairs)):
        frames[p] = _frame(vector[pairs[p, 0]], vector[pairs[p, 1]])
    score, begin = np.empty(BEST), np.empty((BEST, 3, 3))
    for atom in range(len(position)):
        many = min(start[atom + 1] - start[atom], size)
        if many < 3:
            continue
        near, length = np.empty((many, 3)), np.empty(many)
        partner, before = np.empty(many, np.int64), np.empty(many, np.int64)
        for j in range(many):
            near[j] = position[index[start[atom] + j]] - position[atom]
            length[j] = np.sqrt((near[j] ** 2).sum())
        typical = length.mean()
        limit = tolerance * typical
        score[:] = np.inf
        for j in range(min(TRIED, many)):
            for k in range(many):
                cosine = (near[j] * near[k]).sum() / (length[j] * length[k])
                if k == j or abs(math.acos(min(1.0, max(-1.0, cosine))) - angle) > SKEW:
                    continue
                laid = _frame(near[j], near[k])
                for p in range(len(pairs)):
                    turn = laid @ frames[p].T
                    value = _cost(near, vector, typical, turn, limit, partner)
                    worst = int(np.argmax(score))
                    if value < score[worst] - 1e-9 and np.abs(score - value).min() > 1e-9:
                        score[worst], begin[worst] = value, turn
        least = np.inf
        for b in range(BEST):
            if not np.isfinite(score[b]):
                continue
            turn, bond = begin[b].copy(), typical
            value = _cost(near, vector, bond, turn, limit, partner)
            for _ in range(ROUNDS):
                before[:] = partner
                bond = _turned(near, vector, partner, turn)
                if bond == 0.0:
                    break
                value = _cost(near, vector, bond, turn, limit, partner)
                if (before == partner).all():
                    break
            if bond > 0 and value < least:
                least = value
                rotation[atom], table[atom, 3] = turn, bond
                table[atom, 0] = np.sqrt(value / many)
                total, most, met = 0.0, 0.0, 0
                for j in range(many):
                    if partner[j] >= 0:
                        away = np.sqrt(((near[j] - bond * (turn @ vector[partner[j]])) ** 2).sum())
                        total, most, met = total + away, max(most, away), met + 1
                table[atom, 1], table[atom, 2], matched[atom] = total / max(met, 1), most, met
