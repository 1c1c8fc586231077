"""Axes of atoms that lie in a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def in_plane(position: F64) -> tuple[F64, F64]:
    """Return right-handed axes of which the third is across the plane of least squares, and the middle of the points.

    The third axis points towards +z, or +y or +x where it lies across; the first is the projection of x, or of y where
    the plane is across x. Points in the axes are ``(position - middle) @ axes``.

    Parameters
    ----------
    position
        Shape (points, 3), at least 3 of them.

    Returns
    -------
    Axes in columns, shape (3, 3); the middle, shape (3,).
    """
    middle = position.mean(axis=0)
    return across((position - middle).T @ (position - middle)), middle


def across(moments: F64) -> F64:
    """Return the axes of `in_plane` for second moments of points, shape (3, 3)."""
    return about(np.linalg.eigh(moments)[1][:, 0])


def about(normal: F64) -> F64:
    """Return right-handed axes in columns, shape (3, 3): the third along a normal or against it, as `in_plane` says."""
    third = normal / np.linalg.norm(normal)
    leading = next(value for value in third[::-1] if abs(value) > 1e-9)
    third = third * np.sign(leading)
    seed = np.eye(3)[0 if abs(third[0]) < 0.9 else 1]
    first = seed - (seed @ third) * third
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third], axis=1)
