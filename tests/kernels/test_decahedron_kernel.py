"""Marks decahedra beside those of ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase.cluster import Decahedron
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import decahedron, growth

NEAREST = 3.912 / np.sqrt(2)


@pytest.mark.parametrize("faces", [(13, 11, 6), (2, 1, 0), (3, 2, 1), (2, 3, 2), (5, 1, 0), (4, 2, 2)])
def test_the_sites_are_those_of_the_builder_of_ase(faces: tuple[int, int, int]) -> None:
    theirs = Decahedron("Pt", *faces, latticeconstant=3.912).positions
    ours, _ = decahedron.sites(*faces, NEAREST)
    assert len(ours) == len(theirs) == decahedron.count(*faces)
    assert_allclose(KDTree(theirs - theirs.mean(axis=0)).query(ours)[0], 0.0, atol=1e-9)


def test_each_sector_is_stretched_across_the_axis_and_shrunk_outwards() -> None:
    site, sector = decahedron.sites(6, 4, 2, NEAREST)
    inside = site[sector == 0]
    middle = np.deg2rad(90 + 36)
    outwards, across = (
        inside[:, :2] @ np.array(one) for one in ((np.cos(middle), np.sin(middle)), (-np.sin(middle), np.cos(middle)))
    )
    layers = np.unique(outwards.round(6))
    row = np.unique(across[np.abs(outwards - layers[3]) < 1e-5].round(6))
    assert_allclose(np.diff(layers), 3.912 / 2 * (1 - 0.0092), rtol=1e-4)
    assert_allclose(np.diff(row), NEAREST * (1 + 0.0181), rtol=1e-4)


def test_the_sites_beyond_continue_the_crystal() -> None:
    body, _ = decahedron.sites(6, 4, 2, NEAREST)
    more, sector = decahedron.beyond(6, 4, 2, NEAREST)
    assert set(sector) == {-1, 0, 1, 2, 3, 4}
    nearest = np.asarray(KDTree(body).query(more)[0])
    assert nearest.min() >= NEAREST * (1 - 1e-9)
    whole = np.concatenate([body, more])
    inner = np.linalg.norm(whole, axis=1) < np.linalg.norm(body, axis=1).max() * 0.7
    assert (growth.coordination(whole, 1.2 * NEAREST)[inner] == 12).all()


def test_the_compact_decahedron_next_below_25790_atoms_is_the_published_one() -> None:
    assert decahedron.nearest_below(25_790) == (13, 11, 6)
    assert decahedron.count(13, 11, 6) == 25_780
    assert decahedron.count(19, 4, 5) == 25_772
    assert decahedron.count(14, 9, 6) == 25_764
    assert decahedron.nearest_below(7) == decahedron.nearest_below(8) == (2, 1, 0)
