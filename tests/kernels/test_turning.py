"""A volume is turned as scipy's cubic splines turn it, and gradients flow through the turn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from aetx.kernels.rendering import rotation
from aetx.kernels.turning import spline_coefficients, turned_slices

ANGLES = (0.3, 0.5, -0.2)


def turned(volume: torch.Tensor, matrix: np.ndarray, shape: tuple[int, int, int] | None = None) -> torch.Tensor:
    size = shape or (volume.shape[0], volume.shape[1], volume.shape[2])
    return torch.stack(list(turned_slices(spline_coefficients(volume), torch.tensor(matrix), size)))


@pytest.mark.parametrize("shape", [(15, 18, 16), (8, 9, 9)])
def test_any_pose_agrees_with_the_cubic_splines_of_scipy(shape: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(0).normal(size=shape)
    matrix = rotation(*ANGLES)
    swapped, centre = matrix[::-1, ::-1], np.array([size // 2 for size in shape])
    wanted = affine_transform(volume, swapped, offset=centre - swapped @ centre, order=3, mode="grid-constant")
    np.testing.assert_allclose(turned(torch.tensor(volume), matrix).numpy(), wanted, atol=1e-9)


def test_no_turn_returns_the_volume() -> None:
    volume = torch.rand(6, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned(volume, np.eye(3)), volume, atol=1e-12, rtol=0)


def test_matter_above_the_centre_moves_to_lower_x_at_positive_tilt() -> None:
    volume = torch.zeros(41, 21, 41, dtype=torch.float64)
    volume[30, 10, 20] = 1.0  # at (0, 0, 10)
    seen = turned(volume, rotation(0, math.radians(30), 0)).sum(0)
    across = (seen.sum(0) * (torch.arange(41) - 20)).sum() / seen.sum()
    assert float(across) == pytest.approx(-5.0, abs=0.05)


def test_a_larger_grid_shows_the_same_middle_in_vacuum() -> None:
    volume = torch.zeros(12, 12, 12, dtype=torch.float64)
    volume[4:8, 4:8, 4:8] = torch.rand(4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = rotation(*ANGLES)
    small, large = turned(volume, matrix), turned(volume, matrix, (20, 22, 24))
    torch.testing.assert_close(large[4:16, 5:17, 6:18], small, atol=1e-12, rtol=0)
    assert float(large[:2].abs().max()) < 1e-3


def test_gradients_reach_the_volume_and_the_pose() -> None:
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(4, 5, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    matrix = torch.tensor(rotation(*ANGLES), requires_grad=True)

    def seen(volume: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(turned_slices(spline_coefficients(volume), matrix, (4, 5, 4))))

    assert torch.autograd.gradcheck(seen, (volume, matrix), atol=1e-6, fast_mode=True)
