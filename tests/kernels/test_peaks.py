"""Local maxima, least distances and the valley between noise and atoms, each against a plain twin or a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter
from scipy.spatial.distance import cdist

from aetx.kernels import peaks

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
def test_local_maxima_are_those_of_a_maximum_filter(seed: int) -> None:
    density = np.random.default_rng(seed).standard_normal((9, 7, 11)).astype(np.float32)
    indices, values = peaks.local_maxima(density, (0, 0, 0), density.shape, 0.2)
    plain = np.argwhere((density == maximum_filter(density, 3)) & (density > 0.2))
    np.testing.assert_array_equal(indices, plain)
    np.testing.assert_array_equal(values, density[tuple(indices.T)])


def test_of_equal_neighbours_the_first_is_the_maximum() -> None:
    density = np.zeros((6, 6, 6), np.float32)
    density[2:4, 2:4, 2:4] = 1
    assert peaks.local_maxima(density, (0, 0, 0), (6, 6, 6), 0.5)[0].tolist() == [[2, 2, 2]]


@given(seed=seeds, least=st.floats(0.1, 3.0), count=st.integers(0, 40))
def test_points_are_thinned_as_one_by_one(seed: int, least: float, count: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 5, (count, 3))
    kept: list[int] = []
    for n, point in enumerate(points):
        if not kept or cdist(point[None], points[kept]).min() >= least:
            kept.append(n)
    assert np.flatnonzero(peaks.separated(points, least)).tolist() == kept


@given(seed=seeds, count=st.integers(0, 30))
def test_the_overlap_with_neighbours_is_the_sum_over_pairs(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 9, (count, 3))
    apart = cdist(points, points)
    plain = np.where((apart <= 5) & ~np.eye(count, dtype=bool), np.exp(-(apart**2) / 4), 0).sum(1)
    np.testing.assert_allclose(peaks.crowding(points, 5.0), plain, atol=1e-12)


def test_the_histogram_of_the_parts_is_that_of_the_whole() -> None:
    values = np.random.default_rng(0).lognormal(0, 3, 5000).astype(np.float32)
    parts = peaks.height_histogram(values[:2000]) + peaks.height_histogram(values[2000:])
    np.testing.assert_array_equal(parts, peaks.height_histogram(values))
    below = peaks.bin_heights()[np.flatnonzero(parts)]
    np.testing.assert_allclose(below.max(), values.max(), rtol=0.01)


def test_the_typical_height_is_that_of_atoms_among_much_noise_and_one_speck() -> None:
    rng = np.random.default_rng(1)
    heights = np.concatenate([rng.normal(10, 0.5, 1000), np.abs(rng.normal(0.8, 0.3, 200_000)), [30.0]])
    assert peaks.typical_height(peaks.height_histogram(heights.astype(np.float32))) == pytest.approx(10, rel=0.05)
    assert peaks.middle_height(heights) == pytest.approx(10, rel=0.05)


def test_noise_that_falls_off_is_cut_in_the_valley() -> None:
    rng = np.random.default_rng(2)
    least, valley = peaks.least_height(np.concatenate([rng.normal(1, 0.08, 300), rng.exponential(0.08, 3000) + 0.1]))
    assert valley
    assert 0.5 < least < 0.8


def test_two_kinds_of_atom_without_noise_are_both_kept() -> None:
    rng = np.random.default_rng(3)
    least, valley = peaks.least_height(np.concatenate([rng.normal(1, 0.05, 300), rng.normal(0.35, 0.02, 300)]))
    assert not valley
    assert least == pytest.approx(0.2, rel=0.05)


def test_a_value_that_is_not_finite_is_seen() -> None:
    values = np.ones(100, np.float32)
    assert peaks.finite(values)
    for wrong in (np.nan, np.inf, -np.inf):
        values[37] = wrong
        assert not peaks.finite(values)
