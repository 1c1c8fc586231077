"""Grains of a crystal in a cloud of atoms: found from nothing, walked through site by site, fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels import neighbours, orientation
from aetx.kernels.lattice_fit import Fit, fit
from aetx.kernels.orientation import Local
from aetx.kernels.site_walk import mismatches, walk
from aetx.kernels.unit_cell import UnitCell, pair_of, skeleton, templates, turns

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDS = 100
"""Most rounds of walk and fit."""
SETTLED = 1e-5
"""Sum of the changes of all components of the cell vectors at which the rounds end, angstrom."""
STRETCH = 0.2
"""Deviation of the bonds around an atom from the spacing, over the latter, up to which the atom may begin a grain."""
SPREAD = 20
"""Most bonds by which a label goes on from atoms that have all neighbours to those that have not."""
BOND = 0.3
"""Farthest of a neighbour from the end of the bond that leads to it, over the shortest bond."""


@dataclass(frozen=True)
class Search:
    """How grains are sought.

    Parameters
    ----------
    spacing
        Shortest bond, angstrom; None to find it.
    tolerance
        Farthest of an atom from the end of a bond, angstrom.
    angle
        Greatest angle between neighbours of one grain, radian.
    least
        Fewest atoms with full surroundings of a grain.
    affine
        Whether the cell may be any, rather than of the shape of the crystal.
    from_atom
        Whether bonds begin where atoms are, rather than at their sites.
    """

    spacing: float | None
    tolerance: float
    angle: float
    least: int
    affine: bool
    from_atom: bool


@dataclass(frozen=True)
class Grain:
    """Atoms of one lattice: which, their sites in units of the cell, shape (members, vectors), and the fit to them.

    Positions are origin + site @ basis; `basis` is of shape (vectors, D). `rounds` of walk and fit were made, and
    `settled` says whether the last ones agree. `mismatch` are pairs of atoms whose sites are not those of their bond,
    shape (pairs, 2), and `slip` by how much, in units of the cell, shape (pairs, vectors).
    """

    member: I64
    site: F64
    fit: Fit
    vectors: F64
    rounds: int
    settled: bool
    mismatch: I64
    slip: F64

    @property
    def basis(self) -> F64:
        """Cell vectors, shape (vectors, D)."""
        return np.asarray(self.vectors @ self.fit.matrix)

    @property
    def burgers(self) -> F64:
        """The most frequent slip, up to its sign, shape (vectors,); NaN where there is none."""
        if not len(self.slip):
            return np.full(len(self.vectors), np.nan)
        rounded = np.round(self.slip * 12).astype(np.int64)
        first = np.array([next(v for v in one if v) if one.any() else 1 for one in rounded])
        kinds, number = np.unique(rounded * np.sign(first)[:, None], axis=0, return_counts=True)
        return np.asarray(kinds[number.argmax()] / 12.0)


def find(position: F64, covariance: F64 | None, cell: UnitCell, role: I64, kind: I64, search: Search) -> list[Grain]:
    """Find the grains of a crystal, greatest first.

    Atoms with all neighbours of the crystal know how it is turned around them (`orientation.surroundings`); connected
    ones of nearly one orientation are the beginning of a grain. Greatest first, each grain is walked through from its
    middle, taking along atoms of the surface and around defects, and no atom that is turned otherwise; the lattice is
    fitted to what was found; and both again, until the cell stays.

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom; of a flat crystal z is the height above its plane.
    covariance
        Shape (atoms, 3, 3), angstrom**2, NaN where not known; None where none is.
    cell
        The crystal.
    role, kind
        Kind of atom on each site of the motif, -1 for any, and of each atom, -1 for unknown.
    search
        How to seek.
    """
    local = _local(position, cell, role, kind)
    scale = np.where(local.matched, local.scale, np.nan)
    spacing = search.spacing
    if spacing is None:
        spacing = float(np.median(scale[local.matched])) if local.matched.any() else math.nan
    good = np.abs(scale / spacing - 1) < STRETCH if math.isfinite(spacing) else np.zeros(len(position), bool)
    if not good.any():
        return []
    sort = np.where(good, local.kind, -1)
    turned = turns(cell)
    rotation = orientation.smoothed(local.rotation, sort, local.neighbour, turned)
    label = orientation.flood(rotation, sort, local.neighbour, turned, search.angle)
    label, size = _ordered(label, search.least)
    longest = float(np.linalg.norm(cell.bond, axis=2).max()) * spacing
    reach = max(longest * (1 + BOND), longest + search.tolerance * (1 if search.from_atom else 2))
    near = neighbours.within(position, reach)
    core = label
    bonds = [skeleton(cell, site) for site in cell.frame]
    ends = np.zeros((len(bonds), max(len(one) for one in bonds), 3))
    for site, one in enumerate(bonds):
        ends[site, : len(one)] = spacing * one
    number = np.array([len(one) for one in bonds])
    for _ in range(SPREAD):
        before = np.count_nonzero(label >= 0)
        label, rotation = orientation.spread(
            position, label, rotation, near.start, near.index, ends, number, BOND * spacing
        )
        if np.count_nonzero(label >= 0) == before:
            break
    taken = np.full(len(position), -1, np.int64)
    work = _Work(position, covariance, cell, role, kind, search, local.kind, rotation, turned, label, near, taken)
    made: list[Grain] = []
    for own in range(len(size)):
        free = np.flatnonzero((core == own) & (taken < 0))
        grain = work.grown(own, free, spacing) if free.size >= search.least else None
        if grain is not None:
            taken[grain.member] = len(made)
            made.append(grain)
    return sorted(made, key=lambda one: -one.member.size)


def _local(position: F64, cell: UnitCell, role: I64, kind: I64) -> Local:
    """Find the surroundings of atoms; atoms that are known to lie on sites off the frame are passed over."""
    off = np.setdiff1d(np.arange(len(cell.motif)), np.array(cell.frame))
    roles = np.setdiff1d(role[off], role[list(cell.frame)])
    chosen = np.flatnonzero(~np.isin(kind, roles[roles >= 0]))
    some = np.ascontiguousarray(position[chosen])
    sites = templates(cell)
    bonds = [skeleton(cell, site) for site in sites]
    near, _ = neighbours.nearest(some, max(len(one) for one in bonds))
    if cell.flat:
        found = orientation.flat_surroundings(some, near)
    else:
        found = orientation.surroundings(some, near, bonds, [pair_of(one) for one in bonds])
    if chosen.size == len(position):
        return found
    atoms = len(position)
    rotation, scale = np.full((atoms, 3, 3), np.nan), np.full(atoms, np.nan)
    which, near = np.full(atoms, -1, np.int64), np.full((atoms, near.shape[1]), -1, np.int32)
    rotation[chosen], scale[chosen], which[chosen] = found.rotation, found.scale, found.kind
    near[chosen] = np.where(found.neighbour >= 0, chosen[found.neighbour], -1)
    return Local(rotation, which, scale, near)


def _ordered(label: I64, least: int) -> tuple[I64, I64]:
    """Return labels in order of size, the greatest 0, and the sizes; -1 for labels of fewer atoms than the least."""
    size = np.bincount(label[label >= 0])
    order = np.argsort(-size, kind="stable")
    kept = int((size >= least).sum())
    number = np.full(size.size + 1, -1, np.int64)
    number[order[:kept]] = np.arange(kept)
    return number[label], size[order[:kept]]


@dataclass(frozen=True)
class _Work:
    position: F64
    covariance: F64 | None
    cell: UnitCell
    role: I64
    kind: I64
    search: Search
    sort: I64
    rotation: F64
    turns: F64
    label: I64
    near: neighbours.Neighbours
    taken: I64

    def grown(self, own: int, core: I64, spacing: float) -> Grain | None:
        """Walk and fit in turns from the middle of the core of a grain."""
        middle = self.position[core].mean(axis=0)
        seed = int(core[((self.position[core] - middle) ** 2).sum(axis=1).argmin()])
        first = self._site_of(seed)
        size = len(self.cell.vectors)
        matrix = spacing * self.rotation[seed].T
        place = np.zeros((len(self.cell.motif), 3))
        place[:] = self.cell.motif @ self.cell.vectors
        origin = self.position[seed] - place[first] @ matrix
        made, before = None, [matrix]
        member = np.empty(0, np.int64)
        cells, sites = np.zeros((len(self.position), 3), np.int64), np.full(len(self.position), -1, np.int64)
        settled = False
        for _ in range(ROUNDS):
            sites[member] = -1
            member = self._walked(own, seed, first, origin, matrix, place, cells, sites)
            if member.size <= size + 1:
                return None
            site = cells[member, :size] + self.cell.motif[sites[member]]
            ideal = (site @ self.cell.vectors)[:, :size]
            cut = None if self.covariance is None else self.covariance[member][:, :size, :size]
            made = fit(np.ascontiguousarray(self.position[member][:, :size]), ideal, cut, self.search.affine)
            origin, matrix = origin.copy(), np.eye(3) * made.scale
            origin[:size], matrix[:size, :size] = made.origin, made.matrix
            before.append(matrix)
            if any(_moved(self.cell.vectors, matrix, other) < SETTLED for other in before[-3:-1]):
                settled = True  # as the round before, or as the one before that: then two rounds take turns
                break
        if made is None:
            return None
        pair, slip = self._mismatched(own, member, matrix, cells, sites)
        return Grain(member, site, made, self.cell.vectors[:, :size], len(before) - 1, settled, pair, slip)

    def _site_of(self, seed: int) -> int:
        """Return the site of the motif that an atom of a grain may have: of its template, and for its kind."""
        kind = int(self.kind[seed])
        fitting = [s for s in self.cell.frame if kind < 0 or self.role[s] < 0 or self.role[s] == kind]
        wanted = templates(self.cell)[int(self.sort[seed])]
        same = [s for s in fitting if self.cell.count[s] == self.cell.count[wanted]]
        return wanted if wanted in same or not fitting else (same or fitting)[0]

    def _walked(
        self, own: int, seed: int, first: int, origin: F64, matrix: F64, place: F64, cells: I64, sites: I64
    ) -> I64:
        vectors = np.zeros((3, 3))
        vectors[: len(self.cell.vectors)] = self.cell.vectors
        return np.asarray(
            walk(
                self.position,
                self.near.start,
                self.near.index,
                self.taken,
                self.label,
                own,
                self.rotation,
                self.turns,
                self.rotation[seed],
                math.cos(self.search.angle),
                seed,
                first,
                origin,
                self.cell.bond @ matrix,
                self.cell.step,
                self.cell.target,
                self.cell.count,
                self.role,
                self.kind,
                place @ matrix,
                vectors @ matrix,
                self.search.tolerance,
                self.search.from_atom,
                cells,
                sites,
            )
        )

    def _mismatched(self, own: int, member: I64, matrix: F64, cells: I64, sites: I64) -> tuple[I64, F64]:
        size = len(self.cell.vectors)
        bond = self.cell.bond @ matrix
        limit = BOND * float(np.linalg.norm(bond[0, 0]))
        grain = np.full(len(self.position), -1, np.int64)
        grain[member] = own
        pair, which = mismatches(
            self.position,
            self.near.start,
            self.near.index,
            member,
            cells,
            sites,
            grain,
            bond,
            self.cell.step,
            self.cell.target,
            self.cell.count,
            limit,
        )
        full = cells[:, :size] + self.cell.motif[sites]
        step = self.cell.step[sites[pair[:, 0]], which][:, :size]
        meant = step + self.cell.motif[self.cell.target[sites[pair[:, 0]], which]] - self.cell.motif[sites[pair[:, 0]]]
        return pair, full[pair[:, 1]] - full[pair[:, 0]] - meant


def _moved(vectors: F64, one: F64, other: F64) -> float:
    return float(np.abs(vectors @ (one - other)).sum())
