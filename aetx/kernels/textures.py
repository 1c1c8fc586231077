"""Textures: a vector of length up to one at every point of space.

Points are of shape (points, 3), columns x, y, z, and so are the vectors. A texture has its axis along z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def uniform(points: F64) -> F64:
    """Return z everywhere."""
    return np.broadcast_to([0.0, 0.0, 1.0], points.shape).copy()


def vortex(points: F64, core: float) -> F64:
    """Return z x rho / |rho|, anticlockwise about the axis, times tanh(|rho| / core), which is its length."""
    return _across(points) * _rise(np.hypot(points[:, 0], points[:, 1]), core)[:, None]


def antivortex(points: F64, core: float) -> F64:
    """Return (x, -y, 0) / |rho| times tanh(|rho| / core): its direction turns against that of the place."""
    direction = np.stack([points[:, 0], -points[:, 1], np.zeros(len(points))], axis=1)
    return direction * _rise(np.hypot(points[:, 0], points[:, 1]), core)[:, None]


def two_vortices(points: F64, core: float, distance: float, sense: float) -> F64:
    """Return two vortices with their axes at x = -distance / 2 and distance / 2.

    Their directions are added with the inverse distance from each axis as weight, and the sum has the length
    tanh(|rho_1| / core) tanh(|rho_2| / core).

    Parameters
    ----------
    points
        Shape (points, 3).
    core
        Radius of both cores.
    distance
        Of the two axes.
    sense
        1 where the second turns like the first, anticlockwise; -1 where it turns the other way.
    """
    left, right = (points + np.array([side * distance / 2, 0, 0]) for side in (1, -1))
    near, far = (np.hypot(one[:, 0], one[:, 1]) for one in (left, right))
    # The unit vector over the distance, times both distances squared: finite on both axes.
    blended = _across(left) * far[:, None] ** 2 + sense * _across(right) * near[:, None] ** 2
    length = np.tanh(near / core) * np.tanh(far / core)
    return _unit(blended) * length[:, None]


def skyrmion(points: F64, radius: float, winding: int, helicity: float) -> F64:
    """Return (sin T cos F, sin T sin F, cos T), T = pi (1 - rho / radius), 0 beyond, and F = winding phi + helicity.

    Parameters
    ----------
    points
        Shape (points, 3).
    radius
        Where the direction has turned from -z, on the axis, to z.
    winding
        Turns of the direction in the plane around the axis; the skyrmion number is this or its negative.
    helicity
        Angle to the direction outwards at winding 1, radian: 0 like a hedgehog, pi / 2 like a vortex.
    """
    lean = np.pi * np.clip(1 - np.hypot(points[:, 0], points[:, 1]) / radius, 0, 1)
    turn = winding * np.arctan2(points[:, 1], points[:, 0]) + helicity
    return np.stack([np.sin(lean) * np.cos(turn), np.sin(lean) * np.sin(turn), np.cos(lean)], axis=1)


def hopfion(points: F64, radius: float) -> F64:
    """Return the Hopf map of space, closed at infinity by stereographic projection onto the sphere in four dimensions.

    The direction is z far away and on the axis, and -z on the ring of that radius about the axis; the places of every
    direction are linked rings, so that the Hopf number is 1 or -1.

    References
    ----------
    P. J. Ackerman, I. I. Smalyukh, Physical Review X 7, 011006 (2017), doi:10.1103/PhysRevX.7.011006.
    """
    x, y, z = points.T / radius
    square = x * x + y * y + z * z
    first = 2 * (x + 1j * y) / (1 + square)
    second = (2 * z + 1j * (square - 1)) / (1 + square)
    across = 2 * first * np.conj(second)
    return np.stack([across.real, across.imag, np.abs(second) ** 2 - np.abs(first) ** 2], axis=1)


def flux_closure(points: F64) -> F64:
    """Return four domains that meet on the diagonals of x and y, each along an edge, anticlockwise about the axis."""
    x, y = points[:, 0], points[:, 1]
    side = np.abs(x) >= np.abs(y)
    along_y, along_x = np.where(side, _sign(x), 0.0), np.where(side, 0.0, -_sign(y))
    return np.stack([along_x, along_y, np.zeros(len(points))], axis=1)


def _sign(values: F64) -> F64:
    return np.where(values < 0, -1.0, 1.0)


def _across(points: F64) -> F64:
    return np.stack([-points[:, 1], points[:, 0], np.zeros(len(points))], axis=1)


def _rise(distance: F64, core: float) -> F64:
    """Return tanh(distance / core) / distance, with its limit at 0."""
    near = distance < 1e-9 * core
    return np.where(near, 1 / core, np.tanh(distance / core) / np.where(near, 1.0, distance))


def _unit(vectors: F64) -> F64:
    """Return vectors of length one; 0 where there is no direction."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
