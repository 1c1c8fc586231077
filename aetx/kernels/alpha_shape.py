"""The body that the outer surface of an alpha shape encloses: its volume, its corners, points within it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.surface import circumradius, outside, tessellated

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Body:
    """The tetrahedra that cannot be reached from infinity, holes within included.

    `position` has shape (points, 3), `corner` holds the four points of each tetrahedron, shape (cells, 4), `volume`
    that of each, shape (cells,).
    """

    position: F64
    corner: I32
    volume: F64

    def share(self) -> F64:
        """Return the share of the full solid angle at each point that the body fills, shape (points,).

        It is 1 inside, 1/2 on a face, less on edges and corners, 0 for points that no tetrahedron has. For the sites of
        a crystal in a polyhedron the sum of these shares over the volume is the density of the crystal: counted whole,
        atoms of the surface would make it too high.

        References
        ----------
        A. van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30, 125 (1983), doi:10.1109/TBME.1983.325207
        (the solid angle of a tetrahedron); I. G. Macdonald, Proc. London Math. Soc. 4, 181 (1963).
        """
        found = np.zeros(len(self.position))
        _angles(self.position, self.corner, found)
        return np.minimum(found / (4 * np.pi), 1.0)

    def sample(self, count: int, generator: np.random.Generator) -> F64:
        """Draw points evenly from the body, as many from each part of it as its volume asks, shape (count, 3)."""
        edges = np.cumsum(self.volume)
        place = (np.arange(count) + generator.random(count)) * edges[-1] / count
        cell = np.minimum(np.searchsorted(edges, place), len(edges) - 1)
        cuts = np.sort(generator.random((count, 3)), axis=1)
        weight = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
        return np.asarray(np.einsum("nk,nkx->nx", weight, self.position[self.corner[cell]]))


def body(position: F64, radius: float) -> Body:
    """Return the body of points whose Delaunay tetrahedra have circumscribed spheres of at most a radius.

    It is empty where there is no such tetrahedron.

    Parameters
    ----------
    position
        Shape (points, 3).
    radius
        In the unit of the positions.

    References
    ----------
    H. Edelsbrunner, E. P. Muecke, ACM Trans. Graph. 13, 43 (1994), doi:10.1145/174462.156635.
    """
    cells = tessellated(position)
    if cells is None:
        return Body(position, np.empty((0, 4), np.int32), np.empty(0))
    kept = circumradius(position[cells.simplices]) <= radius
    corner = np.asarray(cells.simplices[~outside(kept, cells.neighbors)], np.int32)
    edge = position[corner[:, 1:]] - position[corner[:, :1]]
    return Body(position, corner, np.abs(np.einsum("nx,nx->n", edge[:, 0], np.cross(edge[:, 1], edge[:, 2]))) / 6)


@njit(nogil=True, cache=True)
def _angles(position: F64, corner: I32, found: F64) -> None:
    """Add the solid angle of each tetrahedron at each of its corners."""
    side = np.empty((3, 3))
    length = np.empty(3)
    for cell in range(len(corner)):
        for k in range(4):
            at = corner[cell, k]
            for n in range(3):
                for x in range(3):
                    side[n, x] = position[corner[cell, (k + 1 + n) % 4], x] - position[at, x]
                length[n] = np.sqrt(side[n, 0] ** 2 + side[n, 1] ** 2 + side[n, 2] ** 2)
            triple = (
                side[0, 0] * (side[1, 1] * side[2, 2] - side[1, 2] * side[2, 1])
                + side[0, 1] * (side[1, 2] * side[2, 0] - side[1, 0] * side[2, 2])
                + side[0, 2] * (side[1, 0] * side[2, 1] - side[1, 1] * side[2, 0])
            )
            below = length[0] * length[1] * length[2]
            for n in range(3):
                other, last = (n + 1) % 3, (n + 2) % 3
                dot = side[n, 0] * side[other, 0] + side[n, 1] * side[other, 1] + side[n, 2] * side[other, 2]
                below += dot * length[last]
            found[at] += 2 * np.arctan2(abs(triple), below)
