"""Crystals as cells with a motif: the bonds of each site, and the rotations that take the crystal to itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

REACH = 1.25
"""Longest bond over the shortest: both shells of bcc (1 and 1.155), the first of fcc and hcp (the next is 1.414)."""
SAME = 1e-6
"""Difference of lengths that are one, over the shortest bond."""

FACES: list[tuple[float, ...]] = [(0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)]
MOTIFS: dict[str, list[tuple[float, ...]]] = {
    "fcc": FACES,
    "bcc": [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5)],
    "sc": [(0.0, 0.0, 0.0)],
    "diamond": [(x + d, y + d, z + d) for d in (0.0, 0.25) for x, y, z in FACES],
    "hcp": [(0.0, 0.0, 0.0), (1 / 3, 2 / 3, 0.5)],
    "hex2d": [(0.0, 0.0)],
    "perovskite": [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)],
}
"""Sites of the conventional cell, in its vectors: the hexagonal one, at 120 degrees, of hcp and hex2d."""


@dataclass(frozen=True, eq=False)
class UnitCell:
    """A cell, its sites and their bonds; lengths in units of the shortest bond.

    Bond k of site s goes to site `target[s, k]` of the cell that is `step[s, k]` further, and is the vector
    `bond[s, k]`; site s has `count[s]` of them. The shapes are (vectors, 3) of `vectors`, (sites, vectors) of `motif`,
    (sites, bonds, 3) of `bond`, (sites, bonds, 3) of `step`, (sites, bonds) of `target`. A flat crystal has two
    vectors, and lies in the plane z = 0. `frame` are the sites by whose bonds the crystal is recognised.
    """

    vectors: F64
    motif: F64
    bond: F64
    step: I64
    target: I64
    count: I64
    frame: tuple[int, ...]

    @property
    def flat(self) -> bool:
        """Whether the crystal has two dimensions."""
        return len(self.vectors) == 2

    @property
    def edge(self) -> float:
        """Length of the first cell vector over the shortest bond."""
        return float(np.linalg.norm(self.vectors[0]))

    def bonds(self, site: int) -> F64:
        """Return the bonds of a site, shape (bonds, 3)."""
        return self.bond[site, : self.count[site]]


@lru_cache
def named(lattice: str, ratio: float) -> UnitCell:
    """Return a crystal by its name.

    Parameters
    ----------
    lattice
        A key of `MOTIFS`. Of perovskite the sites are A, B and three of O; A and B have each other and, a cell edge
        away, themselves as neighbours, and O besides.
    ratio
        c/a of hcp.
    """
    vectors = np.eye(3)
    if lattice in ("hcp", "hex2d"):
        vectors = np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, ratio]])
    motif = np.array(MOTIFS[lattice])
    if lattice == "perovskite":
        return _perovskite(motif)
    return of_motif(vectors[: motif.shape[1]], motif)


def of_motif(vectors: F64, motif: F64) -> UnitCell:
    """Return the crystal of a cell and its sites; bonds are all vectors up to `REACH` times the shortest.

    Parameters
    ----------
    vectors
        Shape (2 or 3, 3), in any unit; two of them lie in the plane z = 0.
    motif
        Sites in units of the vectors, shape (sites, vectors).
    """
    found = [_around(vectors, motif, site) for site in range(len(motif))]
    shortest = min(float(length.min()) for _, _, _, length in found)
    return _cell(vectors, motif, shortest, [_part(one, one[3] <= REACH * shortest) for one in found])


Bonds = tuple[F64, I64, I64, F64]


def _around(vectors: F64, motif: F64, site: int) -> Bonds:
    """Return vectors, steps and targets from a site to those of the cells around, with their lengths."""
    axes = [np.arange(-2, 3)] * len(vectors)
    steps = np.stack([one.ravel() for one in np.meshgrid(*axes, indexing="ij")], axis=1)
    step = np.repeat(steps, len(motif), axis=0)
    target = np.tile(np.arange(len(motif)), len(steps))
    bond = (step + motif[target] - motif[site]) @ vectors
    length = np.linalg.norm(bond, axis=1)
    other = length > SAME * float(np.linalg.norm(vectors, axis=1).min())
    whole = np.zeros((len(step), 3), np.int64)
    whole[:, : len(vectors)] = step
    return bond[other], whole[other], target[other], length[other]


def _part(found: Bonds, kept: NDArray[np.bool_]) -> Bonds:
    order = np.flatnonzero(kept)
    order = order[np.argsort(found[3][order], kind="stable")]
    return found[0][order], found[1][order], found[2][order], found[3][order]


def _cell(vectors: F64, motif: F64, unit: float, found: list[Bonds], frame: tuple[int, ...] = ()) -> UnitCell:
    most = max(len(one[3]) for one in found)
    bond, step = np.zeros((len(motif), most, 3)), np.zeros((len(motif), most, 3), np.int64)
    target, count = np.zeros((len(motif), most), np.int64), np.zeros(len(motif), np.int64)
    for site, (vector, moved, to, length) in enumerate(found):
        count[site] = len(length)
        bond[site, : len(length)], step[site, : len(length)], target[site, : len(length)] = vector / unit, moved, to
    return UnitCell(vectors / unit, motif, bond, step, target, count, frame or tuple(range(len(motif))))


def _perovskite(motif: F64) -> UnitCell:
    """Cations have cations as neighbours: 8 of the other kind and 6 of their own; B has 6 O, and each O its 2 B."""
    vectors, cation = np.eye(3), 2
    kept = []
    for site in range(len(motif)):
        found = _around(vectors, motif, site)
        _, _, target, length = found
        among = (target < cation) & (length < 1 + SAME) if site < cation else np.zeros(len(length), bool)
        oxygen = ((target < cation) != (site < cation)) & (length < 0.5 + SAME)
        kept.append(_part(found, among | oxygen))
    return _cell(vectors, motif, float(np.sqrt(0.75)), kept, (0, 1))


@lru_cache(maxsize=32)
def templates(cell: UnitCell) -> tuple[int, ...]:
    """Return one site of each kind: sites whose bonds are those of another one, turned, are of its kind."""
    made: list[int] = []
    for site in cell.frame:
        if not any(_turns(skeleton(cell, one), skeleton(cell, site)) for one in made):
            made.append(site)
    return tuple(made)


def next_shell(cell: UnitCell, site: int) -> float:
    """Return the distance from a site to the nearest one that is farther than all its bonds."""
    length = _around(cell.vectors, cell.motif, site)[3]
    longest = float(np.linalg.norm(cell.bonds(site), axis=1).max())
    return float(length[length > longest + SAME].min())


def skeleton(cell: UnitCell, site: int) -> F64:
    """Return the bonds of a site of the frame to other such sites, shape (bonds, 3)."""
    among = np.isin(cell.target[site, : cell.count[site]], cell.frame)
    return np.ascontiguousarray(cell.bonds(site)[among])


@lru_cache(maxsize=32)
def turns(cell: UnitCell) -> F64:
    """Return the rotations that take the bonds of every site to those of another or the same, shape (turns, 3, 3).

    Those of a flat crystal are about z.
    """
    if cell.flat:
        angle = np.arctan2(cell.bonds(0)[:, 1], cell.bonds(0)[:, 0])
        angle -= angle[0]
        made = np.zeros((len(angle), 3, 3))
        made[:, 0, 0] = made[:, 1, 1] = np.cos(angle)
        made[:, 1, 0], made[:, 0, 1], made[:, 2, 2] = np.sin(angle), -np.sin(angle), 1.0
        return made
    bonds = [skeleton(cell, site) for site in cell.frame]
    candidates = [turn for other in bonds for turn in _turns(bonds[0], other)]
    found: list[F64] = []
    for turn in candidates:
        new = not any(np.abs(turn - one).max() < 1e-4 for one in found)
        if new and all(any(_maps(one @ turn.T, other) for other in bonds) for one in bonds):
            found.append(turn)
    return np.array(found)


def pair_of(bonds: F64) -> tuple[int, int]:
    """Return two bonds that are not parallel: the first, and the one most across it among the shorter ones."""
    across = np.linalg.norm(np.cross(bonds[0], bonds), axis=1) / np.linalg.norm(bonds, axis=1)
    return 0, int(np.flatnonzero(across > across.max() - 1e-3)[0])


def _turns(start: F64, end: F64) -> list[F64]:
    if len(start) != len(end):
        return []
    first, second = pair_of(start)
    frame = _axes(start[first], start[second])
    size, other, angle = (float(v) for v in (start[first] @ start[first], start[second] @ start[second], 0.0))
    angle = float(start[first] @ start[second])
    found = []
    for i, j in permutations(range(len(end)), 2):
        products = end[i] @ end[i] - size, end[j] @ end[j] - other, end[i] @ end[j] - angle
        if np.abs(products).max() < 1e-4:
            turn = _axes(end[i], end[j]) @ frame.T
            if _maps(start @ turn.T, end):
                found.append(turn)
    return found


def _axes(first: F64, second: F64) -> F64:
    one = first / np.linalg.norm(first)
    three = np.cross(first, second)
    three = three / np.linalg.norm(three)
    return np.stack([one, np.cross(three, one), three], axis=1)


def _maps(start: F64, end: F64) -> bool:
    if len(start) != len(end):
        return False
    apart = np.linalg.norm(start[:, None] - end[None], axis=2)
    return bool((apart.min(axis=1) < 1e-4).all())
