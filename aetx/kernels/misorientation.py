"""How grains of a cubic or hexagonal crystal are turned against each other, and which are twins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

OCTAHEDRAL = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / math.sqrt(3)
"""The four <111> of a cubic crystal, up to their sign."""


@dataclass(frozen=True)
class Turn:
    """A small turn: a vector along its axis, radian."""

    vector: F64

    @property
    def angle(self) -> float:
        """Radian."""
        return float(np.linalg.norm(self.vector))

    @property
    def axis(self) -> F64:
        """Unit vector; NaN where the angle is 0."""
        return self.vector / self.angle if self.angle > 0 else np.full(3, np.nan)

    def about(self, normal: F64) -> float:
        """Return the part about a unit vector, radian."""
        return float(self.vector @ normal)

    def error(self, covariance: F64) -> float:
        """Return the standard error of the angle; of the greatest part where the angle is 0."""
        if not np.isfinite(covariance).all():
            return math.nan
        if not self.angle > 0:
            return math.sqrt(float(np.linalg.eigvalsh(covariance)[-1]))
        return math.sqrt(float(self.axis @ covariance @ self.axis))


def vector_of(rotation: F64) -> F64:
    """Return the vector of a rotation, radian, shape (3,): its length is at most pi."""
    return _vectors(rotation[None])[0]


def _vectors(rotation: F64) -> F64:
    """Return the vectors of rotations, shape (n, 3), accurate near 0 and pi alike: by way of quaternions."""
    m = rotation
    w = np.sqrt(np.maximum(0, 1 + m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2])) / 2
    symmetric = (m + m.transpose(0, 2, 1)) / 2
    square = np.maximum(0, (1 + 2 * np.einsum("nii->ni", m) - np.einsum("nii->n", m)[:, None]) / 4)
    largest = square.argmax(axis=1)
    at = np.arange(len(m))
    size = np.sqrt(square[at, largest])
    half = symmetric[at, largest] / np.maximum(2 * size, 1e-300)[:, None]
    half[at, largest] = size
    twist = np.stack([m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]], axis=1) / 4
    near_zero = w > 0.5
    quaternion = np.where(near_zero[:, None], twist / np.maximum(w, 1e-300)[:, None], half)
    sign = np.where(np.einsum("ni,ni->n", quaternion, twist) < 0, -1.0, 1.0)
    quaternion = quaternion * sign[:, None]
    length = np.linalg.norm(quaternion, axis=1)
    angle = 2 * np.arctan2(length, w)
    return np.asarray(quaternion * np.where(length > 0, angle / np.maximum(length, 1e-300), 2.0)[:, None])


def between(first: F64, second: F64, turns: F64) -> Turn:
    """Return the smallest turn that takes the first of two orientations of a crystal to the second.

    Parameters
    ----------
    first, second
        Rotations from the crystal to the specimen, shape (3, 3).
    turns
        Rotations that take the crystal to itself, shape (turns, 3, 3).
    """
    found = _vectors(second @ turns @ first.T)
    return Turn(found[np.linalg.norm(found, axis=1).argmin()])


@dataclass(frozen=True)
class Twin:
    """Two grains nearly related by half a turn about a common <111>, which is 60 degrees about it as well (sigma 3).

    `normal` is that <111>, a unit vector in the frame of the specimen midway between those of the grains, and `rest`
    the turn that remains when the second grain is compared to the perfect twin of the first.
    """

    normal: F64
    rest: Turn


def twin(first: F64, second: F64, turns: F64) -> Twin:
    """Return how far two grains of a cubic crystal are from being twins about the <111> that fits best.

    Parameters
    ----------
    first, second, turns
        As of `between`.
    """
    best: Twin | None = None
    for direction in OCTAHEDRAL:
        half = 2 * np.outer(direction, direction) - np.eye(3)
        rest = between(first @ half, second, turns)
        if best is None or rest.angle < best.rest.angle:
            normal = first @ direction
            normal = normal + 0.5 * np.cross(rest.vector, normal)
            best = Twin(normal / np.linalg.norm(normal), rest)
    assert best is not None
    return best


def planes(shared: I64, position: F64, normal: F64, spacing: float, least: int) -> list[tuple[float, I64]]:
    """Split atoms that two twins share into the planes across their normal, greatest first.

    Parameters
    ----------
    shared
        Indices of the atoms.
    position
        Of all atoms, shape (atoms, 3), angstrom.
    normal
        Unit vector.
    spacing
        Of layers along it, angstrom: heights further apart than half of it are of two planes.
    least
        Fewest atoms of a plane.

    Returns
    -------
    The height of each plane along the normal, and its atoms.
    """
    height = position[shared] @ normal
    order = np.argsort(height, kind="stable")
    cuts = np.flatnonzero(np.diff(height[order]) > 0.5 * spacing) + 1
    parts = [one for one in np.split(order, cuts) if one.size >= least]
    found = [(float(height[one].mean()), np.sort(shared[one])) for one in parts]
    return sorted(found, key=lambda one: (-one[1].size, one[0]))


def off_site(position: F64, origin: F64, basis: F64, motif: F64) -> F64:
    """Return the distance of each position from the nearest site of a lattice, shape (atoms,).

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom.
    origin, basis
        Of the lattice: the vectors of its cell in rows, at about right angles.
    motif
        Sites in units of the vectors, shape (sites, 3).
    """
    fraction = (position - origin) @ np.linalg.inv(basis)
    away = fraction[:, None] - motif
    return np.asarray(np.linalg.norm((away - np.round(away)) @ basis, axis=2).min(axis=1))
