"""Voronoi networks."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime
from scipy.spatial import KDTree

from aetx.kernels import tessellation as kernel


def hexagonal(rows: int = 11, spacing: float = 1.0) -> np.ndarray:
    i, j = np.mgrid[-rows:rows, -rows:rows].reshape(2, -1)
    return spacing * np.column_stack([i + j / 2, j * np.sqrt(3) / 2])


def seeds(edge: float = 60.0, seed: int = 0) -> np.ndarray:
    return kernel.discs(edge, 1.9, 300, np.random.default_rng(seed))


def test_discs_keep_their_distance_and_fill_the_square_as_dense_as_the_hexagons_of_graphene() -> None:
    made = seeds()
    assert np.abs(made).max() < 30
    assert np.asarray(KDTree(made).query(made, k=2)[0])[:, 1].min() >= 1.9
    assert_allclose(60**2 / len(made), 5.18, rtol=0.02)


def test_the_centres_of_hexagons_stay_where_they_are() -> None:
    given = hexagonal()
    assert_allclose(kernel.lloyd(given), given, atol=1e-12)


def test_lloyd_finds_the_centre_of_mass_of_a_cell() -> None:
    given = np.array([[0.0, 0], [3, 0], [-1, 0], [0, 2], [0, -1]])
    # the cell of the first seed reaches from -1/2 to 3/2 along x and from -1/2 to 1 along y
    moved = kernel.lloyd(given)
    assert_allclose(moved[0], [0.5, 0.25])
    assert_allclose(moved[1:], given[1:])


def test_lloyd_evens_out_the_distances() -> None:
    given = seeds()
    moved = kernel.lloyd(kernel.lloyd(given))

    def spread(points: np.ndarray) -> float:
        inner = points[np.abs(points).max(axis=1) < 25]
        return float(np.std(np.asarray(KDTree(points).query(inner, k=2)[0])[:, 1]) / 1.9)

    near = [np.asarray(KDTree(one).query(one, k=2)[0])[:, 1].mean() for one in (given, moved)]
    assert near[1] > 1.05 * near[0]
    assert spread(moved) < 0.2


def test_hexagonal_seeds_make_perfect_graphene() -> None:
    corners, bonds = kernel.network(hexagonal(), 5.0)
    assert_allclose(kernel.lengths(corners, bonds), 1 / np.sqrt(3))
    degree = np.bincount(bonds.ravel(), minlength=len(corners))
    assert (degree[np.abs(corners).max(axis=1) < 4] == 3).all()
    assert len(corners) > 200
    still = kernel.relax(corners, bonds, 1 / np.sqrt(3), 50)
    assert_allclose(still, corners, atol=1e-9)


def test_the_slope_of_the_energy_is_its_derivative() -> None:
    corners, bonds = kernel.network(seeds(20.0), 6.0)
    both = np.concatenate([bonds, bonds[:, ::-1]])
    both = both[np.lexsort(both.T[::-1])]
    start, other = np.searchsorted(both[:, 0], np.arange(len(corners) + 1)), both[:, 1].copy()
    flat = corners.ravel()
    slope = kernel.keating(corners, start, other)[1].ravel()

    def energy(one: np.ndarray) -> float:
        return float(kernel.keating(one.reshape(-1, 2), start, other)[0])

    numeric = approx_fprime(flat, energy, 1e-7)
    assert_allclose(slope, numeric, atol=1e-4 * np.abs(slope).max())


def test_bonds_become_alike_when_they_relax() -> None:
    corners, bonds = kernel.network(seeds(), 25.0)
    before, after = (kernel.lengths(kernel.relax(corners, bonds, 1.42, n), bonds) for n in (0, 200))
    assert before.std() > 0.4
    assert after.std() < 0.1
    assert abs(after.mean() - 1.42) < 0.05


def test_near_points_become_one_and_keep_their_bonds() -> None:
    points = np.array([[0.0, 0], [0.4, 0], [1.5, 1], [1.5, -1], [-1.4, 0]])
    merged, bonds = kernel.merge(points, np.array([[0, 1], [1, 2], [3, 1], [0, 4]]), 1.0)
    assert_allclose(merged, [[0.2, 0], [1.5, 1], [1.5, -1], [-1.4, 0]])
    assert sorted(map(tuple, np.sort(bonds, axis=1).tolist())) == [(0, 1), (0, 2), (0, 3)]


def test_near_points_become_one_without_a_bond_too() -> None:
    points = np.array([[0.0, 0], [1.4, 0], [0.2, 0.9], [-1.0, 1.0]])
    merged, bonds = kernel.merge(points, np.array([[0, 1], [2, 3]]), 1.0)
    assert_allclose(merged, [[0.1, 0.45], [1.4, 0], [-1.0, 1.0]])
    assert sorted(map(tuple, np.sort(bonds, axis=1).tolist())) == [(0, 1), (0, 2)]


def test_a_chain_of_near_points_ends_as_one() -> None:
    points = np.column_stack([np.arange(4) * 0.3, np.zeros(4)])
    merged, bonds = kernel.merge(points, np.array([[0, 1], [1, 2], [2, 3]]), 1.0)
    assert len(merged) == 1
    assert len(bonds) == 0


def test_points_with_too_few_bonds_go_and_then_those_that_hung_on_them() -> None:
    points = np.arange(10.0).reshape(5, 2)
    ring_with_tail = np.array([[0, 1], [1, 2], [2, 0], [2, 3], [3, 4]])
    left, bonds = kernel.prune(points, ring_with_tail, 2)
    assert_allclose(left, points[:3])
    assert len(bonds) == 3


def test_holes_have_about_the_radius_asked_for_and_differ() -> None:
    grid = np.stack(np.meshgrid(*[np.linspace(-20, 20, 161)] * 2), axis=-1).reshape(-1, 2)
    generator = np.random.default_rng(0)
    found = [kernel.hole(grid, 8.0, generator) for _ in range(20)]
    radius = [np.sqrt(one.sum() * 0.25**2 / np.pi) for one in found]
    assert_allclose(radius, 8.0, rtol=0.1)
    assert not (found[0] == found[1]).all()
    assert found[0][np.hypot(*grid.T) < 1.5].all()
