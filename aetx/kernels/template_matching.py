"""Crystal structures by matching the neighbours of an atom to templates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import nearest
from aetx.kernels.templates import template

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

MOST = 18
"""Neighbours in the largest template, and the spare ones."""
SHELL = 16
"""Nearest neighbours from which templates take theirs."""
SPARE = 2
"""Neighbours beside as many as a template has points, from which it takes the fitting ones."""
SURE = 0.09
"""Root mean square deviation below which no other template can be nearer: any two are twice as far apart."""
ROUNDS = 4
"""Times that the correspondence of neighbours and the rotation of a template follow each other at most."""
STARTS = 2
"""Nearest neighbours from which the rotation of a template is begun, until one gives a match."""


@dataclass(frozen=True)
class Match:
    """What the neighbours of atoms are.

    Attributes
    ----------
    code
        1 + the place of the name among those asked for, 0 where none fits, shape (atoms,).
    deviation
        Root mean square deviation of the best template, even one that does not fit, over its mean distance of
        neighbours, shape (atoms,); NaN where there is none.
    points
        Which points of the template are there, side by side, shape (atoms, 16, 3), in units of the nearest neighbour
        distance; NaN where there is none.
    neighbour
        Which atom is at that point, shape (atoms, 16); -1 where there is none.
    rotation
        Takes the template to the atoms, shape (atoms, 3, 3); NaN where none fits.
    """

    code: I32
    deviation: F64
    points: F64
    neighbour: I32
    rotation: F64


def match(position: F64, names: tuple[str, ...], limit: float, least: int) -> Match:
    """Return which templates the neighbours of each atom fit best.

    Parameters
    ----------
    position
        Shape (atoms, 3).
    names
        Structures that are tried.
    limit
        Greatest deviation of a template that fits.
    least
        Fewest neighbours of an atom that are enough, if all are points of a template turned as that of a neighbour that
        has all; 0 if all points must be there.
    """
    atoms = len(position)
    index, distance = nearest(position, SHELL)
    chosen = [template(name) for name in names]
    points = np.zeros((len(chosen), MOST, 3))
    frames = np.zeros((len(chosen), max(len(one.frames) for one in chosen), 3, 3))
    shape = np.array([[len(one.points), one.inner, len(one.frames)] for one in chosen])
    for k, one in enumerate(chosen):
        points[k, : len(one.points)], frames[k, : len(one.frames)] = one.points, one.frames
    code, deviation = np.zeros(atoms, np.int32), np.full(atoms, np.nan)
    rotation, place = np.full((atoms, 3, 3), np.nan), np.full((atoms, MOST), -1, np.int32)
    neighbour = np.full((atoms, MOST), -1, np.int32)
    scale = np.array([np.linalg.norm(one.points, axis=1).mean() for one in chosen])
    cosine = np.array([one.cosine for one in chosen])
    _match(position, index, points, shape, frames, cosine, scale, limit, code, deviation, rotation, place, neighbour)
    sign = np.ones(atoms)
    if least:
        mirrored = np.array([-1.0 if name in ("hcp", "diamond") else 1.0 for name in names])
        cutoff = np.array(
            [0.0 if name in ("ico", "diamond") else one.cutoff for name, one in zip(names, chosen, strict=True)]
        )
        whole = code.copy()
        _part(
            position,
            index,
            distance,
            points,
            shape,
            mirrored,
            cutoff,
            scale,
            limit,
            least,
            whole,
            code,
            deviation,
            rotation,
            place,
            neighbour,
            sign,
        )
    there = sign[:, None, None] * points[np.maximum(code - 1, 0)[:, None], np.maximum(place, 0)]
    return Match(code, deviation, np.where(place[:, :, None] >= 0, there, np.nan), neighbour, rotation)


@njit(nogil=True, cache=True)
def _match(
    position: F64,
    index: I32,
    points: F64,
    shape: I64,
    frames: F64,
    cosine: F64,
    scale: F64,
    limit: float,
    code: I32,
    deviation: F64,
    rotation: F64,
    place: I32,
    neighbour: I32,
) -> None:
    """Match every atom to all templates."""
    vector, name = np.empty((MOST, 3)), np.empty(MOST, np.int32)
    turn, frame, pair = np.empty((3, 3)), np.empty((3, 3)), np.zeros((2, MOST), np.int32)
    for i in range(len(position)):
        best = np.inf
        for k in range(shape.shape[0]):
            if best < SURE:
                break
            size = shape[k, 0]
            count = _gather(position, index, i, size, shape[k, 1], vector, name)
            if count < size:
                continue
            mean = 0.0
            for p in range(size):
                mean += math.sqrt(vector[p, 0] ** 2 + vector[p, 1] ** 2 + vector[p, 2] ** 2) / size
            if mean <= 0.0:
                continue
            found = np.inf
            for first in range(STARTS):
                if found <= limit:
                    break
                if not _begin(vector, first, shape[k, 1], cosine[k], frame):
                    continue
                for h in range(shape[k, 2]):
                    for a in range(3):
                        for b in range(3):
                            turn[a, b] = 0.0
                            for c in range(3):
                                turn[a, b] += frame[a, c] * frames[k, h, b, c]
                    one = _settle(vector, count, points[k], size, mean / scale[k], turn, pair) / scale[k]
                    found = min(found, one)
                    if one < best:
                        best = one
                        deviation[i] = one
                        if one <= limit:
                            code[i] = k + 1
                            rotation[i] = turn
                            place[i] = -1
                            neighbour[i] = -1
                            for m in range(size):
                                place[i, m], neighbour[i, m] = pair[1, m], name[pair[0, m]]
                    if best < SURE:
                        break


@njit(nogil=True, cache=True)
def _gather(position: F64, index: I32, i: int, size: int, inner: int, vector: F64, name: I32) -> int:
    """Put the neighbours of an atom that a template may take into `vector` and `name`, and return how many.

    They are the nearest, some more than it has points; for diamond four and three more neighbours of each.
    """
    found = 0
    for k in range(4 if inner == 4 else min(size + SPARE, SHELL)):
        if index[i, k] >= 0:
            name[found] = index[i, k]
            found += 1
    for k in range(found if inner == 4 else 0):
        more = 0
        for m in range(4):
            j = index[name[k], m]
            if j != i and j >= 0 and more < 3:
                for other in range(found):
                    if name[other] == j:
                        return 0
                name[found] = j
                found += 1
                more += 1
    for k in range(found):
        for axis in range(3):
            vector[k, axis] = position[name[k], axis] - position[i, axis]
    return found


@njit(nogil=True, cache=True)
def _begin(vector: F64, first: int, inner: int, cosine: float, frame: F64) -> bool:
    """Make the frame of a neighbour and of another of the inner shell at nearly the angle that the template has."""
    a = vector[first]
    size = math.sqrt((a**2).sum())
    second, least = -1, np.inf
    for k in range(inner):
        b = vector[k]
        other = math.sqrt((b**2).sum())
        if k == first or other == 0.0 or size == 0.0:
            continue
        off = abs((a * b).sum() / (size * other) - cosine)
        if off < least:
            second, least = k, off
    if second < 0 or least > 0.6:
        return False
    b = vector[second]
    other = math.sqrt((b**2).sum())
    along, apart = 0.0, 0.0
    for axis in range(3):
        frame[axis, 0] = a[axis] / size + b[axis] / other
        frame[axis, 1] = b[axis] / other - a[axis] / size
        along += frame[axis, 0] ** 2
        apart += frame[axis, 1] ** 2
    if along < 1e-12 or apart < 1e-12:
        return False
    frame[:, 0] /= math.sqrt(along)
    frame[:, 1] /= math.sqrt(apart)
    for axis in range(3):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        frame[axis, 2] = frame[p, 0] * frame[q, 1] - frame[q, 0] * frame[p, 1]
    return True


@njit(nogil=True, cache=True)
def _settle(vector: F64, count: int, points: F64, size: int, length: float, turn: F64, pair: I32) -> float:
    """Let the pairs of neighbours and points of a template, and its rotation, follow each other.

    Each point takes the nearest neighbour, or each neighbour the nearest point where there are fewer of these; pair m
    is neighbour ``pair[0, m]`` and point ``pair[1, m]``. `turn` and `pair` become the last rotation and pairs.

    Returns
    -------
    The root mean square deviation of the pairs and the atom, in the unit of the points; infinite where one was taken
    twice.
    """
    turned, product = np.empty((MOST, 3)), np.empty((3, 3))
    pairs, others = min(count, size), max(count, size)
    by_point = size <= count
    for number in range(ROUNDS):
        for p in range(size):
            for a in range(3):
                turned[p, a] = turn[a, 0] * points[p, 0] + turn[a, 1] * points[p, 1] + turn[a, 2] * points[p, 2]
                turned[p, a] *= length
        takes, taken = (turned, vector) if by_point else (vector, turned)
        changed = number == 0
        for m in range(pairs):
            least, chosen = np.inf, 0
            for o in range(others):
                away = (takes[m, 0] - taken[o, 0]) ** 2
                away += (takes[m, 1] - taken[o, 1]) ** 2
                away += (takes[m, 2] - taken[o, 2]) ** 2
                if away < least:
                    least, chosen = away, o
            changed |= pair[0 if by_point else 1, m] != chosen
            pair[0, m], pair[1, m] = (chosen, m) if by_point else (m, chosen)
        if not changed:
            break
        _correlate(vector, points, pair, pairs, product)
        if not _polar(product, turn):
            return np.inf
    for m in range(pairs):
        for o in range(m):
            if pair[0, m] == pair[0, o] or pair[1, m] == pair[1, o]:
                return np.inf
    return _deviation(vector, points, pair, pairs, turn)


@njit(nogil=True, cache=True)
def _correlate(vector: F64, points: F64, pair: I32, pairs: int, product: F64) -> None:
    """Sum the outer products of neighbours and their points, both from their means, the atom among them."""
    for a in range(3):
        for b in range(3):
            total, mine, other = 0.0, 0.0, 0.0
            for m in range(pairs):
                total += vector[pair[0, m], a] * points[pair[1, m], b]
                mine += vector[pair[0, m], a]
                other += points[pair[1, m], b]
            product[a, b] = total - mine * other / (pairs + 1)


@njit(nogil=True, cache=True)
def _polar(product: F64, turn: F64) -> bool:
    """Put the rotation nearest to a matrix into `turn`, by Newton's iteration; false where there is none."""
    size = math.sqrt((product**2).sum() / 3)
    if not size > 0.0:
        return False
    x, over = product / size, np.empty((3, 3))
    for _ in range(20):
        determinant = inverse(x, over)
        if not determinant > 1e-9:
            return False
        moved = 0.0
        for a in range(3):
            for b in range(a, 3):
                one, other = 0.5 * (x[a, b] + over[b, a]), 0.5 * (x[b, a] + over[a, b])
                moved = max(moved, abs(one - x[a, b]), abs(other - x[b, a]))
                turn[a, b], turn[b, a] = one, other
        x[:] = turn
        if moved < 1e-13:
            break
    return True


@njit(nogil=True, cache=True)
def inverse(x: F64, out: F64) -> float:
    """Put the inverse of a matrix into `out`, and return the determinant; for 0 there is none."""
    for a in range(3):
        p, q = (a + 1) % 3, (a + 2) % 3
        for b in range(3):
            r, s = (b + 1) % 3, (b + 2) % 3
            out[b, a] = x[p, r] * x[q, s] - x[p, s] * x[q, r]
    determinant = x[0, 0] * out[0, 0] + x[0, 1] * out[1, 0] + x[0, 2] * out[2, 0]
    if determinant != 0.0:
        out /= determinant
    return determinant


@njit(nogil=True, cache=True)
def _deviation(vector: F64, points: F64, pair: I32, pairs: int, turn: F64) -> float:
    """Return the root mean square of s (v - mean v) - Q (t - mean t) with the best scale s, the atom among them."""
    overlap, ours, theirs = 0.0, 0.0, 0.0
    product = np.empty((3, 3))
    _correlate(vector, points, pair, pairs, product)
    for a in range(3):
        mine, other = 0.0, 0.0
        for m in range(pairs):
            v, t = vector[pair[0, m], a], points[pair[1, m], a]
            mine, other, ours, theirs = mine + v, other + t, ours + v * v, theirs + t * t
        ours -= mine * mine / (pairs + 1)
        theirs -= other * other / (pairs + 1)
        for b in range(3):
            overlap += turn[a, b] * product[a, b]
    return math.sqrt(max(theirs - overlap * overlap / ours, 0.0) / (pairs + 1))


@njit(nogil=True, cache=True)
def _part(
    position: F64,
    index: I32,
    distance: F64,
    points: F64,
    shape: I64,
    mirrored: F64,
    cutoff: F64,
    scale: F64,
    limit: float,
    least: int,
    whole: I32,
    code: I32,
    deviation: F64,
    rotation: F64,
    place: I32,
    neighbour: I32,
    sign: F64,
) -> None:
    """Match atoms that no whole template fits to part of that of a neighbour, as it is turned or its mirror image."""
    vector, turn, pair, length = (
        np.empty((MOST, 3)),
        np.empty((3, 3)),
        np.zeros((2, MOST), np.int32),
        np.empty(len(position)),
    )
    image = np.empty((MOST, 3))
    for i in range(len(position)):
        k = whole[i] - 1
        if k >= 0:
            length[i] = 0.0
            for p in range(shape[k, 1]):
                length[i] += distance[i, p] / shape[k, 1]
    for i in range(len(position)):
        best = np.inf
        for m in range(SHELL if whole[i] == 0 else 0):
            j = index[i, m]
            if j < 0 or whole[j] == 0:
                continue
            k = whole[j] - 1
            count = 0
            while count < SHELL and index[i, count] >= 0 and distance[i, count] < cutoff[k] * length[j]:
                count += 1
            if count < least or count > shape[k, 0] or m >= count:
                continue
            for c in range(count):
                for axis in range(3):
                    vector[c, axis] = position[index[i, c], axis] - position[i, axis]
            for side in (1.0, mirrored[k]):
                image[:] = side * points[k]
                turn[:] = rotation[j]
                found = _settle(vector, count, image, shape[k, 0], length[j], turn, pair) / scale[k]
                if found <= limit and found < best:
                    best = found
                    code[i], deviation[i], sign[i] = k + 1, found, side
                    rotation[i] = turn
                    place[i] = -1
                    neighbour[i] = -1
                    for c in range(count):
                        place[i, c], neighbour[i, c] = pair[1, c], index[i, pair[0, c]]
