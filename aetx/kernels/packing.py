"""Random sequential addition: points thrown one after the other, each kept if it is far enough from those before."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def random_addition(
    centres: F64, radii: F64, wanted: int, distance: float, attempts: int, generator: np.random.Generator
) -> F64:
    """Fill a union of balls with points at random.

    Parameters
    ----------
    centres
        Of the balls, shape (balls, 3), angstrom.
    radii
        Of the balls, shape (balls,), angstrom.
    wanted
        Number of points.
    distance
        Least distance between two points, angstrom, above 0.
    attempts
        Number of throws into the union after which the points stay fewer.
    generator
        Where the numbers come from.

    Returns
    -------
    Positions, shape (points, 3).

    References
    ----------
    B. Widom, Journal of Chemical Physics 44, 3888 (1966), doi:10.1063/1.1726548.
    """
    low = (centres - radii[:, None]).min(axis=0)
    high = (centres + radii[:, None]).max(axis=0)
    return _added(centres, radii, low, high, wanted, distance, attempts, generator)


def random_addition_in_box(
    low: F64, high: F64, wanted: int, distance: float, attempts: int, generator: np.random.Generator
) -> F64:
    """Fill a box between two corners, each of shape (3,), with points at random, as `random_addition` fills balls."""
    around = np.array([np.linalg.norm(high - low)])
    return _added((low + high)[None] / 2, around, low, high, wanted, distance, attempts, generator)


def _added(
    centres: F64,
    radii: F64,
    low: F64,
    high: F64,
    wanted: int,
    distance: float,
    attempts: int,
    generator: np.random.Generator,
) -> F64:
    cell = distance / math.sqrt(3)
    cells = np.floor((high - low) / cell).astype(np.int64) + 5
    grid = np.full(tuple(cells), -1, np.int32)
    made = np.empty((wanted, 3))
    count = _throw(centres, radii, low, high, cell, grid, made, distance, attempts, generator)
    return made[:count]


@njit(nogil=True, cache=True)
def _throw(
    centres: F64,
    radii: F64,
    low: F64,
    high: F64,
    cell: float,
    grid: NDArray[np.int32],
    made: F64,
    distance: float,
    attempts: int,
    generator: np.random.Generator,
) -> int:
    """Throw points until all are made. No cell of the grid has room for two, and two cells on each side are spare."""
    count, thrown = 0, 0
    place = np.empty(3)
    at = np.empty(3, np.int64)
    while count < len(made) and thrown < attempts:
        for k in range(3):
            place[k] = low[k] + (high[k] - low[k]) * generator.random()
            at[k] = int((place[k] - low[k]) / cell) + 2
        if not _within(place, centres, radii):
            continue
        thrown += 1
        if _is_free(place, at, grid, made, distance * distance):
            made[count] = place
            grid[at[0], at[1], at[2]] = count
            count += 1
    return count


@njit(nogil=True, cache=True)
def _within(place: F64, centres: F64, radii: F64) -> bool:
    for b in range(len(radii)):
        square = 0.0
        for k in range(3):
            square += (place[k] - centres[b, k]) ** 2
        if square < radii[b] * radii[b]:
            return True
    return False


@njit(nogil=True, cache=True)
def _is_free(place: F64, at: NDArray[np.int64], grid: NDArray[np.int32], made: F64, least: float) -> bool:
    if grid[at[0], at[1], at[2]] >= 0:
        return False
    for i in range(at[0] - 2, at[0] + 3):
        for j in range(at[1] - 2, at[1] + 3):
            for k in range(at[2] - 2, at[2] + 3):
                other = grid[i, j, k]
                if other >= 0:
                    square = 0.0
                    for m in range(3):
                        square += (place[m] - made[other, m]) ** 2
                    if square < least:
                        return False
    return True
