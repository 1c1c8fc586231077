"""Surfaces that dissolve and move."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import cycling as kernel
from aetx.kernels.roughening import FILLED, coordination


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbers(atom: np.ndarray) -> list[int]:
    return sorted(atom[atom >= 0].tolist())


@pytest.mark.parametrize(("edge", "atoms"), [(2, 6), (3, 19), (4, 44), (5, 85), (17, 3281)])
def test_octahedra_have_their_magic_numbers_and_their_corners(edge: int, atoms: int) -> None:
    lattice, atom, centre = kernel.octahedron(edge)
    place = np.argwhere(lattice == FILLED) - centre
    assert len(place) == atoms
    assert numbers(atom) == list(range(atoms))
    assert np.abs(place).sum(axis=1).max() == edge - 1
    assert np.abs(place).max(axis=0).tolist() == [edge - 1] * 3
    assert_allclose(place.mean(axis=0), 0, atol=1e-12)


def test_the_skin_is_two_atoms_thick() -> None:
    lattice, _, _ = kernel.octahedron(8)
    surface = (lattice == FILLED) & (coordination(lattice) < 12)
    skin = kernel.skin(lattice)
    near = np.asarray(KDTree(np.argwhere(surface)).query(np.argwhere(lattice == FILLED))[0])
    assert (skin[lattice == FILLED] == (near < 1.5)).all()


def test_only_soluble_atoms_of_the_surface_dissolve() -> None:
    lattice, atom, _ = kernel.octahedron(9)
    soluble = rng(1).random(atom.max() + 1) < 0.5
    inside = set(atom[(lattice == FILLED) & (coordination(lattice) == 12)].tolist())
    before = set(numbers(atom))
    kernel.dissolve(lattice, atom, soluble, 1.0, rng())
    gone = before - set(numbers(atom))
    assert gone
    assert not gone & inside
    assert all(soluble[one] for one in gone)
    assert (atom >= 0).sum() == (lattice == FILLED).sum()


def test_atoms_dissolve_the_sooner_the_fewer_neighbours_they_have() -> None:
    counts: dict[int, list[int]] = {}
    for seed in range(20):
        lattice, atom, _ = kernel.octahedron(17)
        neighbours = coordination(lattice)[lattice == FILLED]
        kernel.dissolve(lattice, atom, np.ones(neighbours.size, bool), 0.8, rng(seed))
        left = np.isin(np.arange(neighbours.size), atom)
        for n in (4, 7, 9, 12):
            found = counts.setdefault(n, [0, 0])
            found[0] += int((~left[neighbours == n]).sum())
            found[1] += int((neighbours == n).sum())
    for n, (gone, all_) in counts.items():
        share = 0.8 * (12 - n) / 12
        assert abs(gone / all_ - share) <= 4 * np.sqrt(share * (1 - share) / all_)


def test_moving_keeps_every_atom_and_says_which_moved() -> None:
    returned = 0
    for seed in range(30):
        lattice, atom, _ = kernel.octahedron(9)
        before = atom.copy()
        moved = kernel.move(lattice, atom, 0.02, 0.2, rng(seed))
        assert numbers(atom) == numbers(before)
        assert (atom >= 0).sum() == (lattice == FILLED).sum()
        changed = sorted(before[(before >= 0) & (before != atom)].tolist())
        assert sorted(moved.tolist()) == changed
        returned += len(changed) < round(0.02 * 258)
    assert 0 < returned < 30  # an atom may come back to where it was


def test_corners_move_first() -> None:
    lattice, atom, _ = kernel.octahedron(9)
    corners = atom[(lattice == FILLED) & (coordination(lattice) == 4)].tolist()
    assert set(corners) <= set(kernel.move(lattice, atom, 0.05, 0.1, rng()).tolist())


def test_moving_makes_bonds_until_it_takes_as_many_as_it_makes() -> None:
    for seed in range(3):
        lattice, atom, _ = kernel.octahedron(9)
        generator, bonds = rng(seed), []
        for _ in range(12):
            bonds.append(int(coordination(lattice)[lattice == FILLED].astype(int).sum()))
            kernel.move(lattice, atom, 0.2, 0.3, generator)
        assert np.mean(bonds[-4:]) > bonds[0] + 5


def test_what_floats_away_is_dropped() -> None:
    lattice, atom, centre = kernel.octahedron(5)
    far = tuple(centre + np.array([0, 7, 1]))
    lattice[far], atom[far] = FILLED, 85
    kernel.drop(lattice, atom)
    assert numbers(atom) == list(range(85))
