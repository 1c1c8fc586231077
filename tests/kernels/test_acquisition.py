"""Distortions, film and counts against cases worked by hand and against their statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose

from aetx.kernels import acquisition


def gaussian(rows: int, columns: int, y: np.ndarray | float, x: np.ndarray | float, width: float) -> np.ndarray:
    v, u = np.mgrid[:rows, :columns].astype(float)
    return np.exp(-((v - y) ** 2 + (u - x) ** 2) / (2 * width**2)).astype(np.float32)


def test_whole_pixels_move_without_a_change() -> None:
    image = np.random.default_rng(0).random((20, 24)).astype(np.float32)
    moved = acquisition.displaced(image, np.full(20, 2.0), np.full(20, -3.0))
    assert_allclose(moved[2:, :-3], image[:-2, 3:], atol=1e-6)
    assert_allclose(acquisition.displaced(image, np.zeros(20), np.zeros(20)), image, atol=1e-6)


def test_beyond_its_edges_an_image_is_its_mirror_image() -> None:
    image = np.random.default_rng(0).random((9, 7)).astype(np.float32)
    moved = acquisition.displaced(image, np.full(9, 2.0), np.full(9, 1.0))
    assert_allclose(moved[0, 1:], image[2, :-1], atol=1e-5)
    assert_allclose(moved[2:, 0], image[:-2, 1], atol=1e-5)


@given(down=some.floats(-3, 3), right=some.floats(-3, 3))
def test_parts_of_a_pixel_move_an_atom_as_drawn_there_and_keep_its_total(down: float, right: float) -> None:
    image = gaussian(40, 44, 19.6, 21.3, 1.25)
    moved = acquisition.displaced(image, np.full(40, down), np.full(40, right))
    assert_allclose(moved, gaussian(40, 44, 19.6 + down, 21.3 + right, 1.25), atol=3e-3)
    assert_allclose(moved.sum(), image.sum(), rtol=1e-5)


def test_each_row_sees_the_displacement_of_its_own_time() -> None:
    image = gaussian(41, 41, 20, 20, 3.0)
    down, right = np.linspace(-1, 1, 41), np.linspace(2, -2, 41)
    v, u = np.mgrid[:41, :41].astype(float)
    wanted = np.exp(-((v - down[:, None] - 20) ** 2 + (u - right[:, None] - 20) ** 2) / 18)
    assert_allclose(acquisition.displaced(image, down, right), wanted, atol=2e-5)


def test_a_blurred_atom_is_a_wider_one_with_the_same_total() -> None:
    image = (gaussian(41, 50, 20.3, 24.6, 1.25) / 1.25**2).astype(np.float32)
    made = acquisition.blurred(image, 0.9, 0.0, 1.0)
    wider = np.hypot(1.25, 0.9)
    assert_allclose(made, gaussian(41, 50, 20.3, 24.6, wider) / wider**2, atol=1e-5)
    assert_allclose(made.sum(), image.sum(), rtol=1e-6)


def test_the_tails_of_a_probe_fall_off_as_a_lorentzian() -> None:
    image = np.zeros((301, 301), np.float32)
    image[150, 150] = 1
    made = acquisition.blurred(image, 0.0, 0.3, 3.0)
    radius = np.arange(6, 30)
    wanted = 0.3 * 3 / (2 * np.pi * (radius**2 + 9) ** 1.5)
    assert_allclose(made[150, 156:180], wanted, rtol=0.02)
    assert_allclose(made[156:180, 150], wanted, rtol=0.02)
    assert_allclose(made.sum(), 1, rtol=1e-5)
    assert_allclose(made[150, 150], 0.7, atol=0.01)


@pytest.mark.parametrize("length", [3.0, 8.0])
def test_the_grain_of_a_film_has_variance_one_and_its_correlation_length(length: float) -> None:
    generator = np.random.default_rng(1)
    stack = np.stack([acquisition.grain(256, 250, length, generator) for _ in range(30)])
    assert_allclose(stack.var(), 1, rtol=0.05)
    assert_allclose(stack.mean(), 0, atol=0.1)
    apart = int(length)
    for first, second in ((stack[:, apart:], stack[:, :-apart]), (stack[..., apart:], stack[..., :-apart])):
        assert_allclose((first * second).mean(), np.exp(-((apart / length) ** 2)), atol=0.05)
    assert abs(np.corrcoef(stack[:, 0].ravel(), stack[:, -1].ravel())[0, 1]) < 0.1, "it does not wrap around"


def test_a_smooth_variation_is_bounded_by_one() -> None:
    found = acquisition.smooth(31, 40, np.random.default_rng(3))
    assert_allclose(np.abs(found).max(), 1)
    rough = np.diff(found, 3, axis=0), np.diff(found, 3, axis=1)
    assert max(np.abs(part).max() for part in rough) < 1e-6


def test_noise_has_the_mean_and_the_variance_of_its_model() -> None:
    expected = np.full((400, 400), 9.0, np.float32)
    found = acquisition.detect(expected, 2.0, 5.0, 3.0, np.random.default_rng(0))
    assert_allclose(found.mean(), 2 * 9 + 5, rtol=0.005)
    assert_allclose(found.var(), 4 * 9 + 9, rtol=0.02)
