"""Errors through the volcano, and strain along bonds."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.orr import Volcano, bond_strain

VOLCANO = Volcano(0.02569, 0.26, 0.97)


def test_the_volcano_peaks_where_both_sides_meet() -> None:
    assert VOLCANO.peak == pytest.approx(0.132, abs=3e-5)
    assert VOLCANO.activity(np.array([VOLCANO.peak]))[0] == pytest.approx(5.14, abs=0.005)
    assert np.exp(VOLCANO.activity(np.array([VOLCANO.peak])))[0] == pytest.approx(170, abs=1)
    near = VOLCANO.activity(VOLCANO.peak + np.array([-1e-6, 0, 1e-6]))
    assert near.argmax() == 1
    assert np.ptp(near) < 1e-4


@pytest.mark.parametrize(
    ("energy", "error"), [(0.0, 0.03), (0.13, 0.03), (0.2, 0.05), (0.1319, 1e-4), (0.1, 0.1), (0.5, 0.01)]
)
def test_errors_are_those_of_many_draws(energy: float, error: float) -> None:
    drawn = np.random.default_rng(3).normal(energy, error, 200_000)
    away = VOLCANO.activity(drawn) - VOLCANO.activity(np.array(energy))
    told = VOLCANO.error(np.array([energy]), np.array([error]))[0]
    assert told == pytest.approx(np.sqrt((away**2).mean()), rel=0.01)


def test_an_error_far_from_the_peak_is_the_slope_times_that_of_the_energy() -> None:
    told = VOLCANO.error(np.array([-0.3, 0.6]), np.array([0.01, 0.01]))
    np.testing.assert_allclose(told, np.array([1.0, 0.97]) * 0.01 / 0.02569, rtol=1e-9)


def test_unknown_errors_stay_unknown_and_none_is_none() -> None:
    told = VOLCANO.error(np.array([0.1, 0.1, np.nan, 0.3]), np.array([np.nan, 0.0, 0.1, 0.0]))
    assert np.isnan(told[[0, 2]]).all()
    assert told[[1, 3]].tolist() == [0.0, 0.0]


def test_errors_of_mean_bond_lengths_are_those_of_many_draws() -> None:
    generator = np.random.default_rng(1)
    place = np.array([[0, 0, 0], [2.8, 0.1, 0], [-0.2, 2.7, 0.3], [0.1, -1.9, 2.0], [5.0, 5.0, 5.0]])
    first = np.array([0, 0, 0, 1, 2, 3])
    second = np.array([1, 2, 3, 0, 0, 0])
    spread = np.array([0.1, 0.05, 0.08])
    covariance = np.tile(np.diag(spread**2), (5, 1, 1))
    every = np.ones(6, bool)
    strain, error = bond_strain(place, covariance, first, second, every, 2.75)
    lengths = np.linalg.norm(place[1:4] - place[0], axis=1)
    assert strain[0] == pytest.approx(lengths.mean() / 2.75 - 1)
    drawn = [
        bond_strain(place + generator.normal(0, spread, place.shape), covariance, first, second, every, 2.75)[0]
        for _ in range(4000)
    ]
    np.testing.assert_allclose(error[:4], np.std(drawn, axis=0)[:4], rtol=0.05)
    assert np.isnan(strain[4])
    assert np.isnan(error[4])
