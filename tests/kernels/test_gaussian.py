"""The joint Gauss-Newton step against a plain least-squares fit with every sum written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from aetx.kernels import gaussian

F64 = NDArray[np.float64]
SHAPE = (22, 23, 24)
WIDTH = np.array([1.4, 1.2, 1.3])


def model(state: F64, width: F64) -> F64:
    total = np.zeros(SHAPE)
    for z, y, x, height, scale in state:
        axes = [
            np.exp(-0.5 * ((np.arange(n) - c) / (w * np.exp(scale))) ** 2)
            for n, c, w in zip(SHAPE, (z, y, x), width, strict=True)
        ]
        total += height * axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return total


STATE = np.array([[10.3, 11.2, 11.9, 2.0, 0.0], [10.1, 15.4, 8.2, 1.5, 0.1]])
CORNER = np.zeros(3, np.int64)


def test_what_is_subtracted_is_the_model() -> None:
    residual = model(STATE, WIDTH).astype(np.float32)
    gaussian.subtract(residual, CORNER, STATE, WIDTH)
    assert np.abs(residual).max() < 4e-3


def test_a_block_is_subtracted_like_the_whole() -> None:
    whole = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    part = whole[4:15, 3:, 6:17].copy()
    gaussian.subtract(whole, CORNER, STATE, WIDTH)
    gaussian.subtract(part, np.array([4, 3, 6]), STATE, WIDTH)
    np.testing.assert_array_equal(part, whole[4:15, 3:, 6:17])


@pytest.mark.parametrize("own", [False, True])
def test_the_step_is_that_of_weighted_least_squares(own: bool) -> None:
    residual = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    shape = np.array(SHAPE)
    rows = gaussian.fit(residual, CORNER, shape, STATE, WIDTH, own, True)
    for state, row in zip(STATE, rows, strict=True):
        sigma = WIDTH * np.exp(state[4])
        half = np.maximum(np.floor(gaussian.WINDOW * sigma + 0.5), 1)
        grid = np.indices(SHAPE).reshape(3, -1).T
        inside = (np.abs(grid - np.rint(state[:3])) <= half).all(1)
        u = (grid[inside] - state[:3]) / sigma
        r2 = (u**2).sum(1)
        g = np.exp(-0.5 * r2)
        w = np.exp(-0.5 * r2 / gaussian.BREADTH**2)
        columns = [state[3] * g[:, None] * u / sigma, g[:, None], np.ones((len(u), 1))]
        if own:
            columns.append((state[3] * g * r2)[:, None])
        jacobian = np.concatenate(columns, 1)
        values = residual.reshape(-1)[inside]
        inverse = np.linalg.inv(jacobian.T @ (w[:, None] * jacobian))
        step = inverse @ (jacobian.T @ (w * values))
        np.testing.assert_allclose(row[[0, 1, 2, 3, 5]], step[:5], rtol=1e-5, atol=1e-7)
        if own:
            assert row[4] == pytest.approx(step[5], rel=1e-5)
        spread = inverse @ (jacobian.T @ ((w**2)[:, None] * jacobian)) @ inverse
        np.testing.assert_allclose(row[7:11], np.sqrt(row[6] * np.diag(spread)[:4]), rtol=1e-5)
        assert row[6] == pytest.approx(1.0, rel=0.3)


def test_widths_move_towards_the_truth() -> None:
    true = STATE.copy()
    true[:, 4] = 0
    density = model(true, WIDTH * [1.1, 1.0, 0.95]).astype(np.float32)
    width = WIDTH.copy()
    for _ in range(6):
        residual = density.copy()
        gaussian.subtract(residual, CORNER, true, width)
        shared = gaussian.widths(residual, CORNER, np.array(SHAPE), true, width).sum(0)
        width = width * np.exp(np.linalg.solve(shared[:9].reshape(3, 3), shared[9:]))
        residual = density.copy()
        gaussian.subtract(residual, CORNER, true, width)
        true[:, 3] += gaussian.fit(residual, CORNER, np.array(SHAPE), true, width, False, False)[:, 3]
    np.testing.assert_allclose(width, WIDTH * [1.1, 1.0, 0.95], rtol=2e-3)


def test_white_noise_widens_nothing_and_correlated_noise_by_its_own_width() -> None:
    white = np.zeros((3, 4, 2))
    white[:, 0] = 1
    np.testing.assert_allclose(gaussian.widening(white, WIDTH), 1)
    smooth = np.ones((3, 4, 2))
    smooth[:, :, 0] = np.exp(-(np.arange(4.0) ** 2) / 4)
    assert (gaussian.widening(smooth, WIDTH) > 2).all()
