"""How the nearest neighbours of each atom are deformed: gradient, what no gradient explains, and change of scale."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.deformation import COLUMNS as DERIVED
from aetx.kernels.deformation import FIRST, PACKED, SECOND, derive, inverse, products, rotation_of
from aetx.kernels.neighbours import Neighbours, nearest, within

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

SHELL = 1.2
"""Neighbours are nearer than this times the shortest distance of sites: both first shells of bcc (1 and 1.155), and the
first alone where the second begins at 1.414 or beyond."""
FLAT = 1e-6
"""Determinant, over that of a sphere of neighbours, of bonds that lie in one plane or on one line."""
MISFIT, REST = 0, 1
"""First columns of `gradients`: mean square of what the gradient leaves; those of `deformation.derive` are the rest."""


def bonds(site: F64, grain: I64) -> Neighbours:
    """Return the neighbours of each atom on the nearest sites of its own grain.

    Parameters
    ----------
    site
        Places in the reference lattice, shape (atoms, 3).
    grain
        Number of the grain of each, from 0, shape (atoms,).
    """
    count = np.zeros(len(site), np.int64)
    parts = []
    for one in np.unique(grain):
        own = np.flatnonzero(grain == one)
        closest = nearest(site[own], 1)[1]
        found = within(site[own], SHELL * float(np.median(closest))) if len(own) > 1 else None
        if found is not None:
            count[own] = found.count
            parts.append((own, found))
    start = np.concatenate([[0], np.cumsum(count)])
    index, distance = np.empty(start[-1], np.int32), np.empty(start[-1])
    for own, found in parts:
        entry = np.repeat(start[own] - found.start[:-1], found.count) + np.arange(len(found.index))
        index[entry], distance[entry] = own[found.index], found.distance
    return Neighbours(start, index, distance)


def gradients(
    site: F64, displacement: F64, covariance: F64, grain: I64, around: Neighbours, frames: F64, centre: F64
) -> F64:
    """Return the deformation of the bonds of each atom.

    F minimises sum_j |(r_j - r_i) - F (R_j - R_i)|**2 over the neighbours j of atom i, r the positions and R the sites.

    Parameters
    ----------
    site, displacement
        Places in the reference lattice, and where atoms are from there, shape (atoms, 3), angstrom.
    covariance
        Of each position, shape (atoms, 3, 3), angstrom**2.
    grain
        Number of the grain of each atom, from 0, shape (atoms,).
    around
        As `bonds` makes it.
    frames
        Axes in which the results of each grain are given, one in each row, shape (grains, 3, 3).
    centre
        From which radial and hoop strains are taken, shape (3,), angstrom.

    Returns
    -------
    The mean of those squares at their least, angstrom**2, and `deformation.derive`, shape (atoms, 1 + its columns); NaN
    where fewer than three bonds are known, or all in one plane.

    References
    ----------
    M. L. Falk, J. S. Langer, Phys. Rev. E 57, 7192 (1998), doi:10.1103/PhysRevE.57.7192.
    """
    made = np.full((len(site), REST + DERIVED), np.nan)
    packed = covariance[:, FIRST, SECOND]
    _gradients(site, displacement, packed, grain, around.start, around.index, frames, centre, made)
    return made


def scales(site: F64, position: F64, covariance: F64, around: Neighbours) -> tuple[F64, F64]:
    """Return the factor by which the bonds of each atom are longer than in the reference, and its standard error.

    An atom and its neighbours are fitted by their sites, shifted, rotated and scaled: with h the sites and r the
    positions from their means, and R the rotation that brings h closest to r, the scale is
    s = sum (R h).r / sum h.h. It does not change to first order with R, so that its error is exact to first order.

    Parameters
    ----------
    site, position
        Shape (atoms, 3), angstrom.
    covariance
        Of each position, shape (atoms, 3, 3), angstrom**2.
    around
        As `bonds` makes it.

    Returns
    -------
    Both of shape (atoms,); NaN where fewer than three bonds are known, or all in one plane.

    References
    ----------
    S. Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 13, 376 (1991), doi:10.1109/34.88573.
    """
    scale, error = np.full(len(site), np.nan), np.full(len(site), np.nan)
    _scales(site, position, covariance[:, FIRST, SECOND], around.start, around.index, scale, error)
    return scale, error


@njit(nogil=True, cache=True)
def _gradients(
    site: F64,
    displacement: F64,
    covariance: F64,
    grain: I64,
    start: I64,
    index: I32,
    frames: F64,
    centre: F64,
    out: F64,
) -> None:
    most = int((start[1:] - start[:-1]).max()) + 1
    away, slopes, errors = np.empty((6, most)), np.empty((6, most)), np.empty((6, most))
    moments, carried = np.empty((3, 6)), np.empty((6, 6))
    moment, solve, gradient = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    for i in range(len(site)):
        first, count = start[i], start[i + 1] - start[i]
        for k in range(count):
            for a in range(3):
                away[a, k] = site[index[first + k], a] - site[i, a]
                away[3 + a, k] = displacement[index[first + k], a] - displacement[i, a]
        products(away[:3], away, count, moments)
        moment[:] = moments[:, :3]
        size = (moment[0, 0] + moment[1, 1] + moment[2, 2]) / 3
        if not inverse(moment, solve) > FLAT * size**3:
            continue
        for a in range(3):
            for b in range(3):
                gradient[a, b] = 0.0
                for c in range(3):
                    gradient[a, b] += moments[c, 3 + a] * solve[c, b]
        misfit, own_x, own_y, own_z = 0.0, 0.0, 0.0, 0.0
        for k in range(count + 1):
            if k < count:
                x, y, z = away[0, k], away[1, k], away[2, k]
                for a in range(3):
                    left = away[3 + a, k] - gradient[a, 0] * x - gradient[a, 1] * y - gradient[a, 2] * z
                    misfit += left * left / count
                    slopes[a, k] = solve[a, 0] * x + solve[a, 1] * y + solve[a, 2] * z
                x, y, z = slopes[0, k], slopes[1, k], slopes[2, k]
                own_x, own_y, own_z = own_x - x, own_y - y, own_z - z
            else:
                x, y, z = own_x, own_y, own_z
            slopes[0, k], slopes[1, k], slopes[2, k] = x * x, y * y, z * z
            slopes[3, k], slopes[4, k], slopes[5, k] = y * z, x * z, x * y
            for a in range(6):
                errors[a, k] = covariance[index[first + k] if k < count else i, a]
        products(errors, slopes, count + 1, carried)
        out[i, MISFIT] = misfit
        derive(gradient, carried, frames[grain[i]], site[i] - centre, out[i, REST:])


@njit(nogil=True, cache=True)
def _scales(site: F64, position: F64, covariance: F64, start: I64, index: I32, scale: F64, error: F64) -> None:
    moment, product, spare = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    for i in range(len(site)):
        count = start[i + 1] - start[i] + 1
        member = np.empty(count, np.int64)
        member[0] = i
        for k in range(1, count):
            member[k] = index[start[i] + k - 1]
        centre, middle = np.zeros(3), np.zeros(3)
        moment[:] = 0.0
        for atom in member:
            centre += site[atom] / count
            middle += position[atom] / count
            for a in range(3):
                for b in range(3):
                    moment[a, b] += (site[atom, a] - site[i, a]) * (site[atom, b] - site[i, b])
        size = (moment[0, 0] + moment[1, 1] + moment[2, 2]) / 3
        if not inverse(moment, spare) > FLAT * size**3:
            continue
        product[:] = 0.0
        total = 0.0
        for atom in member:
            for a in range(3):
                total += (site[atom, a] - centre[a]) ** 2
                for b in range(3):
                    product[a, b] += (position[atom, a] - middle[a]) * (site[atom, b] - centre[b])
        if not inverse(product, spare) > 0:
            continue
        turn = rotation_of(product)
        scale[i] = (turn * product).sum() / total
        variance = 0.0
        for atom in member:
            slope = turn @ (site[atom] - centre) / total
            for a in range(3):
                for b in range(3):
                    variance += slope[a] * slope[b] * covariance[atom, PACKED[a, b]]
        error[i] = math.sqrt(variance) if variance >= 0 else math.nan
