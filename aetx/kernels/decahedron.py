"""Marks decahedra: five fcc sectors about one axis, each stretched so that together they close the circle."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

AXIS_AND_TWINS = -1
"""Sector of atoms that belong to more than one."""


def count(edge: int, height: int, reentrance: int) -> int:
    """Return the number of atoms of a Marks decahedron; `sites` says what the three numbers are."""
    ring, _, _ = _columns(edge, reentrance)
    length = edge + height + 2 * reentrance - 1
    return length + 5 * int((length - ring).sum())


def _columns(edge: int, reentrance: int) -> tuple[I64, I64, I64]:
    """Return ring and the two in-plane coordinates of the columns of a sector, those of its first twin plane with it.

    The two coordinates count steps along the two twin planes; in a ring their sum is the same.
    """
    rings = edge + 2 * reentrance
    first, second = (one.ravel() for one in np.meshgrid(np.arange(rings), np.arange(rings), indexing="ij"))
    ring = first + second
    kept = (first >= 1) & (ring < rings) & (first < rings - reentrance) & (second < rings - reentrance)
    return ring[kept], first[kept], second[kept]


def sites(edge: int, height: int, reentrance: int, distance: float) -> tuple[F64, I64]:
    """Return the sites of a Marks decahedron around the origin, its axis along z.

    Parameters
    ----------
    edge
        Atoms along the edges of the {100} faces across the axis.
    height
        Atoms along the edges of the {100} faces along the axis; 1 where there are none.
    reentrance
        Depth of the notches at the twin planes in layers, from 0.
    distance
        Of nearest neighbours along the axis and the twin planes, angstrom.

    Returns
    -------
    Positions, shape (sites, 3); the sector of each site, 0 to 4, or -1 on the axis and the twin planes.
    """
    ring, first, second = _columns(edge, reentrance)
    length = edge + height + 2 * reentrance - 1
    atoms = length - ring
    column = np.repeat(np.arange(len(ring)), atoms)
    step = np.arange(len(column)) - np.repeat(np.cumsum(atoms) - atoms, atoms)
    z = distance * (step - (atoms[column] - 1) / 2)
    along = np.arange(length) - (length - 1) / 2
    found = [np.stack([np.zeros(length), np.zeros(length), distance * along], axis=1)]
    sector = [np.full(length, AXIS_AND_TWINS)]
    for m in range(5):
        one, other = (_twin_plane(m + k) * distance * math.sqrt(0.75) for k in (0, 1))
        plane = first[column, None] * one + second[column, None] * other
        found.append(np.column_stack([plane, z]))
        sector.append(np.where(second[column] > 0, m, AXIS_AND_TWINS))
    return np.concatenate(found), np.concatenate(sector).astype(np.int64)


def _twin_plane(number: int) -> F64:
    """Return the direction of a twin plane outwards from the axis, shape (2,)."""
    angle = math.pi / 2 + 2 * math.pi / 5 * number
    return np.array([math.cos(angle), math.sin(angle)])


def beyond(edge: int, height: int, reentrance: int, distance: float) -> tuple[F64, I64]:
    """Return the sites on which a Marks decahedron can grow, as `sites` does.

    They fill its notches and lie up to one layer above its faces; some have no neighbour in it yet.
    """
    body, _ = sites(edge, height, reentrance, distance)
    position, sector = sites(edge + 2 * reentrance + 1, height + 1, 0, distance)
    free = KDTree(body).query(position)[0] > distance / 2
    return position[free], sector[free]


def nearest_below(atoms: int) -> tuple[int, int, int]:
    """Return the compact decahedron, edge, height and re-entrance, with most atoms but not more than `atoms`, from 7.

    Compact are those whose length along the axis is 0.7 to 1.4 times their width across it, and whose notches are
    not deeper than half their edge is long.
    """
    best, chosen = 7, (2, 1, 0)
    most = math.ceil((5 * atoms) ** (1 / 3)) + 3
    for edge in range(2, most):
        for reentrance in range(edge // 2 + 1):
            rings = edge + 2 * reentrance
            width = math.sqrt(3) * (rings - reentrance - 0.5)
            for height in range(1, most):
                if not 0.7 <= (rings + height - 1) / width <= 1.4:
                    continue
                size = count(edge, height, reentrance)
                if size > atoms:
                    break
                if size > best:
                    best, chosen = size, (edge, height, reentrance)
    return chosen
