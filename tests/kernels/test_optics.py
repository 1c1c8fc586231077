"""Aberrations and probes against formulas worked out apart."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.testing import assert_allclose
from scipy.special import j1

from aetx.kernels.multislice import WaveGrid, to_wave
from aetx.kernels.optics import Aberrations, aberration_phase, aperture, probe, shift

GRID = WaveGrid(256, 240, 0.1, 300.0)
QY, QX = GRID.frequencies()


def test_each_aberration_has_its_power_and_its_symmetry() -> None:
    wave = GRID.wavelength
    for name, power, fold in (("c10", 2, 0), ("c12", 2, 2), ("c21", 3, 1), ("c23", 3, 3), ("c30", 4, 0), ("c50", 6, 0)):
        azimuth = {f"phi{name[1:]}": 0.3} if fold else {}
        divisor = {"c23": 3, "c21": 3, "c12": 2}.get(name, power)
        for phi in (0.3, 1.1):
            alpha = 0.02
            q = torch.tensor([[alpha / wave]], dtype=torch.float64)
            found = aberration_phase(q * math.sin(phi), q * math.cos(phi), wave, Aberrations(**{name: 50.0}, **azimuth))
            expected = 2 * math.pi / wave * 50 * alpha**power / divisor * math.cos(fold * (phi - 0.3))
            assert_allclose(found.item(), expected, rtol=1e-9, err_msg=name)


def test_a_probe_in_vacuum_is_the_airy_disc() -> None:
    spectrum = probe(QY, QX, GRID.wavelength, 25.0, 0.4, Aberrations())
    assert_allclose((spectrum.abs() ** 2).sum().item(), 1, rtol=1e-12)
    wave = to_wave(spectrum)
    x = np.arange(1, 12) * GRID.pixel
    argument = 2 * np.pi * 0.025 / GRID.wavelength * x
    airy = (2 * j1(argument) / argument) ** 2
    profile = (wave[0].abs() ** 2 / wave[0, 0].abs() ** 2).numpy()
    assert_allclose(profile[1:12], airy, rtol=0, atol=3e-3)


def test_a_soft_edge_keeps_the_area_of_the_aperture() -> None:
    area = math.pi * (0.025 / GRID.wavelength) ** 2
    pixel = 1 / (GRID.rows * GRID.pixel * GRID.columns * GRID.pixel)
    for edge, accuracy in ((0.0, 0.02), (0.8, 2e-3)):
        assert_allclose(aperture(QY, QX, GRID.wavelength, 25.0, edge).sum().item() * pixel, area, rtol=accuracy)


def test_a_shift_moves_the_probe_to_its_position() -> None:
    spectrum = probe(QY, QX, GRID.wavelength, 25.0, 0.4, Aberrations(c10=-50.0, c12=30.0))
    moved = to_wave(spectrum * shift(QY, QX, torch.tensor([[0.5, 1.2], [-0.3, 0.0]], dtype=torch.float64)))
    still = to_wave(spectrum)
    assert_allclose(moved[0].numpy(), torch.roll(still, (12, 5), (0, 1)).numpy(), atol=1e-9)
    assert_allclose(moved[1].numpy(), torch.roll(still, (0, -3), (0, 1)).numpy(), atol=1e-9)
