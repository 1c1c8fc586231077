"""Mixing at an interface, and the elastic field of a misfit checked by Hooke's law."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels import core_shell

CORE, OUTER, MISMATCH, POISSON = 20.0, 33.0, 0.008, 0.38


def moved(radius: np.ndarray) -> np.ndarray:
    return core_shell.misfit(radius, CORE, OUTER, MISMATCH, POISSON)


def stresses(radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return radial and hoop stress for Young's modulus 1, from strains against the lattice free of stress."""
    step = 1e-5
    share = (CORE / OUTER) ** 3
    free = np.where(radius < CORE, -(1 - share) * MISMATCH, share * MISMATCH)
    radial = (moved(radius + step) - moved(radius - step)) / (2 * step) - free
    hoop = moved(radius) / radius - free
    lame = POISSON / ((1 + POISSON) * (1 - 2 * POISSON))
    trace = lame * (radial + 2 * hoop)
    return trace + radial / (1 + POISSON), trace + hoop / (1 + POISSON)


def test_the_fraction_falls_from_95_to_5_percent_within_the_width() -> None:
    depth = np.array([-2.1, 0.0, 2.1])
    assert_allclose(core_shell.core_fraction(depth, 4.2), [0.95, 0.5, 0.05], atol=1e-9)
    assert_allclose(core_shell.core_fraction(depth, 0.0), [1, 0, 0])
    assert core_shell.core_fraction(np.array([1.28]), 4.2)[0] == pytest.approx(0.5 - 0.3413, abs=2e-3)


def test_the_strain_of_the_core_is_the_same_everywhere() -> None:
    radius = np.linspace(0.5, CORE - 0.5, 40)
    assert_allclose(moved(radius) / radius, moved(radius)[0] / radius[0], rtol=1e-12)
    assert moved(radius)[0] < 0


def test_there_is_no_stress_on_the_surface_and_the_same_on_both_sides_of_the_interface() -> None:
    radial = stresses(np.array([OUTER, CORE - 1e-4, CORE + 1e-4]))[0]
    assert abs(radial[0]) < 1e-7
    assert radial[1] == pytest.approx(radial[2], rel=1e-3)
    assert radial[1] > 1e-3
    inner, outer = moved(np.array([CORE - 1e-9, CORE + 1e-9]))
    assert inner == pytest.approx(outer, rel=1e-8)


def test_forces_are_in_balance_everywhere() -> None:
    step = 1e-2
    for radius in (np.linspace(2, CORE - 0.1, 20), np.linspace(CORE + 0.1, OUTER, 20)):
        slope = (stresses(radius + step)[0] - stresses(radius - step)[0]) / (2 * step)
        radial, hoop = stresses(radius)
        assert_allclose(slope + 2 * (radial - hoop) / radius, 0.0, atol=2e-6)
