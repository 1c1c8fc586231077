"""Random shapes and lattices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import particle


def test_a_shape_fills_its_share_of_the_box_and_hangs_together() -> None:
    for seed in range(8):
        centres, radii, filled = particle.union_of_balls(np.random.default_rng(seed))
        assert 1 / 8 <= filled <= 1 / 5
        assert (np.abs(centres) + radii[:, None] < 0.5).all()
        reached, todo = {0}, [0]
        while todo:
            here = todo.pop()
            near = np.flatnonzero(np.linalg.norm(centres - centres[here], axis=1) < radii + radii[here])
            new = set(near.tolist()) - reached
            reached |= new
            todo += sorted(new)
        assert len(reached) == len(radii)


def test_the_volume_of_a_shape_is_that_counted_by_random_points() -> None:
    centres, radii, filled = particle.union_of_balls(np.random.default_rng(3))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 3))
    counted = particle.inside(points, centres, radii).mean()
    assert_allclose(filled, counted, atol=4 * np.sqrt(filled / 200_000))


def test_rotations_are_proper_and_do_not_favour_a_direction() -> None:
    generator = np.random.default_rng(1)
    drawn = np.array([particle.random_rotation(generator) for _ in range(4000)])
    assert_allclose(drawn @ drawn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), drawn.shape), atol=1e-12)
    assert_allclose(np.linalg.det(drawn), 1.0)
    assert_allclose(drawn.mean(axis=0), 0.0, atol=0.04)
    assert_allclose((drawn**2).mean(axis=0), 1 / 3, atol=0.03)


def test_fcc_has_four_atoms_in_a_cell_and_twelve_neighbours() -> None:
    sites = particle.fcc_sites(3.912, 20.0, np.eye(3), np.array([0.1, 0.2, 0.3]))
    assert_allclose(len(sites) / (4 / 3 * np.pi * 20**3), 0.0668, rtol=0.02)
    inner = sites[np.linalg.norm(sites, axis=1) < 15]
    distance = np.asarray(KDTree(sites).query(inner, k=14)[0])
    assert_allclose(distance[:, 1:13], 3.912 / np.sqrt(2))
    assert_allclose(distance[:, 13], 3.912)


@pytest.mark.parametrize(("gaussian", "kurtosis"), [(False, 1.8), (True, 3.0)])
def test_displacements_have_the_size_and_the_distribution_asked_for(gaussian: bool, kurtosis: float) -> None:
    points = particle.fcc_sites(3.912, 30.0, np.eye(3), np.zeros(3))
    moved = particle.displace(points, 0.22, 2.0, np.random.default_rng(0), 10, gaussian)
    shift = moved - points
    assert_allclose(np.sqrt((shift**2).sum(axis=1).mean()), 0.22, rtol=0.02)
    assert_allclose((shift**4).mean() / (shift**2).mean() ** 2, kurtosis, rtol=0.04)


def test_each_atom_may_have_its_own_displacement() -> None:
    points = particle.fcc_sites(3.912, 30.0, np.eye(3), np.zeros(3))
    sizes = np.where(points[:, :1] > 0, 0.3, 0.0)
    shift = particle.displace(points, sizes, 0.0, np.random.default_rng(0), 0, True) - points
    assert (shift[points[:, 0] <= 0] == 0).all()
    assert_allclose(np.sqrt((shift[points[:, 0] > 0] ** 2).sum(axis=1).mean()), 0.3, rtol=0.03)


def test_atoms_that_come_too_close_are_drawn_again() -> None:
    points = particle.fcc_sites(3.912, 12.0, np.eye(3), np.zeros(3))
    free = particle.displace(points, 0.5, 0.0, np.random.default_rng(0), 0, False)
    kept = particle.displace(points, 0.5, 2.3, np.random.default_rng(0), 500, False)
    assert particle.too_close(free, 2.3).size > 0
    assert particle.too_close(kept, 2.3).size == 0
