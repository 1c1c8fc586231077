"""Bodies to which crystals are cut."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels import bodies

POINTS = np.random.default_rng(0).uniform(-1.8, 1.8, (400_000, 3))


@pytest.mark.parametrize("shape", ["cube", "octahedron", "truncated_octahedron", "sphere"])
def test_volumes_and_corners_are_those_of_random_points(shape: str) -> None:
    inside = bodies.size_at(POINTS, shape) < 1
    assert_allclose(inside.mean() * 3.6**3, bodies.VOLUME[shape], rtol=0.02)
    farthest = np.linalg.norm(POINTS[inside], axis=1).max()
    assert 0.93 * bodies.FARTHEST[shape] < farthest <= bodies.FARTHEST[shape]


@pytest.mark.parametrize("shape", ["cube", "octahedron", "truncated_octahedron", "sphere"])
def test_the_surface_is_where_the_height_is_zero(shape: str) -> None:
    size = bodies.size_at(POINTS, shape)
    surface = POINTS[:1000] / size[:1000, None] * 1.7
    assert_allclose(bodies.height_above(surface, shape, 1.7), 0.0, atol=1e-12)
    below = bodies.height_above(POINTS, shape, 1.7) < 0
    assert (below == (size < 1.7)).all()


@pytest.mark.parametrize("shape", ["truncated_octahedron", "sphere"])
def test_a_dumbbell_is_the_union_of_its_halves(shape: str) -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    found = bodies.dumbbell_size_at(POINTS, shape, 0.8, turn)
    for size in (0.4, 0.7):
        halves = [bodies.size_at((POINTS - [0, 0, end * 0.8 * size]) @ turn.T, shape) for end in (1, -1)]
        assert ((found < size) == (np.minimum(*halves) < size)).all()


def test_a_ball_that_grows_with_the_body_is_entered_once() -> None:
    centre, radius = np.array([0.9, 0.1, 0.7]), 0.4
    found = bodies.entry(POINTS, centre, radius)
    for size in (0.5, 1.0, 1.6):
        within = np.linalg.norm(POINTS - size * centre, axis=1) < size * radius
        assert (found[within] <= size).all()
    met = np.isfinite(found)
    at = np.linalg.norm(POINTS[met] - found[met, None] * centre, axis=1)
    assert_allclose(at, found[met] * radius, rtol=1e-6)
