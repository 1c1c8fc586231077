"""Many Gaussian atoms fitted at once to a volume: each to what all the others leave over.

An atom is ``height * exp(-sum_k u_k**2 / (2 (scale * width_k)**2))`` with ``u`` the distance of a voxel from its
position along z, y, x, in voxels; the widths along the axes are shared by all atoms, the scale is the atom's own. Its
window is a box on which voxels weigh ``exp(-sum_k u_k**2 / (2 (BREADTH * scale * width_k)**2))``. As both factor over
the axes, every sum of a normal matrix is a product of three short sums.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BREADTH = 2.0
"""Width of the weights over the width of the atom: costs 1.5 % in precision under white noise, keeps to the core."""
WINDOW = 2.5
"""Half-edge of the window over the width of the atom."""
REACH = 4.0
"""Half-edge of the box in which an atom is subtracted, over its width."""
COLUMNS = 11
"""Columns of `fit`: step z, y, x, height, log scale; background, variance of noise, errors along z, y, x, height."""


@njit(nogil=True, cache=True)
def _less(row: F32, height: np.float32, profile: F32) -> None:
    for x in range(row.size):
        row[x] -= height * profile[x]


@njit(nogil=True, cache=True)
def subtract(volume: F32, corner: I64, state: F64, width: F64) -> None:
    """Subtract atoms from a block, in the order given, in place.

    Parameters
    ----------
    volume
        Block, shape (z, y, x); becomes the residual.
    corner
        Index of its first voxel in the whole volume.
    state
        Position z, y, x in voxels of the whole volume, height, log of the scale; shape (atoms, 5).
    width
        Shared widths along z, y, x in voxels.
    """
    if len(state) == 0:
        return
    reach = 0
    for k in range(3):
        reach = max(reach, int(REACH * width[k] * np.exp(max(state[:, 4].max(), 0.0))) + 2)
    table = np.empty((3, 2 * reach + 1), np.float32)
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for n in range(len(state)):
        for k in range(3):
            sigma = width[k] * np.exp(state[n, 4])
            half = int(REACH * sigma + 0.5)
            centre = int(np.rint(state[n, k]))
            first[k] = max(centre - half, corner[k])
            last[k] = min(centre + half + 1, corner[k] + volume.shape[k])
            for i in range(first[k], last[k]):
                table[k, i - first[k]] = np.exp(-0.5 * ((i - state[n, k]) / sigma) ** 2)
        if last[2] <= first[2]:
            continue
        profile = table[2, : last[2] - first[2]]
        for z in range(first[0], last[0]):
            along_z = np.float32(state[n, 3]) * table[0, z - first[0]]
            for y in range(first[1], last[1]):
                row = volume[z - corner[0], y - corner[1]][first[2] - corner[2] : last[2] - corner[2]]
                _less(row, along_z * table[1, y - first[1]], profile)


@njit(nogil=True, cache=True)
def _factor(matrix: F64, size: int) -> bool:
    """Turn the lower triangle of a matrix into its Cholesky factor; False where it is not positive definite."""
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 1e-10 * abs(matrix[i, i]):
                    return False
                matrix[i, i] = np.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    return True


@njit(nogil=True, cache=True)
def _solve(factor: F64, right: F64, size: int) -> None:
    """Solve in place the systems whose matrix `_factor` has turned into `factor`, one right side per row."""
    for row in range(len(right)):
        for i in range(size):
            total = right[row, i]
            for k in range(i):
                total -= factor[i, k] * right[row, k]
            right[row, i] = total / factor[i, i]
        for m in range(size):
            i = size - 1 - m
            total = right[row, i]
            for k in range(i + 1, size):
                total -= factor[k, i] * right[row, k]
            right[row, i] = total / factor[i, i]


@njit(nogil=True, cache=True)
def _window(position: float, sigma: float, size: int) -> tuple[int, int]:
    """Return where the window of an atom begins and ends along an axis of `size` voxels."""
    half = max(int(WINDOW * sigma + 0.5), 1)
    centre = int(np.rint(position))
    return max(centre - half, 0), min(centre + half + 1, size)


@njit(nogil=True, cache=True)
def _axis_sums(
    position: float, sigma: float, size: int, table: F64, sums: F64, powers: F64, squares: F64
) -> tuple[int, int]:
    """Fill one axis of a window: weighted profiles for the right side, moments for the matrices.

    `table` rows: weight, weight*g, weight*g*u, weight*g*u**2 with u in widths. `sums[p]` is the sum of w g**2 u**p,
    `powers[p]` of w g u**p, `squares` the same three families with the weight squared (last row: w**2 alone).
    """
    first, last = _window(position, sigma, size)
    sums[:] = 0.0
    powers[:] = 0.0
    squares[:] = 0.0
    for i in range(first, last):
        u = (i - position) / sigma
        g = np.exp(-0.5 * u * u)
        w = np.exp(-0.5 * (u / BREADTH) ** 2)
        table[0, i - first] = w
        table[1, i - first] = w * g
        table[2, i - first] = w * g * u
        table[3, i - first] = w * g * u * u
        power = 1.0
        for p in range(5):
            sums[p] += w * g * g * power
            squares[0, p] += w * w * g * g * power
            if p < 3:
                powers[p] += w * g * power
                squares[1, p] += w * w * g * power
            power *= u
        powers[3] += w
        squares[2, 0] += w * w
    return first, last


@njit(nogil=True, cache=True)
def _moments(residual: F32, corner: I64, first: I64, last: I64, table: F64, out: F64) -> None:
    """Sum the residual over a window: plain, with g, with g*u_k, with g*u_k**2, and its square; all weighted."""
    out[:] = 0.0
    for z in range(first[0], last[0]):
        kz = z - first[0]
        for y in range(first[1], last[1]):
            ky = y - first[1]
            r0 = 0.0
            g0 = 0.0
            g1 = 0.0
            g2 = 0.0
            rr = 0.0
            row = residual[z - corner[0], y - corner[1]][first[2] - corner[2] : last[2] - corner[2]]
            for x in range(row.size):
                value = np.float64(row[x])
                r0 += table[2, 0, x] * value
                rr += table[2, 0, x] * value * value
                g0 += table[2, 1, x] * value
                g1 += table[2, 2, x] * value
                g2 += table[2, 3, x] * value
            weight = table[0, 0, kz] * table[1, 0, ky]
            product = table[0, 1, kz] * table[1, 1, ky]
            out[0] += weight * r0
            out[8] += weight * rr
            out[1] += product * g0
            out[2] += table[0, 2, kz] * table[1, 1, ky] * g0
            out[3] += table[0, 1, kz] * table[1, 2, ky] * g0
            out[4] += product * g1
            out[5] += table[0, 3, kz] * table[1, 1, ky] * g0
            out[6] += table[0, 1, kz] * table[1, 3, ky] * g0
            out[7] += product * g2


@njit(nogil=True, cache=True)
def _matrix(matrix: F64, gg: F64, g: F64, one: float) -> None:
    """Fill the symmetric matrix of z, y, x (in widths), log height, background, log width z, y, x for height 1.

    `gg[k, p]` and `g[k, p]` are sums along axis k of g**2 u**p and g u**p; `one` is the sum of the weights.
    """
    powers = np.zeros((8, 3), np.int64)
    for k in range(3):
        powers[k, k] = 1
        powers[5 + k, k] = 2
    for i in range(8):
        for j in range(i + 1):
            if i == 4 and j == 4:
                value = one
            elif i == 4 or j == 4:
                other = j if i == 4 else i
                value = g[0, powers[other, 0]] * g[1, powers[other, 1]] * g[2, powers[other, 2]]
            else:
                value = 1.0
                for k in range(3):
                    value *= gg[k, powers[i, k] + powers[j, k]]
            matrix[i, j] = value
            matrix[j, i] = value


@njit(nogil=True, cache=True)
def fit(residual: F32, corner: I64, shape: I64, state: F64, width: F64, own: bool, final: bool) -> F64:
    """Give the Gauss-Newton step of each atom against what all atoms leave over.

    Parameters
    ----------
    residual
        Block minus all atoms, shape (z, y, x).
    corner
        Index of its first voxel in the whole volume.
    shape
        Shape of the whole volume; windows end at its faces.
    state
        As in `subtract`, of the atoms that are to be fitted.
    width
        Shared widths along z, y, x in voxels.
    own
        Fit the scale too.
    final
        Work out the errors too.

    Returns
    -------
    Shape (atoms, `COLUMNS`): steps of position in voxels, of height (absolute), of log scale; background; variance of
    one voxel's noise; standard errors along z, y, x in voxels and of the height, under white noise. Where the normal
    matrix is singular the steps are 0 and the errors NaN.
    """
    result = np.zeros((len(state), COLUMNS))
    half = 0
    for k in range(3):
        half = max(half, int(WINDOW * width[k] * np.exp(max(state[:, 4].max(), 0.0))) + 2) if len(state) else 1
    table = np.zeros((3, 4, 2 * half + 1))
    gg = np.zeros((3, 5))
    g = np.zeros((3, 4))
    squares = np.zeros((3, 3, 5))
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    moments = np.empty(9)
    full = np.empty((8, 8))
    spread = np.empty((8, 8))
    matrix = np.empty((6, 6))
    sigma = np.empty(3)
    size = 6 if own else 5
    right = np.zeros((1, 6))
    for n in range(len(state)):
        height = state[n, 3]
        for k in range(3):
            sigma[k] = width[k] * np.exp(state[n, 4])
            first[k], last[k] = _axis_sums(state[n, k], sigma[k], shape[k], table[k], gg[k], g[k], squares[k])
        _moments(residual, corner, first, last, table, moments)
        _matrix(full, gg, g, g[0, 3] * g[1, 3] * g[2, 3])
        _reduce(full, matrix)
        right[0, :3] = moments[2:5]
        right[0, 3] = moments[1]
        right[0, 4] = moments[0]
        right[0, 5] = moments[5] + moments[6] + moments[7]
        gradient = right[0].copy()
        if not _factor(matrix, size):
            result[n, 7:] = np.nan
            continue
        _solve(matrix, right, size)
        for k in range(3):
            result[n, k] = right[0, k] * sigma[k] / height
        result[n, 3] = right[0, 3]
        result[n, 4] = right[0, 5] / height if own else 0.0
        result[n, 5] = right[0, 4]
        if final:
            left = moments[8]
            for i in range(size):
                left -= gradient[i] * right[0, i]
            _matrix(full, squares[:, 0], squares[:, 1], squares[0, 2, 0] * squares[1, 2, 0] * squares[2, 2, 0])
            _reduce(full, spread)
            _errors(matrix, spread, size, g[0, 3] * g[1, 3] * g[2, 3], left, result[n])
            for k in range(3):
                result[n, 7 + k] *= sigma[k] / height
    return result


@njit(nogil=True, cache=True)
def _reduce(full: F64, matrix: F64) -> None:
    """Turn the three log widths into one log scale."""
    for i in range(5):
        for j in range(5):
            matrix[i, j] = full[i, j]
        matrix[i, 5] = full[i, 5] + full[i, 6] + full[i, 7]
        matrix[5, i] = matrix[i, 5]
    matrix[5, 5] = 0.0
    for i in range(5, 8):
        for j in range(5, 8):
            matrix[5, 5] += full[i, j]


@njit(nogil=True, cache=True)
def _errors(factor: F64, spread: F64, size: int, weight: float, left: float, row: F64) -> None:
    """Write the noise variance and the errors of position and height, from Cholesky factor and squared weights."""
    inverse = np.zeros((size, size))
    for i in range(size):
        inverse[i, i] = 1.0
    _solve(factor, inverse, size)
    freedom = weight
    for i in range(size):
        for j in range(size):
            freedom -= inverse[i, j] * spread[j, i]
    variance = max(left, 0.0) / freedom if freedom > 0.05 * weight else np.nan
    row[6] = variance
    for k in range(4):
        total = 0.0
        for i in range(size):
            for j in range(size):
                total += inverse[k, i] * spread[i, j] * inverse[k, j]
        row[7 + k] = np.sqrt(variance * total)


@njit(nogil=True, cache=True)
def widths(residual: F32, corner: I64, shape: I64, state: F64, width: F64) -> F64:
    """Give what each atom says of the shared widths, its own position, height and background eliminated.

    The arguments are those of `fit`; the scales in `state` are not used.

    Returns
    -------
    Shape (atoms, 12): the 3 by 3 matrix and the right side for steps of log width along z, y, x; sums over atoms of
    both make the Gauss-Newton step.
    """
    result = np.zeros((len(state), 12))
    half = 1
    for k in range(3):
        half = max(half, int(WINDOW * width[k]) + 2)
    table = np.zeros((3, 4, 2 * half + 1))
    gg = np.zeros((3, 5))
    g = np.zeros((3, 4))
    squares = np.zeros((3, 3, 5))
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    moments = np.empty(9)
    full = np.empty((8, 8))
    matrix = np.empty((5, 5))
    right = np.empty((4, 5))
    for n in range(len(state)):
        height = state[n, 3]
        for k in range(3):
            first[k], last[k] = _axis_sums(state[n, k], width[k], shape[k], table[k], gg[k], g[k], squares[k])
        _moments(residual, corner, first, last, table, moments)
        _matrix(full, gg, g, g[0, 3] * g[1, 3] * g[2, 3])
        matrix[:] = full[:5, :5]
        right[0, :3] = moments[2:5]
        right[0, 3] = moments[1]
        right[0, 4] = moments[0]
        right[1:] = full[5:, :5]
        if not _factor(matrix, 5):
            continue
        _solve(matrix, right, 5)
        for a in range(3):
            for b in range(3):
                total = full[5 + a, 5 + b]
                for i in range(5):
                    total -= full[5 + a, i] * right[1 + b, i]
                result[n, 3 * a + b] = total * height * height
            total = moments[5 + a]
            for i in range(5):
                total -= full[5 + a, i] * right[0, i]
            result[n, 9 + a] = total * height
    return result


@njit(nogil=True, cache=True)
def correlation(residual: F32, corner: I64, shape: I64, state: F64, width: F64, background: F64, lags: int) -> F64:
    """Sum products of what is left over in each atom's window with itself, shifted along z, y, x.

    The arguments are those of `fit`; `background` is what it found for each atom, and is taken off first.

    Returns
    -------
    Shape (atoms, 3, lags, 2): sums of products, and how many they are, for shifts of 0 to lags - 1 voxels.
    """
    result = np.zeros((len(state), 3, lags, 2))
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for n in range(len(state)):
        for k in range(3):
            first[k], last[k] = _window(state[n, k], width[k], shape[k])
        window = residual[
            first[0] - corner[0] : last[0] - corner[0],
            first[1] - corner[1] : last[1] - corner[1],
            first[2] - corner[2] : last[2] - corner[2],
        ]
        for z in range(window.shape[0]):
            for y in range(window.shape[1]):
                for x in range(window.shape[2]):
                    here = window[z, y, x] - background[n]
                    for lag in range(lags):
                        if z + lag < window.shape[0]:
                            result[n, 0, lag, 0] += here * (window[z + lag, y, x] - background[n])
                            result[n, 0, lag, 1] += 1.0
                        if y + lag < window.shape[1]:
                            result[n, 1, lag, 0] += here * (window[z, y + lag, x] - background[n])
                            result[n, 1, lag, 1] += 1.0
                        if x + lag < window.shape[2]:
                            result[n, 2, lag, 0] += here * (window[z, y, x + lag] - background[n])
                            result[n, 2, lag, 1] += 1.0
    return result


def widening(products: F64, width: F64) -> F64:
    """Return by how much correlated noise widens the errors of z, y, x and height over white noise of equal variance.

    Parameters
    ----------
    products
        Sums of `correlation` over atoms, shape (3, lags, 2).
    width
        Shared widths along z, y, x in voxels.
    """
    plain = np.ones(3)
    odd = np.ones(3)
    for k in range(3):
        mean = products[k, :, 0] / np.maximum(products[k, :, 1], 1)
        rho = mean / mean[0] if mean[0] > 0 else (np.arange(mean.size) == 0).astype(float)
        rho[np.cumsum(rho <= 0) > 0] = 0.0
        half = max(int(WINDOW * width[k] + 0.5), 1)
        u = np.arange(-half, half + 1) / width[k]
        apart = np.abs(np.subtract.outer(np.arange(u.size), np.arange(u.size)))
        matrix = np.where(apart < rho.size, rho[np.minimum(apart, rho.size - 1)], 0.0)
        profile = np.exp(-0.5 * u**2 * (1 + BREADTH**-2))
        plain[k] = profile @ matrix @ profile / (profile @ profile)
        odd[k] = (u * profile) @ matrix @ (u * profile) / ((u * profile) @ (u * profile))
    every = plain[0] * plain[1] * plain[2]
    total = np.array([*(every * odd / plain), every])
    widened: F64 = np.sqrt(np.maximum(total, 0.0))
    return widened
