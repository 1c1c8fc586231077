"""Normals and curvatures of a surface of atoms, from quadratic patches."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

UNKNOWNS = 6
"""Of a patch: height, two slopes, three second derivatives."""
ROUNDS = 3
"""Times that a patch is fitted along the normal of the one before."""


def outwards(position: F64, start: I64, index: I32) -> F64:
    """Return the direction to the vacuum of each atom, shape (atoms, 3): against the mean direction to its neighbours.

    NaN for atoms without neighbours, and for those whose neighbours balance.

    Parameters
    ----------
    position
        Shape (atoms, 3).
    start, index
        Neighbours of atom i are ``index[start[i] : start[i + 1]]``.
    """
    source = np.repeat(np.arange(len(position)), np.diff(start))
    bond = position[source] - position[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        bond /= np.linalg.norm(bond, axis=1, keepdims=True)
        total = np.stack([np.bincount(source, bond[:, k], len(position)) for k in range(3)], axis=1)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.asarray(np.where(length > 1e-9, total / length, np.nan))


@njit(nogil=True, cache=True)
def patches(position: F64, normal: F64, start: I64, index: I32) -> tuple[F64, F64]:
    """Fit z = a + p u + q v + (l u**2 + 2 m u v + n v**2) / 2 around each atom, z along its normal, in least squares.

    Atoms whose own normal points the other way are on another side of the particle and do not count. The normal follows
    the slopes p and q, and the patch is fitted again.

    Parameters
    ----------
    position, normal
        Of the atoms of the surface, shape (atoms, 3); NaN where there is no normal.
    start, index
        Atoms of the patch of atom i, without itself, are ``index[start[i] : start[i + 1]]``.

    Returns
    -------
    Normals, shape (atoms, 3). Mean curvature, Gaussian curvature and their standard errors from how far the atoms are
    off the patch, shape (atoms, 4); both curvatures of a ball are positive. NaN where fewer than seven atoms count.
    """
    atoms = len(position)
    turned, found = np.full((atoms, 3), np.nan), np.full((atoms, 4), np.nan)
    for i in range(atoms):
        up = normal[i].copy()
        for _ in range(ROUNDS):
            if not np.isfinite(up).all():
                break
            across = np.zeros(3)
            across[np.abs(up).argmin()] = 1.0
            u = np.cross(up, across)
            u /= np.sqrt((u**2).sum())
            v = np.cross(up, u)
            product, right, height = np.zeros((UNKNOWNS, UNKNOWNS)), np.zeros(UNKNOWNS), 0.0
            row, count = np.zeros(UNKNOWNS), 0
            for k in range(start[i] - 1, start[i + 1]):
                j = i if k < start[i] else index[k]
                if (normal[j] * up).sum() <= 0.0 or not np.isfinite(normal[j]).all():
                    continue
                away = position[j] - position[i]
                x, y, z = (away * u).sum(), (away * v).sum(), (away * up).sum()
                row[0], row[1], row[2], row[3], row[4], row[5] = 1.0, x, y, 0.5 * x * x, x * y, 0.5 * y * y
                for a in range(UNKNOWNS):
                    right[a] += row[a] * z
                    for b in range(UNKNOWNS):
                        product[a, b] += row[a] * row[b]
                height += z * z
                count += 1
            if count <= UNKNOWNS or np.linalg.cond(product) > 1e12:
                up[:] = np.nan
                break
            inverse = np.linalg.inv(product)
            fit = inverse @ right
            noise = max(height - (fit * right).sum(), 0.0) / (count - UNKNOWNS)
            p, q, along, mixed, cross = fit[1], fit[2], fit[3], fit[4], fit[5]
            steep = 1 + p * p + q * q
            found[i, 0] = -((1 + q * q) * along - 2 * p * q * mixed + (1 + p * p) * cross) / (2 * steep**1.5)
            found[i, 1] = (along * cross - mixed * mixed) / steep**2
            share = np.array([[0.5, 0.0, 0.5], [cross, -2 * mixed, along]])
            spread = share @ np.ascontiguousarray(inverse[3:, 3:]) @ share.T
            found[i, 2], found[i, 3] = np.sqrt(noise * spread[0, 0]), np.sqrt(noise * spread[1, 1])
            up = (up - p * u - q * v) / np.sqrt(steep)
        turned[i] = up
        if not np.isfinite(up).all():
            found[i] = np.nan
    return turned, found
