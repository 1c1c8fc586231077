"""Lattice sites of atoms, by walking along bonds from one atom to the next."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.orientation import nearest_turn

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

CELLS = 2**17
"""Most cells from the beginning of a walk, along each vector."""
SITES = 2**9
"""Most sites of a cell."""


@njit(nogil=True, cache=True)
def _key(step: I64, site: int) -> int:
    one, two, three = step[0] + CELLS, step[1] + CELLS, step[2] + CELLS
    return ((one * 2 * CELLS + two) * 2 * CELLS + three) * SITES + site


@njit(nogil=True, cache=True)
def _slot(keys: I64, key: int) -> int:
    """Return the place of a key in a table of open addresses, or the free one where it would go."""
    mask = keys.size - 1
    mixed = np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # steps of splitmix64
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    at = int(mixed >> np.uint64(32)) & mask
    while keys[at] != -1 and keys[at] != key:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def walk(
    position: F64,
    start: I64,
    near: I32,
    taken: I64,
    label: I64,
    own: int,
    rotation: F64,
    turns: F64,
    orientation: F64,
    cosine: float,
    seed: int,
    seed_site: int,
    origin: F64,
    bond: F64,
    step: I64,
    target: I64,
    count: I64,
    role: I64,
    kind: I64,
    place: F64,
    vectors: F64,
    tolerance: float,
    from_atom: bool,
    cell: I64,
    site: I64,
) -> I64:
    """Give atoms their sites, breadth first from a seed: the nearest free atom to the end of each bond, if near enough.

    A site that is wanted by two atoms goes to the one nearer to the site of the lattice. An atom is free if no grain
    has taken it, and if it is labelled as of this grain, or of none, or is turned like this grain.

    Parameters
    ----------
    position
        Shape (atoms, 3), angstrom.
    start, near
        Neighbours of each atom as of `kernels.neighbours`, as far as any end of a bond plus the tolerance.
    taken
        Grain of each atom, -1 where there is none yet, shape (atoms,).
    label, own
        Label of each atom, and that of this grain.
    rotation
        Orientation of each atom that has a label.
    turns, orientation, cosine
        Turns of the crystal, orientation of this grain, cosine of the largest angle between them.
    seed, seed_site
        The first atom, and its site in the motif.
    origin
        Where site 0 of the cell 0 is: only for the choice between two atoms, and for `from_atom` False.
    bond, step, target, count
        As of `UnitCell`, the bonds as they are in the specimen, angstrom.
    role, kind
        Kind of atom that belongs on each site, -1 for any, and that each atom is, -1 for unknown.
    place, vectors
        Sites of the motif in the specimen, relative to the origin of a cell, shape (sites, 3), and the vectors of the
        cell, shape (3, 3), angstrom.
    tolerance
        Farthest from the end of a bond, angstrom.
    from_atom
        Whether bonds begin where atoms are, rather than where their sites are.
    cell, site
        Written: the cell, shape (atoms, 3), and the site of the motif, -1 where there is none, shape (atoms,).

    Returns
    -------
    The atoms that have sites, in the order in which they were found.
    """
    size = 1024
    keys, owner = np.full(size, -1, np.int64), np.empty(size, np.int64)
    queue = np.empty(1024, np.int64)
    cell[seed], site[seed], queue[0] = 0, seed_site, seed
    at = _slot(keys, _key(cell[seed], seed_site))
    keys[at], owner[at] = _key(cell[seed], seed_site), seed
    head, tail, filled = 0, 1, 1
    to, there, ideal = np.empty(3, np.int64), np.empty(3), np.empty(3)
    while head < tail:
        atom = queue[head]
        head += 1
        if site[atom] < 0:  # lost its site to a nearer one
            continue
        here = site[atom]
        for k in range(count[here]):
            goal = target[here, k]
            for d in range(3):
                to[d] = cell[atom, d] + step[here, k, d]
            for d in range(3):
                ideal[d] = origin[d] + place[goal, d]
                for v in range(3):
                    ideal[d] += to[v] * vectors[v, d]
                there[d] = position[atom, d] + bond[here, k, d] if from_atom else ideal[d]
            key = _key(to, goal)
            at = _slot(keys, key)
            best, least = -1, tolerance * tolerance
            for n in range(start[atom], start[atom + 1]):
                other = near[n]
                if site[other] >= 0 or taken[other] >= 0:
                    continue
                away = 0.0
                for d in range(3):
                    away += (position[other, d] - there[d]) ** 2
                if away >= least or (role[goal] >= 0 and kind[other] >= 0 and role[goal] != kind[other]):
                    continue
                foreign = label[other] >= 0 and label[other] != own
                if foreign and nearest_turn(orientation, rotation[other], turns)[1] < cosine:
                    continue
                best, least = other, away
            if best < 0:
                continue
            if keys[at] == key:
                before = owner[at]
                one = other_one = 0.0
                for d in range(3):
                    one += (position[best, d] - ideal[d]) ** 2
                    other_one += (position[before, d] - ideal[d]) ** 2
                if one >= other_one:
                    continue
                site[before] = -1
            else:
                keys[at] = key
                filled += 1
            owner[at] = best
            site[best] = goal
            for d in range(3):
                cell[best, d] = to[d]
            if tail == queue.size:
                longer = np.empty(2 * tail, np.int64)
                longer[:tail] = queue
                queue = longer
            queue[tail] = best
            tail += 1
            if 2 * filled > size:
                size *= 2
                old_keys, old_owner = keys, owner
                keys, owner = np.full(size, -1, np.int64), np.empty(size, np.int64)
                for n in range(old_keys.size):
                    if old_keys[n] != -1:
                        new = _slot(keys, old_keys[n])
                        keys[new], owner[new] = old_keys[n], old_owner[n]
    seen = np.zeros(tail, np.bool_)
    for n in range(tail):  # an atom that lost a site may have found another one later, and stands twice
        atom = queue[n]
        at = _slot(keys, _key(cell[atom], max(site[atom], 0)))
        seen[n] = site[atom] >= 0 and owner[at] == atom
        if seen[n]:
            owner[at] = -1
    return queue[:tail][seen]


@njit(nogil=True, cache=True)
def mismatches(
    position: F64,
    start: I64,
    near: I32,
    member: I64,
    cell: I64,
    site: I64,
    grain: I64,
    bond: F64,
    step: I64,
    target: I64,
    count: I64,
    tolerance: float,
) -> tuple[I64, I64]:
    """Find bonds between atoms of a grain whose sites are not at the two ends of a bond.

    Around a dislocation the sites differ by its Burgers vector from what the bond says, wherever the walk came round
    on the other side.

    Parameters
    ----------
    member
        Atoms of the grain; the rest as of `walk`.

    Returns
    -------
    The two atoms of each such bond, shape (bonds, 2), and which bond of the first one's site it is, shape (bonds,).
    """
    pair, which = np.empty((64, 2), np.int64), np.empty(64, np.int64)
    found = 0
    for atom in member:
        here = site[atom]
        for n in range(start[atom], start[atom + 1]):
            other = near[n]
            if grain[other] != grain[atom]:
                continue
            best, least = -1, tolerance * tolerance
            for k in range(count[here]):
                away = 0.0
                for d in range(3):
                    away += (position[other, d] - position[atom, d] - bond[here, k, d]) ** 2
                if away < least:
                    best, least = k, away
            if best < 0:
                continue
            same = target[here, best] == site[other]
            for d in range(3):
                same &= cell[atom, d] + step[here, best, d] == cell[other, d]
            if same:
                continue
            if found == len(pair):
                more, further = np.empty((2 * found, 2), np.int64), np.empty(2 * found, np.int64)
                more[:found], further[:found] = pair, which
                pair, which = more, further
            pair[found, 0], pair[found, 1], which[found] = atom, other, best
            found += 1
    return pair[:found], which[:found]
