"""Neighbours of points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from aetx.kernels.neighbours import first_minimum, nearest, within

CUBIC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
CELLS = {
    "fcc": (CUBIC, 0.5**0.5, 1.0),
    "bcc": (np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), 1.0, 2**0.5),
    "sc": (np.zeros((1, 3)), 1.0, 2**0.5),
    "diamond": (np.concatenate([CUBIC, CUBIC + 0.25]), 3**0.5 / 4, 0.5**0.5),
}
"""Sites of the cubic cell, and the radii between which the first shell ends; of bcc it holds 8 and 6."""


def ball(name: str, atoms: int, edge: float) -> np.ndarray:
    """Return the atoms of a crystal that are nearest to a point of no symmetry."""
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    sites = (grid + CELLS[name][0]).reshape(-1, 3)
    away = np.linalg.norm(sites - [0.11, 0.07, 0.03], axis=1)
    return edge * sites[np.argsort(away)[:atoms]]


def clouds() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    wide = rng.uniform(0, 20, (500, 3)) * [1, 1, 0.01]
    twice = rng.uniform(-3, 3, (100, 3)).repeat(2, axis=0)
    lonely = np.concatenate([rng.normal(0, 3, (300, 3)), [[4e7, -5e6, 0.0]]])
    return [rng.normal(0, 4, (800, 3)), wide, twice, lonely, np.zeros((2, 3)), np.zeros((1, 3)), np.empty((0, 3))]


@pytest.mark.parametrize("cutoff", [0.7, 2.3, 11.0])
@pytest.mark.parametrize("case", range(7))
def test_all_neighbours_are_found_nearest_first(case: int, cutoff: float) -> None:
    points = clouds()[case]
    found = within(points, cutoff)
    assert found.start.shape == (len(points) + 1,)
    for i, point in enumerate(points):
        away = np.linalg.norm(points - point, axis=1)
        away[i] = np.inf
        order = np.lexsort((np.arange(len(points)), away))[: int((away < cutoff).sum())]
        mine = slice(found.start[i], found.start[i + 1])
        np.testing.assert_allclose(found.distance[mine], away[order], atol=1e-12)
        assert set(found.index[mine].tolist()) == set(order.tolist())
    np.testing.assert_array_equal(found.source, np.repeat(np.arange(len(points)), found.count))
    pairs = set(zip(found.source.tolist(), found.index.tolist(), strict=True))
    assert pairs == {(j, i) for i, j in pairs}


def test_a_neighbour_at_the_cutoff_is_none() -> None:
    assert within(np.array([[0.0, 0, 0], [3.0, 0, 0]]), 3.0).count.sum() == 0
    assert within(np.array([[0.0, 0, 0], [3.0, 0, 0]]), 3.0 + 1e-9).count.sum() == 2


@pytest.mark.parametrize("count", [1, 12, 18])
@pytest.mark.parametrize("case", range(6))
def test_the_nearest_are_those_that_a_tree_finds(case: int, count: int) -> None:
    points = clouds()[case]
    index, distance = nearest(points, count)
    assert index.shape == distance.shape == (len(points), count)
    wanted = np.asarray(cKDTree(points).query(points, k=count + 1)[0])[:, 1:]
    np.testing.assert_allclose(distance, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(index < 0, np.isinf(distance))
    i, k = np.nonzero(index >= 0)
    assert (index[i, k] != i).all()
    np.testing.assert_allclose(np.linalg.norm(points[index[i, k]] - points[i], axis=1), distance[i, k], rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("atoms", [55, 1500])
@pytest.mark.parametrize("name", CELLS)
def test_the_first_shell_ends_between_two_shells(name: str, atoms: int, noise: float) -> None:
    _, first, second = CELLS[name]
    points = ball(name, atoms, 2.77 / CELLS[name][1])
    points = points + noise * np.random.default_rng(1).standard_normal(points.shape)
    assert 2.77 * 1.05 < first_minimum(points) < 2.77 * second / first * 0.98


def test_an_alloy_with_bonds_of_three_lengths_has_one_first_shell() -> None:
    rng = np.random.default_rng(2)
    points = ball("fcc", 2000, 3.9) * [1.0, 1.0, 0.95] + 0.1 * rng.standard_normal((2000, 3))
    points += 0.12 * rng.integers(0, 2, (2000, 1)) * points / np.linalg.norm(points, axis=1, keepdims=True)
    assert np.median(within(points, first_minimum(points)).count) == 12


def test_there_is_no_shell_around_one_point_nor_around_points_at_one_place() -> None:
    for points in (np.empty((0, 3)), np.zeros((1, 3)), np.zeros((5, 3)), np.eye(3)):
        assert np.isnan(first_minimum(points))
