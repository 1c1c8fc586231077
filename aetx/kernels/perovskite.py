"""Sites of a particle of cubic perovskite that is made of whole cells."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Shape = Literal["sphere", "cube", "rounded_cube"]


def sites(lattice_constant: float, size: float, shape: Shape) -> tuple[F64, F64, F64]:
    """Return the sites of all cells whose centres lie in a shape: corners, centres, and centres of faces.

    A cell has all its corners and faces, so that every centre sits in a whole cage. The middle of the particle is
    the origin, a centre or a corner.

    Parameters
    ----------
    lattice_constant
        Edge of the cell, angstrom.
    size
        Diameter of the sphere, or edge of the cube, angstrom; a cube has the number of cells that comes nearest.
    shape
        ``sphere``, ``cube``, or ``rounded_cube``: x^4 + y^4 + z^4 <= (size / 2)^4.

    Returns
    -------
    Three arrays of positions, each of shape (sites, 3), columns x, y, z.
    """
    count = max(1, round(size / lattice_constant))
    edge = (np.arange(count) - (count - 1) / 2) * lattice_constant
    power = {"sphere": 2, "cube": np.inf, "rounded_cube": 4}[shape]
    x, y, z = (np.abs(one) for one in np.meshgrid(edge, edge, edge, indexing="ij", sparse=True))
    cells = np.ones((count,) * 3, bool)
    if np.isfinite(power):
        cells = x**power + y**power + z**power <= (size / 2) ** power
    corners = np.zeros((count + 1,) * 3, bool)
    for step in np.ndindex(2, 2, 2):
        corners[tuple(slice(one, one + count) for one in step)] |= cells
    faces: list[F64] = []
    for axis in range(3):
        face = np.zeros([count + (one == axis) for one in range(3)], bool)
        for one in (0, 1):
            np.moveaxis(face, axis, 0)[one : one + count] |= np.moveaxis(cells, axis, 0)
        faces.append(_placed(face, lattice_constant))
    return _placed(corners, lattice_constant), _placed(cells, lattice_constant), np.concatenate(faces)


def _placed(there: NDArray[np.bool_], lattice_constant: float) -> F64:
    """Return the positions of what is there on a grid around the origin."""
    middle = (np.array(there.shape) - 1) / 2
    return np.asarray((np.argwhere(there) - middle) * lattice_constant, np.float64)
