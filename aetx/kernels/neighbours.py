"""Who is near whom: neighbours within a distance, the nearest few, and the distance at which the first shell ends."""

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

GRID = 2**20
"""Most cells along an axis: however far one point lies from the others, cells can still be numbered."""
WIDER = 1.3
"""Factor by which the reach of a search grows for points that have not found enough neighbours."""
SMOOTH = 0.08
"""Standard deviation by which a radial distribution is smoothed before its first minimum is sought, over the median
distance to the nearest neighbour: the two first shells of bcc (1 and 1.155) become one, those of all close packings,
simple cubic and diamond (1 and 1.414 or more) stay two."""
FINE = 1 / 200
"""Step of that distribution, over the same distance."""
SAMPLE = 5000
"""Most points around which that distribution is taken."""


@dataclass(frozen=True)
class Adjacency:
    """Neighbours of each point: those of point i are ``index[start[i] : start[i + 1]]``.

    `start` has shape (points + 1,), `index` shape (pairs,). A pair stands in the list of either point.
    """

    start: I64
    index: I32

    @property
    def count(self) -> I64:
        """Number of neighbours of each point, shape (points,)."""
        return np.diff(self.start)

    @property
    def source(self) -> I64:
        """The point in whose list each neighbour stands, shape (pairs,)."""
        return np.repeat(np.arange(len(self.start) - 1), self.count)


@dataclass(frozen=True)
class Neighbours(Adjacency):
    """Neighbours of each point, nearest first, and their distances, shape (pairs,)."""

    distance: F64


def arranged(position: F64, cutoff: float) -> tuple[I64, Adjacency]:
    """Find all neighbours nearer than a distance, in no order, with the points put in order of the cells they are in.

    It is the quickest way to neighbours where their order does not matter, and near points are near in memory.

    Parameters
    ----------
    position
        Finite, shape (points, 3).
    cutoff
        Neighbours are nearer than this; not those at exactly this distance.

    Returns
    -------
    The order, shape (points,), and the neighbours of the points in that order, ``position[order]``.
    """
    place, order, key, row = _sorted(position, cutoff)
    return order, Adjacency(*_adjacent(place, order, key, row, np.ones(len(position), bool), cutoff))


def within(position: F64, cutoff: float, wanted: Mask | None = None) -> Neighbours:
    """Find all neighbours nearer than a distance, in time linear in the number of points.

    Parameters
    ----------
    position
        Finite, shape (points, 3).
    cutoff
        Neighbours are nearer than this; not those at exactly this distance.
    wanted
        Points whose neighbours are listed, shape (points,); the others have none, but are neighbours. None for all.
    """
    wanted = np.ones(len(position), bool) if wanted is None else wanted
    place, order, key, row = _sorted(position, cutoff)
    begin, near = _adjacent(place, order, key, row, wanted, cutoff)
    start = np.zeros(len(position) + 1, np.int64)
    start[order + 1] = np.diff(begin)
    np.cumsum(start, out=start)
    found = Neighbours(start, np.empty(start[-1], np.int32), np.empty(start[-1]))
    _list(place, order, begin, near, start, found.index, found.distance)
    return found


def nearest(position: F64, count: int) -> tuple[I32, F64]:
    """Find the nearest neighbours of each point.

    Parameters
    ----------
    position
        Finite, shape (points, 3).
    count
        How many neighbours.

    Returns
    -------
    Their indices and distances, nearest first, shape (points, count); -1 and infinity where a set has no more points.
    """
    points = len(position)
    index = np.full((points, count), -1, np.int32)
    distance = np.full((points, count), np.inf)
    there = min(count, points - 1)
    if there <= 0:
        return index, distance
    reach = _reach(position, there)
    missing = np.ones(points, bool)
    while missing.any():
        found = within(position, reach, missing)
        missing &= found.count < there
        done = np.flatnonzero(found.count >= there)
        entry = found.start[done, None] + np.arange(there)
        index[done, :there] = found.index[entry]
        distance[done, :there] = found.distance[entry]
        reach *= WIDER
    return index, distance


def first_minimum(position: F64) -> float:
    """Return the distance at which the first shell of neighbours ends: the first minimum of g(r) after its first peak.

    The distribution is smoothed (`SMOOTH`), so that neither noise of the positions, nor few atoms, nor bonds of
    several lengths in an alloy make a minimum, and in the empty gap of a crystal the minimum is where the tails of
    both shells meet. In a glass, smoothing puts it up to a tenth of an angstrom beyond the minimum of the raw
    distribution, as the first peak is the greater one. The surface of a particle thins g(r) out smoothly and does not
    move it. NaN where there is none: for fewer than two points, and where no second shell follows.

    Parameters
    ----------
    position
        Finite, shape (points, 3).
    """
    if len(position) < 2:
        return float("nan")
    typical = float(np.median(nearest(position, 1)[1]))
    if not typical > 0:
        return float("nan")
    step = FINE * typical
    bins = math.ceil(2.5 / FINE)
    wanted = np.zeros(len(position), bool)
    wanted[:: -(-len(position) // SAMPLE)] = True
    counts = np.zeros(bins)
    _histogram(*_sorted(position, bins * step), wanted, step, counts)
    shell = counts / (np.arange(bins) + 0.5) ** 2
    away = np.arange(-4 * round(SMOOTH / FINE), 4 * round(SMOOTH / FINE) + 1)
    curve = np.convolve(shell, np.exp(-0.5 * (away * FINE / SMOOTH) ** 2), "same")
    low, high, end = (round(ratio / FINE) for ratio in (0.6, 1.4, 2.1))
    peak = low + int(curve[low:high].argmax())
    rising = np.flatnonzero(np.diff(curve[peak:end]) > 0)
    if not rising.size:
        return float("nan")
    return (peak + int(rising[0]) + 0.5) * step


def _reach(position: F64, count: int) -> float:
    """Return the radius of a sphere that holds about as many points, where the set is dense."""
    points, extent = len(position), np.ptp(position, axis=0)
    edge = float(np.maximum(extent, 1e-3 * extent.max()).prod() * 8 / points) ** (1 / 3)
    if not edge > 0:
        return 1.0
    _, _, key, _ = _sorted(position, edge)
    occupied = 1 + np.count_nonzero(np.diff(key))
    return float((1.3 * (count + 1) * occupied / points / (4 / 3 * math.pi)) ** (1 / 3) * edge)


def _sorted(position: F64, cutoff: float) -> tuple[F64, I64, I64, I64]:
    """Return points by the cells that they are in.

    Returns
    -------
    The points, shape (3, points); which of the given ones each is; the number of its cell, rising; and by how much that
    differs from the numbers of the first cells of the nine rows of three around it.
    """
    low = position.min(axis=0, initial=np.inf)
    edge = max(cutoff, float((position.max(axis=0, initial=-np.inf) - low).max(initial=0.0)) / GRID)
    place = np.floor((position - low) / edge).astype(np.int64) + 1 if len(position) else np.empty((0, 3), np.int64)
    size = place.max(axis=0, initial=0) + 2
    key = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
    order = np.argsort(key)
    row = np.array([(a * size[1] + b) * size[2] - 1 for a in (-1, 0, 1) for b in (-1, 0, 1)], np.int64)
    return np.ascontiguousarray(position[order].T), order, key[order], row


@njit(nogil=True, cache=True)
def _rows(key: I64, of: int, row: I64, low: I64, high: I64) -> int:
    """Move on to the points of the nine rows around a cell, and return how many; cells come in rising order."""
    total = 0
    for k in range(9):
        first = of + row[k]
        while low[k] < key.size and key[low[k]] < first:
            low[k] += 1
        high[k] = max(high[k], low[k])
        while high[k] < key.size and key[high[k]] <= first + 2:
            high[k] += 1
        total += high[k] - low[k]
    return total


@njit(nogil=True, cache=True)
def _adjacent(place: F64, order: I64, key: I64, row: I64, wanted: Mask, cutoff: float) -> tuple[I64, I32]:
    """Return the neighbours of the wanted ones of points that are sorted by cells, as `Adjacency` has them."""
    points, limit = key.size, cutoff * cutoff
    start, index = np.zeros(points + 1, np.int64), np.empty(14 * points, np.int32)
    low, high = np.zeros(9, np.int64), np.zeros(9, np.int64)
    px, py, pz = place[0], place[1], place[2]
    nx, ny, nz, square, which = np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.empty(0, np.int32)
    first, at = 0, 0
    while first < points:
        last, asked = first, False
        while last < points and key[last] == key[first]:
            asked |= wanted[order[last]]
            last += 1
        if not asked:
            start[first + 1 : last + 1] = at
            first = last
            continue
        total, before, filled = _rows(key, key[first], row, low, high), 0, 0
        if total > square.size:
            nx, ny, nz, square = np.empty(2 * total), np.empty(2 * total), np.empty(2 * total), np.empty(2 * total)
            which = np.empty(2 * total, np.int32)
        if at + (last - first) * total > index.size:
            longer = np.empty(max(3 * index.size // 2, at + (last - first) * total), np.int32)
            longer[:at] = index[:at]
            index = longer
        for k in range(9):
            before = filled - low[k] if k == 4 else before  # the fifth row is that of the cell itself
            for j in range(low[k], high[k]):
                nx[filled], ny[filled], nz[filled], which[filled] = px[j], py[j], pz[j], j
                filled += 1
        for i in range(first, last):
            if wanted[order[i]]:
                x, y, z = px[i], py[i], pz[i]
                for c in range(total):
                    square[c] = (nx[c] - x) ** 2 + (ny[c] - y) ** 2 + (nz[c] - z) ** 2
                square[before + i] = np.inf
                for c in range(total):
                    index[at] = which[c]  # kept only where the next one does not take its place
                    at += square[c] < limit
            start[i + 1] = at
        first = last
    return start, index[:at]


@njit(nogil=True, cache=True)
def _list(place: F64, order: I64, begin: I64, near: I32, start: I64, index: I32, distance: F64) -> None:
    """Put lists of sorted points in the order of the points themselves, nearest first."""
    for i in range(order.size):
        at = start[order[i]]
        for k in range(begin[i], begin[i + 1]):
            j = near[k]
            square = (place[0, j] - place[0, i]) ** 2 + (place[1, j] - place[1, i]) ** 2
            distance[at] = square + (place[2, j] - place[2, i]) ** 2
            index[at] = order[j]
            at += 1
        first = start[order[i]]
        _sort(distance[first:at], index[first:at])
        for k in range(first, at):
            distance[k] = math.sqrt(distance[k])


@njit(nogil=True, cache=True)
def _sort(value: F64, index: I32) -> None:
    """Sort by value, then by index, in place; by Shell's method, so that long lists take little longer."""
    gap = 1
    while 9 * gap < value.size:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, value.size):
            one, name, j = value[i], index[i], i
            while j >= gap and (value[j - gap] > one or (value[j - gap] == one and index[j - gap] > name)):
                value[j], index[j] = value[j - gap], index[j - gap]
                j -= gap
            value[j], index[j] = one, name
        gap //= 3


@njit(nogil=True, cache=True)
def _histogram(place: F64, order: I64, key: I64, row: I64, wanted: Mask, step: float, counts: F64) -> None:
    """Count the distances from the wanted points to all others, in bins of a step from 0."""
    low, high = np.zeros(9, np.int64), np.zeros(9, np.int64)
    limit, before = (counts.size * step) ** 2, np.int64(-1)
    for i in range(key.size):
        if not wanted[order[i]]:
            continue
        if key[i] != before:
            _rows(key, key[i], row, low, high)
            before = key[i]
        for k in range(9):
            for j in range(low[k], high[k]):
                x, y, z = place[0, j] - place[0, i], place[1, j] - place[1, i], place[2, j] - place[2, i]
                square = x * x + y * y + z * z
                if square < limit and j != i:
                    counts[min(int(math.sqrt(square) / step), counts.size - 1)] += 1
