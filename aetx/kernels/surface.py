"""Which points of a set lie on its surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay, QhullError, cKDTree

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

FLAT = 1e-6
"""Tetrahedra whose volume is below this fraction of their longest edge cubed have no sphere of their own."""


def neighbour_distance(position: F64) -> float:
    """Return the median distance from a point to its nearest neighbour; NaN for fewer than two points."""
    if len(position) < 2:
        return float("nan")
    distance = np.asarray(cKDTree(position).query(position, k=2)[0])
    return float(np.median(distance[:, 1]))


def surface(position: F64, radius: float) -> Mask:
    """Tell which points lie on the outer surface of the alpha shape.

    The alpha shape holds the Delaunay tetrahedra whose circumscribed sphere has at most the given radius. Its surface
    points are the corners of faces between it and the outside, which is what can be reached from infinity through
    other tetrahedra; holes within do not count. A point in no tetrahedron of the shape lies outside it and is surface
    too, as is every point of a set that has no inside.

    Parameters
    ----------
    position
        Shape (points, 3).
    radius
        Largest circumscribed sphere of a tetrahedron of the shape.

    References
    ----------
    H. Edelsbrunner, E. P. Muecke, ACM Trans. Graph. 13, 43 (1994), doi:10.1145/174462.156635.
    """
    cells = tessellated(position)
    if cells is None:
        return np.ones(len(position), bool)
    kept = circumradius(position[cells.simplices]) <= radius
    beyond = outside(kept, cells.neighbors)
    touches = np.where(cells.neighbors < 0, True, beyond[cells.neighbors])
    found = np.ones(len(position), bool)
    found[cells.simplices[kept]] = False
    for corner in range(4):  # the face opposite to a corner is that of the other three
        across = kept & touches[:, corner]
        found[np.delete(cells.simplices[across], corner, axis=1)] = True
    return found


def tessellated(position: F64) -> Delaunay | None:
    """Return the Delaunay tetrahedra of points, shape (points, 3); None where points have no inside."""
    try:
        return Delaunay(position) if len(position) > 4 else None
    except QhullError:
        return None


def circumradius(corners: F64) -> F64:
    """Return the radius of the sphere through the corners of tetrahedra, shape (cells, 4, 3); infinite for a flat one.

    Lattices have many points on one sphere, so that some tetrahedra are flat. Left out, they cannot cover the points of
    a facet, and those within the shape make no more than a hole.
    """
    edges = corners[:, 1:] - corners[:, :1]
    half = 0.5 * (edges**2).sum(axis=2)
    flat = np.abs(np.linalg.det(edges)) < FLAT * (2 * half.max(axis=1)) ** 1.5
    centre = np.full((len(corners), 3), np.inf)
    centre[~flat] = np.linalg.solve(edges[~flat], half[~flat, :, None])[:, :, 0]
    return np.linalg.norm(centre, axis=1)


def outside(kept: Mask, neighbours: NDArray[np.integer]) -> Mask:
    """Tell which tetrahedra are outside the shape and joined to infinity through others that are.

    Parameters
    ----------
    kept
        Tetrahedra of the shape, shape (cells,).
    neighbours
        The tetrahedra across the four faces of each, -1 for infinity, shape (cells, 4).
    """
    count = len(kept)
    cell, side = np.nonzero(~kept[:, None] & ((neighbours < 0) | ~kept[neighbours]))
    other = neighbours[cell, side]
    other = np.where(other < 0, count, other)
    graph = coo_array((np.ones(len(cell), np.int8), (cell, other)), shape=(count + 1, count + 1))
    label = connected_components(graph, directed=False)[1]
    return (label[:count] == label[count]) & ~kept
