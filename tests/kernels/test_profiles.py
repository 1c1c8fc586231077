"""The picture of one atom: totals, derivatives, and profiles of Gaussians and of Yukawa potentials in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose
from scipy.integrate import quad, simpson
from scipy.optimize import curve_fit
from scipy.special import k0

from aetx.kernels import profiles
from aetx.kernels.scattering import kirkland


@given(centre=some.floats(12, 18), width=some.floats(0.3, 2.2))
def test_a_gaussian_has_its_whole_integral_wherever_it_is(centre: float, width: float) -> None:
    value, by_centre, by_width = profiles.gaussian(centre, width, 0, 31)
    assert_allclose(value.sum(), 1, atol=2e-7)
    assert_allclose(by_centre.sum(), 0, atol=1e-6)
    assert_allclose(by_width.sum(), 0, atol=1e-5)


@pytest.mark.parametrize("width", [0.35, 0.8, 1.26, 2.0])
def test_derivatives_of_a_gaussian_are_its_differences(width: float) -> None:
    step = 1e-5
    _, by_centre, by_width = profiles.gaussian(10.3, width, 0, 21)
    moved = profiles.gaussian(10.3 + step, width, 0, 21)[0] - profiles.gaussian(10.3 - step, width, 0, 21)[0]
    widened = profiles.gaussian(10.3, width + step, 0, 21)[0] - profiles.gaussian(10.3, width - step, 0, 21)[0]
    assert_allclose(by_centre, moved / (2 * step), atol=1e-8)
    assert_allclose(by_width, widened / (2 * step), atol=1e-8)


def test_without_a_scattering_factor_the_profile_is_a_gaussian() -> None:
    width, step = 0.45, 0.05
    table = profiles.radial_table(np.ones_like, width, step, 4.0)
    for rho in (0.0, 0.013, 0.4, 0.777, 1.9, 3.99):
        value, slope, by_width = profiles.radial(table, step, rho)
        wanted = np.exp(-(rho**2) / (2 * width**2)) / (2 * np.pi * width**2)
        assert_allclose(value, wanted, atol=1e-5)
        assert_allclose(slope, -rho / width**2 * wanted, atol=1e-4)
        assert_allclose(by_width, (rho**2 / width**3 - 2 / width) * wanted, atol=1e-4)
    assert profiles.radial(table, step, 5.0) == (0, 0, 0)


def test_the_profile_of_a_yukawa_factor_is_its_convolution_in_real_space() -> None:
    """b / (q**2 + b) is the transform of 2 pi b K0(2 pi rho sqrt(b)); blur that with a Gaussian at the centre."""
    b, width = 0.3, 0.4
    table = profiles.radial_table(lambda q: b / (q**2 + b), width, 0.02, 12.0)

    def blurred(rho: float) -> float:
        return float(2 * np.pi * rho * 2 * np.pi * b * k0(2 * np.pi * rho * np.sqrt(b)) * np.exp(-(rho**2 / 0.32)))

    centre = quad(blurred, 0, 4, limit=200)[0] / (2 * np.pi * width**2)
    assert_allclose(table[0, 0], centre, rtol=1e-6)
    rho = 0.02 * np.arange(len(table))
    assert_allclose(simpson(2 * np.pi * rho * table[:, 0], x=rho), 1, atol=1e-6)
    assert_allclose(
        table[300, 0], 2 * np.pi * b * k0(2 * np.pi * 6 * np.sqrt(b)) * np.exp(2 * np.pi**2 * b * 0.16), rtol=1e-4
    )


@pytest.mark.parametrize(("width", "seen"), [(0.403, 0.478), (0.450, 0.524), (0.503, 0.576)])
def test_the_profile_of_platinum_is_the_projection_of_a_ball_as_wide_as_published(width: float, seen: float) -> None:
    """In three dimensions a Gaussian fitted to a Pt atom within 1 angstrom has these widths with Kirkland's factor."""
    q = np.linspace(0, 5, 5001)
    envelope = factor_of_platinum(q) * np.exp(-2 * (np.pi * width * q) ** 2) * 4 * np.pi * q**2
    r = np.arange(0, 8, 0.01)
    ball = np.sinc(2 * np.outer(r, q)) @ envelope * q[1]

    def fitted(at: np.ndarray, height: float, spread: float) -> np.ndarray:
        return np.asarray(height * np.exp(-(at**2) / (2 * spread**2)))

    found, _ = curve_fit(fitted, r[:100:2], ball[:100:2], [ball[0], width])
    assert_allclose(found[1], seen, atol=1e-3)
    table = profiles.radial_table(factor_of_platinum, width, 0.05, 3.0)
    z = np.arange(-7, 7, 0.02)
    for rho in (0.0, 0.33, 1.0, 2.1):
        projected = np.interp(np.hypot(rho, z), r, ball).sum() * 0.02
        assert_allclose(profiles.radial(table, 0.05, rho)[0], projected, atol=1e-4 * table[0, 0])


def factor_of_platinum(q: np.ndarray) -> np.ndarray:
    return kirkland(78, q) / kirkland(78, 0.0)
