"""The interface of a core and its shell: where it is, how far points are from it, how wide it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt, distance_transform_edt, gaussian_filter, map_coordinates
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

from aetx.kernels.alpha_shape import Body
from aetx.kernels.core_shell import WIDTH
from aetx.kernels.neighbours import Neighbours

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]

STRAY = 0.2
"""Largest fraction of strays on either side of an interface."""
BEGIN = 1.0
"""Standard deviation of an interface with which its fit begins, angstrom."""


class Grid(NamedTuple):
    """Voxels around points: x, y, z of the first, shape (3,), their step, and how many along z, y and x."""

    low: F64
    step: float
    shape: tuple[int, int, int]


class Profile(NamedTuple):
    """An error function fitted to who is core: P(core) = stray + (1 - lost - stray) Phi((place - depth) / s).

    `place` and `width` (95 % to 5 % of the error function, 3.29 s) are in the unit of the depths, `stray` is the
    fraction of core atoms far outside and `lost` that of others deep within; `error` are the standard errors of the
    first two.
    """

    place: float
    width: float
    stray: float
    lost: float
    error: tuple[float, float]


def grid_around(position: F64, margin: float, step: float) -> Grid:
    """Return voxels that reach a margin beyond points of shape (points, 3)."""
    low = position.min(axis=0) - margin
    size = np.ceil((position.max(axis=0) + margin - low) / step).astype(int) + 1
    return Grid(low, step, (int(size[2]), int(size[1]), int(size[0])))


def excess(position: F64, core: Mask, width: float, grid: Grid) -> F32:
    """Return the density of atoms of the core minus that of others, each a Gaussian, shape (z, y, x).

    Parameters
    ----------
    position, core
        Of the atoms, shape (atoms, 3) and (atoms,).
    width
        Standard deviation of the Gaussians.
    grid
        The voxels; atoms are taken to the nearest.
    """
    place = np.rint((position - grid.low) / grid.step).astype(np.int64)
    found = np.zeros(grid.shape, np.float32)
    one = np.float32(grid.step**-3)
    np.add.at(found, (place[:, 2], place[:, 1], place[:, 0]), np.where(core, one, -one))
    return np.asarray(gaussian_filter(found, width / grid.step, mode="constant"))


def own_pull(depth: F64, core: Mask, width: float, balance: F32, signed: F64, step: float) -> F64:
    """Return how far each atom by itself pulls the surface where both densities balance towards itself, shape (atoms,).

    An atom of the core adds its Gaussian to the excess, and so moves the surface outwards by that over the gradient.
    Without it the atom would be as much farther out; all others would be farther in.

    Parameters
    ----------
    depth, core
        Of the atoms, shape (atoms,).
    width
        Standard deviation of the Gaussians.
    balance, signed
        The excess and the depth of voxels, shape (z, y, x).
    step
        Of the voxels.
    """
    slope = np.sqrt(sum(one**2 for one in np.gradient(balance, step)))
    steepness = float(slope[np.abs(signed) < step].mean())
    own = np.exp(-(depth**2) / (2 * width**2)) / ((2 * np.pi) ** 1.5 * width**3)
    return np.asarray(np.where(core, 1.0, -1.0) * own / steepness)


def pure(neighbours: Neighbours, core: Mask, full: int) -> Mask:
    """Tell which atoms of the core have only such neighbours, and at least a number of them, shape (atoms,)."""
    others = np.bincount(neighbours.source, ~core[neighbours.index], len(core))
    return np.asarray(core & (others == 0) & (neighbours.count >= full))


def filled(body: Body, grid: Grid) -> Mask:
    """Tell which voxels have their centre in a body, shape (z, y, x)."""
    found = np.zeros(grid.shape, bool)
    solid = body.corner[body.volume > 1e-6 * grid.step**3]
    _fill(body.position, solid, grid.low, grid.step, found)
    return found


def depth_grid(inside: Mask, grid: Grid, metric: str) -> F64:
    """Return the signed distance of voxels from the surface of a region, outwards positive, shape (z, y, x).

    Parameters
    ----------
    inside
        The region, shape (z, y, x).
    grid
        Its voxels.
    metric
        ``euclidean``, or ``cube``: the half edge of the cube along x, y and z that reaches the surface, as erosion and
        dilation by cubes count; a face of normal n is then nearer by the sum of the sizes of the parts of n.
    """

    def away(region: Mask) -> F64:
        made = distance_transform_edt(region) if metric == "euclidean" else distance_transform_cdt(region, "chessboard")
        return np.asarray(made, np.float64)

    return np.asarray(np.where(inside, 0.5 - away(inside), away(~inside) - 0.5) * grid.step)


def depth_at(position: F64, signed: F64, grid: Grid) -> F64:
    """Return depths at points of shape (points, 3) from those of the voxels around them, shape (points,)."""
    place = ((position - grid.low) / grid.step).T[::-1]
    return np.asarray(map_coordinates(signed, place, order=1, mode="nearest"))


def fit_profile(distance: F64, core: Mask) -> Profile:
    """Fit an error function with strays on both sides to which atoms at which depths are core, by maximum likelihood.

    Errors are from the Fisher information: each atom is a draw of its own.

    Parameters
    ----------
    distance, core
        Signed depth of each atom and whether it is of the core, shape (atoms,); both sorts must be there.
    """

    def chance(state: F64) -> F64:
        return np.asarray(state[3] + (1 - state[2] - state[3]) * ndtr((state[0] - distance) / math.exp(state[1])))

    def cost(state: F64) -> float:
        p = np.clip(chance(state), 1e-12, 1 - 1e-12)
        return -float(np.log(np.where(core, p, 1 - p)).sum())

    def plain(state: F64) -> float:
        return -float(log_ndtr(np.where(core, 1.0, -1.0) * (state[0] - distance) / math.exp(state[1])).sum())

    first = minimize(plain, [float(np.quantile(distance, core.mean())), math.log(BEGIN)], method="Nelder-Mead").x
    limits = [(None, None), (math.log(1e-3), math.log(1e3)), (0.0, STRAY), (0.0, STRAY)]
    best = minimize(cost, [*first, 1e-3, 1e-3], method="L-BFGS-B", bounds=limits).x
    p = np.clip(chance(best), 1e-9, 1 - 1e-9)
    steps = 1e-5 * np.eye(4)
    slope = np.stack([(chance(best + one) - chance(best - one)) / 2e-5 for one in steps])
    free = np.array([True, True, *(best[2:] > 1e-6)])
    information = (slope[free] / (p * (1 - p))) @ slope[free].T
    variance = np.diag(np.linalg.pinv(information))
    width = WIDTH * math.exp(best[1])
    error = float(np.sqrt(variance[0])), width * float(np.sqrt(variance[1]))
    return Profile(float(best[0]), width, float(best[3]), float(best[2]), error)


def crossing(distance: F64, value: F64, level: float, outwards: bool) -> float:
    """Return where a falling profile passes a level first, seen from where it passes one half; NaN where it does not.

    Parameters
    ----------
    distance, value
        Of the profile, shape (layers,), distances rising; NaN where there is no value.
    level
        Of the value.
    outwards
        Look towards larger distances.
    """
    known = np.isfinite(value)
    d, v = distance[known], value[known]
    below = np.flatnonzero(v < 0.5)
    if not below.size or below[0] == 0:
        return float("nan")
    middle = int(below[0])
    if outwards:
        found = np.flatnonzero(v[middle:] <= level)
        k = middle + int(found[0]) if found.size else -1
    else:
        found = np.flatnonzero(v[:middle] >= level)
        k = int(found[-1]) + 1 if found.size else -1
    if k < 0:
        return float("nan")
    return float(d[k - 1] + (d[k] - d[k - 1]) * (v[k - 1] - level) / (v[k - 1] - v[k]))


@njit(nogil=True, cache=True)
def _fill(position: F64, corner: I32, low: F64, step: float, found: Mask) -> None:
    """Mark the voxels whose centres lie in tetrahedra."""
    for cell in range(len(corner)):
        a, b = position[corner[cell, 0]], position[corner[cell, 1]]
        c, d = position[corner[cell, 2]], position[corner[cell, 3]]
        edges = np.empty((3, 3))
        edges[:, 0], edges[:, 1], edges[:, 2] = b - a, c - a, d - a
        inverse = np.linalg.inv(edges)
        first, last = np.empty(3, np.int64), np.empty(3, np.int64)
        for x in range(3):
            first[x] = max(0, math.ceil((min(min(a[x], b[x]), min(c[x], d[x])) - low[x]) / step))
            last[x] = min(found.shape[2 - x] - 1, math.floor((max(max(a[x], b[x]), max(c[x], d[x])) - low[x]) / step))
        for k in range(first[2], last[2] + 1):
            for j in range(first[1], last[1] + 1):
                for i in range(first[0], last[0] + 1):
                    px, py, pz = low[0] + i * step - a[0], low[1] + j * step - a[1], low[2] + k * step - a[2]
                    total, least = 0.0, 0.0
                    for n in range(3):
                        part = inverse[n, 0] * px + inverse[n, 1] * py + inverse[n, 2] * pz
                        total, least = total + part, min(least, part)
                    if least >= -1e-9 and total <= 1 + 1e-9:
                        found[k, j, i] = True
