"""Bright-field images of weak objects follow the linear theory, and its zeros; the beam focuses where it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aetx.kernels.bright_field import Coherence, exit_wave, intensity, lens_transfer, wave_of_volume
from aetx.kernels.multislice import WaveGrid, to_wave
from aetx.kernels.optics import Aberrations
from aetx.kernels.potential import form_factors, slice_potential
from aetx.kernels.rendering import rotation
from aetx.kernels.scattering import interaction
from aetx.kernels.turning import spline_coefficients

GRID = WaveGrid(96, 80, 0.2, 300.0)
MIDDLE = np.array([8.0, 9.6])


def frequencies() -> np.ndarray:
    qy, qx = np.fft.fftfreq(96, 0.2)[:, None], np.fft.fftfreq(80, 0.2)[None]
    return qy**2 + qx**2


def lens(defocus: float, cs: float = 0.0, c12: float = 0.0) -> Aberrations:
    return Aberrations(c10=-defocus, c30=cs, c12=c12, phi12=0.3)


def test_vacuum_is_one_at_any_focus() -> None:
    wave = exit_wave(np.zeros((0, 3)), np.zeros(0, int), GRID, 2.0)
    found = intensity(wave, lens_transfer(GRID, lens(300.0, 1e7), Coherence(30.0, 0.1, 20.0)), GRID, 0.2)
    torch.testing.assert_close(found, torch.ones(96, 80))


def test_a_thin_light_atom_gives_the_image_of_a_weak_phase_object() -> None:
    """I = 1 + 2 sigma V (x) F**-1(sin(chi) E): under focus, chi is below 0 and atoms are dark."""
    spread, source, defocus = 40.0, 0.2, 80.0
    atom = np.array([[*MIDDLE, 0.0]])
    wave = exit_wave(atom, np.array([1]), GRID, 0.01, width=0.25)
    square, wavelength = frequencies(), GRID.wavelength
    chi = math.pi * wavelength * square * -defocus + 0.5 * math.pi * wavelength**3 * 2e5 * square**2
    slope = 2 * math.pi * np.sqrt(square) * (-defocus + 2e5 * wavelength**2 * square)
    envelope = np.exp(-0.5 * (math.pi * wavelength * spread * square) ** 2 - (0.5 * source * 1e-3 * slope) ** 2)
    factors = form_factors([1], GRID, width=0.25)
    potential = slice_potential(torch.from_numpy(atom[:, :2]), torch.tensor([0]), factors, GRID).numpy()
    spectrum = np.fft.fft2(potential) * np.sin(chi) * envelope * (np.sqrt(square) <= GRID.limit)
    wanted = 1 + 2 * interaction(300.0) * np.fft.ifft2(spectrum).real
    found = intensity(wave, lens_transfer(GRID, lens(defocus, 2e5), Coherence(spread, source)), GRID).numpy()
    assert wanted.min() < 0.99
    np.testing.assert_allclose(found - 1, wanted - 1, atol=0.01 * np.abs(wanted - 1).max())
    assert found.argmin() == 48 * 80 + 40


@pytest.mark.parametrize("defocus", [500.0, -900.0])
def test_linear_transfer_is_minus_the_sine_and_has_its_zeros_where_they_belong(defocus: float) -> None:
    wave = exit_wave(np.array([[*MIDDLE, 0.0]]), np.array([1]), GRID, 0.01, width=0.1)
    factors = form_factors([1], GRID, width=0.1)
    potential = slice_potential(torch.from_numpy(MIDDLE[None]), torch.tensor([0]), factors, GRID).numpy()
    found = intensity(wave, lens_transfer(GRID, lens(defocus), Coherence()), GRID).numpy()
    square = frequencies()
    low = square < 0.8**2
    low[0, 0] = False
    ratio = np.fft.fft2(found)[low] / (2 * interaction(300.0) * np.fft.fft2(potential)[low])
    wanted = -np.sin(math.pi * GRID.wavelength * defocus * square[low])
    np.testing.assert_allclose(ratio, wanted, atol=0.02)
    order = np.argsort(square[low])
    q2, value = square[low][order], ratio.real[order]
    for number in range(1, int(0.8**2 * GRID.wavelength * abs(defocus)) + 1):
        zero = number / (GRID.wavelength * abs(defocus))
        near = np.abs(q2 - zero) < 0.3 / (GRID.wavelength * abs(defocus))
        slope, offset = np.polyfit(q2[near], np.arcsin(value[near]), 1)
        assert math.sqrt(-offset / slope) == pytest.approx(math.sqrt(zero), rel=0.003)


def test_the_image_of_a_lone_atom_in_focus_is_sharpest_where_the_atom_is() -> None:
    atom = np.array([[*MIDDLE, 30.0]])
    wave = exit_wave(atom, np.array([79]), GRID, 1.0, width=0.1)
    spread = {}
    for defocus in (-60.0, -30.0, 0.0, 30.0):
        lens_at = lens_transfer(GRID, lens(defocus), Coherence())
        amplitude = to_wave(wave * lens_at) - 1
        spread[defocus] = float(amplitude.abs().max())
    assert max(spread, key=lambda key: spread[key]) == -30.0  # C10 = +30: the lens looks at p_z = +30


def test_two_fold_astigmatism_adds_to_the_focus_along_its_azimuth() -> None:
    found = lens_transfer(GRID, lens(100.0, c12=40.0), Coherence(), dtype=torch.complex128)
    turn = lens_transfer(GRID, Aberrations(c10=-60.0), Coherence(), dtype=torch.complex128)
    aligned = lens_transfer(GRID, Aberrations(c10=-100.0, c12=40.0), Coherence(), dtype=torch.complex128)
    torch.testing.assert_close(aligned[0], turn[0])
    assert float((found[0] - turn[0]).abs().max()) > 0.1


def test_the_objective_aperture_takes_away_what_is_beyond_it() -> None:
    found = lens_transfer(GRID, lens(0.0), Coherence(aperture=15.0)).abs().numpy()
    angle = np.sqrt(frequencies()) * GRID.wavelength * 1e3
    assert found[angle < 13.5].min() == 1
    assert found[angle > 16.5].max() == 0


def test_an_electron_count_is_kept_by_the_blur() -> None:
    wave = exit_wave(np.array([[*MIDDLE, 0.0]]), np.array([79]), GRID, 1.0)
    transfer = lens_transfer(GRID, lens(50.0), Coherence())
    sharp, soft = (intensity(wave, transfer, GRID, blur) for blur in (0.0, 0.3))
    assert float(soft.mean()) == pytest.approx(float(sharp.mean()), rel=1e-5)
    assert float(soft.std()) < 0.8 * float(sharp.std())


@pytest.mark.parametrize("depth", [4, 5])
def test_a_volume_gives_the_wave_of_a_plain_calculation(depth: int) -> None:
    volume = np.random.default_rng(0).uniform(0, 1500, (depth, 10, 12))
    grid = WaveGrid(10, 12, 0.4, 200.0, band=1.5)
    found = wave_of_volume(spline_coefficients(torch.tensor(volume)), torch.eye(3), (depth, 10, 12), grid)
    square = np.fft.fftfreq(10, 0.4)[:, None] ** 2 + np.fft.fftfreq(12, 0.4)[None] ** 2

    def carried(wave: np.ndarray, distance: float) -> np.ndarray:
        return np.fft.ifft2(np.fft.fft2(wave) * np.exp(-1j * math.pi * grid.wavelength * distance * square))

    wanted = np.ones((10, 12), complex)
    for number, one in enumerate(volume):
        wanted = wanted * np.exp(1j * interaction(200.0) * one * 0.4)
        if number < depth - 1:
            wanted = carried(wanted, 0.4)
    last = (depth - 1 - depth // 2) * 0.4  # p_z of the last plane of voxels
    np.testing.assert_allclose(to_wave(found).numpy(), carried(wanted, -last), atol=2e-5)


def test_the_gradient_of_an_image_by_volume_pose_and_focus_agrees_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = WaveGrid(6, 6, 0.4, 300.0)
    volume = 800 * torch.rand(3, 6, 6, dtype=torch.float64, generator=generator)
    matrix, c10 = torch.tensor(rotation(0.1, 0.4, -0.2)), torch.tensor(60.0, dtype=torch.float64)
    given = tuple(one.requires_grad_(True) for one in (volume, matrix, c10))

    def image(volume: torch.Tensor, matrix: torch.Tensor, c10: torch.Tensor) -> torch.Tensor:
        wave = wave_of_volume(spline_coefficients(volume), matrix, (3, 6, 6), grid, torch.complex128)
        aberrations = Aberrations(c10=c10, c30=1e5)  # type: ignore[arg-type]
        lens = lens_transfer(grid, aberrations, Coherence(30.0, 0.5, 30.0), dtype=torch.complex128)
        return intensity(wave, lens, grid, 0.2)

    assert torch.autograd.gradcheck(image, given, eps=1e-5, atol=1e-6, rtol=1e-6, fast_mode=True)
