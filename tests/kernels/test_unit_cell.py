"""Crystals: coordination, bonds that lead back, and the rotations that leave them as they are."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.unit_cell import MOTIFS, named, next_shell, of_motif, skeleton, templates, turns

COORDINATION = {"fcc": 12, "bcc": 14, "sc": 6, "diamond": 4, "hcp": 12, "hex2d": 6, "perovskite": 14}
ROTATIONS = {"fcc": 24, "bcc": 24, "sc": 24, "diamond": 24, "hcp": 12, "hex2d": 6, "perovskite": 24}
NEXT = {
    "fcc": 2**0.5,
    "bcc": (8 / 3) ** 0.5,
    "sc": 2**0.5,
    "diamond": (8 / 3) ** 0.5,
    "hcp": 2**0.5,
    "hex2d": 3**0.5,
    "perovskite": 2**0.5,
}
EDGE = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "sc": 1.0, "diamond": 4 / 3**0.5, "hcp": 1.0, "hex2d": 1.0}


@pytest.mark.parametrize("lattice", list(MOTIFS))
def test_crystals_have_their_neighbours_rotations_and_edge(lattice: str) -> None:
    cell = named(lattice, (8 / 3) ** 0.5)
    assert len(skeleton(cell, 0)) == COORDINATION[lattice]
    assert len(turns(cell)) == ROTATIONS[lattice]
    assert templates(cell) == (0,)
    assert next_shell(cell, 0) == pytest.approx(NEXT[lattice])
    assert cell.edge == pytest.approx(EDGE.get(lattice, 2 / 3**0.5))


@pytest.mark.parametrize("lattice", list(MOTIFS))
def test_every_bond_is_where_its_step_and_site_say_and_has_an_opposite(lattice: str) -> None:
    cell = named(lattice, 1.6)
    size = len(cell.vectors)
    for site in range(len(cell.motif)):
        for k in range(cell.count[site]):
            to = cell.target[site, k]
            away = (cell.step[site, k, :size] + cell.motif[to] - cell.motif[site]) @ cell.vectors
            np.testing.assert_allclose(cell.bond[site, k], away, atol=1e-12)
            back = np.abs(cell.bonds(to) + cell.bond[site, k]).max(axis=1) < 1e-9
            goes = (cell.step[to, : cell.count[to]] == -cell.step[site, k]).all(axis=1)
            if lattice != "perovskite" or (site < 2) == (to < 2):
                assert (back & goes & (cell.target[to, : cell.count[to]] == site)).any()


def test_rotations_are_a_group() -> None:
    for lattice in ("fcc", "hcp"):
        group = turns(named(lattice, 1.633))
        products = (group[:, None] @ group[None]).reshape(-1, 3, 3)
        apart = np.abs(products[:, None] - group[None]).max(axis=(2, 3)).min(axis=1)
        assert apart.max() < 1e-6
        np.testing.assert_allclose(np.linalg.det(group), 1.0)


def test_the_unit_of_a_cell_is_its_shortest_bond_whatever_its_vectors_are_in() -> None:
    vectors, motif = np.diag([3.0, 3.0, 4.0]), np.zeros((1, 3))
    cell = of_motif(vectors, motif)
    np.testing.assert_allclose(cell.vectors, vectors / 3.0)
    assert cell.count[0] == 4, "the neighbours along the longer edge are beyond the reach of a bond"
