"""Close-packed layers stacked along z, with a double twin about the layer of height 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

CUBIC = np.array(
    [
        [-math.sqrt(1 / 2), -math.sqrt(1 / 6), math.sqrt(1 / 3)],
        [math.sqrt(1 / 2), -math.sqrt(1 / 6), math.sqrt(1 / 3)],
        [0.0, math.sqrt(2 / 3), math.sqrt(1 / 3)],
    ]
)
"""Cubic axes of both halves of `double_twin` in its frame, one in each row: the twins turn the lattice twice."""


def double_twin(distance: float, radius: float, height: float) -> tuple[F64, I64]:
    """Return the sites of close-packed layers in the order ABCAB A CABC, whose middle A is at height 0.

    Parameters
    ----------
    distance
        Of nearest neighbours, angstrom; they lie along x.
    radius
        Of the cylinder that is filled, angstrom.
    height
        Half its length, angstrom.

    Returns
    -------
    Positions, shape (sites, 3); layer of each, counted from the middle one, shape (sites,).
    """
    most = int(height / (distance * math.sqrt(2 / 3)))
    layer = np.arange(-most, most + 1)
    letter = np.where(layer == 0, 0, np.where(layer > 0, layer + 1, layer + 2) % 3)
    reach = math.ceil(radius / distance * 1.2) + 2
    step = np.arange(-reach, reach + 1)
    first, second = (one.ravel() for one in np.meshgrid(step, step, indexing="ij"))
    plane = distance * np.stack([first + second / 2, second * math.sqrt(3) / 2], axis=1)
    hollow = distance * np.array([0.5, math.sqrt(3) / 6])
    sites = np.empty((len(layer), len(plane), 3))
    sites[:, :, :2] = plane + letter[:, None, None] * hollow
    sites[:, :, 2] = distance * math.sqrt(2 / 3) * layer[:, None]
    found, number = sites.reshape(-1, 3), np.repeat(layer, len(plane))
    kept = (found[:, :2] ** 2).sum(axis=1) <= radius**2
    return found[kept], number[kept]


def local_strain(points: F64, centre: F64, width: float, along: float, across: float) -> F64:
    """Return the displacements of a bump of strain: exx and eyy are Gaussians about a centre.

    Parameters
    ----------
    points
        Shape (points, 3), angstrom.
    centre
        Where the strain is greatest and the displacement 0, shape (3,).
    width
        Standard deviation of the Gaussians, angstrom.
    along, across
        Greatest exx and eyy.

    Returns
    -------
    Displacements, shape (points, 3): u_x integrates exx along x, u_y eyy along y.
    """
    away = (points - centre) / width
    bell = np.exp(-(away**2) / 2)
    integral = width * math.sqrt(math.pi / 2) * erf(away / math.sqrt(2))
    moved = np.zeros_like(points)
    moved[:, 0] = along * integral[:, 0] * bell[:, 1] * bell[:, 2]
    moved[:, 1] = across * integral[:, 1] * bell[:, 0] * bell[:, 2]
    return moved
