"""Values of atoms spread over a grid by a Gaussian kernel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REACH = 4.0
"""Distance in widths beyond which an atom has no weight."""


@njit(nogil=True, cache=True)
def spread(position: F64, values: F64, low: F64, step: float, shape: tuple[int, int, int], width: float) -> F64:
    """Sum Gaussian weights and weighted values of atoms at the points of a grid.

    Parameters
    ----------
    position
        x, y, z of the atoms, shape (atoms, 3).
    values
        Columns of the atoms, shape (atoms, columns).
    low
        x, y, z of the first point, shape (3,).
    step, shape
        Of the grid: points along z, y, x.
    width
        Standard deviation of the kernel.

    Returns
    -------
    Sums over the atoms i of w_i, of w_i times each column, and of w_i**2 times each, shape (1 + 2 columns, z, y, x).
    """
    columns = values.shape[1]
    made = np.zeros((1 + 2 * columns, *shape))
    reach = REACH * width
    for i in range(len(position)):
        first, last = np.empty(3, np.int64), np.empty(3, np.int64)
        for axis in range(3):
            place = position[i, axis] - low[axis]
            first[axis] = max(0, int(np.ceil((place - reach) / step)))
            last[axis] = min(shape[2 - axis] - 1, int(np.floor((place + reach) / step)))
        for a in range(first[2], last[2] + 1):
            dz = low[2] + a * step - position[i, 2]
            for b in range(first[1], last[1] + 1):
                dy = low[1] + b * step - position[i, 1]
                for c in range(first[0], last[0] + 1):
                    dx = low[0] + c * step - position[i, 0]
                    square = dx * dx + dy * dy + dz * dz
                    if square > reach * reach:
                        continue
                    weight = np.exp(-0.5 * square / (width * width))
                    made[0, a, b, c] += weight
                    for k in range(columns):
                        made[1 + k, a, b, c] += weight * values[i, k]
                        made[1 + columns + k, a, b, c] += weight * weight * values[i, k]
    return made
