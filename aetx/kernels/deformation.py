"""From the gradient of a deformation to its strain and rotation, each with its standard error."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Axes of the six components of a symmetric tensor: xx yy zz yz xz xy."""
PACKED = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""Which of the six components each of the nine of a symmetric tensor is."""
STRAIN, STRAIN_ERROR, ROTATION, ROTATION_ERROR = 0, 6, 12, 15
VOLUMETRIC, VON_MISES, RADIAL, HOOP = 18, 20, 22, 24
"""First column of each result; scalars are followed by their standard error."""
COLUMNS = 26
"""Number of results."""
FIRST, SECOND = np.array(PAIRS).T.copy()
CENTRE = 1e-6
"""Distance from the centre, angstrom, within which there is no direction away from it."""
TURNS = 20
"""Most steps of the iteration to the rotation; it doubles its digits at each."""


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def products(left: F64, right: F64, count: int, made: F64) -> None:
    """Write the sums of the products of each row of one array with each of another, over the first columns."""
    for i in range(len(left)):
        for j in range(len(right)):
            one, other, total = left[i], right[j], 0.0
            for k in range(count):
                total += one[k] * other[k]
            made[i, j] = total


@njit(nogil=True, cache=True)
def inverse(matrix: F64, made: F64) -> float:
    """Write the inverse of a 3 x 3 matrix and return the determinant; nothing is written where that is 0 or NaN."""
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            made[i, j] = matrix[a, c] * matrix[b, d] - matrix[a, d] * matrix[b, c]
    size = matrix[0, 0] * made[0, 0] + matrix[0, 1] * made[1, 0] + matrix[0, 2] * made[2, 0]
    if abs(size) > 0:
        for i in range(3):
            for j in range(3):
                made[i, j] /= size
    return float(size)


@njit(nogil=True, cache=True)
def rotation_of(matrix: F64) -> F64:
    """Return the rotation R nearest to a matrix F = R U with a positive determinant, by Newton's iteration.

    N. J. Higham, SIAM J. Sci. Stat. Comput. 7, 1160 (1986), doi:10.1137/0907079.
    """
    found, other = matrix.copy(), np.empty((3, 3))
    for _ in range(TURNS):
        inverse(found, other)
        moved = 0.0
        for i in range(3):
            for j in range(3):
                moved = max(moved, abs(found[i, j] - other[j, i]))
                found[i, j] = 0.5 * (found[i, j] + other[j, i])
        if moved < 1e-14:
            break
    return found


@njit(nogil=True, cache=True)
def _covariance(turn: F64, frame: F64, spread: F64) -> F64:
    """Return the covariance of the six strains and three rotations along the axes of a frame, shape (9, 9).

    A change of the gradient changes the strain by the symmetric part of transpose(R) times it, and the rotation by the
    antisymmetric part.
    """
    seen = np.zeros((9, 9))  # derivative of each by each component of the gradient
    axes = np.zeros((3, 3))
    for a in range(3):
        for i in range(3):
            for j in range(3):
                axes[a, i] += frame[a, j] * turn[i, j]
    for k in range(9):
        a, b = FIRST[k % 6 + 3 * (k > 5)], SECOND[k % 6 + 3 * (k > 5)]
        for i in range(3):
            for j in range(3):
                one, other = axes[a, i] * frame[b, j], axes[b, i] * frame[a, j]
                seen[k, 3 * i + j] = 0.5 * (one + other) if k < 6 else 0.5 * (one - other)
    half, made = np.zeros((9, 9)), np.zeros((9, 9))
    for k in range(9):
        for p in range(3):
            for q in range(3):
                total = 0.0
                for a in range(3):
                    for b in range(3):
                        total += seen[k, 3 * a + b] * spread[PACKED[a, p], PACKED[b, q]]
                half[k, 3 * p + q] = total
    for k in range(9):
        for m in range(k + 1):
            total = 0.0
            for j in range(9):
                total += half[k, j] * seen[m, j]
            made[k, m] = made[m, k] = total
    return made


@njit(nogil=True, cache=True)
def _error(share: F64, covariance: F64) -> float:
    """Return the standard error of a weighted sum of the six strains, NaN where it is not known."""
    variance = 0.0
    for k in range(6):
        for m in range(6):
            variance += share[k] * share[m] * covariance[k, m]
    return math.sqrt(variance) if variance >= 0 else math.nan


@njit(nogil=True, cache=True)
def derive(gradient: F64, spread: F64, frame: F64, outwards: F64, out: F64) -> None:
    """Write strain, rotation and what follows from them, with standard errors, for one point.

    The deformation F = 1 + gradient = R U, R a rotation and U symmetric, has the strain U - 1 and the rotation log R.
    To first order they are the symmetric and the antisymmetric part of the gradient; a rotation makes no strain. Each
    result is to first order a weighted sum of the gradient, from whose covariance its variance follows.

    Parameters
    ----------
    gradient
        Derivative of the displacement, row by component, column by place, shape (3, 3).
    spread
        ``spread[PACKED[a, p], PACKED[b, q]]`` is the covariance of ``gradient[a, b]`` and ``gradient[p, q]``, (6, 6).
    frame
        Axes of the results, one in each row, shape (3, 3).
    outwards
        From the centre to the point, shape (3,).
    out
        Shape (COLUMNS,): strain (`PAIRS`) and its errors, rotation (yz, xz, xy) and its errors, volumetric strain,
        von Mises strain, radial strain and mean strain across, each with its error.
    """
    deformation = gradient.copy()
    for i in range(3):
        deformation[i, i] += 1.0
    if not inverse(deformation, np.empty((3, 3))) > 0:
        out[:] = math.nan
        return
    turn = rotation_of(deformation)
    strain, spin = np.zeros((3, 3)), np.zeros((3, 3))
    cosine = 0.5 * (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0)
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    longer = angle / math.sin(angle) if 1e-6 < angle < 3.1 else 1.0
    for a in range(3):
        for b in range(3):
            for i in range(3):
                for j in range(3):
                    own = (
                        turn[0, i] * deformation[0, j] + turn[1, i] * deformation[1, j] + turn[2, i] * deformation[2, j]
                    )
                    strain[a, b] += frame[a, i] * frame[b, j] * (own - (i == j))
                    spin[a, b] += 0.5 * longer * frame[a, i] * frame[b, j] * (turn[i, j] - turn[j, i])
    covariance = _covariance(turn, frame, spread)
    volume, share = strain[0, 0] + strain[1, 1] + strain[2, 2], np.zeros(6)
    square = 0.0
    for k in range(6):
        a, b = FIRST[k], SECOND[k]
        out[STRAIN + k] = strain[a, b]
        variance = covariance[k, k]
        out[STRAIN_ERROR + k] = math.sqrt(variance) if variance >= 0 else math.nan
        square += (strain[a, b] - volume / 3) ** 2 if a == b else 2 * strain[a, b] ** 2
        share[k] = a == b
    for k in range(3):
        out[ROTATION + k] = spin[FIRST[3 + k], SECOND[3 + k]]
        variance = covariance[6 + k, 6 + k]
        out[ROTATION_ERROR + k] = math.sqrt(variance) if variance >= 0 else math.nan
    out[VOLUMETRIC] = volume
    out[VOLUMETRIC + 1] = _error(share, covariance)
    mises = math.sqrt(0.5 * square)
    out[VON_MISES], out[VON_MISES + 1] = mises, math.nan
    if mises > 0:
        for k in range(6):
            a, b = FIRST[k], SECOND[k]
            share[k] = (strain[a, b] - volume / 3) / (2 * mises) if a == b else strain[a, b] / mises
        out[VON_MISES + 1] = _error(share, covariance)
    _rays(strain, volume, covariance, frame, outwards, out)


@njit(nogil=True, cache=True)
def _rays(strain: F64, volume: float, covariance: F64, frame: F64, outwards: F64, out: F64) -> None:
    """Write the strain along the ray from the centre and the mean strain across it."""
    away = math.sqrt(outwards[0] ** 2 + outwards[1] ** 2 + outwards[2] ** 2)
    if not away > CENTRE:
        out[RADIAL:COLUMNS] = math.nan
        return
    ray, share = np.zeros(3), np.zeros(6)
    for a in range(3):
        for j in range(3):
            ray[a] += frame[a, j] * outwards[j] / away
    radial = 0.0
    for k in range(6):
        a, b = FIRST[k], SECOND[k]
        share[k] = ray[a] * ray[b] * (1 + (a != b))
        radial += share[k] * strain[a, b]
    out[RADIAL], out[RADIAL + 1] = radial, _error(share, covariance)
    for k in range(6):
        share[k] = 0.5 * ((FIRST[k] == SECOND[k]) - share[k])
    out[HOOP], out[HOOP + 1] = 0.5 * (volume - radial), _error(share, covariance)
