"""Scales of stars and how their errors go together."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from aetx.kernels.smoothing import spread, variance
from aetx.kernels.stars import Stars, covariances, stars, strain_in_plane

SITE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [2, 0, 0], [1, 1, 0.2]])
STAR = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
ATOM = np.array([0, 1, 2, 3, 4, 1, 0, 5, 6])
UP = np.array([[0.0, 0, 1], [0, 0, 1]])


def flat() -> Stars:
    return stars(SITE, STAR, ATOM, 2, UP)


def test_stretched_and_turned_stars_have_that_strain() -> None:
    turned = Rotation.from_rotvec([0, 0, 0.7]).apply(1.03 * SITE) + np.array([4, 5, 6])
    np.testing.assert_allclose(strain_in_plane(flat(), turned, UP), 0.03, atol=1e-12)


def test_stars_on_a_line_are_unknown() -> None:
    line = stars(SITE, np.array([0, 0, 0]), np.array([0, 1, 3]), 1, UP[:1])
    assert not line.known[0]
    assert np.isnan(strain_in_plane(line, SITE, UP[:1])[0])
    assert not stars(SITE[:5], STAR[:5], ATOM[:5], 1, None).known[0], "no star in space lies in a plane"


def test_covariances_are_those_of_many_draws() -> None:
    generator = np.random.default_rng(0)
    factor = generator.normal(0, 0.01, (len(SITE), 3, 3))
    covariance = factor @ factor.transpose(0, 2, 1)
    noise = np.einsum("nij,dnj->dni", factor, generator.normal(size=(8_000, len(SITE), 3)))
    drawn = np.array([strain_in_plane(flat(), SITE + one, UP) for one in noise])
    told = covariances(flat(), covariance).toarray()
    np.testing.assert_allclose(told, np.cov(drawn.T), rtol=0.08, atol=3e-6)
    assert told[0, 1] != 0


def test_unknown_errors_make_unknown_covariances() -> None:
    covariance = np.tile(1e-4 * np.eye(3), (len(SITE), 1, 1))
    covariance[4] = np.nan
    told = covariances(flat(), covariance).toarray()
    assert np.isnan(told[0, 0])
    assert np.isfinite(told[1, 1])


def test_the_variance_of_a_sum_on_a_grid_is_that_of_its_terms() -> None:
    generator = np.random.default_rng(1)
    place = generator.uniform(-3, 3, (6, 3))
    root = generator.normal(size=(6, 6))
    matrix = root @ root.T
    first, second = (one.ravel() for one in np.indices((6, 6)))
    low, step, points, width = np.full(3, -5.0), 1.0, 11, 2.0
    found = variance(place, first, second, matrix[first, second][:, None], low, step, points, width)[0]
    axis = low[0] + step * np.arange(points)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    square = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 for a, b, c in place]
    weight = np.exp(-np.array(square) / (2 * width**2))
    wanted = np.einsum("izyx,ij,jzyx->zyx", weight, matrix, weight)
    np.testing.assert_allclose(found, wanted, atol=2e-3 * wanted.max())
    total = spread(place, np.ones((6, 1)), low, step, points, width)[0]
    np.testing.assert_allclose(total, weight.sum(0), atol=1e-3)
