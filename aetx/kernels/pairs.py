"""Pairs of points by their distance."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def pair_counts(position: F64, kind: I64, kinds: int, first: float, step: float, bins: int) -> I64:
    """Count ordered pairs of points by kind and distance; no point is a pair with itself.

    Parameters
    ----------
    position
        Shape (points, 3).
    kind
        Kind of each point, from 0, shape (points,).
    kinds
        Number of kinds.
    first, step, bins
        Bin k holds distances from ``first + k * step``, included, to ``first + (k + 1) * step``, not included.

    Returns
    -------
    Counts, shape (bins, kinds, kinds): entry (k, a, b) counts each point of kind a with each of kind b. Pairs of one
    kind are counted twice, once from either end.
    """
    counts = np.zeros((bins, kinds, kinds), np.int64)
    reach = first + bins * step
    if len(position) > 1 and reach > 0:
        low = position.min(axis=0)
        size = np.minimum(np.floor((position.max(axis=0) - low) / reach).astype(np.int64) + 1, 512)
        edge = np.maximum((position.max(axis=0) - low) / size, reach)
        place = np.minimum(((position - low) / edge).astype(np.int64), size - 1)
        cell = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
        order = np.argsort(cell, kind="stable")
        start = np.searchsorted(cell[order], np.arange(int(size.prod()) + 1))
        _count(np.ascontiguousarray(position[order]), kind[order], place[order], size, start, first, step, counts)
    return counts + counts.transpose(0, 2, 1)


@njit(nogil=True, cache=True)
def _count(position: F64, kind: I64, place: I64, size: I64, start: I64, first: float, step: float, out: I64) -> None:
    """Count each unordered pair once, through the cell of a point and its neighbours."""
    bins = out.shape[0]
    least, most = max(first, 0.0), first + bins * step
    for i in range(len(position)):
        for a in range(max(place[i, 0] - 1, 0), min(place[i, 0] + 2, size[0])):
            for b in range(max(place[i, 1] - 1, 0), min(place[i, 1] + 2, size[1])):
                row = (a * size[1] + b) * size[2]
                low = row + max(place[i, 2] - 1, 0)
                high = row + min(place[i, 2] + 2, size[2])
                for j in range(max(start[low], i + 1), start[high]):
                    square = 0.0
                    for axis in range(3):
                        square += (position[i, axis] - position[j, axis]) ** 2
                    distance = math.sqrt(square)
                    if least <= distance < most:
                        k = min(int((distance - first) / step), bins - 1)
                        out[k, kind[i], kind[j]] += 1
