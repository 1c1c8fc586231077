"""Scans by multislice and by PRISM: one physics, windows that do not matter, cross-sections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels.multislice import WaveGrid
from aetx.kernels.optics import Aberrations
from aetx.kernels.prism import scan_prism
from aetx.kernels.scattering import kirkland, wavelength
from aetx.kernels.stem import Box, Optics, Slicing, box_around, scan_multislice, vacuum

OPTICS = Optics(300.0, 25.0, 30.0, 60.0, Aberrations(c10=-15.0, c12=8.0, phi12=0.5))
SLICES = Slicing(2.0, 2)
GENERATOR = np.random.default_rng(2)
ATOMS = np.column_stack([GENERATOR.uniform(-3, 3, (14, 2)), GENERATOR.uniform(-5, 4, 14)])
SPECIES = np.where(np.arange(14) % 3, 78, 8)
BOX = box_around(ATOMS, 5.0, 0.1, 300.0)
X, Y = np.arange(-4.0, 4.0, 1.3), np.arange(-3.0, 5.0, 1.6)
PROBES = np.stack(np.meshgrid(X, Y), axis=-1).reshape(-1, 2)


def whole(optics: Optics = OPTICS) -> np.ndarray:
    return scan_multislice(BOX, ATOMS, SPECIES, PROBES, optics, SLICES, 0.0, "cpu").reshape(len(Y), len(X))


def prism(interpolation: int, wanted: np.ndarray | None = None) -> np.ndarray:
    mask = np.ones((len(Y), len(X)), bool) if wanted is None else wanted
    return scan_prism(BOX, ATOMS, SPECIES, X, Y, mask, OPTICS, SLICES, interpolation, "cpu")


def test_prism_of_all_beams_is_multislice() -> None:
    assert_allclose(prism(1), whole(), rtol=2e-5, atol=2e-7)


def test_prism_of_every_second_beam_is_close() -> None:
    found, expected = prism(2), whole()
    assert np.abs(found - expected).max() < 0.05 * expected.max()
    assert_allclose(found.mean(), expected.mean(), rtol=0.02)


def test_prism_computes_what_is_wanted_only() -> None:
    wanted = np.zeros((len(Y), len(X)), bool)
    wanted[2, 3:6] = wanted[4, 0] = True
    found = prism(2, wanted)
    assert (found[~wanted] == 0).all()
    assert_allclose(found[wanted], prism(2)[wanted], rtol=1e-4)


@pytest.mark.parametrize(("window", "accuracy"), [(8.0, 0.03), (12.0, 0.015)])
def test_a_window_around_the_probe_is_enough(window: float, accuracy: float) -> None:
    found = scan_multislice(BOX, ATOMS, SPECIES, PROBES, OPTICS, SLICES, window, "cpu").reshape(len(Y), len(X))
    assert np.abs(found - whole()).max() < accuracy * whole().max()


def test_a_large_box_is_computed_in_parts_that_do_not_show() -> None:
    atoms = np.column_stack([np.linspace(-45, 45, 40), GENERATOR.uniform(-2, 2, 40), GENERATOR.uniform(-2, 2, 40)])
    species = np.full(40, 78)
    wide = box_around(atoms, 6.0, 0.12, 300.0)
    probes = np.column_stack([np.arange(-30.0, 30.0, 1.7), np.zeros(36)])
    parts = scan_multislice(wide, atoms, species, probes, OPTICS, SLICES, 8.0, "cpu")
    whole = scan_multislice(wide, atoms, species, probes, OPTICS, SLICES, 0.0, "cpu")
    assert np.abs(parts - whole).max() < 0.03 * whole.max()
    seam = np.array([[-0.01, 0.3], [0.01, 0.3]])
    left, right = scan_multislice(wide, atoms, species, seam, OPTICS, SLICES, 8.0, "cpu")
    assert_allclose(left, right, rtol=0, atol=0.01 * whole.max())


def test_where_in_a_pixel_the_atoms_lie_does_not_matter() -> None:
    grid = BOX.grid
    change = []
    for oversampling in (1, 2):
        one, other = (
            scan_multislice(box, ATOMS, SPECIES, PROBES, OPTICS, Slicing(2.0, oversampling), 0.0, "cpu")
            for box in (BOX, Box(grid, (BOX.corner[0] + 0.5 * grid.pixel, BOX.corner[1] + 0.3 * grid.pixel)))
        )
        change.append(np.abs(other - one).max() / one.max())
    assert change[1] < 0.01
    assert change[0] > 3 * change[1]


def born(number: int, optics: Optics) -> float:
    """The cross-section of an atom for a converging beam: the mean over the directions in the aperture."""
    wave = wavelength(optics.kev)
    gamma = 1 + optics.kev / 510.99895
    axis = np.arange(-150.0, 151.0, 2.0)
    out = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    radius = np.hypot(*out.T)
    out = out[(radius > optics.inner) & (radius < optics.outer)]
    beam = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    beam = beam[np.hypot(*beam.T) <= optics.semi_angle]
    angle = np.hypot(*(out[:, None] - beam).transpose(2, 0, 1))
    scattered = (gamma * kirkland(number, angle * 1e-3 / wave)) ** 2
    return float(scattered.mean(axis=1).sum()) * (2e-3) ** 2


def test_an_atom_scatters_as_born_says() -> None:
    optics = Optics(300.0, 25.0, 60.0, 120.0, Aberrations())
    box = Box(WaveGrid(200, 200, 0.05, 300.0), (-5.0, -5.0))
    step = 0.35
    x = np.arange(-2.8, 2.8, step)
    probes = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    for number, accuracy in ((78, 0.25), (14, 0.03)):  # Pt scatters too strongly for the first order
        found = scan_multislice(box, np.zeros((1, 3)), np.array([number]), probes, optics, SLICES, 0.0, "cpu")
        assert_allclose(found.sum() * step**2, born(number, optics), rtol=accuracy)


def test_thinner_slices_and_a_larger_box_change_little() -> None:
    finer = scan_multislice(BOX, ATOMS, SPECIES, PROBES, OPTICS, Slicing(1.0, 2), 0.0, "cpu")
    assert np.abs(finer - whole().ravel()).max() < 0.03 * whole().max()
    larger = box_around(ATOMS, 8.0, 0.1, 300.0)
    wide = scan_multislice(larger, ATOMS, SPECIES, PROBES, OPTICS, SLICES, 0.0, "cpu")
    assert_allclose(wide.mean(), whole().mean(), rtol=0.01)


def test_the_focus_refers_to_height_zero() -> None:
    moved = ATOMS + np.array([0.0, 0.0, 20.0])
    deeper = replace(OPTICS, aberrations=replace(OPTICS.aberrations, c10=OPTICS.aberrations.c10 - 20.0))
    found = scan_multislice(BOX, moved, SPECIES, PROBES, deeper, SLICES, 0.0, "cpu")
    assert_allclose(found, whole().ravel(), rtol=1e-4)


def test_what_the_beam_brings_by_itself_is_the_part_of_its_disc_on_the_detector() -> None:
    grid = WaveGrid(256, 256, 0.1, 300.0)
    assert vacuum(grid, OPTICS) == 0
    half = vacuum(grid, replace(OPTICS, inner=0.0, outer=25.0 / np.sqrt(2)))
    assert_allclose(half, 0.5, rtol=0.01)
