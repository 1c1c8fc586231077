"""Crystals cut to an exact number of atoms: a convex cut, then the best bound of the sites that remain."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import KDTree

Bool = NDArray[np.bool_]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SAME = 1e-7
"""Sizes nearer than this fraction are those of one facet."""


def neighbours(points: F64, reach: float) -> tuple[I64, I64]:
    """Return the neighbours of each point.

    Parameters
    ----------
    points
        Shape (points, 3).
    reach
        Greatest distance of a neighbour.

    Returns
    -------
    Starts, shape (points + 1,), and the list: those of point i are ``found[starts[i]:starts[i + 1]]``.
    """
    pairs = KDTree(points).query_pairs(reach, output_type="ndarray")
    one = np.concatenate([pairs[:, 0], pairs[:, 1]])
    other = np.concatenate([pairs[:, 1], pairs[:, 0]])
    order = np.lexsort((other, one))
    starts = np.searchsorted(one[order], np.arange(len(points) + 1))
    return starts.astype(np.int64), other[order].astype(np.int64)


def coordination(points: F64, reach: float) -> I64:
    """Return the number of neighbours within `reach` of each point, shape (points,)."""
    return np.diff(neighbours(points, reach)[0])


def cut(points: F64, size: F64, wanted: int, reach: float, generator: np.random.Generator) -> Bool:
    """Choose exactly `wanted` sites: those inside the greatest whole body, then the best bound of its next facets.

    Parameters
    ----------
    points
        Sites, shape (sites, 3).
    size
        Size of the body whose surface goes through each site, shape (sites,).
    wanted
        Number of sites, not above that of all.
    reach
        Greatest distance of two neighbours.
    generator
        Decides between sites that are equally well bound.

    Returns
    -------
    Which sites are chosen, shape (sites,).
    """
    edge = np.partition(size, wanted - 1)[wanted - 1]
    chosen = size < edge * (1 - SAME)
    facet = ~chosen & (size <= edge * (1 + SAME))
    near = chosen | facet
    grown = grow(points[near], chosen[near], wanted - int(chosen.sum()), reach, generator)
    chosen[near] = grown
    return chosen


def grow(points: F64, filled: Bool, more: int, reach: float, generator: np.random.Generator) -> Bool:
    """Fill empty sites one after the other, always one of those with most filled neighbours.

    Parameters
    ----------
    points
        Sites, shape (sites, 3).
    filled
        Which are filled already, shape (sites,).
    more
        Number of sites to fill, not above that of the empty ones.
    reach
        Greatest distance of two neighbours.
    generator
        Decides between sites that are equally well bound.

    Returns
    -------
    Which sites are filled, shape (sites,).
    """
    now = filled.copy()
    if more > 0:
        starts, found = neighbours(points, reach)
        _fill(starts, found, now, np.flatnonzero(~filled), generator.random(len(points)), more)
    return now


@njit(nogil=True, cache=True)
def _fill(starts: I64, found: I64, filled: Bool, empty: I64, lot: F64, more: int) -> None:
    """Fill sites in place. `lot` in [0, 1) decides between equal numbers of neighbours."""
    bound = lot.copy()
    for site in empty:
        for other in found[starts[site] : starts[site + 1]]:
            if filled[other]:
                bound[site] += 1.0
    for _ in range(more):
        best = -1
        for site in empty:
            if not filled[site] and (best < 0 or bound[site] > bound[best]):
                best = site
        filled[best] = True
        for other in found[starts[best] : starts[best + 1]]:
            bound[other] += 1.0
