"""Images of local orbitals: against convolutions made with plain numpy, their derivatives, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels.optics import Aberrations
from aetx.kernels.orbitals import (
    SCALE,
    TURN_X,
    Model,
    Unknowns,
    View,
    basis_of,
    fine_shape,
    finer_pixels,
    forms,
    nominal_probes,
    slater,
    transforms,
)
from aetx.kernels.projection import rotation
from aetx.kernels.refinement import turns

STEP, SIZE, ATOMS, TILTS = 0.4, 56, 24, 3
DEPTH = np.arange(-12.0, 13.0, 4.0)


def model_of(sliced: bool, shaped: bool, finer: int = 2, margin: int = 20) -> Model:
    finer, margin = (finer, margin) if sliced or shaped else (1, 0)
    shape, fine = fine_shape(SIZE, SIZE, finer, margin), STEP / finer
    turn = rotation(*np.deg2rad([[3.0, 10.0, -4.0], [-40.0, 0.0, 50.0], [5.0, -7.0, 2.0]]))
    nominal = nominal_probes(shape, fine, 300.0, 25.0, Aberrations(c10=-20.0), DEPTH) if sliced else None
    form = forms([slater(0.1), slater(0.2)], shape, fine) if shaped else None
    sort = np.arange(ATOMS) % 2
    corner = (-STEP * (SIZE // 2),) * 2
    return Model(SIZE, SIZE, STEP, corner, finer, margin, turn, sort, form, nominal, DEPTH[0], 4.0)


def some_atoms(probes: bool = False) -> Unknowns:
    generator = np.random.default_rng(1)
    tilt = np.zeros((TILTS, 7))
    tilt[:, :2], tilt[:, SCALE], tilt[:, -1] = generator.normal(0, 0.2, (TILTS, 2)), 1.1, 0.02
    probe = generator.normal(0, 1e-3, (1 if probes else 0, DEPTH.size, 9, 9)).astype(np.float32)
    position = generator.uniform(-7.0, 7.0, (ATOMS, 3))
    return Unknowns(position, generator.uniform(0.5, 1.5, ATOMS), generator.uniform(0.45, 0.55, ATOMS), tilt, probe)


def view_of(model: Model, now: Unknowns, index: int) -> View:
    transfer = model.nominal
    if transfer is not None and len(now.probe):
        transfer = transfer + transforms(now.probe[0], model.shape)
    return View(model, now, index, transfer)


def test_an_atom_under_a_probe_out_of_focus_is_its_gaussian_convolved_with_the_probe_at_its_depth() -> None:
    """A plain sum over a fine grid: the probe from a wave on a grid of its own, by numpy's transform."""
    depth, width, place = 8.0, 0.4, np.array([0.35, -0.61])
    model = replace(model_of(sliced=True, shaped=False), turn=np.eye(3)[None])
    tilt = np.array([[0, 0, 0, 0, 0, 1.0, 0.0]])
    now = Unknowns(np.array([[*place, depth]]), np.ones(1), np.full(1, width), tilt, np.zeros((0, 7, 1, 1), np.float32))
    image = View(model, now, 0, model.nominal).image()
    size, fine, wavelength = 512, 0.1, 0.0196875
    q = np.fft.fftfreq(size, fine)
    square = q[:, None] ** 2 + q**2
    wave = (np.sqrt(square) * wavelength < 25e-3) * np.exp(-1j * np.pi * wavelength * (depth - 20.0) * square)
    intensity = np.abs(np.fft.ifft2(wave)) ** 2
    shift = np.exp(-2j * np.pi * (q[:, None] * (place[1] + 12.8) + q * (place[0] + 12.8)))
    blurred = np.fft.ifft2(np.fft.fft2(intensity) * np.exp(-2 * (np.pi * width) ** 2 * square) * shift).real
    blurred /= blurred.sum() * fine**2
    at = np.round((np.array([-4, 0, 2, 5]) * STEP + 12.8) / fine).astype(int)
    expected = blurred[np.ix_(at, at)]
    found = image[np.ix_(*[np.array([-4, 0, 2, 5]) + SIZE // 2] * 2)]
    assert_allclose(found, expected, atol=0.01 * blurred.max())


@pytest.mark.parametrize("shaped", [False, True])
def test_fewer_fields_for_all_depths_make_the_same_images_and_the_same_way_back(shaped: bool) -> None:
    model, now = model_of(sliced=True, shaped=shaped), some_atoms()
    assert model.nominal is not None
    basis = basis_of(model.nominal, 1e-3)
    assert 1 < basis.mixing.shape[1] < len(model.nominal)
    few, all_of_them = View(replace(model, basis=basis), now, 1, None), View(model, now, 1, model.nominal)
    image = all_of_them.image()
    assert np.abs(few.image() - image).max() < 1e-3 * image.max()
    for found, known in zip(few.gather(image, False)[:4], all_of_them.gather(image, False)[:4], strict=True):
        assert found is not None
        assert known is not None
        assert np.abs(found - known).max() < 2e-3 * np.abs(known).max()


def test_depth_shares_an_atom_between_two_slices_and_images_follow_it() -> None:
    model, now = model_of(sliced=True, shaped=False), some_atoms()
    view = view_of(model, now, 1)
    share = np.zeros(ATOMS)
    middle = np.zeros(ATOMS)
    for group in view.groups:
        share[group.atoms] += group.share
        middle[group.atoms] += group.share * DEPTH[group.slice]
    assert_allclose(share, 1.0)
    inside = np.abs(view.seen[:, 2]) < 12
    assert inside.sum() > 10
    assert_allclose(middle[inside], view.seen[inside, 2], atol=1e-9)


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("shaped", [False, True])
def test_changes_of_an_image_are_those_of_small_differences(sliced: bool, shaped: bool) -> None:
    model, now = model_of(sliced, shaped), some_atoms(probes=sliced)
    by, step = small_change(now), 0.02

    def at(part: float) -> np.ndarray:
        there = now.filled(now.vector() + part * by.vector())
        turned = model.turn @ turns(there.tilt[:, TURN_X:SCALE])
        return view_of(replace(model, turn=turned), there, 2).image().astype(float)

    change = view_of(model, now, 2).change(by, transforms(by.probe[0], model.shape) if sliced else None)
    numeric = (at(step) - at(-step)) / (2 * step)
    assert np.abs(change - numeric).max() < 3e-4 * np.abs(change).max()


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("shaped", [False, True])
def test_gathering_is_the_transpose_of_changing(sliced: bool, shaped: bool) -> None:
    model, now = model_of(sliced, shaped), some_atoms(probes=sliced)
    by, view = small_change(now), view_of(model, now, 1)
    spectra = transforms(by.probe[0], model.shape) if sliced else None
    image = np.random.default_rng(3).normal(size=(SIZE, SIZE)).astype(np.float32)
    left = float(np.vdot(image, view.change(by, spectra)))
    told = view.gather(image, probes=sliced)
    right = (told.position * by.position).sum() + told.height @ by.height + told.width @ by.width
    right += told.tilt @ by.tilt[1]
    if told.probe is not None:
        fields = np.fft.irfft2(told.probe, model.shape)
        right += (np.roll(fields, (4, 4), (1, 2))[:, :9, :9] * by.probe[0]).sum()
    assert left == pytest.approx(right, rel=1e-4)


def small_change(now: Unknowns) -> Unknowns:
    raw = now.filled(np.random.default_rng(2).normal(size=now.vector().size))
    tilt = raw.tilt * [0.02, 0.02, 0.002, 0.002, 0.002, 0.02, 0.01]
    return Unknowns(raw.position * 0.02, raw.height * 0.05, raw.width * 0.01, tilt, raw.probe * np.float32(1e-3))


def test_fine_pixels_carry_the_band_of_the_probe() -> None:
    assert finer_pixels(0.4, 300.0, 25.0) == 2
    assert finer_pixels(0.2, 300.0, 25.0) == 1
    assert finer_pixels(0.4, 300.0, 10.0) == 1


def test_a_slater_orbital_has_the_transform_that_is_known() -> None:
    """8 pi a**3 is the integral of exp(-r / a); its transform there by the sine integral over spheres."""
    a, q = 0.3, 0.7
    r = np.linspace(1e-4, 12.0, 40_001)
    radial = np.trapezoid(4 * np.pi * r**2 * np.exp(-r / a) * np.sinc(2 * q * r), r) / (8 * np.pi * a**3)
    assert slater(a)(np.array([q]))[0] == pytest.approx(radial, rel=1e-4)
