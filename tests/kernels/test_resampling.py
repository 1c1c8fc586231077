"""Confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.resampling import count_interval, rms_interval


@pytest.mark.parametrize(("rows", "least"), [(15, 0.88), (200, 0.91)])
def test_intervals_hold_the_truth_in_about_95_of_100_cases(rows: int, least: float) -> None:
    rng, held = np.random.default_rng(1), 0
    for trial in range(300):
        square = (rng.standard_normal((rows, 3)) ** 2).sum(1, keepdims=True)
        low, high = rms_interval(square, np.ones((rows, 1), bool), 400, 0.95, trial)[:, 0]
        held += low <= 3**0.5 <= high
    assert least <= held / 300 <= 0.985


def test_columns_count_their_own_rows() -> None:
    square = np.random.default_rng(0).random((60, 2))
    member = np.zeros((60, 2), bool)
    member[:30, 0] = True
    member[4, 1] = True
    bounds = rms_interval(square, member, 300, 0.95, 0)
    low, high = bounds[:, 0]
    assert low < square[:30, 0].mean() ** 0.5 < high
    assert np.isnan(bounds[:, 1]).all()


def test_equal_squares_leave_no_doubt() -> None:
    np.testing.assert_allclose(rms_interval(np.full((9, 1), 4.0), np.ones((9, 1), bool), 100, 0.95, 0), 2.0)
    np.testing.assert_array_equal(rms_interval(np.zeros((9, 1)), np.ones((9, 1), bool), 100, 0.95, 0), 0.0)


def test_bounds_of_a_count_are_those_of_garwood() -> None:
    """Values of the published table for 0 and 10 events at 95 %."""
    np.testing.assert_allclose(count_interval(0, 0.95), [0, 3.6889], atol=1e-4)
    np.testing.assert_allclose(count_interval(10, 0.95), [4.7954, 18.3904], atol=1e-4)
