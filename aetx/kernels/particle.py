"""Random particles: shapes, fcc lattices, vacancies and displacements, in angstrom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

F64 = NDArray[np.float64]
GRID = 64
"""Points along each edge of the box on which the volume of a shape is measured."""
FILLING = (1 / 8, 1 / 5)
"""Share of its box that a shape fills, as in the published generator."""


def union_of_balls(generator: np.random.Generator) -> tuple[F64, F64, float]:
    """Draw a connected union of balls in the unit box around the origin.

    Balls with radii between 1/8 and 1/4 of the box are added at random, each touching those before it, until the
    union fills between 1/8 and 1/5 of the box; a union that overshoots is thrown away.

    Returns
    -------
    Centres, shape (balls, 3); radii, shape (balls,); the volume of the union.
    """
    edge = (np.arange(GRID) + 0.5) / GRID - 0.5
    points = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), axis=-1).reshape(-1, 3)
    while True:
        centres, radii = np.empty((0, 3)), np.empty(0)
        filled = np.zeros(len(points), bool)
        while filled.mean() < FILLING[0]:
            radius = generator.uniform(1 / 8, 1 / 4)
            centre = generator.uniform(-1, 1, 3) * (0.5 - 3 / 256 - radius)
            if radii.size and (np.linalg.norm(centres - centre, axis=1) >= radii + radius).all():
                continue
            centres, radii = np.vstack([centres, centre]), np.append(radii, radius)
            filled |= ((points - centre) ** 2).sum(axis=1) < radius**2
        if filled.mean() <= FILLING[1]:
            return centres, radii, float(filled.mean())


def random_shape(generator: np.random.Generator, smallest: float, largest: float) -> tuple[F64, F64, float]:
    """Draw a union of balls with a volume drawn evenly between those of two balls.

    Parameters
    ----------
    generator
        Where the numbers come from.
    smallest, largest
        Diameters of the two balls, angstrom.

    Returns
    -------
    Centres, shape (balls, 3); radii, shape (balls,); the volume of the union.
    """
    centres, radii, filled = union_of_balls(generator)
    volume = generator.uniform(np.pi / 6 * smallest**3, np.pi / 6 * largest**3)
    scale = (volume / filled) ** (1 / 3)
    return centres * scale, radii * scale, float(volume)


def random_rotation(generator: np.random.Generator) -> F64:
    """Draw a rotation matrix, shape (3, 3), evenly over all orientations (a random unit quaternion)."""
    w, x, y, z = (lambda q: q / np.linalg.norm(q))(generator.standard_normal(4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def fcc_sites(lattice_constant: float, radius: float, rotation: F64, shift: F64) -> F64:
    """Return the sites of a rotated fcc lattice inside a ball around the origin.

    Parameters
    ----------
    lattice_constant
        Edge of the cubic cell, angstrom.
    radius
        Radius of the ball, angstrom.
    rotation
        Active rotation, shape (3, 3).
    shift
        Translation in cells before the rotation, shape (3,).

    Returns
    -------
    Positions, shape (sites, 3), columns x, y, z.
    """
    cells = int(np.ceil(radius / lattice_constant)) + 1
    corner = np.arange(-cells, cells + 1)
    corners = np.stack(np.meshgrid(corner, corner, corner, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    sites = (corners + basis + shift).reshape(-1, 3) * lattice_constant
    sites = sites[(sites**2).sum(axis=1) <= radius**2]
    return np.ascontiguousarray(sites @ rotation.T)


def inside(points: F64, centres: F64, radii: F64) -> NDArray[np.bool_]:
    """Tell which points, shape (points, 3), lie in a union of balls."""
    found = np.zeros(len(points), bool)
    for centre, radius in zip(centres, radii, strict=True):
        found |= ((points - centre) ** 2).sum(axis=1) < radius**2
    return found


def too_close(points: F64, distance: float) -> NDArray[np.int64]:
    """Return the indices of points, shape (points, 3), that have another one nearer than a distance."""
    pairs = KDTree(points).query_pairs(distance, output_type="ndarray")
    return np.unique(pairs).astype(np.int64)


def displace(
    points: F64, size: float | F64, distance: float, generator: np.random.Generator, attempts: int, gaussian: bool
) -> F64:
    """Move each point evenly within a cube, or normally distributed, and draw again where two come too close.

    Parameters
    ----------
    points
        Shape (points, 3).
    size
        Root mean square of the displacement in three dimensions, of all or of each, shape (points, 1). It is half
        the edge of the cube, and the square root of three times the standard deviation along one axis.
    distance
        Least distance allowed.
    generator
        Where the numbers come from.
    attempts
        Number of draws for points that come too close; those that still do are left.
    gaussian
        Draw from a normal distribution, not evenly in a cube.

    Returns
    -------
    Positions, shape (points, 3).
    """
    sizes = np.broadcast_to(size, (len(points), 1))
    moved = points + _draw(sizes, generator, gaussian)
    for _ in range(attempts):
        wrong = too_close(moved, distance)
        if not wrong.size:
            break
        moved[wrong] = points[wrong] + _draw(sizes[wrong], generator, gaussian)
    return moved


def _draw(sizes: F64, generator: np.random.Generator, gaussian: bool) -> F64:
    shape = (len(sizes), 3)
    if gaussian:
        return generator.standard_normal(shape) * (sizes / np.sqrt(3))
    return generator.uniform(-1, 1, shape) * sizes
