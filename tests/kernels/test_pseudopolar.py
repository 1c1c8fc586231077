"""The pseudo-polar transform against sums written out, its transpose, and lines of equal slope."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aetx.kernels.pseudopolar import PseudoPolar, areas, measured, nearest_lines

C128 = NDArray[np.complex128]


def direct(image: NDArray[np.float64], start: tuple[float, float], radial: int, slopes: int) -> C128:
    """Return the transform point by point."""
    z, x = (begin + np.arange(count) for begin, count in zip(start, image.shape, strict=True))
    m = (np.arange(radial) - radial // 2) / radial
    made = np.zeros((2, radial, slopes), complex)
    for fan in (0, 1):
        slope = 2 * (np.arange(slopes) - slopes // 2 + fan) / slopes
        for i, k in enumerate(m):
            kx, kz = (np.full(slopes, k), slope * k) if fan == 0 else (slope * k, np.full(slopes, k))
            down, across = np.exp(-2j * np.pi * np.outer(kz, z)), np.exp(-2j * np.pi * np.outer(kx, x))
            made[fan, i] = ((down @ image) * across).sum(1)
    return made


@pytest.mark.parametrize(
    ("shape", "start", "radial", "slopes"),
    [((64, 64), (-32.0, -32.0), 128, 64), ((7, 10), (-3.5, -5.2), 20, 30), ((9, 6), (-4.0, -3.0), 18, 72)],
)
def test_the_transform_is_the_direct_sum_to_1e10(
    shape: tuple[int, int], start: tuple[float, float], radial: int, slopes: int
) -> None:
    image = np.random.default_rng(0).standard_normal(shape)
    grid = PseudoPolar(shape, start, radial, slopes, torch.complex128, "cpu")
    told, wanted = grid.transform(torch.from_numpy(image)).numpy(), direct(image, start, radial, slopes)
    assert np.abs(told - wanted).max() < 1e-10


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), half=st.integers(1, 12), seed=st.integers(0, 99))
def test_the_transpose_is_exact(rows: int, columns: int, half: int, seed: int) -> None:
    grid = PseudoPolar((rows, columns), (-rows // 2, 0.3 - columns // 2), 18, 2 * half, torch.complex128, "cpu")
    generator = np.random.default_rng(seed)
    image = torch.from_numpy(generator.standard_normal((2, rows, columns)) + 0j)
    values = torch.from_numpy(generator.standard_normal((2, 2, 18, 2 * half, 2)))
    values = torch.view_as_complex(values.contiguous())
    left = torch.vdot(values.reshape(-1), grid.transform(image).reshape(-1))
    right = torch.vdot(grid.transpose(values).reshape(-1), image.reshape(-1))
    assert abs(left - right) < 1e-11 * (1 + abs(left))


def test_complete_data_give_the_image_back() -> None:
    image = np.random.default_rng(0).standard_normal((16, 16))
    grid = PseudoPolar((16, 16), (-8.0, -8.0), 32, 16, torch.complex128, "cpu")
    weights = areas(32, 16)
    assert float(weights.sum()) == pytest.approx(1 + 1 / 32**2, abs=1e-12)
    assert float(weights[:, 16].sum()) == pytest.approx(1 / 32**2, abs=1e-12)
    values = grid.transform(torch.from_numpy(image))
    side = grid.transpose(weights * values).real
    found, residual = torch.zeros_like(side), side.clone()
    direction, square = residual.clone(), residual.square().sum()
    for _ in range(60):
        image_of = grid.transpose(weights * grid.transform(direction)).real
        pace = square / (direction * image_of).sum()
        found += pace * direction
        residual -= pace * image_of
        before, square = square, residual.square().sum()
        direction = residual + square / before * direction
    np.testing.assert_allclose(found.numpy(), image, atol=1e-8)


def test_a_tilt_on_a_line_keeps_its_angle_and_others_go_to_the_nearest() -> None:
    lines = nearest_lines(np.deg2rad([0.0, 45.0, -45.0, 90.0, -90.0, 135.0, 180.0]), 8)
    np.testing.assert_allclose(np.rad2deg(lines.theta), [0, 45, -45, 90, -90, 135, 180], atol=1e-9)
    theta = np.deg2rad(np.linspace(-180, 180, 719))
    lines = nearest_lines(theta, 64)
    assert np.abs(lines.theta - theta).max() <= np.arctan(2 / 64) / 2 + 1e-9
    assert lines.number.min() >= 0
    assert lines.number.max() < 64


def test_a_tilt_is_the_section_through_the_wave_vectors_that_it_should_be() -> None:
    lines = nearest_lines(np.arctan([0.5]), 8)
    # The image at theta holds the points k = q (cos theta, -sin theta): kz = -tan(theta) kx, four half steps down.
    assert (lines.fan[0], lines.number[0]) == (0, 4 - 2)
    lines = nearest_lines(np.arctan([2.0]), 8)
    assert (lines.fan[0], lines.number[0]) == (1, 4 - 2 - 1)


def test_a_diagonal_line_is_measured_only_as_far_as_the_image_is() -> None:
    count = measured(nearest_lines(np.deg2rad([0.0, -45.0]), 8), 32, 8)
    m = np.arange(32) - 16
    flat, diagonal = count[0, :, 4], count[1, :, 7]
    np.testing.assert_array_equal(flat, m > -16)
    np.testing.assert_array_equal(diagonal, np.abs(m) * np.sqrt(2) <= 16)
    assert count.sum() == flat.sum() + diagonal.sum()
