"""Volume, area and ellipsoid of particles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay

from aetx.kernels.particle_shape import ellipsoid, outside, spread
from aetx.kernels.shrink import shrink_radius
from tests.stages.crystals import CELL, TURN, sites


def test_random_points_in_an_ellipsoid_give_its_axes_within_one_percent() -> None:
    generator = np.random.default_rng(0)
    ball = generator.normal(size=(40_000, 3))
    ball *= generator.random((len(ball), 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1, keepdims=True)
    wanted = np.array([40.0, 30.0, 22.0])
    found = ellipsoid(ball * wanted @ TURN + [3.0, 1.0, -5.0])
    np.testing.assert_allclose(found.semi_axes, wanted, rtol=0.01)
    np.testing.assert_allclose(np.abs((found.axes * TURN).sum(axis=1)), 1, atol=1e-3)
    assert np.linalg.det(found.axes) == pytest.approx(1)
    assert (np.abs(found.semi_axes - wanted) < 4 * found.semi_axes_error).all()


def test_the_error_of_semi_axes_is_their_scatter() -> None:
    generator = np.random.default_rng(4)
    drawn = []
    for _ in range(300):
        cube = generator.uniform(-1, 1, (400, 3)) * [3, 2, 1]
        drawn.append(ellipsoid(cube))
    scatter = np.std([one.semi_axes for one in drawn], axis=0)
    told = np.mean([one.semi_axes_error for one in drawn], axis=0)
    np.testing.assert_allclose(told, scatter, rtol=0.12)


def test_volume_area_and_their_slopes_are_those_of_a_polyhedron() -> None:
    points = np.random.default_rng(1).normal(size=(60, 3)) * [3, 2, 1]
    cells = Delaunay(points).simplices
    found, hull = outside(points, cells), ConvexHull(points)
    assert found.volume == pytest.approx(hull.volume)
    assert found.area == pytest.approx(hull.area)
    for slope, name in (("volume_slope", "volume"), ("area_slope", "area"), ("sphericity_slope", "sphericity")):
        corner = int(hull.vertices[3])
        for axis in range(3):
            step = np.zeros_like(points)
            step[corner, axis] = 1e-6
            up, down = (getattr(outside(points + sign * step, cells), name) for sign in (1, -1))
            assert getattr(found, slope)[corner, axis] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-7)


def test_inner_points_do_not_spread_the_volume() -> None:
    slope = np.zeros((3, 3))
    slope[0] = [1.0, 2.0, 2.0]
    covariance = np.full((3, 3, 3), np.nan)
    covariance[0] = 0.04 * np.eye(3)
    assert spread(slope, covariance) == pytest.approx(0.6)


def test_no_shrinking_is_the_convex_hull_and_all_of_it_the_tightest_shape() -> None:
    site = sites("cuboctahedron", 5)
    points = site @ (CELL * TURN) + np.random.default_rng(0).normal(0, 0.05, site.shape)
    loose, half, tight = (shrink_radius(points, factor) for factor in (0.0, 0.5, 1.0))
    assert tight <= half <= loose
    assert loose > 100
    assert 1.8 < tight < 4


def test_points_without_an_inside_have_no_radius() -> None:
    assert np.isnan(shrink_radius(np.zeros((3, 3)), 0.5))
    assert np.isnan(shrink_radius(np.stack([np.arange(9.0), np.arange(9.0) ** 2, np.zeros(9)], axis=1), 0.5))
