"""What lines have in common, how far they jump, and the gauge of both."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from aetx.kernels import scan_lines
from aetx.kernels.scan_drift import turn


def test_a_shift_of_everything_stays_as_it_is() -> None:
    turns = np.deg2rad([0.0, 90.0])
    down_right = np.array([[1.0, 2.0], [-2.0, 1.0]])  # 2 along x and 1 along y, in the axes of each
    place = np.broadcast_to(down_right[:, None], (2, 7, 2))
    assert_allclose(scan_lines._without_shift(place, turns), 0, atol=1e-12)
    assert_allclose(np.einsum("kij,kj->ki", turn(turns), down_right), [[1, 2], [1, 2]], atol=1e-12)


def test_what_scans_forth_and_back_share_is_seen_at_the_height_of_the_specimen() -> None:
    """A smooth bend of the specimen, in a scan from below, one that has drifted, and one that runs back from above."""
    rows = np.arange(101.0) - 50
    turns, drift = np.array([0.0, 0.0, np.pi]), np.array([0.0, 6.0, 0.0])
    bend = np.exp(-((rows - 10) ** 2) / 400)
    moved = np.zeros((3, 101, 2))
    moved[0, :, 1], moved[1, :, 1] = bend, np.interp(rows - 6, rows, bend)
    moved[2, :, 1] = -bend[::-1]
    down = np.broadcast_to(drift[:, None], (3, 101))
    shared = scan_lines._shared(moved, turns, down, 1.0)
    assert_allclose(shared[:, 10:-10], moved[:, 10:-10], atol=0.01)


def test_variances_that_rise_with_the_picture_are_trusted_less() -> None:
    rng = np.random.default_rng(0)
    picture = np.tile(np.linspace(5, 50, 200), (100, 1))
    trust = scan_lines._trust(rng.normal(0, np.sqrt(picture)), picture, np.ones(picture.shape, bool))
    assert_allclose(1 / trust[0, 20:], picture[0, 20:], rtol=0.15)


def test_the_jitter_is_what_lines_scatter_beyond_their_errors() -> None:
    rng = np.random.default_rng(0)
    error = rng.uniform(0.05, 0.8, (3, 400))
    away = rng.normal(0, 0.3, error.shape) + error * rng.standard_normal(error.shape)
    information, target = np.zeros((3, 400, 2, 2)), np.zeros((3, 400, 2))
    information[..., 1, 1], target[..., 1] = error**-2, away / error**2
    free, start = np.array([False, True]), np.array([scan_lines.LEAST, scan_lines.START]) ** 2
    found = scan_lines._scatter(information, target, np.zeros_like(target), start, free)
    assert_allclose(np.sqrt(found), [scan_lines.LEAST, 0.3], rtol=0.05)
    still = scan_lines._scatter(information, target * 0.5, np.zeros_like(target), start, free)
    assert still[1] < 0.02, "scatter below the errors is no jitter"
