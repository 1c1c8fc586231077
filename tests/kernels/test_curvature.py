"""Quadratic patches on surfaces of known curvature."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.curvature import outwards, patches
from aetx.kernels.neighbours import within

RADIUS = 30.0


def ball(points: int) -> np.ndarray:
    k = np.arange(points) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / points), np.pi * (1 + 5**0.5) * k
    return RADIUS * np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1)


def fitted(position: np.ndarray, normal: np.ndarray, reach: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    near = within(position, reach)
    return patches(position, normal, near.start, near.index)


def test_a_ball_has_its_curvature_everywhere() -> None:
    place = ball(1500)
    normal, found = fitted(place, place / RADIUS)
    np.testing.assert_allclose(found[:, 0], 1 / RADIUS, rtol=0.03)
    np.testing.assert_allclose(found[:, 1], 1 / RADIUS**2, rtol=0.06)
    assert ((normal * place).sum(axis=1) / RADIUS).min() > 0.9999


def test_a_hollow_is_concave_and_a_saddle_bends_both_ways() -> None:
    place = ball(1500)
    _, found = fitted(place, -place / RADIUS)
    np.testing.assert_allclose(found[:, 0], -1 / RADIUS, rtol=0.03)
    x, y = (one.ravel() for one in np.meshgrid(np.arange(-12, 13, 2.0), np.arange(-12, 13, 2.0)))
    saddle = np.stack([x, y, 0.01 * (x**2 - y**2)], axis=1)
    _, found = fitted(saddle, np.tile([0.0, 0, 1], (len(x), 1)))
    middle = np.flatnonzero((x == 0) & (y == 0))[0]
    assert found[middle, 0] == pytest.approx(0, abs=1e-6)
    assert found[middle, 1] == pytest.approx(-4e-4, rel=1e-3)


def test_errors_are_the_scatter_under_noise() -> None:
    place, generator = ball(900), np.random.default_rng(2)
    exact = fitted(place, place / RADIUS)[1]
    drawn = np.array([fitted(place + generator.normal(0, 0.1, place.shape), place / RADIUS)[1] for _ in range(20)])
    for column in (0, 1):
        pull = (drawn[:, :, column] - exact[:, column]) / drawn[:, :, column + 2]
        assert np.sqrt(np.median(pull**2)) / 0.6745 == pytest.approx(1, abs=0.1)


def test_too_few_atoms_and_no_normal_are_unknown() -> None:
    normal, found = fitted(ball(20), ball(20) / RADIUS)
    assert np.isnan(found).all()
    assert np.isnan(normal).all()
    near = within(np.array([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0]]), 1.5)
    free = outwards(np.array([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0]]), near.start, near.index)
    assert np.isnan(free[0]).all(), "its neighbours balance"
    np.testing.assert_allclose(free[1:], [[1, 0, 0], [-1, 0, 0]])
