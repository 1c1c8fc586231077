"""Plane networks with three bonds at each atom, from the Voronoi tessellation of random seeds."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import KDTree, Voronoi

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

WAVES = (2, 3, 4)
"""Waves around the rim of a hole, each with an amplitude of up to a quarter of its radius."""


def discs(edge: float, distance: float, attempts: int, generator: np.random.Generator) -> F64:
    """Throw points into a square, each kept if none is nearer than a distance (a Poisson disc distribution).

    Parameters
    ----------
    edge
        Of the square, which reaches from -edge / 2 to edge / 2.
    distance
        Least distance of two points.
    attempts
        Throws for each square of that distance.
    generator
        Where the numbers come from.

    Returns
    -------
    Points, shape (points, 2).
    """
    return _thrown(edge, distance, int(attempts * (edge / distance) ** 2), generator) - edge / 2


@njit(nogil=True, cache=True)
def _thrown(edge: float, distance: float, attempts: int, generator: np.random.Generator) -> F64:
    cell = distance / math.sqrt(2.0)  # has room for one point
    cells = int(edge / cell) + 5
    grid = np.full((cells, cells), -1, np.int32)
    made = np.empty((cells * cells, 2))
    count = 0
    for _ in range(attempts):
        x, y = edge * generator.random(), edge * generator.random()
        i, j = int(x / cell) + 2, int(y / cell) + 2
        if grid[i, j] >= 0:
            continue
        if _free(made, grid, i, j, x, y, distance * distance):
            made[count, 0], made[count, 1] = x, y
            grid[i, j] = count
            count += 1
    return made[:count].copy()


@njit(nogil=True, cache=True)
def _free(made: F64, grid: NDArray[np.int32], i: int, j: int, x: float, y: float, least: float) -> bool:
    for a in range(i - 2, i + 3):
        for b in range(j - 2, j + 3):
            one = grid[a, b]
            if one >= 0 and (made[one, 0] - x) ** 2 + (made[one, 1] - y) ** 2 < least:
                return False
    return True


def lloyd(seeds: F64) -> F64:
    """Move each seed, shape (seeds, 2), to the centre of mass of its Voronoi cell; those with open cells stay.

    References
    ----------
    S. Lloyd, IEEE Transactions on Information Theory 28, 129 (1982), doi:10.1109/TIT.1982.1056489.
    """
    cells = Voronoi(seeds)
    ends = np.array(cells.ridge_vertices)
    of = np.repeat(cells.ridge_points, 2, axis=0).reshape(-1, 2, 2)[:, 0]
    open_ = np.zeros(len(seeds), bool)
    open_[of[(ends < 0).any(axis=1)]] = True
    of, ends = of[(ends >= 0).all(axis=1)], ends[(ends >= 0).all(axis=1)]
    area, moment = np.zeros(len(seeds)), np.zeros((len(seeds), 2))
    for side in (0, 1):
        seed = of[:, side]
        first, second = (cells.vertices[ends[:, one]] - seeds[seed] for one in (0, 1))
        triangle = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
        area += np.bincount(seed, triangle, len(seeds))
        for axis in (0, 1):
            moment[:, axis] += np.bincount(seed, triangle * (first + second)[:, axis] / 3, len(seeds))
    half = np.abs(seeds).max()
    moved = seeds + moment / np.maximum(area, 1e-12)[:, None]
    open_ |= (np.abs(moved) > half).any(axis=1)
    return np.where(open_[:, None], seeds, moved)


def network(seeds: F64, half: float) -> tuple[F64, I64]:
    """Return the corners of Voronoi cells inside a square and the edges between them.

    Parameters
    ----------
    seeds
        Shape (seeds, 2).
    half
        Half the edge of the square around the origin.

    Returns
    -------
    Corners, shape (corners, 2); edges as pairs of corners, shape (edges, 2).
    """
    cells = Voronoi(seeds)
    inside = np.abs(cells.vertices).max(axis=1) < half
    ends = np.array(cells.ridge_vertices)
    return keep(cells.vertices, ends[(ends >= 0).all(axis=1)], inside)


def keep(points: F64, bonds: I64, kept: Flags) -> tuple[F64, I64]:
    """Return the points that are kept, and the bonds between them with their new numbers."""
    number = np.cumsum(kept) - 1
    return points[kept], number[bonds[kept[bonds].all(axis=1)]]


def lengths(points: F64, bonds: I64) -> F64:
    """Return the length of each bond, shape (bonds,), between points of shape (points, 2 or 3)."""
    return np.linalg.norm(points[bonds[:, 1]] - points[bonds[:, 0]], axis=1)


def relax(points: F64, bonds: I64, length: float, iterations: int) -> F64:
    """Move points so that bonds come near a length and angles near 120 degree.

    The energy is E = sum_bonds (r^2 / l^2 - 1)^2 + sum_angles (r_1 . r_2 / l^2 + 1/2)^2, that of Keating with equal
    stiffness of stretching and bending, minimised by L-BFGS.

    Parameters
    ----------
    points
        Shape (points, 2).
    bonds
        Pairs of points, shape (bonds, 2).
    length
        l.
    iterations
        Most steps of the minimiser.

    Returns
    -------
    Points, shape (points, 2).

    References
    ----------
    P. N. Keating, Physical Review 145, 637 (1966), doi:10.1103/PhysRev.145.637.
    """
    if not iterations or not len(bonds):
        return points
    both = np.concatenate([bonds, bonds[:, ::-1]])
    both = both[np.lexsort(both.T[::-1])]
    start = np.searchsorted(both[:, 0], np.arange(len(points) + 1))
    other = np.ascontiguousarray(both[:, 1])

    def energy(flat: F64) -> tuple[float, F64]:
        total, slope = keating(flat.reshape(-1, 2), start, other)
        return total, slope.ravel()

    found = minimize(
        energy, points.ravel() / length, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "ftol": 0}
    )
    return found.x.reshape(-1, 2) * length


@njit(nogil=True, cache=True)
def keating(points: F64, start: I64, other: I64) -> tuple[float, F64]:
    """Return the energy of `relax` and its gradient, in units of the bond length.

    Parameters
    ----------
    points
        Shape (points, 2).
    start, other
        The neighbours of point i are ``other[start[i]:start[i + 1]]``.
    """
    total = 0.0
    slope = np.zeros_like(points)
    for i in range(len(points)):
        for a in range(start[i], start[i + 1]):
            j = other[a]
            x, y = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            stretch = x * x + y * y - 1
            total += stretch * stretch / 2  # each bond comes twice
            slope[j, 0] += 2 * stretch * x
            slope[j, 1] += 2 * stretch * y
            slope[i, 0] -= 2 * stretch * x
            slope[i, 1] -= 2 * stretch * y
            for b in range(start[i], a):
                k = other[b]
                u, v = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1]
                bend = x * u + y * v + 0.5
                total += bend * bend
                slope[j, 0] += 2 * bend * u
                slope[j, 1] += 2 * bend * v
                slope[k, 0] += 2 * bend * x
                slope[k, 1] += 2 * bend * y
                slope[i, 0] -= 2 * bend * (x + u)
                slope[i, 1] -= 2 * bend * (y + v)
    return total, slope


def merge(points: F64, bonds: I64, distance: float) -> tuple[F64, I64]:
    """Put points that are nearer than a distance together at their mean, with their bonds, until there are none."""
    while True:
        near = np.array(sorted(KDTree(points).query_pairs(distance * (1 - 1e-12))), np.int64).reshape(-1, 2)
        if not len(near):
            return points, bonds
        onto = np.arange(len(points))
        taken = np.zeros(len(points), bool)
        for first, second in near:
            if not taken[first] and not taken[second]:
                taken[[first, second]] = True
                onto[second] = first
        joined = points.copy()
        gone = onto != np.arange(len(points))
        joined[onto[gone]] = (points[onto[gone]] + points[gone]) / 2
        links = np.unique(np.sort(onto[bonds], axis=1), axis=0)
        points, bonds = keep(joined, links[links[:, 0] != links[:, 1]], ~gone)


def prune(points: F64, bonds: I64, least: int) -> tuple[F64, I64]:
    """Take away points with fewer bonds than `least`, until there are none."""
    while True:
        kept = np.bincount(bonds.ravel(), minlength=len(points)) >= least
        if kept.all():
            return points, bonds
        points, bonds = keep(points, bonds, kept)


def hole(points: F64, radius: float, generator: np.random.Generator) -> Flags:
    """Tell which points, shape (points, 2), lie in a hole of random shape whose mean radius is given, at the origin."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    rim = np.ones(len(points))
    for wave in WAVES:
        rim += generator.uniform(0, 0.25) * np.cos(wave * angle + generator.uniform(0, 2 * math.pi))
    return np.hypot(points[:, 0], points[:, 1]) < radius * rim
