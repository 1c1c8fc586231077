"""Bodies to which crystals are cut: spheres, polyhedra of cubic crystals, dumbbells.

The size of a polyhedron or a sphere is the distance of its nearest face, or its surface, from its centre.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

CUBE = np.concatenate([np.eye(3), -np.eye(3)])
OCTAHEDRON = np.array(list(product((1, -1), repeat=3))) / math.sqrt(3)
FACES: dict[str, tuple[F64, F64]] = {
    "cube": (CUBE, np.ones(6)),
    "octahedron": (OCTAHEDRON, np.ones(8)),
    "truncated_octahedron": (np.concatenate([OCTAHEDRON, CUBE]), np.repeat([1.0, 2 / math.sqrt(3)], [8, 6])),
}
"""Outward unit normals, shape (faces, 3), and distances of the faces for size 1, shape (faces,). The truncated
octahedron is the regular one, all of whose edges are equal."""
VOLUME = {"cube": 8.0, "octahedron": 4 * math.sqrt(3), "truncated_octahedron": 32 / 27**0.5, "sphere": 4 / 3 * math.pi}
"""Volume of each body of size 1."""
FARTHEST = {"cube": math.sqrt(3), "octahedron": math.sqrt(3), "truncated_octahedron": math.sqrt(5 / 3), "sphere": 1.0}
"""Distance of the corners of each body of size 1 from its centre."""


def size_at(points: F64, shape: str) -> F64:
    """Return the size of the centred body whose surface goes through each point, shape (points,)."""
    if shape == "sphere":
        return np.asarray(np.linalg.norm(points, axis=1))
    normals, distances = FACES[shape]
    return np.asarray((points @ (normals / distances[:, None]).T).max(axis=1))


def height_above(points: F64, shape: str, size: float) -> F64:
    """Return how far each point lies outside a body, negative inside, shape (points,).

    It is measured from the surface of the sphere, and from the plane of the face that is passed last: beyond edges
    and corners it is less than the distance from the body.
    """
    if shape == "sphere":
        return np.asarray(np.linalg.norm(points, axis=1) - size)
    normals, distances = FACES[shape]
    return np.asarray((points @ normals.T - distances * size).max(axis=1))


def dumbbell_size_at(points: F64, shape: str, offset: float, turn: F64) -> F64:
    """Return the size of the halves of the dumbbell whose surface goes through each point, shape (points,).

    Parameters
    ----------
    points
        Shape (points, 3).
    shape
        Of the halves: ``sphere`` or ``truncated_octahedron``.
    offset
        Distance of the centre of each half from the origin along z, in units of its size, below 1.
    turn
        Matrix whose rows are the cubic axes of the halves, shape (3, 3).
    """
    return np.minimum(*(_size_of_half(points, shape, end * offset, turn) for end in (1, -1)))


def _size_of_half(points: F64, shape: str, offset: float, turn: F64) -> F64:
    if shape == "sphere":
        z, rest = points[:, 2], 1 - offset**2
        return np.asarray((np.sqrt((offset * z) ** 2 + rest * (points**2).sum(axis=1)) - offset * z) / rest)
    normals, distances = FACES[shape]
    faces = normals @ turn
    return np.asarray((points @ (faces / (distances + offset * faces[:, 2])[:, None]).T).max(axis=1))


def entry(points: F64, centre: F64, radius: float) -> F64:
    """Return the least size at which each point lies in a ball that grows with the body, infinite if never.

    Parameters
    ----------
    points
        Shape (points, 3).
    centre, radius
        Of the ball, in units of the size; it does not hold the origin. Shape (3,).
    """
    along, square = points @ centre, (points**2).sum(axis=1)
    rest = float(centre @ centre) - radius**2
    inside = along**2 - rest * square
    met = (inside >= 0) & (along > 0)
    return np.where(met, (along - np.sqrt(np.maximum(inside, 0))) / rest, np.inf)
