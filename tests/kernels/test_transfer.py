"""Envelopes and the camera: values by hand, and noise that takes the colour of the modulation transfer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aetx.kernels.optics import Aberrations, aberration_phase
from aetx.kernels.scattering import wavelength
from aetx.kernels.transfer import Camera, spatial_envelope, square_slope, temporal_envelope, vibration

WAVE = wavelength(300.0)


def test_the_temporal_envelope_has_its_values_and_both_conventions_differ_by_the_root_of_two() -> None:
    q = 0.8
    found = float(temporal_envelope(torch.tensor(q**2, dtype=torch.float64), WAVE, 30.0))
    assert found == pytest.approx(math.exp(-0.5 * (math.pi * 0.0196875 * 30 * 0.64) ** 2), rel=1e-4)
    published = math.exp(-((0.5 * math.pi / WAVE * 30.0 * (WAVE * q) ** 2) ** 2))
    half_width = temporal_envelope(torch.tensor(q**2, dtype=torch.float64), WAVE, 30.0 / math.sqrt(2))
    assert float(half_width) == pytest.approx(published, rel=1e-12)


def test_the_spatial_envelope_is_that_of_defocus_and_spherical_aberration() -> None:
    defocus, cs, q, source = 100.0, 1.2e7, 0.5, 0.2e-3
    lens = Aberrations(c10=-defocus, c30=cs)
    qy, qx = (torch.tensor([q * f], dtype=torch.float64) for f in (0.6, 0.8))
    slope = square_slope(lambda y, x: aberration_phase(y, x, WAVE, lens), qy, qx, WAVE)
    by_angle = 2 * math.pi / WAVE * (-defocus * WAVE * q + cs * (WAVE * q) ** 3)
    assert float(slope) == pytest.approx(by_angle**2, rel=1e-10)
    assert float(spatial_envelope(slope, source)) == pytest.approx(math.exp(-((0.5 * source * by_angle) ** 2)))


def test_the_spatial_envelope_is_what_averaging_over_the_source_leaves_of_the_linear_transfer() -> None:
    source, defocus, q = 0.3e-3, 250.0, 0.6
    lens = Aberrations(c10=-defocus)
    tilts = np.linspace(-4, 4, 2001) * source
    weight = np.exp(-((tilts / source) ** 2))
    chi = -math.pi / WAVE * defocus * ((WAVE * q + tilts) ** 2 - tilts**2)
    averaged = abs((weight * np.exp(-1j * chi)).sum() / weight.sum())
    qy, qx = torch.tensor([0.0], dtype=torch.float64), torch.tensor([q], dtype=torch.float64)
    slope = square_slope(lambda y, x: aberration_phase(y, x, WAVE, lens), qy, qx, WAVE)
    assert float(spatial_envelope(slope, source)) == pytest.approx(averaged, rel=1e-6)


def test_the_slope_has_gradients_to_the_aberrations() -> None:
    q = torch.tensor([0.3, 0.5], dtype=torch.float64)
    c10 = torch.tensor(50.0, dtype=torch.float64, requires_grad=True)
    slope = square_slope(lambda y, x: aberration_phase(y, x, WAVE, Aberrations(c10=c10)), q, q, WAVE)  # type: ignore[arg-type]
    slope.sum().backward()
    assert c10.grad is not None
    torch.testing.assert_close(c10.grad, 2 * slope.detach().sum() / 50.0)


def test_a_gaussian_blur_is_a_gaussian_transfer() -> None:
    assert float(vibration(torch.tensor(1.0), 0.25)) == pytest.approx(math.exp(-2 * math.pi**2 / 16))


def test_the_modulation_at_nyquist_is_by_hand() -> None:
    nyquist = np.array([2.5])
    assert Camera().modulation(nyquist, 2.5)[0] == pytest.approx(0.5)
    camera = Camera(floor=0.1, half=0.4, power=3.0, exponent=0.5)
    assert camera.modulation(nyquist, 2.5)[0] == pytest.approx(math.sqrt(0.9 / (1 + (1 / 0.8) ** 3) + 0.1))
    assert camera.modulation(np.array([0.0]), 2.5)[0] == 1.0


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_camera_colours_the_noise_by_the_square_of_its_modulation(exponent: float) -> None:
    camera = Camera(floor=0.05, half=0.5, power=2.5, exponent=exponent)
    counts = np.random.default_rng(0).poisson(20.0, (40, 64, 64)).astype(float)
    read = camera.read(counts)
    assert read.mean() == pytest.approx(counts.mean(), rel=1e-5)
    power = (np.abs(np.fft.fft2(read - read.mean())) ** 2).mean(0) / 64**2
    q = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    slope = 0.95 / (1 + (q / (2 * 0.5 * 0.5)) ** 2.5) + 0.05
    for low in (0.05, 0.2, 0.35, 0.5):
        ring = (q > low) & (q < low + 0.08)
        assert power[ring].mean() == pytest.approx(20.0 * (slope[ring] ** (2 * exponent)).mean(), rel=0.03)


def test_a_perfect_camera_returns_the_counts() -> None:
    counts = np.random.default_rng(0).poisson(5.0, (3, 7, 9)).astype(np.float32)
    np.testing.assert_allclose(Camera(exponent=0.0).read(counts), counts, atol=1e-5)
