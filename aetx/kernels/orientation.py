"""How the crystal is turned around each atom, and which atoms share an orientation: nothing is known beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

CLOSE = 0.2
"""Root mean square distance of neighbours from the ends of the bonds, over the mean bond, up to which they match; the
other close packing is at 0.29."""
OPEN = 0.35
"""Deviation of the lengths and of the cosine of the angle of two bonds that are tried as the images of two."""
CLEAR = 0.7
"""Root mean square distance of neighbours from bonds of an orientation, over that from bonds of any other, below which
an atom is of the former."""
BETWEEN = math.radians(15)
"""Greatest angle between orientations that are averaged, radian."""
POLAR = 8
"""Newton steps to the nearest rotation."""


@dataclass(frozen=True)
class Local:
    """The crystal around each atom; NaN where it has no full surroundings of that kind.

    `rotation` takes bonds of the crystal to those around the atom, shape (atoms, 3, 3); `kind` says those of which
    template, -1 where none; `scale` is the mean bond over that of the template; `neighbour` are the atoms at the ends,
    shape (atoms, most bonds), -1 where a template has fewer.
    """

    rotation: F64
    kind: I64
    scale: F64
    neighbour: I32

    @property
    def matched(self) -> Mask:
        """Whether an atom has the surroundings of the crystal, shape (atoms,)."""
        return self.kind >= 0


def surroundings(position: F64, near: I32, templates: list[F64], pairs: list[tuple[int, int]]) -> Local:
    """Find around which atoms the bonds of the crystal are, and how turned.

    As many nearest neighbours as the template has bonds must be, each nearest to a bond of its own, where a rotation
    and a scale put the ends of the bonds, up to `CLOSE`.

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom.
    near
        Nearest neighbours of each atom, in order, -1 where there are none, shape (atoms, at least as many as bonds).
    templates
        Bonds of each kind of site, shape (bonds, 3).
    pairs
        Two bonds of each template that are not parallel.
    """
    atoms, most = len(position), max(len(one) for one in templates)
    rotation = np.full((atoms, 3, 3), np.nan)
    kind, scale = np.full(atoms, -1, np.int64), np.full(atoms, np.nan)
    neighbour = np.full((atoms, most), -1, np.int32)
    for number, (bonds, pair) in enumerate(zip(templates, pairs, strict=True)):
        unit = bonds / float(np.linalg.norm(bonds, axis=1).mean())
        reach = float(np.linalg.norm(bonds, axis=1).mean())
        _match(position, near, unit, pair[0], pair[1], number, rotation, kind, scale)
        mine = kind == number
        scale[mine] /= reach
        neighbour[mine, : len(bonds)] = near[mine, : len(bonds)]
    return Local(rotation, kind, scale, neighbour)


@njit(nogil=True, cache=True)
def _match(
    position: F64, near: I32, bonds: F64, first: int, second: int, number: int, rotation: F64, kind: I64, scale: F64
) -> None:
    count = len(bonds)
    vector, found = np.empty((count, 3)), np.empty((3, 3))
    length, used = np.empty(count), np.empty(count, np.int64)
    wanted, other = math.sqrt((bonds[first] ** 2).sum()), math.sqrt((bonds[second] ** 2).sum())
    cosine = (bonds[first] * bonds[second]).sum() / (wanted * other)
    for atom in range(len(position)):
        if kind[atom] >= 0 or near.shape[1] < count or near[atom, count - 1] < 0:
            continue
        mean = 0.0
        for k in range(count):
            square = 0.0
            for d in range(3):
                vector[k, d] = position[near[atom, k], d] - position[atom, d]
                square += vector[k, d] ** 2
            length[k] = math.sqrt(square)
            mean += length[k] / count
        if length[0] <= 0:
            continue
        for k in range(count):
            length[k] /= mean
            for d in range(3):
                vector[k, d] /= mean
        done = False
        for i in range(count):
            if abs(length[i] - wanted) > OPEN:
                continue
            for j in range(count):
                if i == j or abs(length[j] - other) > OPEN:
                    continue
                dot = 0.0
                for d in range(3):
                    dot += vector[i, d] * vector[j, d]
                if abs(dot / (length[i] * length[j]) - cosine) > OPEN:
                    continue
                _frame(bonds[first], bonds[second], vector[i], vector[j], found)
                done = _improve(vector, bonds, found, used)
                if done:
                    break
            if done:
                break
        if done:
            kind[atom], scale[atom] = number, mean
            rotation[atom] = found


@njit(nogil=True, cache=True)
def _frame(a: F64, b: F64, u: F64, v: F64, out: F64) -> None:
    """Write the rotation that takes a to u and the plane of a and b to that of u and v."""
    start, end = np.empty((3, 3)), np.empty((3, 3))
    for one, other, axes in ((a, b, start), (u, v, end)):
        axes[2, 0] = one[1] * other[2] - one[2] * other[1]
        axes[2, 1] = one[2] * other[0] - one[0] * other[2]
        axes[2, 2] = one[0] * other[1] - one[1] * other[0]
        size, normal = 0.0, 0.0
        for d in range(3):
            size += one[d] ** 2
            normal += axes[2, d] ** 2
        size, normal = math.sqrt(size), max(math.sqrt(normal), 1e-300)
        for d in range(3):
            axes[0, d] = one[d] / size
            axes[2, d] /= normal
        axes[1, 0] = axes[2, 1] * axes[0, 2] - axes[2, 2] * axes[0, 1]
        axes[1, 1] = axes[2, 2] * axes[0, 0] - axes[2, 0] * axes[0, 2]
        axes[1, 2] = axes[2, 0] * axes[0, 1] - axes[2, 1] * axes[0, 0]
    for d in range(3):
        for e in range(3):
            out[d, e] = end[0, d] * start[0, e] + end[1, d] * start[1, e] + end[2, d] * start[2, e]


@njit(nogil=True, cache=True)
def _improve(vector: F64, bonds: F64, found: F64, used: I64) -> bool:
    """Turn to least squares of vectors and their nearest bonds, twice, and tell if they are one to one and close."""
    count = len(bonds)
    total = np.empty((3, 3))
    square = 0.0
    for turn in range(2):
        used[:] = 0
        total[:] = 0.0
        square = 0.0
        for k in range(count):
            x = found[0, 0] * vector[k, 0] + found[1, 0] * vector[k, 1] + found[2, 0] * vector[k, 2]
            y = found[0, 1] * vector[k, 0] + found[1, 1] * vector[k, 1] + found[2, 1] * vector[k, 2]
            z = found[0, 2] * vector[k, 0] + found[1, 2] * vector[k, 1] + found[2, 2] * vector[k, 2]
            best, least = 0, 1e300
            for m in range(count):
                away = (x - bonds[m, 0]) ** 2 + (y - bonds[m, 1]) ** 2 + (z - bonds[m, 2]) ** 2
                if away < least:
                    best, least = m, away
            used[best] += 1
            if used[best] > 1 and turn == 1:
                return False
            square += least
            for d in range(3):
                for e in range(3):
                    total[d, e] += vector[k, d] * bonds[best, e]
        if turn == 0:
            doubled = 0
            for m in range(count):
                doubled += used[m] == 0
            if doubled > count // 4:
                return False
        if not nearest_rotation(total, found):
            return False
    return square < CLOSE**2 * count


@njit(nogil=True, cache=True)
def nearest_rotation(matrix: F64, out: F64) -> bool:
    """Write the rotation nearest to a matrix of positive determinant; False where there is none.

    Newton's iteration X <- (X + transpose(inverse(X))) / 2, scaled by the determinant at first.

    References
    ----------
    N. J. Higham, SIAM J. Sci. Stat. Comput. 7, 1160 (1986), doi:10.1137/0907079.
    """
    x, other = matrix.copy(), np.empty((3, 3))
    for step in range(POLAR):
        for d in range(3):
            a, b = (d + 1) % 3, (d + 2) % 3
            for e in range(3):
                p, q = (e + 1) % 3, (e + 2) % 3
                other[d, e] = x[a, p] * x[b, q] - x[a, q] * x[b, p]
        det = x[0, 0] * other[0, 0] + x[0, 1] * other[0, 1] + x[0, 2] * other[0, 2]
        if det <= 0:
            return False
        scale = det ** (-1.0 / 3.0) if step < 4 else 1.0
        for d in range(3):
            for e in range(3):
                x[d, e] = 0.5 * (scale * x[d, e] + other[d, e] / (det * scale))
    out[:] = x
    return True


@njit(nogil=True, cache=True)
def nearest_turn(one: F64, other: F64, turns: F64) -> tuple[int, float]:
    """Return which turn of the crystal brings `other @ turn` nearest to `one`, and the cosine of the angle left."""
    m = np.empty((3, 3))
    for d in range(3):
        for e in range(3):
            m[d, e] = one[0, d] * other[0, e] + one[1, d] * other[1, e] + one[2, d] * other[2, e]
    best, most = 0, -2.0
    for t in range(len(turns)):
        trace = 0.0
        for d in range(3):
            for e in range(3):
                trace += m[d, e] * turns[t, e, d]
        if trace > most:
            best, most = t, trace
    return best, 0.5 * (most - 1.0)


@njit(nogil=True, cache=True)
def smoothed(rotation: F64, kind: I64, neighbour: I32, turns: F64) -> F64:
    """Return the mean orientation of each atom and its neighbours of nearly the same one, shape (atoms, 3, 3)."""
    made = rotation.copy()
    total = np.empty((3, 3))
    least = math.cos(BETWEEN)
    for atom in range(len(rotation)):
        if kind[atom] < 0:
            continue
        total[:] = rotation[atom]
        for near in neighbour[atom]:
            if near < 0 or kind[near] < 0:
                continue
            turn, cosine = nearest_turn(rotation[atom], rotation[near], turns)
            if cosine > least:
                for d in range(3):
                    for e in range(3):
                        for f in range(3):
                            total[d, e] += rotation[near, d, f] * turns[turn, f, e]
        nearest_rotation(total, made[atom])
    return made


@njit(nogil=True, cache=True)
def flood(rotation: F64, kind: I64, neighbour: I32, turns: F64, angle: float) -> I64:
    """Label atoms by connected orientation: neighbours turned by less than an angle share a label; -1 for the others.

    Parameters
    ----------
    rotation, kind, neighbour
        As in `Local`.
    turns
        Rotations that take the crystal to itself.
    angle
        Radian.
    """
    label = np.full(len(rotation), -1, np.int64)
    queue = np.empty(len(rotation), np.int64)
    least, number = math.cos(angle), 0
    for seed in range(len(rotation)):
        if kind[seed] < 0 or label[seed] >= 0:
            continue
        label[seed], queue[0] = number, seed
        head, tail = 0, 1
        while head < tail:
            atom = queue[head]
            head += 1
            for near in neighbour[atom]:
                if near < 0 or kind[near] < 0 or label[near] >= 0:
                    continue
                if nearest_turn(rotation[atom], rotation[near], turns)[1] > least:
                    label[near], queue[tail] = number, near
                    tail += 1
        number += 1
    return label


@njit(nogil=True, cache=True)
def spread(
    position: F64, label: I64, rotation: F64, start: I64, near: I32, bonds: F64, count: I64, reach: float
) -> tuple[I64, F64]:
    """Label atoms at surfaces and boundaries that have the orientation of one grain and not of the others around.

    Grains that come into question are those of labelled atoms up to two bonds away. An atom gets a label where three
    neighbours or more are near to bonds of that orientation, no fewer than to those of any other, and nearer by
    `CLEAR`. Atoms of a twin plane, which fit both sides, stay free, and so do those without labels around.

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom.
    label, rotation
        Of each atom, -1 and NaN where there are none; shape (atoms,) and (atoms, 3, 3).
    start, near
        Neighbours of each atom as of `kernels.neighbours`, as far as the next atom may be.
    bonds, count
        Bonds of each site of the crystal, shape (sites, most bonds, 3), angstrom, and how many there are.
    reach
        Farthest of a neighbour from the end of a bond, angstrom.

    Returns
    -------
    Labels and orientations, those of the new ones from labelled atoms nearby.
    """
    made, turned = label.copy(), rotation.copy()
    seen, of = np.empty(16, np.int64), np.empty(16, np.int64)
    number, square = np.empty(16, np.int64), np.empty(16)
    for atom in range(label.size):
        if label[atom] >= 0:
            continue
        kinds = 0
        for far in range(2):
            for n in range(start[atom], start[atom + 1]):
                first = near[n]
                low, high = (start[first], start[first + 1]) if far else (n, n + 1)
                for m in range(low, high):
                    one = label[near[m]]
                    if one >= 0 and kinds < seen.size and not (seen[:kinds] == one).any():
                        seen[kinds], of[kinds] = one, near[m]
                        kinds += 1
        for k in range(kinds):
            number[k], square[k] = _fitting(position, atom, start, near, bonds, count, rotation[of[k]], reach)
        for k in range(kinds):
            clear = number[k] >= 3
            for other in range(kinds):
                clear &= k == other or (number[k] >= number[other] and square[k] < CLEAR**2 * square[other])
            if clear:
                made[atom], turned[atom] = seen[k], rotation[of[k]]
    return made, turned


@njit(nogil=True, cache=True)
def _fitting(
    position: F64, atom: int, start: I64, near: I32, bonds: F64, count: I64, rotation: F64, reach: float
) -> tuple[int, float]:
    """Return how many neighbours are near the end of a turned bond, and their mean square distance from it."""
    most, least = 0, np.inf
    for site in range(len(count)):
        number, total = 0, 0.0
        for n in range(start[atom], start[atom + 1]):
            best = reach * reach
            for k in range(count[site]):
                away = 0.0
                for d in range(3):
                    end = 0.0
                    for e in range(3):
                        end += rotation[d, e] * bonds[site, k, e]
                    away += (position[near[n], d] - position[atom, d] - end) ** 2
                best = min(best, away)
            if best < reach * reach:
                number += 1
                total += best
        if number > most or (number == most and number and total / number < least):
            most, least = number, total / number
    return most, least


def flat_surroundings(position: F64, near: I32) -> Local:
    """Find the atoms of a plane with six neighbours around them, and how those are turned about z.

    Parameters
    ----------
    position
        Shape (atoms, 3), z near 0, angstrom.
    near
        Nearest neighbours, in order, -1 where there are none, shape (atoms, at least 6).
    """
    six = near[:, :6]
    there = (six >= 0).all(axis=1) if six.shape[1] == 6 else np.zeros(len(position), bool)
    vector = position[np.where(six >= 0, six, 0)] - position[:, None]
    length = np.linalg.norm(vector[:, :, :2], axis=2)
    mean = length.mean(axis=1)
    phase = np.exp(6j * np.arctan2(vector[:, :, 1], vector[:, :, 0])).mean(axis=1)
    spread = np.sqrt(((length - mean[:, None]) ** 2).mean(axis=1))
    matched = there & (np.abs(phase) > 0.5) & (spread < CLOSE * mean)
    angle = np.angle(phase) / 6
    rotation = np.zeros((len(position), 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
    rotation[:, 1, 0], rotation[:, 0, 1], rotation[:, 2, 2] = np.sin(angle), -np.sin(angle), 1.0
    rotation[~matched] = np.nan
    kind = np.where(matched, 0, -1)
    return Local(rotation, kind, np.where(matched, mean, np.nan), np.where(matched[:, None], six, -1).astype(np.int32))
