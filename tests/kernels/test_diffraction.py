"""Patterns of scanning probes: in vacuum, of weak objects, in windows, through gradients, and of published data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aetx.kernels import optics
from aetx.kernels.diffraction import (
    binned,
    patterns_of_atoms,
    patterns_of_volume,
    probe_behind,
    scan,
    transmissions,
)
from aetx.kernels.multislice import WaveGrid, propagator
from aetx.kernels.optics import Aberrations
from aetx.kernels.rendering import rotation
from aetx.kernels.scattering import interaction, wavelength
from aetx.kernels.turning import spline_coefficients
from tests.benchmarks.accuracy_mset import errors

GRID = WaveGrid(48, 40, 0.2, 300.0)
FAR = np.array([[500.0, 0.0, 0.0]])
PT = np.array([78])


def test_vacuum_shows_the_disc_of_the_aperture_wherever_the_probe_is() -> None:
    probes = np.array([[0.0, 0.0], [0.37, -1.21]])
    found = patterns_of_atoms(FAR, PT, probes, GRID, 25.0, Aberrations(c10=120.0, c30=1e4), 2.0).double()
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2, dtype=torch.float64), atol=1e-6, rtol=0)
    qy, qx = GRID.frequencies()
    away = torch.sqrt(qy**2 + qx**2) - 0.025 / wavelength(300.0)
    pixel = 1 / (40 * 0.2)
    assert float(found[:, away > pixel].max()) == 0
    flat = found[:, away < -pixel]
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat), atol=1e-7, rtol=1e-4)


def plain_multislice(volume: np.ndarray, probe: np.ndarray, where: np.ndarray, step: float, kev: float) -> np.ndarray:
    """Return patterns by plain numpy, without any band; probe at the first pixel."""
    depth, rows, columns = volume.shape
    qy, qx = np.fft.fftfreq(rows, step)[:, None], np.fft.fftfreq(columns, step)[None]
    propagate = np.exp(-1j * np.pi * wavelength(kev) * step * (qy**2 + qx**2))
    found = []
    for x, y in where:
        psi = np.fft.ifft2(probe * np.exp(-2j * np.pi * (qx * x + qy * y)), norm="ortho")
        for k in range(depth):
            psi = np.fft.ifft2(np.fft.fft2(psi * np.exp(1j * interaction(kev) * volume[k] * step)) * propagate)
        found.append(np.abs(np.fft.fft2(psi, norm="ortho")) ** 2)
    return np.array(found)


def test_a_volume_agrees_with_a_plain_calculation() -> None:
    generator = np.random.default_rng(0)
    volume = generator.uniform(0, 1500, (5, 12, 10))
    grid = WaveGrid(12, 10, 0.4, 200.0, band=1.5)
    spectrum = probe_behind(grid, 30.0, Aberrations(c10=80.0), 0.0, dtype=torch.complex128)
    where = generator.uniform(0, 4, (3, 2))
    found = patterns_of_volume(
        spline_coefficients(torch.tensor(volume)), torch.eye(3), (5, 12, 10), torch.tensor(where), spectrum, grid
    )
    wanted = plain_multislice(volume, spectrum.numpy(), where, 0.4, 200.0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-8)


def test_a_large_window_in_a_larger_field_sees_what_the_whole_field_sees() -> None:
    generator = np.random.default_rng(1)
    position = np.concatenate([generator.uniform(-3, 3, (6, 2)), generator.uniform(-4, 4, (6, 1))], axis=1)
    numbers = np.full(6, 29)
    window = WaveGrid(96, 96, 0.2, 300.0)
    probes = np.array([[0.11, 0.32], [-1.53, 2.2]])
    cut = patterns_of_atoms(position, numbers, probes, window, 20.0, Aberrations(), 2.0)
    whole = replace(window, rows=108, columns=108)
    slices = list(
        transmissions(
            position + np.array([10.8, 10.8, 0]), numbers, whole, 2.0, width=0.0, oversampling=2, device="cpu"
        )
    )
    first = np.floor(position[:, 2].min() / 2) * 2
    spectrum = probe_behind(window, 20.0, Aberrations(), first + 1)
    where = torch.from_numpy(probes + 10.8)
    with torch.no_grad():
        direct = scan(slices, spectrum, where, window, propagator(window, 2.0))
    assert float((cut - direct).abs().sum((1, 2)).max()) < 0.02
    assert float((cut - direct).abs().max()) < 0.02 * float(cut.max())


def test_a_probe_that_moves_with_the_atom_leaves_the_pattern_alone() -> None:
    atom, probe = np.array([[0.3, -0.2, 0.0]]), np.array([[0.55, 0.1]])
    moved = np.array([[0.231, -0.417]])
    here, there = (
        patterns_of_atoms(atom + np.append(by, 0.0), PT, probe + by, GRID, 20.0, Aberrations(), 2.0, width=0.075)
        for by in (np.zeros((1, 2)), moved)
    )
    assert float((there - here).abs().max()) < 1e-4 * float(here.max())


def test_the_centre_of_mass_of_a_pattern_points_to_the_atom() -> None:
    found = patterns_of_atoms(np.zeros((1, 3)), np.array([14]), np.array([[0.4, 0.0]]), GRID, 20.0, Aberrations(), 2.0)
    qy, qx = GRID.frequencies()
    assert float((found[0] * qx).sum()) < -0.01  # electrons are drawn to the nucleus, from +x towards -x
    assert abs(float((found[0] * qy).sum())) < 1e-4


def test_pixels_of_the_detector_gather_around_zero_frequency_and_keep_the_sum() -> None:
    found = torch.zeros(1, 30, 30)
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            found[0, y, x] = 1.0
    found[0, 3, -6] = 5.0
    seen = binned(found, 8, 3)
    assert seen.shape == (1, 8, 8)
    assert float(seen[0, 4, 4]) == 9.0
    assert float(seen[0, 5, 2]) == 5.0
    assert float(seen.sum()) == 14.0


def test_frequencies_that_the_wave_does_not_have_are_zero_on_the_detector() -> None:
    seen = binned(torch.ones(6, 6), 8, 1)
    assert float(seen.sum()) == 36.0
    assert float(seen[0].sum()) == 0.0


def test_the_gradient_of_the_whole_forward_model_agrees_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = WaveGrid(6, 6, 0.4, 300.0)
    volume = 800 * torch.rand(3, 6, 6, dtype=torch.float64, generator=generator)
    spectrum = probe_behind(grid, 25.0, Aberrations(c10=60.0), 0.0, dtype=torch.complex128)
    matrix, where = torch.tensor(rotation(0.1, 0.4, -0.2)), torch.tensor([[0.3, 1.1], [0.9, 0.2]], dtype=torch.float64)
    given = tuple(one.requires_grad_(True) for one in (volume, matrix, where, spectrum))

    def patterns(
        volume: torch.Tensor, matrix: torch.Tensor, where: torch.Tensor, spectrum: torch.Tensor
    ) -> torch.Tensor:
        return patterns_of_volume(spline_coefficients(volume), matrix, (3, 6, 6), where, spectrum, grid)

    assert torch.autograd.gradcheck(patterns, given, eps=1e-6, atol=1e-6, rtol=1e-6, fast_mode=True)


def test_astigmatism_and_depth_are_those_of_the_lens() -> None:
    lens = Aberrations(c10=-40.0, c12=30.0, phi12=0.4)
    qy, qx = GRID.frequencies()
    phase = optics.aberration_phase(qy, qx, GRID.wavelength, replace(lens, c10=-40.0 + 13.0))
    found = probe_behind(GRID, 25.0, lens, 13.0, dtype=torch.complex128)
    inside = found.abs() > 0
    turned = torch.angle(found * torch.exp(1j * phase))
    np.testing.assert_allclose(turned[inside].numpy(), 0, atol=1e-6)


@pytest.mark.parametrize("rows", [7, 10])
def test_an_empty_list_of_slices_is_vacuum(rows: int) -> None:
    grid = WaveGrid(rows, 8, 0.3, 100.0)
    spectrum = probe_behind(grid, 30.0, Aberrations(), 0.0)
    found = scan([], spectrum, torch.zeros(2, 2, dtype=torch.float64), grid, propagator(grid, 1.0))
    torch.testing.assert_close(found, spectrum.abs().square().expand(2, -1, -1))


@pytest.mark.parametrize(
    ("number", "published", "other_way"),
    [(0, 0.00084, 0.0033), (6, 0.00067, 0.0036), (7, 0.00068, 0.0027)],
    ids=["-70 degree", "35 degree", "52.5 degree"],
)
def test_published_patterns_follow_from_the_true_potential_and_not_from_its_mirror_image(
    real_data: Callable[[str], Path], number: int, published: float, other_way: float
) -> None:
    ours, mirrored = errors(real_data("mset_cuau"), "true", number)
    assert ours == pytest.approx(published, abs=5e-6)
    assert mirrored == pytest.approx(other_way, abs=5e-5)


def test_the_published_reconstruction_has_its_published_error_at_zero_tilt(real_data: Callable[[str], Path]) -> None:
    assert errors(real_data("mset_cuau"), "reconstructed", 4)[0] == pytest.approx(0.000755, abs=1e-6)
