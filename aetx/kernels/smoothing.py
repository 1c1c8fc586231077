"""Values of atoms spread over a grid by a Gaussian kernel, and the variance of what comes out."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

REACH = 4.0
"""Distance in widths beyond which an atom has no weight."""


def spread(position: F64, values: F64, low: F64, step: float, points: int, width: float) -> F64:
    """Sum Gaussian weights w_i = exp(-|r - r_i|**2 / (2 width**2)) times columns of values over the atoms i.

    Parameters
    ----------
    position
        x, y, z of the atoms, shape (atoms, 3).
    values
        Columns of the atoms, shape (atoms, columns).
    low
        x, y, z of the first point, shape (3,).
    step, points
        Of the grid, along each axis.
    width
        Standard deviation of the kernel.

    Returns
    -------
    Shape (columns, z, y, x).
    """
    made = np.zeros((values.shape[1], points, points, points))
    _add(position, values, low, step, width, made)
    return made


def variance(
    position: F64, first: I64, second: I64, values: F64, low: F64, step: float, points: int, width: float
) -> F64:
    """Sum w_i w_j times columns of values over pairs of atoms i, j: the variance of a sum that `spread` makes.

    The product of two Gaussians is one about the middle of the pair, narrower by the square root of two, times
    exp(-|r_i - r_j|**2 / (4 width**2)).

    Parameters
    ----------
    position
        Shape (atoms, 3).
    first, second
        Atoms of each pair, both orders and each atom with itself included, shape (pairs,).
    values
        Covariances, shape (pairs, columns).
    low, step, points, width
        As for `spread`.

    Returns
    -------
    Shape (columns, z, y, x).
    """
    once = first <= second
    first, second = first[once], second[once]
    square = ((position[first] - position[second]) ** 2).sum(axis=1)
    factor = np.where(first == second, 1.0, 2.0) * np.exp(-square / (4 * width**2))
    middle = (position[first] + position[second]) / 2
    return spread(middle, factor[:, None] * values[once], low, step, points, width / math.sqrt(2))


@njit(nogil=True, cache=True)
def _add(position: F64, values: F64, low: F64, step: float, width: float, made: F64) -> None:
    columns, points = made.shape[0], made.shape[1]
    reach = REACH * width
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    bell = np.empty((3, points))
    for i in range(len(position)):
        for axis in range(3):
            place = position[i, axis] - low[axis]
            first[axis] = max(0, int(np.ceil((place - reach) / step)))
            last[axis] = min(points - 1, int(np.floor((place + reach) / step)))
            for k in range(first[axis], last[axis] + 1):
                bell[axis, k] = np.exp(-0.5 * ((k * step - place) / width) ** 2)
        for a in range(first[2], last[2] + 1):
            for b in range(first[1], last[1] + 1):
                across = bell[2, a] * bell[1, b]
                for c in range(first[0], last[0] + 1):
                    weight = across * bell[0, c]
                    for k in range(columns):
                        made[k, a, b, c] += weight * values[i, k]
