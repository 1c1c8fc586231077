"""Local maxima of volumes, order statistics of what has no bounds, and least distances."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

BINS = 1 << 16
"""Bins of `height_histogram`: one per leading 16 bits of a float32, steps of less than one percent."""

FAINTEST = 0.2
"""Least height over the typical one that counts as an atom where no threshold is given."""


def height_histogram(values: F32) -> I64:
    """Count positive values by the leading 16 bits of their float32 pattern.

    The bins rise with the value and need no range, so that counts of parts of a volume add up to those of the whole.
    """
    positive = np.ascontiguousarray(values, np.float32).ravel()
    positive = positive[positive > 0]
    return np.bincount(positive.view(np.uint32) >> 16, minlength=BINS).astype(np.int64)


def bin_heights() -> F64:
    """Return the lower edge of each bin of `height_histogram`; the bins of infinity and above are zero."""
    finite_bins = 0x7F80  # the leading bits of infinity
    edges = np.zeros(BINS)
    edges[:finite_bins] = (np.arange(finite_bins, dtype=np.uint32) << 16).view(np.float32)
    return edges


def typical_height(counts: I64) -> float:
    """Return the median of heights weighted by their fourth power, 0 where there are none.

    The weight keeps it among the atoms where noise has hundreds of times as many maxima, and one bright speck among
    hundreds of atoms does not move it.
    """
    heights = bin_heights()
    top = heights[counts > 0].max(initial=0.0)
    if top == 0.0:
        return 0.0
    weight = np.cumsum(counts * (heights / top) ** 4)
    return float(heights[np.searchsorted(weight, 0.5 * weight[-1])])


@njit(nogil=True, cache=True)
def finite(values: F32) -> bool:
    """Tell whether a flat array has neither NaN nor infinity."""
    wrong = 0
    for value in values:
        wrong |= value - value != 0
    return wrong == 0


@njit(nogil=True, cache=True)
def _crests(row: F32, before: tuple[F32, F32, F32], after: tuple[F32, F32, F32], floor: np.float32, marks: U8) -> None:
    """Mark voxels that are maxima among their six nearest neighbours."""
    for x in range(row.size):
        value = row[x]
        marks[x] = (
            (value > floor)
            & (value > before[0][x])
            & (value >= after[0][x])
            & (value > before[1][x])
            & (value >= after[1][x])
            & (value > before[2][x])
            & (value >= after[2][x])
        )


@njit(nogil=True, cache=True)
def _is_top(volume: F32, z: int, y: int, x: int) -> bool:
    """Tell whether a voxel exceeds the neighbours that come before it and none of those after exceeds it."""
    value = volume[z, y, x]
    for k in range(-min(z, 1), min(volume.shape[0] - z, 2)):
        for j in range(-min(y, 1), min(volume.shape[1] - y, 2)):
            before = k < 0 or (k == 0 and j < 0)
            for i in range(-min(x, 1), min(volume.shape[2] - x, 2)):
                other = volume[z + k, y + j, x + i]
                if other > value or (before and other == value):
                    return False
    return True


@njit(nogil=True, cache=True)
def local_maxima(volume: F32, low: tuple[int, int, int], high: tuple[int, int, int], floor: float) -> tuple[I64, F32]:
    """Find voxels above `floor` that none of their 26 neighbours exceeds; of equal neighbours the first counts.

    Parameters
    ----------
    volume
        Shape (z, y, x).
    low, high
        Box that is searched; voxels on the faces of `volume` have fewer neighbours.
    floor
        Only values above this.

    Returns
    -------
    Indices, shape (maxima, 3), in order of z, y, x, and values, shape (maxima,).
    """
    z0, y0, x0 = max(low[0], 1), max(low[1], 1), max(low[2], 1)
    z1, y1 = min(high[0], volume.shape[0] - 1), min(high[1], volume.shape[1] - 1)
    x1 = min(high[2], volume.shape[2] - 1)
    count = 0
    # no two of them are neighbours
    place = np.empty(
        (high[0] - low[0] + 1) // 2 * ((high[1] - low[1] + 1) // 2) * ((high[2] - low[2] + 1) // 2), np.int64
    )
    marks = np.empty(max(x1 - x0, 0), np.uint8)
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            line = volume[z, y]
            inside = z0 <= z < z1 and y0 <= y < y1
            x = low[2]
            while x < high[2]:
                if inside and x0 <= x < x1:
                    x = x1
                    continue
                if line[x] > floor and _is_top(volume, z, y, x):
                    place[count] = (z * volume.shape[1] + y) * volume.shape[2] + x
                    count += 1
                x += 1
            if not inside:
                continue
            row = line[x0:x1]
            before = (line[x0 - 1 : x1 - 1], volume[z, y - 1][x0:x1], volume[z - 1, y][x0:x1])
            after = (line[x0 + 1 : x1 + 1], volume[z, y + 1][x0:x1], volume[z + 1, y][x0:x1])
            _crests(row, before, after, np.float32(floor), marks)
            for x in range(row.size):
                if marks[x] and _is_top(volume, z, y, x0 + x):
                    place[count] = (z * volume.shape[1] + y) * volume.shape[2] + x0 + x
                    count += 1
    place = np.sort(place[:count])
    indices = np.empty((count, 3), np.int64)
    values = np.empty(count, np.float32)
    for n in range(count):
        indices[n, 0] = place[n] // (volume.shape[1] * volume.shape[2])
        indices[n, 1] = place[n] // volume.shape[2] % volume.shape[1]
        indices[n, 2] = place[n] % volume.shape[2]
        values[n] = volume[indices[n, 0], indices[n, 1], indices[n, 2]]
    return indices, values


@njit(nogil=True, cache=True)
def _grid(points: F64, least: float) -> tuple[F64, float, I64]:
    """Return origin, edge and shape of cubic cells at least `least` wide, not many more than there are points."""
    low = np.zeros(3)
    span = np.zeros(3)
    for k in range(3):
        low[k] = points[:, k].min()
        span[k] = points[:, k].max() - low[k]
    edge = max(least, 1e-12)
    while (span[0] / edge + 1) * (span[1] / edge + 1) * (span[2] / edge + 1) > 8.0 * len(points) + 64:
        edge *= 1.26
    shape = np.empty(3, np.int64)
    for k in range(3):
        shape[k] = int(span[k] / edge) + 1
    return low, edge, shape


@njit(nogil=True, cache=True)
def separated(points: F64, least: float) -> NDArray[np.bool_]:
    """Tell which points stay when each, in the order given, is dropped if one that stays is nearer than `least`."""
    keep = np.zeros(len(points), np.bool_)
    if len(points) == 0:
        return keep
    low, edge, shape = _grid(points, least)
    head = np.full((shape[0], shape[1], shape[2]), -1, np.int64)
    following = np.full(len(points), -1, np.int64)
    cell = np.empty(3, np.int64)
    for n in range(len(points)):
        for k in range(3):
            cell[k] = min(int((points[n, k] - low[k]) / edge), shape[k] - 1)
        free = True
        for z in range(max(cell[0] - 1, 0), min(cell[0] + 2, shape[0])):
            for y in range(max(cell[1] - 1, 0), min(cell[1] + 2, shape[1])):
                for x in range(max(cell[2] - 1, 0), min(cell[2] + 2, shape[2])):
                    other = head[z, y, x]
                    while other >= 0 and free:
                        distance = 0.0
                        for k in range(3):
                            distance += (points[n, k] - points[other, k]) ** 2
                        free = distance >= least * least
                        other = following[other]
        keep[n] = free
        if free:
            following[n] = head[cell[0], cell[1], cell[2]]
            head[cell[0], cell[1], cell[2]] = n
    return keep


@njit(nogil=True, cache=True)
def crowding(points: F64, reach: float) -> F64:
    """Sum exp(-distance**2 / 4) over the other points within `reach`.

    With points in units of their Gaussian width, this is the overlap of each atom with its neighbours.
    """
    total = np.zeros(len(points))
    if len(points) == 0:
        return total
    low, edge, shape = _grid(points, reach)
    head = np.full((shape[0], shape[1], shape[2]), -1, np.int64)
    following = np.full(len(points), -1, np.int64)
    cells = np.empty((len(points), 3), np.int64)
    for m in range(len(points)):
        n = len(points) - 1 - m
        for k in range(3):
            cells[n, k] = min(int((points[n, k] - low[k]) / edge), shape[k] - 1)
        following[n] = head[cells[n, 0], cells[n, 1], cells[n, 2]]
        head[cells[n, 0], cells[n, 1], cells[n, 2]] = n
    for n in range(len(points)):
        for z in range(max(cells[n, 0] - 1, 0), min(cells[n, 0] + 2, shape[0])):
            for y in range(max(cells[n, 1] - 1, 0), min(cells[n, 1] + 2, shape[1])):
                for x in range(max(cells[n, 2] - 1, 0), min(cells[n, 2] + 2, shape[2])):
                    other = head[z, y, x]
                    while other >= 0:
                        distance = 0.0
                        for k in range(3):
                            distance += (points[n, k] - points[other, k]) ** 2
                        if other != n and distance <= reach * reach:
                            total[n] += np.exp(-0.25 * distance)
                        other = following[other]
    return total


def middle_height(heights: F64) -> float:
    """Return the median of heights weighted by their fourth power, 0 where there are none; as `typical_height`."""
    if len(heights) == 0:
        return 0.0
    rising = np.sort(heights)
    weight = np.cumsum(rising**4)
    return float(rising[np.searchsorted(weight, 0.5 * weight[-1])])


def least_height(heights: F64) -> tuple[float, bool]:
    """Return the height that parts atoms from noise: the lowest valley in the histogram of log heights.

    That is where the counts fall from the faint end, `FAINTEST` of the typical height, and then rise beyond their own
    noise. Where they rise from the start, that faint end itself; the second value tells whether there is a valley.
    """
    typical = middle_height(heights)
    if typical == 0.0:
        return 0.0, False
    edges = np.linspace(np.log(FAINTEST), 0.0, 18)
    counts = np.histogram(np.log(np.maximum(heights / typical, 1e-9)), edges)[0].astype(float)
    smooth = np.convolve(np.pad(counts, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    lowest = smooth[0]
    for place in range(1, smooth.size):
        if smooth[place] - lowest > 3 * np.sqrt(smooth[place] + 1):
            if lowest == smooth[0]:
                break
            bottom = np.flatnonzero(smooth[:place] == lowest)
            return float(typical * np.exp(0.5 * (edges[bottom[0]] + edges[bottom[-1] + 1]))), True
        lowest = min(lowest, smooth[place])
    return FAINTEST * typical, False
