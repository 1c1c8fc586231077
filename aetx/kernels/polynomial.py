"""Peaks of a volume by a fourth-order polynomial around each maximum of its threefold cubic-spline interpolation."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FINE = 3
"""Fine voxels per voxel."""
SUPPORT = 16
"""Voxels to each side that a spline coefficient depends on: the rest weighs less than 1e-9."""
HALF = 3
"""Half-edge of the fitted box in fine voxels; of it the ball of radius 3.5 is used."""
TERMS = 35
TILE = 32
"""Edge of the pieces, in voxels, that are interpolated at a time."""
NO_MAXIMUM, LEFT_ITS_BOX, TOO_NEAR, NEVER_SETTLED = -1, -2, -3, -4
"""Flags, as published."""


def coefficients(volume: F32) -> F64:
    """Return the coefficients of the cubic spline through a volume, mirrored at its faces.

    The inverse of the B-spline's samples, cut at `SUPPORT`, so that a value depends on its neighbourhood alone.
    """
    pole = np.sqrt(3.0) - 2.0
    kernel = pole ** np.abs(np.arange(-SUPPORT, SUPPORT + 1))
    kernel /= kernel.sum()  # a constant stays itself
    out = volume.astype(np.float64)
    for axis in range(3):
        if volume.shape[axis] > 1:
            out = correlate1d(out, kernel, axis, mode="mirror")
    return out


def powers() -> I64:
    """Return the exponents of the 35 monomials up to fourth order: constant, linear, quadratic, then the rest."""
    found = [(i, j, k) for i in range(5) for j in range(5) for k in range(5) if i + j + k <= 4]
    return np.array(sorted(found, key=lambda p: (sum(p), -p[0], -p[1])), np.int64)


@njit(nogil=True, cache=True)
def _weights() -> F64:
    """Return the four B-spline weights at each third of a voxel, shape (3, 4), for neighbours -1 to 2."""
    table = np.empty((FINE, 4))
    for step in range(FINE):
        t = step / FINE
        table[step, 0] = (1 - t) ** 3 / 6
        table[step, 1] = 2 / 3 - t * t + t**3 / 2
        table[step, 2] = 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2
        table[step, 3] = t**3 / 6
    return table


@njit(nogil=True, cache=True)
def _mirrored(index: int, size: int) -> int:
    if size == 1:
        return 0
    index = abs(index) % (2 * (size - 1))
    return 2 * (size - 1) - index if index >= size else index


@njit(nogil=True, cache=True)
def _interpolated(spline: F64, low: I64, high: I64, corner: I64, shape: I64, floor: float, fine: F32) -> None:
    """Fill a piece of the fine grid from cells low to high - 1 of the whole volume, where it may exceed `floor`.

    `spline` begins at `corner`. Cells none of whose 64 coefficients exceeds `floor` are set to minus infinity.
    """
    weight = _weights()
    near = np.empty((4, 4, 4))
    along_x = np.empty((4, 4, FINE))
    along_y = np.empty((4, FINE, FINE))
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for x in range(low[2], high[2]):
                top = -np.inf
                for a in range(4):
                    i = _mirrored(z + a - 1, shape[0]) - corner[0]
                    for b in range(4):
                        j = _mirrored(y + b - 1, shape[1]) - corner[1]
                        for c in range(4):
                            value = spline[i, j, _mirrored(x + c - 1, shape[2]) - corner[2]]
                            near[a, b, c] = value
                            top = max(top, value)
                z0, y0, x0 = FINE * (z - low[0]), FINE * (y - low[1]), FINE * (x - low[2])
                if not top > floor:
                    fine[z0 : z0 + FINE, y0 : y0 + FINE, x0 : x0 + FINE] = -np.inf
                    continue
                for a in range(4):
                    for b in range(4):
                        for u in range(FINE):
                            total = 0.0
                            for c in range(4):
                                total += weight[u, c] * near[a, b, c]
                            along_x[a, b, u] = total
                    for v in range(FINE):
                        for u in range(FINE):
                            total = 0.0
                            for b in range(4):
                                total += weight[v, b] * along_x[a, b, u]
                            along_y[a, v, u] = total
                for w in range(FINE):
                    for v in range(FINE):
                        for u in range(FINE):
                            total = 0.0
                            for a in range(4):
                                total += weight[w, a] * along_y[a, v, u]
                            fine[z0 + w, y0 + v, x0 + u] = total


@njit(nogil=True, cache=True)
def _top_of_six(fine: F32, z: int, y: int, x: int) -> bool:
    """Tell whether a voxel is the maximum of the ball of size 3; of equal ones the first counts."""
    value = fine[z, y, x]
    return (
        value > fine[z - 1, y, x]
        and value > fine[z, y - 1, x]
        and value > fine[z, y, x - 1]
        and value >= fine[z + 1, y, x]
        and value >= fine[z, y + 1, x]
        and value >= fine[z, y, x + 1]
    )


@njit(nogil=True, cache=True)
def peaks(spline: F64, corner: I64, shape: I64, low: I64, high: I64, floor: float, powers: I64) -> F64:
    """Find and fit the maxima of the fine grid whose voxel lies in a box.

    Parameters
    ----------
    spline
        Coefficients of a block of the volume.
    corner
        Index of its first voxel in the whole volume.
    shape
        Shape of the whole volume; maxima whose box leaves it are skipped.
    low, high
        Box, in voxels of the whole volume; fine index m belongs to voxel m // 3.
    floor
        Only maxima above this.
    powers
        The monomials.

    Returns
    -------
    Shape (maxima, 9): fine index z, y, x; value; place z, y, x in voxels; width in voxels from the curvature; flag.
    """
    edge = FINE * (TILE + 4)
    fine = np.empty((edge, edge, edge), np.float32)
    rows = np.empty((64, 9))
    count = 0
    first = np.empty(3, np.int64)
    begin = np.empty(3, np.int64)
    end = np.empty(3, np.int64)
    for tile_z in range(low[0], high[0], TILE):
        for tile_y in range(low[1], high[1], TILE):
            for tile_x in range(low[2], high[2], TILE):
                tile = (tile_z, tile_y, tile_x)
                for k in range(3):
                    first[k] = max(tile[k] - 2, 0)
                    end[k] = min(min(tile[k] + TILE, high[k]) + 2, shape[k])
                _interpolated(spline, first, end, corner, shape, floor, fine)
                for k in range(3):
                    # the fine grid ends on the last voxel; beyond it there is no room for a box
                    begin[k] = max(FINE * tile[k], HALF) - FINE * first[k]
                    last = min(FINE * min(tile[k] + TILE, high[k]), FINE * (shape[k] - 1) + 1 - HALF)
                    end[k] = last - FINE * first[k]
                for z in range(begin[0], end[0]):
                    for y in range(begin[1], end[1]):
                        for x in range(begin[2], end[2]):
                            if fine[z, y, x] > floor and _top_of_six(fine, z, y, x):
                                if count == len(rows):
                                    rows = _doubled(rows)
                                rows[count, 0] = z + FINE * first[0]
                                rows[count, 1] = y + FINE * first[1]
                                rows[count, 2] = x + FINE * first[2]
                                rows[count, 3] = fine[z, y, x]
                                box = fine[z - HALF : z + HALF + 1, y - HALF : y + HALF + 1, x - HALF : x + HALF + 1]
                                _vertex(box, powers, rows[count])
                                count += 1
    return rows[:count]


@njit(nogil=True, cache=True)
def _doubled(rows: F64) -> F64:
    more = np.empty((2 * len(rows), rows.shape[1]))
    more[: len(rows)] = rows
    return more


@njit(nogil=True, cache=True)
def _vertex(box: F32, powers: I64, row: F64) -> None:
    """Walk to the vertex of a fourth-order polynomial fitted around the present place, weighted towards it."""
    p = np.zeros(3)
    still = 0
    row[7] = np.nan
    flag = NEVER_SETTLED
    for _ in range(14):
        fitted = _fitted(box, p, powers)
        gradient = fitted[1:4]
        bend = np.empty((3, 3))
        bend[0, 0], bend[1, 1], bend[2, 2] = 2 * fitted[4], 2 * fitted[7], 2 * fitted[9]
        bend[0, 1] = bend[1, 0] = fitted[5]
        bend[0, 2] = bend[2, 0] = fitted[6]
        bend[1, 2] = bend[2, 1] = fitted[8]
        minor = bend[0, 0] * bend[1, 1] - bend[0, 1] ** 2
        determinant = (
            bend[0, 0] * (bend[1, 1] * bend[2, 2] - bend[1, 2] ** 2)
            - bend[0, 1] * (bend[0, 1] * bend[2, 2] - bend[1, 2] * bend[0, 2])
            + bend[0, 2] * (bend[0, 1] * bend[1, 2] - bend[1, 1] * bend[0, 2])
        )
        if not (determinant < 0 and bend[0, 0] < 0 and minor > 0):
            flag = NO_MAXIMUM
            break
        step = -np.linalg.solve(bend, gradient)
        still = still + 1 if np.abs(step).max() < 0.5 else 0
        for k in range(3):
            p[k] += min(max(step[k], -0.5), 0.5)
        if np.abs(p).max() > HALF:
            flag = LEFT_ITS_BOX
            break
        if fitted[0] > 0:
            row[7] = np.sqrt(fitted[0]) * (-determinant) ** (-1 / 6) / FINE
        if still == 7:
            flag = 0
            break
    for k in range(3):
        row[4 + k] = (row[k] + p[k]) / FINE
    row[8] = flag


@njit(nogil=True, cache=True)
def _fitted(box: F32, p: F64, powers: I64) -> F64:
    """Return the coefficients of the polynomial in x - p, by weighted least squares over the ball."""
    scale = HALF + 1.0
    moments = np.zeros((9, 9, 9))
    solution = np.zeros(TERMS)
    u = np.empty((3, 9))
    for z in range(-HALF, HALF + 1):
        for y in range(-HALF, HALF + 1):
            for x in range(-HALF, HALF + 1):
                if z * z + y * y + x * x > 12.25:
                    continue
                here = ((z - p[0]) / scale, (y - p[1]) / scale, (x - p[2]) / scale)
                weight = np.exp(-2 * scale**2 * (here[0] ** 2 + here[1] ** 2 + here[2] ** 2) / 9)
                for k in range(3):
                    u[k, 0] = 1.0
                    for n in range(1, 9):
                        u[k, n] = u[k, n - 1] * here[k]
                for i in range(9):
                    for j in range(9 - i):
                        part = weight * u[0, i] * u[1, j]
                        for k in range(9 - i - j):
                            moments[i, j, k] += part * u[2, k]
                value = weight * box[z + HALF, y + HALF, x + HALF]
                for n in range(TERMS):
                    solution[n] += value * u[0, powers[n, 0]] * u[1, powers[n, 1]] * u[2, powers[n, 2]]
    matrix = np.empty((TERMS, TERMS))
    for m in range(TERMS):
        for n in range(m + 1):
            matrix[m, n] = moments[
                powers[m, 0] + powers[n, 0], powers[m, 1] + powers[n, 1], powers[m, 2] + powers[n, 2]
            ]
    _cholesky(matrix, solution)
    for n in range(TERMS):
        solution[n] /= scale ** (powers[n, 0] + powers[n, 1] + powers[n, 2])
    return solution


@njit(nogil=True, cache=True)
def _cholesky(matrix: F64, right: F64) -> None:
    """Solve in place; the lower triangle of `matrix` is used."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(total) if i == j else total / matrix[j, j]
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for m in range(size):
        i = size - 1 - m
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]


def rank_counts(values: F32, leading: int | None) -> I64:
    """Count values by the leading 16 bits of their rank among all float32, or by the trailing 16 of one such bin."""
    bits = np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)
    rank = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    if leading is None:
        return np.bincount(rank >> 16, minlength=1 << 16).astype(np.int64)
    return np.bincount(rank[rank >> 16 == leading] & 0xFFFF, minlength=1 << 16).astype(np.int64)


def ranked(leading: int, trailing: int) -> float:
    """Return the float32 of a rank."""
    rank = np.uint32((leading << 16) | trailing)
    bits = rank ^ np.uint32(1 << 31) if rank >> 31 else ~rank
    return float(np.array([bits], np.uint32).view(np.float32)[0])
