"""Amorphous balls grown atom by atom: each new one at bond distance from an old one, far enough from all others."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

EXCESS = 0.03
"""Share of atoms above the number asked for that ends the search for the number of candidates."""


def fill(count: int, radius: float, closest: float, farthest: float, most: int, generator: np.random.Generator) -> F64:
    """Grow at least a number of atoms in a ball, and hardly more; fewer where the ball cannot hold them.

    The number of candidates per atom is raised fourfold until the ball holds enough, and then bisected, in its
    logarithm, until the ball holds hardly more, or one candidate less would be too few.

    Parameters
    ----------
    count
        Number of atoms.
    radius
        Of the ball around the origin that holds the centres, angstrom.
    closest, farthest
        Least distance of two atoms, and greatest distance of each from the one that it grew from, angstrom.
    most
        Greatest number of candidates per atom.
    generator
        Where the numbers come from; each attempt starts from the same seed drawn from it.

    Returns
    -------
    Positions, shape (atoms, 3).
    """
    seed = int(generator.integers(2**63))

    def grown(candidates: int) -> F64:
        return grow(np.random.default_rng(seed), radius, closest, farthest, candidates, capacity(radius, closest))

    few, many = 0, 1
    made = grown(many)
    while len(made) < count and many < most:
        few, many = many, min(4 * many, most)
        made = grown(many)
    while len(made) > count * (1 + EXCESS) and many - few > 1:
        middle = max(few + 1, math.isqrt(few * many))
        tried = grown(middle)
        if len(tried) < count:
            few = middle
        else:
            many, made = middle, tried
    return made


def thin(place: F64, count: int, farthest: float, generator: np.random.Generator) -> F64:
    """Take atoms out at random until `count` are left, and each still has one within `farthest`.

    Parameters
    ----------
    place
        Shape (atoms, 3), angstrom.
    count
        Number of atoms to keep; more are kept where taking another would leave one alone.
    farthest
        Greatest distance to the nearest atom, angstrom.
    generator
        Where the numbers come from.

    Returns
    -------
    Positions, shape (atoms left, 3), in their order.
    """
    near = cKDTree(place).query_pairs(farthest * (1 + 1e-12), output_type="ndarray")
    first, second = np.concatenate([near, near[:, ::-1]]).T
    order = np.argsort(first, kind="stable")
    start = np.searchsorted(first[order], np.arange(len(place) + 1))
    return place[_kept(start, second[order], generator.permutation(len(place)), count)]


@njit(nogil=True, cache=True)
def _kept(start: I64, neighbour: I64, order: I64, count: int) -> NDArray[np.bool_]:
    kept = np.ones(order.size, np.bool_)
    degree = start[1:] - start[:-1]
    left = order.size
    for one in order:
        if left <= count:
            break
        others = neighbour[start[one] : start[one + 1]]
        needed = False
        for other in others:
            needed |= kept[other] and degree[other] == 1
        if not needed:
            kept[one] = False
            degree[others] -= 1
            left -= 1
    return kept


def capacity(radius: float, closest: float) -> int:
    """Return more atoms than a ball can hold: those of close packing in a ball half a distance larger."""
    return math.ceil(0.7405 * (1 + 2 * radius / closest) ** 3) + 1


@njit(nogil=True, cache=True)
def grow(
    generator: np.random.Generator, radius: float, closest: float, farthest: float, candidates: int, capacity: int
) -> F64:
    """Grow atoms in a ball by accretion.

    One atom is active at the start. A random active atom is given up to `candidates` places at a distance drawn
    evenly from `closest` to `farthest` in a random direction; the first that lies in the ball and no nearer than
    `closest` to any atom becomes an active atom, and where there is none the atom rests.

    Parameters
    ----------
    generator
        Where the numbers come from.
    radius
        Of the ball around the origin, angstrom.
    closest, farthest
        Bounds of the distance to the atom from which one grows, angstrom.
    candidates
        Places tried before an atom rests.
    capacity
        Greatest number of atoms.

    Returns
    -------
    Positions, shape (atoms, 3).
    """
    limit = closest + farthest
    start = radius + 1.001 * limit
    cells = math.ceil(2 * start / limit)
    room = int(math.sqrt(2.0) * (limit / closest + 1) ** 3)  # close packing in a cell and half a distance around
    held = np.zeros((cells, cells, cells), np.int32)
    member = np.empty((cells, cells, cells, room), np.int32)
    place = np.empty((capacity, 3))
    active = np.empty(capacity, np.int64)
    near = np.empty((27 * room, 3))
    distance = np.empty(27 * room)
    for axis in range(3):
        place[0, axis] = 0.1 * radius * (2 * generator.random() - 1)
    _enter(0, place, held, member, start, limit)
    active[0] = 0
    count, growing = 1, 1
    while growing > 0 and count < capacity:
        chosen = int(generator.random() * growing)
        parent = place[active[chosen]]
        found = _gather(place, held, member, parent, start, limit, near, distance)
        accepted = False
        for _ in range(candidates):
            step = closest + (farthest - closest) * generator.random()
            up = 2 * generator.random() - 1
            turn = 2 * math.pi * generator.random()
            out = step * math.sqrt(1 - up * up)
            x = parent[0] + out * math.cos(turn)
            y = parent[1] + out * math.sin(turn)
            z = parent[2] + step * up
            if x * x + y * y + z * z > radius * radius:
                continue
            free = True
            for one in range(found):
                a, b, c = near[one, 0] - x, near[one, 1] - y, near[one, 2] - z
                if a * a + b * b + c * c < closest * closest:
                    free = False
                    break
            if free:
                place[count, 0], place[count, 1], place[count, 2] = x, y, z
                _enter(count, place, held, member, start, limit)
                active[growing] = count
                count += 1
                growing += 1
                accepted = True
                break
        if not accepted:
            growing -= 1
            active[chosen] = active[growing]
    return place[:count].copy()


@njit(nogil=True, cache=True)
def _cell(point: F64, start: float, edge: float) -> tuple[int, int, int]:
    return int((point[0] + start) / edge), int((point[1] + start) / edge), int((point[2] + start) / edge)


@njit(nogil=True, cache=True)
def _enter(one: int, place: F64, held: I32, member: I32, start: float, edge: float) -> None:
    """Write an atom into the cell where it is."""
    i, j, k = _cell(place[one], start, edge)
    member[i, j, k, held[i, j, k]] = one
    held[i, j, k] += 1


@njit(nogil=True, cache=True)
def _gather(
    place: F64, held: I32, member: I32, point: F64, start: float, limit: float, near: F64, distance: F64
) -> int:
    """Write the other atoms within a limit of a point to `near`, the nearest first; return their number."""
    i, j, k = _cell(point, start, limit)
    found = 0
    for a in range(i - 1, i + 2):
        for b in range(j - 1, j + 2):
            for c in range(k - 1, k + 2):
                for m in range(held[a, b, c]):
                    one = member[a, b, c, m]
                    x, y, z = place[one, 0] - point[0], place[one, 1] - point[1], place[one, 2] - point[2]
                    squared = x * x + y * y + z * z
                    if squared == 0.0 or squared > limit * limit:
                        continue
                    at = found
                    while at > 0 and distance[at - 1] > squared:
                        distance[at] = distance[at - 1]
                        for axis in range(3):
                            near[at, axis] = near[at - 1, axis]
                        at -= 1
                    distance[at] = squared
                    for axis in range(3):
                        near[at, axis] = place[one, axis]
                    found += 1
    return found
