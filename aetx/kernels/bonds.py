"""Bonds of a known crystal in a cloud of atoms: who is bulk, how grains are turned, how long bonds are on the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.kernels.rotation import nearest_rotation
from aetx.kernels.unit_cell import named, next_shell

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

LOOSE = 0.3
"""How far the end of a bond of a grain may be from where the crystal has it, over the length of the bond."""
SEEDS = 12
"""Atoms that are tried as the beginning of a grain."""
SKETCH = 2
"""Rounds, as below, by which the tried beginnings are compared."""
ROUNDS = 12
"""Times that the members of a grain and its mean bonds follow each other."""
HUBER = 2.0
"""Error of a bond, over the median of all, from which it counts less."""


@dataclass(frozen=True)
class Crystal:
    """Bonds of an atom, shape (bonds, 3), angstrom; the next shell is beyond `cutoff` (angstrom)."""

    bonds: F64
    cutoff: float

    @property
    def shortest(self) -> float:
        """Length of the shortest bond, angstrom."""
        return float(np.linalg.norm(self.bonds, axis=1).min())

    @property
    def sides(self) -> tuple[float, ...]:
        """1, and -1 where the opposite bonds are others."""
        apart = np.linalg.norm(self.bonds[:, None] + self.bonds, axis=2).min(axis=1)
        return (1.0,) if float(apart.max()) < 1e-9 * self.cutoff else (1.0, -1.0)


def crystal(lattice: str, edge: float, ratio: float) -> Crystal:
    """Return the bonds of a crystal.

    Every other atom of diamond and hcp has the opposite ones.

    Parameters
    ----------
    lattice
        ``fcc``, ``bcc`` (both shells of 8 and 6), ``sc``, ``diamond`` or ``hcp``.
    edge
        Edge a of the cubic or hexagonal cell, angstrom.
    ratio
        c/a of hcp.
    """
    cell = named(lattice, ratio)
    scale = edge / cell.edge
    longest = float(np.linalg.norm(cell.bonds(0), axis=1).max())
    return Crystal(scale * cell.bonds(0), 0.5 * scale * (longest + next_shell(cell, 0)))


@dataclass(frozen=True)
class Bulk:
    """Atoms with as many neighbours as the crystal says: their indices, those of the neighbours, and the vectors."""

    atom: I64
    neighbour: I64
    vector: F64
    typical: float
    """Median length of the bonds up to the cutoff, of all atoms, angstrom."""


def bulk(position: F64, found: Crystal, rounds: int = 4) -> Bulk:
    """Find the atoms whose coordination is that of the crystal, whatever the scale.

    The cutoff follows the lengths that are found: from the distances to nearest neighbours, then from the median of
    all bonds, so that a scale wrong by a few percent does not change who is counted.

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom.
    found
        The crystal.
    rounds
        Times that the cutoff is found anew.
    """
    count = len(found.bonds)
    lengths = np.linalg.norm(found.bonds, axis=1)
    middle = float(np.median(lengths))
    tree = cKDTree(position)
    if len(position) <= count:
        none = np.empty((0, count), np.int64)
        return Bulk(np.empty(0, np.int64), none, np.empty((0, count, 3)), float("nan"))
    around = tree.query(position, k=min(count + 2, len(position)))
    distance, index = np.asarray(around[0])[:, 1:], np.asarray(around[1])[:, 1:]
    typical = float(np.median(distance[:, : max(3, count // 4)]))
    scale = typical / found.shortest
    for _ in range(rounds):
        near = distance[distance < found.cutoff * scale]
        typical = float(np.median(near)) if near.size else float("nan")
        scale = typical / middle
    full = (distance[:, count - 1] < found.cutoff * scale) & ~(distance[:, count:] < found.cutoff * scale).any(axis=1)
    atom = np.flatnonzero(full)
    neighbour = index[atom, :count]
    return Bulk(atom, neighbour, position[neighbour] - position[atom, None], typical)


@dataclass(frozen=True)
class Grain:
    """Atoms of `Bulk` that share an orientation, which bond of the crystal each of their bonds is, and the map.

    `matrix` takes bonds of the crystal to those measured; `weight` is that of each bond in it, shape (atoms, bonds).
    """

    member: I64
    bond: I64
    sign: F64
    matrix: F64
    weight: F64


def grains(found: Bulk, of: Crystal, least: int) -> list[Grain]:
    """Split bulk atoms into grains of one orientation each, greatest first.

    A neighbourhood belongs to a grain if its bonds are those of the turned crystal one to one, each end within
    `LOOSE` of its place; twins share a plane of bonds but not the rest. A grain begins at the neighbourhood, of a few
    tried, that most others agree with.

    Parameters
    ----------
    found
        The bulk atoms.
    of
        The crystal.
    least
        Fewest atoms of a grain.
    """
    free = np.arange(len(found.atom))
    made: list[Grain] = []
    while free.size >= least:
        best: Grain | None = None
        for seed in free[np.linspace(0, free.size - 1, min(SEEDS, free.size)).astype(int)]:
            matrix = _turned(found.vector[seed], of)
            grown = None if matrix is None else _grow(found, of, free, matrix, least, SKETCH)
            if grown is not None and (best is None or grown.member.size > best.member.size):
                best = grown
            if best is not None and 2 * best.member.size > free.size:
                break
        best = None if best is None else _grow(found, of, free, best.matrix, least, ROUNDS)
        if best is None:
            break
        made.append(best)
        free = np.setdiff1d(free, best.member)
    return made


def _turned(vector: F64, of: Crystal) -> F64 | None:
    """Return the map from the crystal to one neighbourhood, or None where no rotation takes one to the other.

    A half or quarter turn takes the bonds of diamond and hcp to the opposite ones, so that either serves.
    """
    scale = float(np.median(np.linalg.norm(vector, axis=1)) / np.median(np.linalg.norm(of.bonds, axis=1)))
    crossed = np.linalg.norm(np.cross(of.bonds[0], of.bonds), axis=1)
    second = int(crossed.argmax())
    wanted = of.bonds[[0, second]] * scale
    sizes, gap = np.linalg.norm(wanted, axis=1), float(np.linalg.norm(wanted[0] - wanted[1]))
    best, least = None, math.inf
    length = np.linalg.norm(vector, axis=1)
    for i, j in permutations(range(len(vector)), 2):
        off = abs(length[i] - sizes[0]), abs(length[j] - sizes[1]), abs(np.linalg.norm(vector[i] - vector[j]) - gap)
        if max(off) > LOOSE * of.shortest * scale:
            continue
        turn = nearest_rotation(vector[[i, j]].T @ wanted)
        bond, away = _nearest(vector[None], scale * of.bonds @ turn.T)
        total = float((away**2).sum())
        if total < least and _one_to_one(bond)[0]:
            best, least = scale * turn, total
    return best


def _nearest(vector: F64, bonds: F64) -> tuple[I64, F64]:
    """Return the nearest bond to each vector, shape (atoms, bonds), and the distance."""
    closer = vector @ bonds.T - 0.5 * (bonds**2).sum(axis=1)
    index = closer.argmax(axis=2)
    return index.astype(np.int64), np.linalg.norm(vector - bonds[index], axis=2)


def _one_to_one(bond: I64) -> Mask:
    return np.asarray((np.sort(bond, axis=1) == np.arange(bond.shape[1])).all(axis=1))


def _grow(found: Bulk, of: Crystal, free: I64, matrix: F64, least: int, rounds: int) -> Grain | None:
    """Alternate between the members of a grain and the map that their bonds have in robust least squares."""
    vector, weight, sign = found.vector[free], np.empty((0, 0)), np.empty(0)
    member = np.zeros(free.size, bool)
    for _ in range(rounds):
        fits = []
        for side in of.sides:
            bond, away = _nearest(vector, side * of.bonds @ matrix.T)
            close = LOOSE * np.linalg.norm(of.bonds[bond] @ matrix.T, axis=2)
            fits.append((bond, np.where(_one_to_one(bond) & (away < close).all(axis=1), (away**2).sum(1), np.inf)))
        odd = fits[-1][1] < fits[0][1]
        bond = np.where(odd[:, None], fits[-1][0], fits[0][0])
        before, member = member, np.isfinite(np.where(odd, fits[-1][1], fits[0][1]))
        if member.sum() < least:
            return None
        sign = np.where(odd[member], -1.0, 1.0)
        new, weight = robust_map(vector[member], sign[:, None, None] * of.bonds[bond[member]], matrix)
        settled = bool((before == member).all()) and np.abs(new - matrix).max() < 1e-9 * np.abs(new).max()
        matrix = new
        if settled:
            break
    return Grain(free[member], bond[member], sign, matrix, weight)


def robust_map(vector: F64, bonds: F64, start: F64) -> tuple[F64, F64]:
    """Return the matrix A with vector = A bonds in least squares with Huber's weights, and those weights.

    Parameters
    ----------
    vector, bonds
        Shape (atoms, bonds, 3).
    start
        The matrix from which the first weights come, shape (3, 3).
    """
    matrix = start
    for _ in range(ROUNDS):
        away = np.linalg.norm(vector - bonds @ matrix.T, axis=2)
        spread = float(np.median(away)) / 1.538  # the median length of a vector of three unit normal numbers
        weight = (
            np.minimum(1.0, HUBER * 1.538 * spread / np.maximum(away, 1e-300)) if spread > 0 else np.ones_like(away)
        )
        weighted = weight[:, :, None] * bonds
        normal = np.einsum("nbi,nbj->ij", weighted, bonds)
        new = np.linalg.solve(normal, np.einsum("nbi,nbj->ij", weighted, vector)).T
        moved, matrix = float(np.abs(new - matrix).max()), new
        if moved < 1e-10 * float(np.abs(matrix).max()):
            break
    return matrix, weight


def influence(grain: Grain, found: Bulk, of: Crystal, atoms: int) -> F64:
    """Return how the map follows the positions: A = sum_i r_i outer c_i, c of shape (atoms, 3).

    Neighbours on either side of an atom cancel, so that almost only the atoms at the rim of a grain count, and the
    errors of bonds, which share atoms, need no correlation of their own.

    Parameters
    ----------
    grain, found, of
        As `grains` makes them.
    atoms
        Number of all atoms.
    """
    bonds = grain.sign[:, None, None] * of.bonds[grain.bond]
    weighted = grain.weight[:, :, None] * bonds
    share = np.linalg.solve(np.einsum("nbi,nbj->ij", weighted, bonds), weighted.reshape(-1, 3).T).T
    found_share = np.zeros((atoms, 3))
    np.add.at(found_share, found.neighbour[grain.member].ravel(), share)
    np.subtract.at(found_share, found.atom[grain.member], share.reshape(*weighted.shape).sum(axis=1))
    return found_share


def polar(matrix: F64) -> tuple[F64, F64]:
    """Return the symmetric P and the rotation R of a matrix P R."""
    u, size, vt = np.linalg.svd(matrix)
    return np.asarray(u * size @ u.T), np.asarray(u @ vt)
