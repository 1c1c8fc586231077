"""Rows at uneven heights, turned scans, and their mean: what is put in by formula comes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aetx.kernels.scan_distortion import (
    drifting_lines,
    mean_of,
    rows_moved,
    spline_rows,
    straightened,
    turned_back,
)

ROWS = np.arange(64.0)


def smooth(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Three Gaussians and a slope."""
    spots = [(30.0, 32.0, 3.0), (36.5, 25.0, 2.0), (25.0, 40.2, 2.5)]
    return 5 + 0.02 * x + np.sum([10 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * w**2)) for a, b, w in spots], 0)


@given(seed=st.integers(0, 50), jump=st.floats(0, 0.6))
def test_rows_that_jump_even_past_each_other_are_put_in_order(seed: int, jump: float) -> None:
    rng = np.random.default_rng(seed)
    height = ROWS + rng.normal(0, jump, 64)
    made = spline_rows(smooth(height[:, None], ROWS[None, :]), height)
    assert_allclose(made[8:-8], smooth(ROWS[:, None], ROWS[None, :])[8:-8], atol=0.25)


def test_whole_pixels_move_exactly_and_fractions_keep_the_mean() -> None:
    image = np.random.default_rng(0).random((5, 16), np.float32)
    made = rows_moved(image, np.array([0.0, 1.0, -2.0, 0.4, 3.0]))
    assert_allclose(made[0], image[0], atol=1e-6)
    assert_allclose(made[1, 1:], image[1, :-1], atol=1e-6)
    assert_allclose(made[2, :-2], image[2, 2:], atol=1e-6)
    assert_allclose(made[4, 3:], image[4, :-3], atol=1e-6)


def test_a_frame_is_straightened_and_what_it_did_not_see_is_known() -> None:
    rng = np.random.default_rng(1)
    down, right = 4.0 + 0.05 * (ROWS - 32), -2.5 + rng.normal(0, 0.3, 64)
    frame = smooth(ROWS[:, None] - down[:, None], ROWS[None, :] - right[:, None]).astype(np.float32)
    made, seen = straightened(frame, down, right)
    assert_allclose(made[8:-8, 8:-8], smooth(ROWS[:, None], ROWS[None, :])[8:-8, 8:-8], atol=0.03)
    # pixel (0, 0) of the frame showed what belongs at (-2.4, 2.5): the columns 0 to 2 and the last rows are unknown
    assert not seen[:, 0].any()
    assert not seen[-3:].any()
    assert seen[4:-8, 6:-6].all()


@pytest.mark.parametrize("degrees", [0.0, 90.0, -90.0, 180.0, 33.0])
def test_a_turned_scan_is_turned_back(degrees: float) -> None:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    v, u = ROWS[:, None] - 32, ROWS[None, :] - 32
    frame = smooth(u * s + v * c + 32, u * c - v * s + 32).astype(np.float32)
    made, seen = turned_back(frame, np.ones(frame.shape, bool), float(np.deg2rad(degrees)))
    lost = {0.0: 0, 90.0: 64, -90.0: 64, 180.0: 127}  # of even sizes, the first row or column comes from beyond
    assert seen.sum() == 64 * 64 - lost[degrees] if degrees in lost else 0.7 < seen.mean() < 0.95
    assert_allclose(made[16:-16, 16:-16], smooth(ROWS[:, None], ROWS[None, :])[16:-16, 16:-16], atol=2e-3)


def test_of_an_oblong_frame_at_right_angles_only_what_it_saw_counts() -> None:
    frame = np.arange(20 * 41.0).reshape(20, 41).astype(np.float32)
    made, seen = turned_back(frame, np.ones(frame.shape, bool), np.pi / 2)
    assert_array_equal(np.flatnonzero(seen.any(axis=0)), np.arange(11, 31))  # x = -v
    assert made[10, 20] == frame[10, 20]
    assert made[12, 17] == frame[13, 22], "two below and three left of the centre: two right, three below in the scan"


def test_lines_of_an_even_drift_lie_where_a_clock_says() -> None:
    """Content moves by v t; frames are scanned at t = k (1 + pause) + row / rows."""
    rows, pause, v = 100, 0.4, np.array([3.0, -7.0])
    number = np.arange(3) - 1.0
    time = number[:, None] * (1 + pause) + (np.arange(rows) - rows // 2) / rows
    met = number * (1 + pause) / (1 - v[0] / rows)  # when row = rows // 2 + v_down t, the middle of the specimen
    found = drifting_lines(v * met[:, None], pause, rows, True)
    assert_allclose(found, v * time[..., None], atol=1e-9)


def test_the_variance_of_a_mean_rises_with_the_signal_as_that_of_counts() -> None:
    truth = np.broadcast_to(np.linspace(2, 40, 96), (96, 96))
    frames = np.random.default_rng(0).poisson(truth, (3, 96, 96)).astype(np.float32)
    seen = np.ones(frames.shape, bool)
    seen[0, :, :10] = False
    seen[:, 0, 0] = False
    mean, variance, any_seen = mean_of(frames, seen)
    assert_allclose(mean[1:, 10:], frames[:, 1:, 10:].mean(axis=0), rtol=1e-6)
    assert_allclose(mean[1:, :10], frames[1:, 1:, :10].mean(axis=0), rtol=1e-6)
    assert_allclose(variance[8:-8, 12:-8].mean(axis=0), truth[0, 12:-8] / 3, rtol=0.12)
    assert_allclose(variance[8:-8, 4:8].mean() / truth[0, 4:8].mean(), 0.5, rtol=0.15)
    assert_array_equal(any_seen.sum(), 96 * 96 - 1)
    assert np.isnan(mean_of(frames[:1], seen[1:2])[1]).all()
