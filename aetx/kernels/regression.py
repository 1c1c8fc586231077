"""A displacement field and its gradient from atoms near by: kernel regression of order 0 and 1."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.deformation import COLUMNS as DERIVED
from aetx.kernels.deformation import FIRST, PACKED, SECOND, derive, inverse, products

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

REACH = 4.0
"""Distance in widths beyond which an atom has no weight."""
MOST = 128
"""Most cells along an axis."""
DENSITY, GRAIN, DISPLACEMENT, DISPLACEMENT_ERROR, LEVERAGE, REST = 0, 1, 2, 5, 8, 9
"""First column of each result; those of `deformation.derive` are the rest."""
COLUMNS = REST + DERIVED
"""Number of results."""
FLAT = 1e-6
"""Determinant, over that of the kernel, of the spread of atoms that lie in one plane or on one line."""


class Cloud(NamedTuple):
    """Atoms in cells: their sites, displacements, packed covariances (xx yy zz yz xz xy), weights and grains.

    Cells are cubes of an edge from `low` on, `size` of them along each axis; the atoms of cell k are those from
    ``start[k]`` to ``start[k + 1]``. `width` is that of the kernel.
    """

    site: F64
    displacement: F64
    covariance: F64
    trust: F64
    grain: I64
    low: F64
    edge: float
    size: I64
    start: I64
    width: float


def cloud(site: F64, displacement: F64, covariance: F64, trust: F64, grain: I64, width: float) -> Cloud:
    """Sort atoms into cells.

    Parameters
    ----------
    site, displacement
        Place of each atom in the reference lattice and where it is from there, shape (atoms, 3), angstrom.
    covariance
        Of each position, shape (atoms, 3, 3), angstrom**2.
    trust
        Factor of the weight of each atom, shape (atoms,).
    grain
        Number of the grain of each atom, from 0, shape (atoms,).
    width
        Standard deviation of the kernel, angstrom.
    """
    low = site.min(axis=0)
    extent = site.max(axis=0) - low
    edge = max(REACH * width / 3, float(extent.max()) / MOST)
    size = np.floor(extent / edge).astype(np.int64) + 1
    place = np.floor((site - low) / edge).astype(np.int64)
    cell = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], np.arange(int(size.prod()) + 1))
    packed = covariance[:, FIRST, SECOND]
    values = site[order], displacement[order], packed[order], trust[order], grain[order]
    return Cloud(*values, low, edge, size, start, float(width))


def densities(atoms: Cloud, point: F64, home: I64, joined: bool) -> F64:
    """Return the sum of exp(-d**2 / (2 width**2)) over the atoms around each point, shape (points,).

    Parameters
    ----------
    atoms
        Those around.
    point
        Shape (points, 3), angstrom.
    home
        Grain of each point; -1 for that with the greatest sum.
    joined
        Whether all grains count.
    """
    made = np.empty(len(point))
    _densities(atoms, point, home, joined, made)
    return made


def regress(
    atoms: Cloud,
    point: F64,
    home: I64,
    order: int,
    joined: bool,
    frames: F64,
    centre: F64,
    interior: float,
    least: float,
) -> F64:
    """Return displacement, strain and rotation at points, with standard errors.

    With weights w = exp(-d**2 / (2 s**2)) of atoms at sites x + D, D' = D - sum w D / sum w, and displacements u, the
    gradient is B = sum_i u_i outer c_i with c = w G D'. Order 1 is the straight line through the displacements in
    weighted least squares, G = inverse(sum w D' outer D'); it is exact wherever the field is linear. Order 0 is the
    derivative of the weighted mean sum w u / sum w, G = 1 / (s**2 sum w): the same in the bulk, but too small where
    atoms lie on one side only. Both are linear in the displacements, so that B has the covariance
    sum_i cov(u_i) c_i c_i, exactly.

    Parameters
    ----------
    atoms, point, home, joined
        As in `densities`.
    order
        0 or 1.
    frames
        Axes in which the results of each grain are given, one in each row, shape (grains, 3, 3).
    centre
        From which radial and hoop strains are taken, shape (3,), angstrom.
    interior
        Density inside.
    least
        Density over that inside below which nothing is known.

    Returns
    -------
    Density over that inside, grain (-1 for none), displacement and its error, by how much the displacement follows that
    of an atom at the point itself, and `deformation.derive`, shape (points, COLUMNS); NaN where nothing is known.

    References
    ----------
    J. Fan, I. Gijbels, Local Polynomial Modelling and Its Applications (1996), doi:10.1201/9780203748725.
    """
    made = np.full((len(point), COLUMNS), np.nan)
    _regress(atoms, point, home, order, joined, frames, centre, interior, least, made)
    return made


def scatter(atoms: Cloud, joined: bool) -> F64:
    """Return the variance of the displacements about the field along each axis, angstrom**2, shape (3,).

    The field of order 1 at the site of each atom follows the atom itself by the leverage h and all by b_j, so that
    independent errors of variance s**2 leave (1 - 2 h + sum b_j**2) s**2 between the two.

    Parameters
    ----------
    atoms, joined
        As in `densities`.
    """
    unit = np.zeros_like(atoms.covariance)
    unit[:, :3] = 1.0
    alike = atoms._replace(covariance=unit)
    frames = np.tile(np.eye(3), (int(atoms.grain.max()) + 1, 1, 1))
    found = regress(alike, atoms.site, atoms.grain, 1, joined, frames, np.zeros(3), 1.0, 0.0)
    known = np.isfinite(found[:, REST])
    off = (atoms.displacement - found[:, DISPLACEMENT : DISPLACEMENT + 3])[known]
    left = 1 - 2 * found[known, LEVERAGE] + found[known, DISPLACEMENT_ERROR] ** 2
    total = float(left.sum())
    return np.asarray((off**2).sum(axis=0) / total) if total > 0 else np.full(3, np.nan)


@njit(nogil=True, cache=True)
def _near(atoms: Cloud, point: F64, which: I64, weight: F64, away: F64) -> int:
    """List the atoms within reach of a point, with weight and place from it, and return how many there are."""
    reach = REACH * atoms.width
    limit, found = reach * reach, 0
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(3):
        first[k] = max(0, math.floor((point[k] - reach - atoms.low[k]) / atoms.edge))
        last[k] = min(atoms.size[k] - 1, math.floor((point[k] + reach - atoms.low[k]) / atoms.edge))
    if last[2] < first[2]:
        return 0
    scale, site = -0.5 / atoms.width**2, atoms.site
    for i in range(first[0], last[0] + 1):
        for j in range(first[1], last[1] + 1):
            row = (i * atoms.size[1] + j) * atoms.size[2]
            for k in range(atoms.start[row + first[2]], atoms.start[row + last[2] + 1]):
                x, y, z = site[k, 0] - point[0], site[k, 1] - point[1], site[k, 2] - point[2]
                square = x * x + y * y + z * z
                if square < limit:
                    away[0, found], away[1, found], away[2, found] = x, y, z
                    which[found], weight[found] = k, math.exp(scale * square)
                    found += 1
    return found


@njit(nogil=True, cache=True)
def _choose(
    grain: I64, which: I64, weight: F64, away: F64, found: int, home: int, joined: bool, sums: F64
) -> tuple[int, int, float]:
    """Keep the atoms of the grain of a point, unless all count; return the grain, how many atoms, and their weight."""
    sums[:] = 0.0
    for k in range(found):
        sums[grain[which[k]]] += weight[k]
    best = home if home >= 0 else int(np.argmax(sums))
    if joined:
        return best, found, sums.sum()
    kept = 0
    for k in range(found):
        if grain[which[k]] == best:
            which[kept], weight[kept] = which[k], weight[k]
            away[0, kept], away[1, kept], away[2, kept] = away[0, k], away[1, k], away[2, k]
            kept += 1
    return best, kept, sums[best]


@njit(nogil=True, cache=True)
def _densities(atoms: Cloud, point: F64, home: I64, joined: bool, out: F64) -> None:
    count = len(atoms.site)
    which, weight, away = np.empty(count, np.int64), np.empty(count), np.empty((3, count))
    sums = np.zeros(atoms.grain.max() + 1)
    for p in range(len(point)):
        found = _near(atoms, point[p], which, weight, away)
        out[p] = _choose(atoms.grain, which, weight, away, found, home[p], joined, sums)[2]


@njit(nogil=True, cache=True)
def _regress(
    atoms: Cloud,
    point: F64,
    home: I64,
    order: int,
    joined: bool,
    frames: F64,
    centre: F64,
    interior: float,
    least: float,
    out: F64,
) -> None:
    count = len(atoms.site)
    which, weight, away = np.empty(count, np.int64), np.empty(count), np.empty((3, count))
    sums = np.zeros(atoms.grain.max() + 1)
    left, right, moments = np.empty((4, count)), np.ones((7, count)), np.empty((4, 7))
    slopes, errors, carried = np.empty((7, count)), np.empty((6, count)), np.empty((7, 6))
    mean, moved, outwards = np.empty(3), np.empty(3), np.empty(3)
    spread_of, solve, gradient = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    for p in range(len(point)):
        found = _near(atoms, point[p], which, weight, away)
        best, found, density = _choose(atoms.grain, which, weight, away, found, home[p], joined, sums)
        out[p, DENSITY], out[p, GRAIN] = density / interior, -1.0
        if density == 0 or density < least * interior:
            continue
        for k in range(found):
            w = weight[k] * atoms.trust[which[k]]
            left[0, k] = w
            for a in range(3):
                left[1 + a, k] = w * away[a, k]
                right[1 + a, k] = away[a, k]
                right[4 + a, k] = atoms.displacement[which[k], a]
        products(left, right, found, moments)
        total = moments[0, 0]
        for a in range(3):
            mean[a], moved[a] = moments[0, 1 + a] / total, moments[0, 4 + a] / total
        for a in range(3):
            for b in range(3):
                spread_of[a, b] = moments[1 + a, 1 + b] / total - mean[a] * mean[b]
        if not inverse(spread_of, solve) > FLAT * atoms.width**6:
            continue
        if order == 0:
            solve[:] = 0.0
            for a in range(3):
                solve[a, a] = 1 / atoms.width**2
        for a in range(3):
            for b in range(3):
                gradient[a, b] = 0.0
                for c in range(3):
                    gradient[a, b] += (moments[1 + c, 4 + a] / total - moved[a] * mean[c]) * solve[c, b]
        out[p, LEVERAGE] = 0.0
        for k in range(found):
            w, own = left[0, k] / total, left[0, k] / total
            x, y, z = away[0, k] - mean[0], away[1, k] - mean[1], away[2, k] - mean[2]
            for a in range(3):
                slope = w * (solve[a, 0] * x + solve[a, 1] * y + solve[a, 2] * z)
                slopes[a, k] = slope
                own -= order * mean[a] * slope
            if away[0, k] == 0 and away[1, k] == 0 and away[2, k] == 0:
                out[p, LEVERAGE] = own
            x, y, z = slopes[0, k], slopes[1, k], slopes[2, k]
            slopes[0, k], slopes[1, k], slopes[2, k] = x * x, y * y, z * z
            slopes[3, k], slopes[4, k], slopes[5, k], slopes[6, k] = y * z, x * z, x * y, own * own
            for a in range(6):
                errors[a, k] = atoms.covariance[which[k], a]
        products(slopes, errors, found, carried)
        out[p, GRAIN] = best
        frame = frames[best]
        for a in range(3):
            for b in range(3):
                moved[a] -= order * gradient[a, b] * mean[b]
            outwards[a] = point[p, a] - centre[a]
        for a in range(3):
            seen, variance = 0.0, 0.0
            for b in range(3):
                seen += frame[a, b] * moved[b]
                for c in range(3):
                    variance += frame[a, b] * frame[a, c] * carried[6, PACKED[b, c]]
            out[p, DISPLACEMENT + a] = seen
            out[p, DISPLACEMENT_ERROR + a] = math.sqrt(variance) if variance >= 0 else math.nan
        derive(gradient, carried[:6].T, frame, outwards, out[p, REST:])
