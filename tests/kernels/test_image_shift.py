from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.image_shift import shifted, shifted_mask, shifted_variance


def spot(x: float, y: float, size: int = 33) -> np.ndarray:
    side = np.arange(size) - size // 2
    values = np.exp(-((side[:, None] - y) ** 2 + (side - x) ** 2) / (2 * 1.5**2))
    return values.astype(np.float32)


@pytest.mark.parametrize("shift", [(0.3, 0.0), (0.0, -0.45), (1.75, -2.6)])
def test_content_moves_towards_larger_x_and_y_as_far_as_asked(shift: tuple[float, float]) -> None:
    moved = shifted(spot(-1.2, 2.1), np.array(shift))
    np.testing.assert_allclose(moved, spot(-1.2 + shift[0], 2.1 + shift[1]), atol=2e-4)


def test_whole_pixels_move_exactly_and_what_comes_in_is_the_mirror_image() -> None:
    image = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    moved = shifted(image, np.array([2.0, -1.0]))
    np.testing.assert_allclose(moved[:5, 2:], image[1:, :5], atol=1e-6)
    np.testing.assert_allclose(moved[:5, :2], image[1:, 1::-1], atol=1e-6)


def test_there_and_back_is_where_it_was() -> None:
    image = spot(0.4, -0.7, 32)
    step = np.array([1.37, -0.61])
    np.testing.assert_allclose(shifted(shifted(image, step), -step), image, atol=1e-4)


def test_variance_is_that_of_noise_that_moved() -> None:
    generator, step = np.random.default_rng(1), np.array([0.4, -0.3])
    variance = np.float32(0.1) + spot(1.0, 0.0, 32)
    noise = [np.sqrt(variance) * generator.standard_normal((32, 32)) for _ in range(2000)]
    seen = np.var([shifted(one.astype(np.float32), step) for one in noise], axis=0)[9:-9, 9:-9]
    told = shifted_variance(variance, step)[9:-9, 9:-9]
    np.testing.assert_allclose(told, seen, rtol=0.2)
    assert np.mean(told / seen) == pytest.approx(1.0, abs=0.03)


def test_pixels_from_beyond_an_edge_or_beside_masked_ones_are_not_trusted() -> None:
    mask = np.ones((4, 6), bool)
    mask[:, 4] = False
    kept = shifted_mask(mask, np.array([0.5, 0.0]))
    assert kept[0].tolist() == [False, True, True, True, False, False]
    assert shifted_mask(mask, np.array([0.0, 1.0]))[:, 0].tolist() == [False, True, True, True]
    assert (shifted_mask(mask, np.zeros(2)) == mask).all()
