"""The picture that scans make together, against the plain formula of a linear prediction."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from aetx.kernels.scan_picture import picture_of, wiener

SHAPE = (32, 32)


def scene(seed: int, width: float = 2.0) -> np.ndarray:
    """Return a random image of one correlation length that goes round its edges, of variance one."""
    made = gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), width, mode="wrap")
    return np.asarray(made / made.std())


def test_a_line_is_predicted_by_all_others_as_a_gaussian_process_predicts_it() -> None:
    rng = np.random.default_rng(1)
    frames = (5 + scene(0) + 0.5 * rng.standard_normal((3, *SHAPE))).astype(np.float32)
    found = picture_of(frames, np.zeros(3), np.zeros((3, SHAPE[0], 2)))
    rows, columns = SHAPE
    power = np.where(found.share < 1, found.share / (3 * (1 - np.minimum(found.share, 1 - 1e-9))), 1e6)
    kernel = np.fft.ifft2(power).real  # covariance of the picture, in units of the noise of one frame
    y, x = (one.ravel() for one in np.indices(SHAPE))
    covariance = kernel[(y[:, None] - y) % rows, (x[:, None] - x) % columns]
    mean = frames.mean(axis=0).astype(float) - found.level
    others = found.others(frames[1], np.zeros((rows, 2)), 0.0)
    for row in (7, 20):
        own = y == row
        noise, values = np.full(rows * columns, 1 / 3), mean.ravel().copy()
        noise[own] = 1 / 2  # that line of the other two frames stays
        values[own] = (frames[[0, 2], row].mean(axis=0) - found.level).astype(float)
        weights = np.linalg.solve(covariance + np.diag(noise), values)
        assert_allclose(others.picture[row], covariance[own] @ weights, atol=0.01)


def test_the_slope_is_that_of_the_picture_in_the_axes_of_the_frame() -> None:
    y, x = np.indices(SHAPE)
    image = np.cos(2 * np.pi * (2 * x / SHAPE[1])) + np.sin(2 * np.pi * (3 * y / SHAPE[0]))
    frames = np.stack([image, image[:, ::-1].T, image]).astype(np.float32)
    turned = np.roll(frames[1], 1, axis=0)  # about pixel n // 2: row v of a quarter turn is column -v
    frames[1] = turned
    found = picture_of(frames, np.deg2rad([0.0, 90.0, 0.0]), np.zeros((3, SHAPE[0], 2)))
    along = -4 * np.pi / SHAPE[1] * np.sin(2 * np.pi * (2 * x / SHAPE[1]))
    down = 6 * np.pi / SHAPE[0] * np.cos(2 * np.pi * (3 * y / SHAPE[0]))
    straight = found.others(frames[0], np.zeros((SHAPE[0], 2)), 0.0)
    inner = slice(4, -4)
    assert_allclose(straight.slope[inner, inner, 0], down[inner, inner], atol=0.02)
    assert_allclose(straight.slope[inner, inner, 1], along[inner, inner], atol=0.02)
    crossed = found.others(frames[1], np.zeros((SHAPE[0], 2)), np.pi / 2)
    assert_allclose(crossed.picture[inner, inner], frames[1][inner, inner] - found.level, atol=0.02)
    v, u = np.indices(SHAPE) - SHAPE[0] // 2
    row, column = u + SHAPE[0] // 2, -v + SHAPE[1] // 2  # y = u and x = -v
    expected = np.stack([-along[row, column % SHAPE[1]], down[row, column % SHAPE[1]]], axis=-1)
    assert_allclose(crossed.slope[inner, inner], expected[inner, inner], atol=0.02)


def test_what_noise_makes_of_the_prediction_is_told() -> None:
    rng = np.random.default_rng(2)
    share = None
    values, slopes, told = [], [], None
    for _ in range(6):
        frames = rng.standard_normal((3, *SHAPE)).astype(np.float32)
        smooth = (20 * scene(3) + frames).astype(np.float32)
        found = picture_of(smooth, np.zeros(3), np.zeros((3, SHAPE[0], 2)))
        share = found.share if share is None else share
        level = float(frames.mean())
        noise = type(found)(level, np.fft.fft2(frames.mean(axis=0) - level) * share, share, 3, found.known)
        told = noise.others(frames[0], np.zeros((SHAPE[0], 2)), 0.0)
        values.append(told.picture)
        slopes.append(told.slope)
    assert told is not None
    assert_allclose(np.var(values), told.noise, rtol=0.15)
    assert_allclose(np.mean(np.square(slopes), axis=(0, 1, 2)), told.rough, rtol=0.15)


def test_waves_are_kept_as_far_as_frames_share_them() -> None:
    rng = np.random.default_rng(4)
    image = 3 * scene(5, 3.0)
    frames = image + rng.standard_normal((3, *SHAPE))
    share = wiener(frames)
    assert share[1, 1] > 0.9
    assert share[14:18, 14:18].max() < 0.3
    found = np.fft.ifft2(np.fft.fft2(frames.mean(axis=0)) * share).real
    assert ((found - image) ** 2).mean() < 0.3 * ((frames.mean(axis=0) - image) ** 2).mean()
