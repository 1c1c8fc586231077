"""The shape of a particle as a whole: its volume, its area, how nearly it is a ball, the ellipsoid of its atoms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Ellipsoid:
    """The ellipsoid, evenly filled, that has the second moments of points.

    `centre` has shape (3,), `semi_axes` are from the longest, shape (3,), with standard errors as of points drawn at
    random, `axes` their directions in rows, shape (3, 3), right-handed.
    """

    centre: F64
    semi_axes: F64
    semi_axes_error: F64
    axes: F64


def ellipsoid(position: F64) -> Ellipsoid:
    """Return the ellipsoid of points: semi-axes sqrt(5 lambda), where lambda are the eigenvalues of their covariance.

    The standard error of lambda is sqrt((m - lambda**2) / n), m the mean fourth power along the axis. Points on a
    lattice fill a body more evenly than random ones and are nearer to it.

    Parameters
    ----------
    position
        Shape (points, 3).
    """
    if len(position) < 2:
        unknown = np.full(3, np.nan)
        centre = position.mean(axis=0) if len(position) else unknown
        return Ellipsoid(centre, unknown, unknown, np.full((3, 3), np.nan))
    centre = position.mean(axis=0)
    away = position - centre
    values, vectors = np.linalg.eigh(away.T @ away / len(away))
    values, axes = np.maximum(values[::-1], 0.0), vectors.T[::-1].copy()
    axes *= np.where(axes[np.arange(3), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    axes[2] *= np.sign(np.linalg.det(axes))
    fourth = ((away @ axes.T) ** 4).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(5 / (4 * values) * np.maximum(fourth - values**2, 0.0) / len(away))
    return Ellipsoid(centre, np.sqrt(5 * values), error, axes)


@dataclass(frozen=True)
class Outside:
    """Volume and area of a body, and how they follow its points: slopes of shape (points, 3)."""

    volume: float
    volume_slope: F64
    area: float
    area_slope: F64

    @property
    def sphericity(self) -> float:
        """pi**(1/3) (6 V)**(2/3) / A: 1 for a ball, 0.910 truncated octahedron, 0.846 octahedron, 0.806 cube."""
        return math.pi ** (1 / 3) * (6 * self.volume) ** (2 / 3) / self.area

    @property
    def sphericity_slope(self) -> F64:
        """How the sphericity follows the points, shape (points, 3)."""
        relative = 2 / 3 * self.volume_slope / self.volume - self.area_slope / self.area
        return np.asarray(self.sphericity * relative)


def outside(position: F64, corner: I32) -> Outside:
    """Return volume and area of tetrahedra from the faces that only one of them has; NaN where there are none.

    Parameters
    ----------
    position
        Shape (points, 3).
    corner
        The points of each tetrahedron, shape (cells, 4).
    """
    volume_slope, area_slope = np.zeros_like(position), np.zeros_like(position)
    if not len(corner):
        return Outside(math.nan, volume_slope * math.nan, math.nan, area_slope * math.nan)
    faces = np.concatenate([np.delete(corner, left, axis=1) for left in range(4)])
    inner = corner.T.reshape(-1)
    _, first, count = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    outer = first[count == 1]
    middle = position.mean(axis=0)
    a, b, c = (position[faces[outer, k]] - middle for k in range(3))
    normal = np.cross(b - a, c - a)
    sign = -np.sign(((position[inner[outer]] - middle - a) * normal).sum(axis=1))[:, None]
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(length > 0, normal / length, 0.0)
    for k, (one, other, across) in enumerate(((b, c, c - b), (c, a, a - c), (a, b, b - a))):
        np.add.at(volume_slope, faces[outer, k], sign * np.cross(one, other) / 6)
        np.add.at(area_slope, faces[outer, k], np.cross(unit, across) / 2)
    volume = float((sign[:, 0] * (a * np.cross(b, c)).sum(axis=1)).sum() / 6)
    return Outside(volume, volume_slope, float(length.sum() / 2), area_slope)


def spread(slope: F64, covariance: F64) -> float:
    """Return the standard error of what has slopes, shape (points, 3), to independent points; (points, 3, 3)."""
    used = (slope != 0).any(axis=1)
    return float(np.sqrt(np.einsum("ni,nij,nj->", slope[used], covariance[used], slope[used])))
