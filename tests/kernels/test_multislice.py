"""The multislice core: conservation, vacuum, the Born limit, a plain twin, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from aetx.kernels import scattering
from aetx.kernels.multislice import (
    WaveGrid,
    annulus,
    detected,
    good_size,
    multislice,
    propagator,
    to_spectrum,
    to_wave,
    transmission,
)
from aetx.kernels.optics import Aberrations, probe, shift
from aetx.kernels.potential import form_factors, slice_potential, slice_potentials

GRID = WaveGrid(96, 90, 0.1, 300.0)
GENERATOR = np.random.default_rng(5)
ATOMS = np.column_stack([GENERATOR.uniform(2, 7, (12, 2)), GENERATOR.uniform(-7, 6, 12)])
KIND = GENERATOR.integers(0, 2, 12)
NUMBERS = (79, 8)


def beams(count: int = 3, dtype: torch.dtype = torch.complex64) -> torch.Tensor:
    qy, qx = GRID.frequencies()
    where = torch.from_numpy(np.random.default_rng(1).uniform(2, 7, (count, 2)))
    spectrum = probe(qy, qx, GRID.wavelength, 25.0, 1.0, Aberrations(c10=20.0, c12=10.0, phi12=0.4))
    return (spectrum * shift(qy, qx, where)).to(dtype)


def plain(spectra: np.ndarray, thickness: float) -> np.ndarray:
    """The same physics in plain numpy: potentials summed atom by atom, no batches, no pruning."""
    qy = np.fft.fftfreq(GRID.rows, GRID.pixel)[:, None]
    qx = np.fft.fftfreq(GRID.columns, GRID.pixel)[None]
    square = qy**2 + qx**2
    band = np.sqrt(square) <= 2 / 3 / (2 * GRID.pixel)
    wave = scattering.wavelength(300.0)
    fresnel = np.exp(-1j * np.pi * wave * thickness * square) * band
    clear = (np.abs(qy) < 4.9999) & (np.abs(qx) < 4.9999)
    bottom = math.floor(ATOMS[:, 2].min() / thickness)
    top = math.floor(ATOMS[:, 2].max() / thickness)
    waves = [np.fft.ifft2(spectrum) for spectrum in spectra]
    for level in range(bottom, top + 1):
        total = np.zeros(square.shape, complex)
        for (x, y, z), kind in zip(ATOMS, KIND, strict=True):
            if level * thickness <= z < (level + 1) * thickness:
                factor = scattering.VOLT * scattering.kirkland(NUMBERS[kind], np.sqrt(square)) / GRID.pixel**2
                total += factor * clear * np.exp(-2j * np.pi * (qx * x + qy * y))
        potential = np.fft.ifft2(total).real
        passed = np.fft.ifft2(np.fft.fft2(np.exp(1j * scattering.interaction(300.0) * potential)) * band)
        waves = [np.fft.ifft2(np.fft.fft2(one * passed) * fresnel) for one in waves]
    return np.array([np.fft.fft2(one) for one in waves])


def through(spectra: torch.Tensor, thickness: float = 2.0, numbers: tuple[int, ...] = NUMBERS) -> torch.Tensor:
    real = torch.float32 if spectra.dtype == torch.complex64 else torch.float64
    factors = form_factors(numbers, GRID, dtype=real)
    potentials = slice_potentials(ATOMS, KIND, factors, GRID, thickness)
    passed = (None if one is None else transmission(one, GRID) for one in potentials)
    return multislice(spectra, passed, propagator(GRID, thickness, dtype=spectra.dtype))


@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.complex64, 2e-5), (torch.complex128, 1e-6)])
def test_a_plain_multislice_gives_the_same_waves(dtype: torch.dtype, accuracy: float) -> None:
    start = beams(dtype=dtype)
    with torch.no_grad():
        found = through(start).numpy()
    expected = plain(start.numpy().astype(complex), 2.0)
    assert_allclose(found, expected, rtol=0, atol=accuracy * np.abs(expected).max())


def test_hardly_any_intensity_is_lost_beyond_the_band_limit() -> None:
    grid = WaveGrid(200, 180, 0.05, 300.0)
    qy, qx = grid.frequencies()
    start = probe(qy, qx, grid.wavelength, 25.0, 1.0, Aberrations())
    start = (start * shift(qy, qx, torch.from_numpy(ATOMS[:3, :2] + 0.6))).to(torch.complex64)
    factors = form_factors((14, 8), grid)
    with torch.no_grad():
        passed = [
            one if one is None else transmission(one, grid) for one in slice_potentials(ATOMS, KIND, factors, grid, 2.0)
        ]
        left = multislice(start, passed, propagator(grid, 2.0)).abs().square().sum((-2, -1))
    assert (left < 1).all()
    assert (left > 1 - 1e-4 * len(passed)).all()


def test_vacuum_returns_the_probe_with_the_phase_of_its_path() -> None:
    start = beams(dtype=torch.complex128)
    step = propagator(GRID, 2.0, dtype=torch.complex128)
    back = propagator(GRID, -10.0, dtype=torch.complex128)
    assert_allclose((multislice(start, [None] * 5, step) * back).numpy(), start.numpy(), atol=1e-12)
    ones = torch.ones(GRID.rows, GRID.columns, dtype=torch.complex128)
    assert_allclose(
        multislice(start, [ones, None, ones], step).numpy(), multislice(start, [None] * 3, step).numpy(), atol=1e-12
    )


def test_a_tilted_beam_is_displaced_by_its_path() -> None:
    start = beams(1, torch.complex128)
    tilted = propagator(GRID, 100.0, (0.0, 5.0), dtype=torch.complex128)
    straight = propagator(GRID, 100.0, dtype=torch.complex128)
    moved = to_wave(start * tilted).numpy()
    assert_allclose(moved, np.roll(to_wave(start * straight).numpy(), -5, axis=-1), atol=1e-4)


def test_one_light_atom_scatters_as_born_says() -> None:
    start = beams(1, torch.complex128)
    factors = form_factors((3,), GRID, dtype=torch.float64)
    potential = slice_potential(torch.tensor([[4.0, 4.5]], dtype=torch.float64), torch.tensor([0]), factors, GRID)
    still = torch.eye(1, dtype=torch.complex128)[0]
    found = multislice(start, [transmission(potential, GRID)], torch.ones_like(start[0]) * still) - start
    sigma = scattering.interaction(300.0)
    born = to_spectrum(1j * sigma * potential * to_wave(start))
    qy, qx = GRID.frequencies()
    small = (qy**2 + qx**2).sqrt() < 0.03 / GRID.wavelength
    difference = ((found - born)[0, small].abs() ** 2).sum() / (born[0, small].abs() ** 2).sum()
    assert difference.sqrt() < 0.02


def test_potentials_have_the_integral_of_their_atoms_wherever_these_lie() -> None:
    factors = form_factors((78, 6), GRID, dtype=torch.float64)
    for where in ((4.0, 4.0), (4.037, 3.981)):
        position = torch.tensor([where, (1.0, 8.0)], dtype=torch.float64)
        potential = slice_potential(position, torch.tensor([0, 1]), factors, GRID)
        expected = scattering.VOLT * (scattering.kirkland(78, 0.0) + scattering.kirkland(6, 0.0))
        assert_allclose(potential.sum() * GRID.pixel**2, expected, rtol=1e-9)


def test_a_blurred_potential_is_the_mean_of_the_analytic_one() -> None:
    grid, width = WaveGrid(320, 320, 0.05, 300.0), 0.08
    centre = torch.tensor([[8.013, 7.986]], dtype=torch.float64)
    factors = form_factors((78,), grid, width=width, dtype=torch.float64)
    potential = slice_potential(centre, torch.tensor([0]), factors, grid).numpy()
    x, y = (np.arange(320) * 0.05 - one for one in centre[0].numpy())
    distance = np.hypot(y[:, None], x)
    rows, columns = np.nonzero((distance > 0.4) & (distance < 2.5))
    rows, columns = rows[::29], columns[::29]
    node, weight = np.polynomial.hermite_e.hermegauss(20)
    u, v, weights = node[:, None, None], node[None, :, None], np.multiply.outer(weight, weight)[..., None]
    values = scattering.projected_potential(78, np.hypot(y[rows] + width * v, x[columns] + width * u))
    mean = (weights * values).sum((0, 1)) / (2 * math.pi)
    assert np.abs(potential[rows, columns] - mean).max() < 2e-3 * mean.max()


def test_gradients_reach_the_atoms_and_the_waves() -> None:
    grid = WaveGrid(16, 18, 0.25, 300.0)
    factors = form_factors((14,), grid, dtype=torch.float64)
    step = propagator(grid, 2.0, dtype=torch.complex128)
    ring = annulus(grid, 10.0, 25.0).double()
    qy, qx = grid.frequencies()
    start = probe(qy, qx, grid.wavelength, 15.0, 4.0, Aberrations()).to(torch.complex128)[None]

    def signal(position: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        passed = [
            transmission(slice_potential(one[None], torch.zeros(1, dtype=torch.long), factors, grid), grid)
            for one in position
        ]
        return detected(multislice(torch.polar(start.abs(), phase), passed, step), ring)

    position = torch.tensor([[0.3, 0.2], [4.1, 3.9], [0.1, 4.2]], dtype=torch.float64, requires_grad=True)
    phase = torch.zeros(1, 16, 18, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(signal, (position, phase), atol=1e-7, fast_mode=True)


def test_rings_fill_the_disc() -> None:
    rings = annulus(GRID, 0.0, 20.0)[1:] + annulus(GRID, 20.0, 60.0)[1:]
    assert_allclose(rings.numpy(), annulus(GRID, 0.0, 60.0)[1:].numpy(), atol=1e-6)
    pixel = (GRID.wavelength * 1e3) ** 2 / (GRID.rows * GRID.columns * GRID.pixel**2)
    assert_allclose(annulus(GRID, 20.0, 50.0).sum() * pixel, math.pi * (50**2 - 20**2), rtol=0.01)


def test_sizes_are_quick_to_transform() -> None:
    assert [good_size(one) for one in (1, 7, 61, 97, 127, 511, 1025)] == [2, 8, 64, 100, 128, 512, 1080]


def test_the_limit_of_a_grid_is_two_thirds_of_nyquist() -> None:
    assert_allclose(GRID.largest_angle, 65.6, atol=0.05)
    assert GRID.in_band().sum() < GRID.rows * GRID.columns * math.pi / 9 * 1.02
