"""What atoms have on the mean along rays from a centre, and in cones about directions of their crystal."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

FAMILIES = {"100": (1, 0, 0), "110": (1, 1, 0), "111": (1, 1, 1)}
"""Families of directions of a cubic crystal."""


def directions(family: str) -> F64:
    """Return the unit vectors of a family, shape (directions, 3)."""
    found = {
        tuple(sign * value for sign, value in zip(signs, turned, strict=True))
        for turned in permutations(FAMILIES[family])
        for signs in product((1, -1), repeat=3)
    }
    vectors = np.array(sorted(found), float)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def along(ray: F64, place: F64, value: F64, radius: float) -> F64:
    """Return the mean value of the atoms around each ray, shape (rays,), NaN where there is none.

    Parameters
    ----------
    ray
        Unit vectors from the origin, shape (rays, 3).
    place
        From the same origin, shape (atoms, 3).
    value
        Finite, shape (atoms,).
    radius
        Greatest distance of an atom from a ray.
    """
    made = np.full(len(ray), np.nan)
    square = (place**2).sum(axis=1)
    for k, one in enumerate(ray):
        ahead = place @ one
        near = (ahead > 0) & (square - ahead**2 <= radius**2)
        if near.any():
            made[k] = value[near].mean()
    return made


def cone(place: F64, axes: F64, family: str, angle: float) -> Mask:
    """Tell which atoms lie within an angle of a direction of a family, seen from the origin, shape (atoms,).

    Parameters
    ----------
    place
        Shape (atoms, 3).
    axes
        The axes <100> of the crystal of each atom, one in each row, shape (atoms, 3, 3).
    family
        One of `FAMILIES`.
    angle
        Half the opening of the cones, radian.
    """
    seen = np.einsum("nvi,ni->nv", axes, place)
    length = np.linalg.norm(seen, axis=1)
    return np.asarray((seen @ directions(family).T).max(axis=1) >= np.cos(angle) * np.maximum(length, 1e-12))
