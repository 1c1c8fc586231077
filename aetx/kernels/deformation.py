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
def _variance(direction: F64, spread: F64) -> float:
    """Return the variance of the sum of products of a 3 x 3 matrix with the gradient."""
    total = 0.0
    for a in range(3):
        for b in range(3):
            if direction[a, b] == 0:
                continue
            for p in range(3):
                for q in range(3):
                    total += direction[a, b] * direction[p, q] * spread[PACKED[a, p], PACKED[b, q]]
    return total


@njit(nogil=True, cache=True)
def _error(turn: F64, direction: F64, spread: F64) -> float:
    """Return the standard error of a component of transpose(R) F, NaN where the errors of positions are not known."""
    variance = _variance(turn @ direction, spread)
    return math.sqrt(variance) if variance >= 0 else math.nan


@njit(nogil=True, cache=True)
def derive(gradient: F64, spread: F64, frame: F64, outwards: F64, out: F64) -> None:
    """Write strain, rotation and what follows from them, with standard errors, for one point.

    The deformation F = 1 + gradient = R U, R a rotation and U symmetric, has the strain U - 1 and the rotation log R.
    To first order they are the symmetric and the antisymmetric part of the gradient, to second order a rotation makes
    no strain. Each result is to first order a sum of products of the gradient with a matrix, so that its variance
    follows from the covariance of the gradient.

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
    deformation = gradient + np.eye(3)
    size = inverse(deformation, np.empty((3, 3)))
    if not size > 0:
        out[:] = math.nan
        return
    turn = rotation_of(deformation)
    strain = turn.T @ deformation
    for i in range(3):
        strain[i, i] -= 1.0
    angle = math.acos(min(1.0, max(-1.0, 0.5 * (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0))))
    stretched = angle / math.sin(angle) if 1e-6 < angle < 3.1 else 1.0
    seen, turned = frame @ strain @ frame.T, frame @ (0.5 * stretched * (turn - turn.T)) @ frame.T
    direction = np.empty((3, 3))
    for k in range(6):
        a, b = FIRST[k], SECOND[k]
        out[STRAIN + k] = seen[a, b]
        for i in range(3):
            for j in range(3):
                direction[i, j] = 0.5 * (frame[a, i] * frame[b, j] + frame[b, i] * frame[a, j])
        out[STRAIN_ERROR + k] = _error(turn, direction, spread)
        if a != b:
            out[ROTATION + k - 3] = turned[a, b]
            for i in range(3):
                for j in range(3):
                    direction[i, j] = 0.5 * (frame[a, i] * frame[b, j] - frame[b, i] * frame[a, j])
            out[ROTATION_ERROR + k - 3] = _error(turn, direction, spread)
    volume = strain[0, 0] + strain[1, 1] + strain[2, 2]
    out[VOLUMETRIC] = volume
    out[VOLUMETRIC + 1] = _error(turn, np.eye(3), spread)
    shape = strain - volume / 3 * np.eye(3)
    mises = math.sqrt(0.5 * (shape * shape).sum())
    out[VON_MISES] = mises
    out[VON_MISES + 1] = _error(turn, shape / (2 * mises), spread) if mises > 0 else math.nan
    away = math.sqrt((outwards * outwards).sum())
    if not away > CENTRE:
        out[RADIAL:COLUMNS] = math.nan
        return
    ray = np.outer(outwards, outwards) / away**2
    out[RADIAL] = (ray * strain).sum()
    out[RADIAL + 1] = _error(turn, ray, spread)
    out[HOOP] = 0.5 * (volume - out[RADIAL])
    out[HOOP + 1] = _error(turn, 0.5 * (np.eye(3) - ray), spread)
