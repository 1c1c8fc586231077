"""How a template is stretched to become the neighbours of an atom."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.template_matching import MOST, Match, inverse

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

PLANE = 1e-3
"""Determinant of the sum of outer products of points below which they are in a plane, and say nothing across it."""


def fit(position: F64, covariance: F64 | None, matched: Match) -> tuple[F64, F64, F64, F64]:
    """Return how the template is stretched at each atom, with standard errors.

    The vectors to the neighbours are A t of the points t of the template, in least squares; the nearest neighbour
    distance d is the cube root of the determinant of A, and F = A / d the deformation gradient. Both are linear in the
    errors of the positions, which are taken for independent.

    Parameters
    ----------
    position, covariance
        Shapes (atoms, 3) and (atoms, 3, 3); NaN where a covariance is not known, None where none is.
    matched
        As `match` gives it.

    Returns
    -------
    d, its standard error, F, and the standard errors of its entries; NaN where no template fits.
    """
    atoms = len(position)
    length, gradient = np.full((atoms, 2), np.nan), np.full((atoms, 2, 3, 3), np.nan)
    told = np.empty((0, 3, 3)) if covariance is None else covariance
    _fit(position, told, matched.points, matched.neighbour, matched.code, length, gradient)
    return length[:, 0], length[:, 1], gradient[:, 0], gradient[:, 1]


@njit(nogil=True, cache=True)
def _fit(position: F64, covariance: F64, points: F64, neighbour: I32, code: I32, length: F64, gradient: F64) -> None:
    """Fit A to each atom and follow the errors of it and its neighbours."""
    normal, over, product = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    whole, back = np.empty((3, 3)), np.empty((3, 3))
    share, along, weight = np.empty((MOST + 1, 3)), np.empty(3), np.empty(3)
    for i in range(len(position)):
        count = 0
        while code[i] > 0 and count < MOST and neighbour[i, count] >= 0:
            count += 1
        normal[:], product[:] = 0.0, 0.0
        for k in range(count):
            for a in range(3):
                for b in range(3):
                    normal[a, b] += points[i, k, a] * points[i, k, b]
                    product[a, b] += (position[neighbour[i, k], a] - position[i, a]) * points[i, k, b]
        if not inverse(normal, over) > PLANE:
            continue
        for a in range(3):
            for b in range(3):
                whole[a, b] = (product[a] * over[:, b]).sum()
        volume = inverse(whole, back)
        if not volume > 0.0:
            continue
        d = volume ** (1 / 3)
        length[i, 0] = d
        gradient[i, 0] = whole / d
        if not len(covariance):
            continue
        length[i, 1], gradient[i, 1] = 0.0, 0.0
        share[count] = 0.0  # of the atom itself
        for k in range(count):
            for b in range(3):
                share[k, b] = (over[b] * points[i, k]).sum()
            share[count] -= share[k]
        for k in range(count + 1):
            j = neighbour[i, k] if k < count else i
            for c in range(3):
                along[c] = d / 3 * (back[:, c] * share[k]).sum()
            length[i, 1] += _variance(along, covariance[j])
            for a in range(3):
                for b in range(3):
                    for c in range(3):
                        weight[c] = ((share[k, b] if a == c else 0.0) - whole[a, b] / d * along[c]) / d
                    gradient[i, 1, a, b] += _variance(weight, covariance[j])
        length[i, 1] = math.sqrt(length[i, 1])
        gradient[i, 1] = np.sqrt(gradient[i, 1])


@njit(nogil=True, cache=True)
def _variance(weight: F64, covariance: F64) -> float:
    total = 0.0
    for a in range(3):
        for b in range(3):
            total += weight[a] * covariance[a, b] * weight[b]
    return total
