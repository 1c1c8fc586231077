"""Random sequential addition."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import packing

RADIUS, DENSITY = 45.0, 0.06347


def ball(radius: float = RADIUS, distance: float = 2.0, seed: int = 0, wanted: int | None = None) -> np.ndarray:
    count = round(DENSITY * 4 / 3 * np.pi * radius**3) if wanted is None else wanted
    generator = np.random.default_rng(seed)
    return packing.random_addition(np.zeros((1, 3)), np.array([radius]), count, distance, 1000 * count, generator)


def test_points_lie_in_the_balls_and_keep_their_distance() -> None:
    centres, radii = np.array([[0.0, 0, 0], [14.0, 3, -4]]), np.array([12.0, 7.0])
    made = packing.random_addition(centres, radii, 450, 2.0, 10**6, np.random.default_rng(1))
    assert len(made) == 450
    assert (np.linalg.norm(made[:, None] - centres, axis=2) < radii).any(axis=1).all()
    assert np.asarray(KDTree(made).query(made, k=2)[0])[:, 1].min() >= 2.0


def test_pairs_know_of_each_other_only_near_the_least_distance() -> None:
    made = ball()
    inner = made[np.linalg.norm(made, axis=1) < RADIUS - 8]
    distance = KDTree(made).query_ball_point(inner, 8.0)
    found = np.concatenate(
        [np.linalg.norm(made[near] - one, axis=1) for near, one in zip(distance, inner, strict=True)]
    )
    edges = np.arange(2.0, 8.01, 0.1)
    count = np.histogram(found[found > 0], edges)[0]
    around = count / len(inner) / (4 / 3 * np.pi * np.diff(edges**3)) / DENSITY
    around /= around[edges[:-1] > 5].mean()
    assert around[0] > 1.6
    for start, tolerance in ((2.5, 0.35), (2.9, 0.1), (4.2, 0.04)):
        assert_allclose(around[edges[:-1] >= start - 1e-9], 1.0, atol=tolerance)


def test_the_density_is_even_but_for_the_crowd_at_the_surface() -> None:
    made = ball()
    radius = np.linalg.norm(made, axis=1)
    inner = (radius < RADIUS - 3).sum() / (4 / 3 * np.pi * (RADIUS - 3) ** 3)
    assert 0.95 * DENSITY < inner < DENSITY
    assert_allclose(np.mean(made, axis=0), 0.0, atol=0.5)


def test_a_full_ball_takes_no_more_and_says_how_many_there_are() -> None:
    made = ball(radius=10.0, distance=3.0, wanted=400)
    share = len(made) * np.pi / 6 * 3.0**3 / (4 / 3 * np.pi * 11.5**3)
    assert len(made) < 400
    assert 0.3 < share < 0.4


def test_a_box_is_filled_up_to_its_corners() -> None:
    low, high = np.array([-3.0, 0.0, 5.0]), np.array([27.0, 8.0, 45.0])
    made = packing.random_addition_in_box(low, high, 900, 1.42, 10**6, np.random.default_rng(0))
    assert len(made) == 900
    assert (made >= low).all()
    assert (made <= high).all()
    assert_allclose(made.mean(axis=0), (low + high) / 2, atol=1.0)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    assert np.max(KDTree(made).query(corners)[0]) < 4
    assert np.asarray(KDTree(made).query(made, k=2)[0])[:, 1].min() >= 1.42
