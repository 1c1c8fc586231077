"""The picture that all other lines make, against a plain sum over pixels; jitter and its gauge."""

from __future__ import annotations

import math

import numpy as np
from numpy.testing import assert_allclose

from aetx.kernels import scan_lines
from aetx.kernels.scan_drift import turn

WIDTH = 1.2


def places(lines: np.ndarray, angle: float, shape: tuple[int, int]) -> np.ndarray:
    """Return x and y of each pixel of a frame in the specimen, shape (rows, columns, 2)."""
    rows, columns = shape
    v = (np.arange(rows) - rows // 2)[:, None] - lines[:, :1]
    u = (np.arange(columns) - columns // 2)[None, :] - lines[:, 1:]
    return np.stack([u * math.cos(angle) - v * math.sin(angle), u * math.sin(angle) + v * math.cos(angle)], axis=-1)


def test_the_picture_is_the_weighted_mean_of_all_other_lines_and_its_slope_their_difference() -> None:
    rng = np.random.default_rng(0)
    shape, angles = (11, 13), np.array([0.0, 0.5])
    frames = rng.random((2, *shape), np.float32) + 1
    lines = rng.normal(0, 0.3, (2, 11, 2))
    place = np.array([places(one, angle, shape) for one, angle in zip(lines, angles, strict=True)])

    def plain(frame: int, row: int, at: np.ndarray) -> float:
        square = ((place - at) ** 2).sum(axis=-1) / (2 * WIDTH**2)
        weight = (2 - square) * np.exp(-square)
        weight[frame, row] = 0
        return float((weight * frames).sum() / weight.sum())

    margin = math.ceil(np.abs(lines).max() + 4 * WIDTH) + 4
    total, weight = (np.zeros((11 + 2 * margin, 13 + 2 * margin)) for _ in range(2))
    for frame, line, angle in zip(frames, lines, angles, strict=True):
        narrow = WIDTH / math.sqrt(2)
        scan_lines._scatter(frame, line, math.cos(angle), math.sin(angle), narrow, margin, total, weight)
    for k, angle in enumerate(angles):
        picture, slope = np.empty(shape), np.empty((*shape, 2))
        c, s = math.cos(angle), math.sin(angle)
        scan_lines._picture(frames[k], lines[k], c, s, narrow, margin, total, weight, 1e-3, picture, slope)
        along, across = np.array([c, s]), np.array([-s, c])
        for row, column in ((5, 6), (4, 3), (7, 9)):
            at = place[k, row, column]
            assert_allclose(picture[row, column], plain(k, row, at), atol=3e-3)
            for axis, direction in enumerate((across, along)):
                ahead, behind = (plain(k, row, at + side * 1e-4 * direction) for side in (1, -1))
                assert_allclose(slope[row, column, axis], (ahead - behind) / 2e-4, atol=1e-2)


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
