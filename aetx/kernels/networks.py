"""Crystal-like networks of few points: grown bond by bond from a centre, the largest first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import Neighbours
from aetx.kernels.rotation import nearest_rotation
from aetx.kernels.shell_template import fit, template

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDS = 6
"""Most times that a network is grown and fitted in turn."""


class Network(NamedTuple):
    """Points on one lattice: which they are, their structure, the length of its bonds, and how far off the points are.

    `member` has shape (points,), the centre first; `rmsd` is the root mean square distance of the points from their
    sites after the fit.
    """

    member: I64
    structure: str
    bond: float
    rmsd: float


def window(neighbours: Neighbours, inner: float) -> Neighbours:
    """Return the neighbours that are not nearer than a distance."""
    kept = neighbours.distance >= inner
    start = np.concatenate([[0], np.cumsum(kept)])[neighbours.start]
    return Neighbours(start, neighbours.index[kept], neighbours.distance[kept])


def networks(
    position: F64, neighbours: Neighbours, structures: Sequence[str], tolerance: float, least: int
) -> list[Network]:
    """Return networks that share no point, each the largest that could be grown when it was its turn.

    From each point, for each structure, its first shell is fitted to the neighbours; then sites are added bond by bond,
    each the nearest point within the tolerance of the end of a bond, and rotation and length of bonds are fitted to all
    of them again, until nothing changes.

    Parameters
    ----------
    position
        Shape (points, 3).
    neighbours
        Of each point: those that a bond may lead to, nearest first.
    structures
        Of ``fcc``, ``hcp``, ``bcc``, ``sc``, ``diamond``, ``ico``; icosahedra do not grow beyond their first shell.
    tolerance
        Farthest distance of a point from its site.
    least
        Fewest points of a network.
    """
    if len(neighbours.index) == 0:
        return []
    typical = float(neighbours.distance.mean())
    free = np.ones(len(position), bool)
    begun = {name: fit(position, neighbours, template(name), tolerance / typical) for name in structures}
    bonds = {name: _bonds(name) for name in structures}

    def grown(name: str, centre: int) -> Network:
        found = begun[name]
        member, length, square = _grow(
            position,
            neighbours.start,
            neighbours.index,
            free,
            centre,
            found.rotation[centre],
            found.bond[centre],
            *bonds[name],
            tolerance,
            name != "ico",
        )
        return Network(member, name, float(length), float(np.sqrt(square)))

    heap: list[tuple[int, float, int, str]] = []
    held: dict[tuple[int, str], Network] = {}
    for name in structures:
        for centre in map(int, np.flatnonzero(begun[name].matched >= min(least - 1, 3))):
            one = grown(name, centre)
            if len(one.member) >= least:
                held[centre, name] = one
                heapq.heappush(heap, (-len(one.member), one.rmsd, centre, name))
    taken: list[Network] = []
    while heap:
        _, _, centre, name = heapq.heappop(heap)
        one = held.pop((centre, name))
        if free[one.member].all():
            taken.append(one)
            free[one.member] = False
        elif free[centre]:
            one = grown(name, centre)
            if len(one.member) >= least:
                held[centre, name] = one
                heapq.heappush(heap, (-len(one.member), one.rmsd, centre, name))
    return taken


def _bonds(name: str) -> tuple[F64, I64]:
    """Return the unit bonds from either sort of site, shape (2, bonds, 3), and the sort of site each leads to."""
    vector = template(name).vector
    if name == "diamond":
        return np.stack([vector, -vector]), np.stack([np.ones(4, np.int64), np.zeros(4, np.int64)])
    other = np.abs(vector[:, 2]) > 0.5 if name == "hcp" else np.zeros(len(vector), bool)
    back = np.where(other[:, None], -vector, vector)
    return np.stack([vector, back]), np.stack([other.astype(np.int64), 1 - other.astype(np.int64)])


@njit(nogil=True, cache=True)
def _grow(
    position: F64,
    start: I64,
    index: I32,
    free: Mask,
    centre: int,
    turn: F64,
    bond: float,
    vector: F64,
    sort: I64,
    tolerance: float,
    onwards: bool,
) -> tuple[I64, float, float]:
    """Return the points of a network, the length of its bonds and the mean square distance from its sites."""
    count = len(position)
    member, kind = np.empty(count, np.int64), np.empty(count, np.int64)
    site, held = np.empty((count, 3)), np.zeros(count, np.bool_)
    best, length, rest = np.full(1, centre), bond, 0.0
    turn = turn.copy()
    for _ in range(ROUNDS):
        member[0], kind[0], site[0], size, at = centre, 0, 0.0, 1, 0
        held[centre] = True
        while at < size and (onwards or at == 0):
            here = member[at]
            for b in range(vector.shape[1]):
                step = vector[kind[at], b]
                goal = site[at] + step
                known = False
                for k in range(size):
                    known |= ((site[k] - goal) ** 2).sum() < 0.01
                if known:
                    continue
                end = position[here] + bond * (turn @ step)
                nearest, least = -1, tolerance * tolerance
                for n in range(start[here], start[here + 1]):
                    j = index[n]
                    square = ((position[j] - end) ** 2).sum()
                    if square < least and free[j] and not held[j]:
                        nearest, least = j, square
                if nearest >= 0:
                    member[size], kind[size], site[size] = nearest, sort[kind[at], b], goal
                    held[nearest] = True
                    size += 1
            at += 1
        for k in range(size):
            held[member[k]] = False
        if size < 4:
            return (best if len(best) >= size else member[:size].copy()), length, rest
        middle, place = np.zeros(3), np.zeros(3)
        for k in range(size):
            middle += site[k] / size
            place += position[member[k]] / size
        product, spread = np.zeros((3, 3)), 0.0
        for k in range(size):
            away, off = site[k] - middle, position[member[k]] - place
            spread += (away * away).sum()
            for a in range(3):
                for b in range(3):
                    product[a, b] += off[a] * away[b]
        turn = nearest_rotation(product)
        bond = (product * turn).sum() / spread
        square, kept = 0.0, np.empty(size, np.int64)
        many = 0
        for k in range(size):
            off = position[member[k]] - place - bond * (turn @ (site[k] - middle))
            one = (off * off).sum()
            if one <= tolerance * tolerance or k == 0:
                square += one
                kept[many] = member[k]
                many += 1
        if many <= len(best):
            break
        best, length, rest = kept[:many].copy(), bond, square / many
    return best, length, rest
