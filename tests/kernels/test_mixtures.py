"""Scattering factors as sums of Gaussians, against the integral they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.mixtures import gaussians, radius
from aetx.kernels.profiles import radial_table
from aetx.kernels.scattering import kirkland


@pytest.mark.parametrize("number", [6, 14, 56, 78])
@pytest.mark.parametrize("width", [0.3, 0.45, 0.8])
def test_the_sum_is_the_picture_of_the_atom(number: int, width: float) -> None:
    weight, spread = gaussians(lambda q: kirkland(number, q) / kirkland(number, 0.0), width)
    table = radial_table(lambda q: kirkland(number, q) / kirkland(number, 0.0), width, width / 10, 5.0)
    rho, wide = width / 10 * np.arange(len(table))[:, None], np.hypot(width, spread)
    value = weight / (2 * np.pi * wide**2) * np.exp(-0.5 * (rho / wide) ** 2)
    top = table[0, 0]
    assert weight.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(value.sum(1), table[:, 0], atol=1e-3 * top)
    np.testing.assert_allclose((-value * rho / wide**2).sum(1), table[:, 1], atol=2e-3 * top / width)
    by_width = value * width / wide**2 * ((rho / wide) ** 2 - 2)
    np.testing.assert_allclose(by_width.sum(1), table[:, 2], atol=6e-3 * top / width)


def test_a_lone_gaussian_is_told_within_its_radius() -> None:
    ratio = radius(np.ones(1), np.zeros(1), 0.45, 1e-3) / 0.45
    t = ratio**2 / 2
    assert (1 + t) * np.exp(-t) == pytest.approx(1e-3, rel=0.05)
