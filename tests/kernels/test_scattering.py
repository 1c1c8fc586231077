"""Scattering factors, wavelengths and cross-sections against published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import j0

from aetx.kernels.scattering import (
    ELEMENTS,
    VOLT,
    adf_cross_section,
    interaction,
    kirkland,
    lobato,
    projected_potential,
    wavelength,
)

Q = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
FACTORS = {
    6: (2.5114, 1.9674, 1.1700, 0.4127, 0.1969, 0.1168),
    8: (1.9897, 1.7229, 1.2231, 0.5421, 0.2709, 0.1586),
    14: (5.8143, 3.9393, 1.9658, 0.7423, 0.4219, 0.2702),
    22: (8.7400, 5.3721, 2.8449, 1.2294, 0.6411, 0.3886),
    28: (6.5572, 4.7541, 2.9123, 1.4408, 0.8166, 0.5043),
    46: (7.5846, 6.3942, 4.4860, 2.1421, 1.1706, 0.7441),
    56: (18.1687, 9.9935, 5.5744, 2.4973, 1.4185, 0.9041),
    78: (10.8066, 8.7604, 5.9952, 3.0343, 1.7999, 1.1986),
    79: (10.5534, 8.6832, 6.0346, 3.0708, 1.8161, 1.2082),
}
"""Kirkland's factors in angstrom by atomic number, rounded to four digits."""
BEAMS = {
    60.0: (0.048661, 1.13569e-3),
    80.0: (0.041757, 1.00871e-3),
    100.0: (0.037014, 9.24396e-4),
    200.0: (0.025079, 7.28840e-4),
    300.0: (0.019687, 6.52616e-4),
}
RATIOS = {56: 0.538, 46: 0.380, 28: 0.153, 22: 0.096, 14: 0.043, 8: 0.014, 6: 0.008}


@pytest.mark.parametrize("number", FACTORS)
def test_the_factors_are_the_published_ones(number: int) -> None:
    assert_allclose(kirkland(number, Q), FACTORS[number], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kev", BEAMS)
def test_wavelength_and_interaction_are_the_published_ones(kev: float) -> None:
    assert_allclose(wavelength(kev), BEAMS[kev][0], rtol=0, atol=6e-7)
    assert_allclose(interaction(kev), BEAMS[kev][1], rtol=2e-5)


def test_both_parametrisations_agree_for_every_element_at_the_angles_of_images() -> None:
    q = np.linspace(0.3, 2.0, 18)
    for number in range(1, ELEMENTS + 1):
        assert_allclose(lobato(number, q), kirkland(number, q), rtol=0.06, err_msg=str(number))


def test_at_high_angles_the_nucleus_scatters_alone() -> None:
    bohr = 0.529177
    for number in (1, 6, 29, 78, 103):
        point = number / (2 * np.pi**2 * bohr * 20.0**2)
        assert_allclose(lobato(number, 20.0), point, rtol=0.05, err_msg=str(number))


def test_the_potential_is_the_transform_of_the_factor() -> None:
    rho = np.geomspace(1e-5, 12.0, 4001)
    potential = projected_potential(78, rho)
    for q in (0.0, 0.4, 1.1):
        transform = np.trapezoid(potential * j0(2 * np.pi * q * rho) * 2 * np.pi * rho, rho)
        assert_allclose(transform, VOLT * kirkland(78, q), rtol=2e-4)


def test_the_potential_constant_is_the_published_one() -> None:
    assert_allclose(VOLT, 47.878, rtol=1e-5)


def test_platinum_has_its_cross_section_and_the_others_their_ratio() -> None:
    assert_allclose(adf_cross_section([78])[0], 2.29e-2, rtol=3e-3)
    ratios = adf_cross_section(list(RATIOS)) / adf_cross_section(78)
    assert_allclose(ratios, list(RATIOS.values()), rtol=0, atol=6e-4)


def test_rings_of_a_detector_add_up() -> None:
    whole = adf_cross_section([[29, 78]], inner=40, outer=200)
    parts = adf_cross_section([[29, 78]], inner=40, outer=90) + adf_cross_section([[29, 78]], inner=90, outer=200)
    assert whole.shape == (1, 2)
    assert_allclose(parts, whole, rtol=1e-9)
