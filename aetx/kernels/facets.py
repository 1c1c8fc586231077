"""Facets of crystals: the atoms of a lattice plane that nothing covers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, cKDTree

from aetx.kernels.neighbours import within

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Family:
    """Planes of fcc.

    `step` is the height of a plane over the one below it as the product of its Miller indices and twice the lattice
    coordinates; `beside` how many sites of its own plane are no further from an atom than the edge of the cell.
    """

    miller: tuple[int, int, int]
    step: int
    beside: int


FAMILIES = {
    "111": Family((1, 1, 1), step=2, beside=6),
    "100": Family((1, 0, 0), step=1, beside=8),
    "110": Family((1, 1, 0), step=1, beside=4),
}
SHELL = (1 / np.sqrt(2) + 1) / 2
"""Distance halfway from the first to the second shell of neighbours in fcc, over the edge of the cubic cell."""
BARE = 0.5
"""Least share of the atoms of a facet that have nothing above them: on the rest stand islands of one layer."""
FILLED = 0.5
"""Least mean share of the sites beside its bare atoms that bare ones fill: in a single row it is less, in two more."""


@dataclass(frozen=True)
class Facet:
    """One facet.

    `member` are its atoms, those of islands on it included, shape (atoms,); `island` tells which these are. `normal`
    points out of the crystal, shape (3,). `plane` is the height of the facet: the product of its Miller indices and
    the lattice coordinates. `area` is in the square of the unit of the positions.
    """

    grain: int
    family: str
    miller: tuple[int, int, int]
    normal: F64
    plane: float
    member: I64
    island: Mask
    area: float


@dataclass(frozen=True)
class _Rim:
    """The atoms of a grain that lack a neighbour, and their sites.

    `chosen` has shape (atoms,); `doubled` is twice the lattice coordinates, shape (atoms, 3); `own` and `strange` are
    bonds from atoms of the rim to others of the grain and to all else, `vector` is along the latter, shape (bonds, 3);
    `beside` are pairs within the rim whose sites are no further apart than a cell is long: in a plane first neighbours,
    and second ones, which have first neighbours in common or are those across the rows of {110}.
    """

    chosen: Mask
    doubled: I64
    own: tuple[I64, I64]
    strange: tuple[I64, I64]
    vector: F64
    beside: tuple[I64, I64]


def least_atoms(atoms: int) -> float:
    """Return how many atoms a facet must exceed: 20 for a particle of 3504, for others in proportion to their surface.

    Never less than four.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2207.06677 (2022), Supporting Information (20 atoms).
    """
    return max(4.0, 20.0 * (atoms / 3504) ** (2 / 3))


def directions(family: str) -> I64:
    """Return the Miller indices of all planes of a family, shape (planes, 3), in rising order."""
    found = {
        tuple(sign * index for sign, index in zip(signs, turned, strict=True))
        for turned in permutations(FAMILIES[family].miller)
        for signs in product((1, -1), repeat=3)
    }
    return np.array(sorted(found), np.int64)


def facets(
    position: F64, site: F64, grain: I64, basis: F64, families: tuple[str, ...], threshold: float
) -> list[Facet]:
    """Find the facets of fcc grains, most atoms first.

    An atom is bare towards a plane normal if no nearest neighbour, of any grain or none, stands above it by more than
    half a plane. A facet is a connected patch of bare atoms of one lattice plane of one grain, with more atoms than the
    threshold. Lattice planes and neighbours within a grain are exact, by integers, however far the atoms are from
    their sites. Towards a twin plane the atoms of the other grain stand above, so that there is no facet. Edges,
    corners and steps bare single rows of a plane, which are no patch.

    Islands of one layer that are too small for a facet of their own are part of the one that they stand on, as long as
    at least half of it is bare, in more than single rows; atoms that they bury are not.

    Parameters
    ----------
    position
        Shape (atoms, 3).
    site
        Lattice coordinates in units of the edges of the cubic cell, NaN where there are none, shape (atoms, 3).
    grain
        Shape (atoms,), -1 where there is none.
    basis
        Edges of the cubic cell of each grain in rows, shape (grains, 3, 3).
    families
        Keys of `FAMILIES`.
    threshold
        Atoms that a facet must exceed.
    """
    doubled = np.rint(2 * np.nan_to_num(site)).astype(np.int64)
    placed = np.isfinite(site).all(axis=1) & (doubled.sum(axis=1) % 2 == 0) & (grain >= 0)
    found: list[Facet] = []
    for number in np.unique(grain[placed]):
        edges = basis[number]
        cell = float(abs(np.linalg.det(edges)) ** (1 / 3))
        rim = _rim(position, doubled, placed & (grain == number), SHELL * cell)
        for name in families:
            family = FAMILIES[name]
            for miller in directions(name):
                slope = np.linalg.inv(edges) @ miller
                length = float(np.linalg.norm(slope))
                level = (doubled @ miller) // family.step
                rising = _rising(rim, level, slope / length, family.step / 2 / length)
                index = (int(miller[0]), int(miller[1]), int(miller[2]))
                for member, island, height in _patches(rim, level, rising, family, threshold):
                    area = _area(position[member], slope / length, cell / np.sqrt(2))
                    plane = height * family.step / 2
                    found.append(Facet(int(number), name, index, slope / length, plane, member, island, area))
    order = sorted(range(len(found)), key=lambda one: (-len(found[one].member), one))
    return [found[one] for one in order]


def _rim(position: F64, doubled: I64, member: Mask, cutoff: float) -> _Rim:
    atom = np.flatnonzero(member)
    tree = cKDTree(doubled[atom])
    pairs = atom[tree.query_pairs(1.5, output_type="ndarray")]
    own = np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    near = within(position, cutoff)
    source, target = near.source.astype(np.int64), near.index.astype(np.int64)
    apart = member[source] & ~member[target]
    strange = source[apart], target[apart]
    chosen = member & (np.bincount(own[0], minlength=len(member)) < 12)
    outer = atom[chosen[atom]]
    pairs = outer[cKDTree(doubled[outer]).query_pairs(2.1, output_type="ndarray")]
    kept, left = chosen[own[0]], chosen[strange[0]]
    strange = strange[0][left], strange[1][left]
    vector = position[strange[1]] - position[strange[0]]
    return _Rim(chosen, doubled, (own[0][kept], own[1][kept]), strange, vector, (pairs[:, 0], pairs[:, 1]))


def _rising(rim: _Rim, level: I64, normal: F64, spacing: float) -> tuple[I64, I64]:
    """Return the bonds that go up: within the grain by planes, to other atoms by more than half a plane."""
    up = level[rim.own[1]] > level[rim.own[0]]
    over = rim.vector @ normal > spacing / 2
    return (
        np.concatenate([rim.own[0][up], rim.strange[0][over]]),
        np.concatenate([rim.own[1][up], rim.strange[1][over]]),
    )


def _patches(
    rim: _Rim, level: I64, rising: tuple[I64, I64], family: Family, threshold: float
) -> list[tuple[I64, Mask, int]]:
    """Return members, which of them are islands, and the level, of each facet of one direction."""
    atoms = len(level)
    lower, upper = rising
    above = np.bincount(lower, minlength=atoms)
    bare = rim.chosen & (above == 0)
    patch, beside = _connected(bare, level, rim.beside)
    island = bare & (np.bincount(patch[bare], minlength=atoms)[patch] <= threshold)
    free = rim.chosen & (np.bincount(lower[~island[upper]], minlength=atoms) == 0)
    patch = _connected(free, level, rim.beside)[0]
    found = []
    for name in np.flatnonzero(np.bincount(patch[free], minlength=atoms) > threshold):
        inside = free & (patch == name)
        if bare[inside].mean() < BARE or beside[inside & bare].mean() < FILLED * family.beside:
            continue
        on = np.zeros(atoms, bool)
        on[upper[inside[lower] & island[upper]]] = True
        member = np.flatnonzero(inside | on)
        found.append((member, on[member], int(level[inside][0])))
    return found


def _connected(chosen: Mask, level: I64, pairs: tuple[I64, I64]) -> tuple[I64, I64]:
    """Return the number of the patch of each atom, and how many of its pairs are within it, shape (atoms,)."""
    joined = chosen[pairs[0]] & chosen[pairs[1]] & (level[pairs[0]] == level[pairs[1]])
    first, second = pairs[0][joined], pairs[1][joined]
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(chosen), len(chosen)))
    label = np.asarray(connected_components(graph, directed=False)[1], np.int64)
    return label, np.bincount(first, minlength=len(chosen)) + np.bincount(second, minlength=len(chosen))


def _area(position: F64, normal: F64, distance: float) -> float:
    """Return the area of the convex hull of atoms in a plane, widened all round by half a distance of neighbours."""
    plane = np.linalg.svd(normal[None])[2][1:]
    hull = ConvexHull(position @ plane.T)
    return float(hull.volume + hull.area * distance / 2 + np.pi * distance**2 / 4)
