"""Basins of a value on points: each point belongs to the peak that steepest ascent leads to."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import Neighbours

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def peaks(value: F64, neighbours: Neighbours) -> I64:
    """Return the point at the end of steepest ascent from each point, shape (points,); -1 where the value is NaN.

    Parameters
    ----------
    value
        Shape (points,). Of equal ones the first counts as higher.
    neighbours
        Of each point: whom it looks at.
    """
    found = np.full(len(value), -1, np.int64)
    _climb(value, neighbours.start, neighbours.index, found)
    return found


@njit(nogil=True, cache=True)
def _climb(value: F64, start: I64, index: NDArray[np.int32], found: I64) -> None:
    step = np.full(value.size, -1, np.int64)
    for i in range(value.size):
        if np.isnan(value[i]):
            continue
        best = i
        for k in range(start[i], start[i + 1]):
            j = index[k]
            if value[j] > value[best] or (value[j] == value[best] and j < best):
                best = j
        step[i] = best
    for i in range(value.size):
        at = i
        while step[at] != -1 and step[at] != at:
            at = step[at]
        found[i] = at if step[i] != -1 else -1
