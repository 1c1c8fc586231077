"""Shifts between images: known ones come back, with the error that they turn out to have."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels.registration import Band, all_pairs, places, shift_between

NOWHERE = np.zeros(2)
CROSS, PHASE = Band(2.0, 30.0, 0.0, 0.5), Band(2.0, 30.0, 1.0, 0.25)


def atoms(shift: object, shape: tuple[int, int] = (96, 104), background: float = 2.0) -> np.ndarray:
    """Forty Gaussians on a level, written down at their shifted places: no interpolation."""
    down, right = np.asarray(shift, float)
    places = np.random.default_rng(5).uniform(30, 66, (40, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, background)
    for v, u in places:
        image += 20 * np.exp(-((y - v - down) ** 2 + (x - u - right) ** 2) / (2 * 1.8**2))
    return image


@pytest.mark.parametrize("band", [CROSS, PHASE])
@pytest.mark.parametrize("shift", [(3.3, -4.72), (-0.25, 0.4), (0.0, 7.5)])
def test_a_known_shift_comes_back_with_its_sign(band: Band, shift: tuple[float, float]) -> None:
    found = shift_between(atoms((0, 0)), atoms(shift), band, 9.0, NOWHERE)
    assert_allclose(found.value, shift, atol=1e-4)
    assert found.peak > 0.999
    assert found.error.max() < 1e-4


def test_a_specimen_that_fills_the_image_is_not_pulled_back_by_the_window() -> None:
    """Two views of one wide random scene, cut out at places a known way apart."""
    rng = np.random.default_rng(1)
    q = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    wave = np.fft.fft2(rng.standard_normal((256, 256))) * np.exp(-((q / 0.12) ** 2))
    scene = np.fft.ifft2(wave).real
    fixed, moving = scene[80:176, 80:176], scene[71:167, 86:182]
    found = shift_between(fixed, moving, Band(1.0, np.inf, 0.0, 0.5), 15.0, NOWHERE)
    assert_allclose(found.value, (9, -6), atol=5e-3)


def test_the_error_told_is_the_scatter_of_noisy_images() -> None:
    rng = np.random.default_rng(0)
    shift = np.array([1.4, -2.3])
    first, second = atoms((0, 0)), atoms(shift)
    found = [
        shift_between(rng.poisson(first).astype(np.float32), rng.poisson(second).astype(np.float32), CROSS, 5.0, shift)
        for _ in range(60)
    ]
    away = np.array([one.value for one in found]) - shift
    told = np.sqrt(np.mean([one.error**2 for one in found], axis=0))
    assert_allclose(np.sqrt((away**2).mean(axis=0)), told, rtol=0.3)
    assert np.abs(away.mean(axis=0)).max() < 3 * told.max() / np.sqrt(60)


def test_of_the_peaks_of_a_lattice_the_one_within_reach_is_taken() -> None:
    y, x = np.mgrid[:96, :96]
    still, away = (np.cos(2 * np.pi * (x - s) / 8) * np.cos(2 * np.pi * (y - s) / 8) for s in (0.0, 1.0))
    band = Band(0.0, np.inf, 0.0, 0.5)
    for guess in ((0, 0), (8, 0), (1, -7)):
        found = shift_between(still, away, band, 3.0, np.array(guess, float))
        assert_allclose(found.value, np.round((np.array(guess) - 1) / 8) * 8 + 1, atol=2e-2)


def test_images_without_anything_in_common_have_no_error_to_tell() -> None:
    flat = np.ones((32, 32))
    found = shift_between(flat, flat, CROSS, 4.0, NOWHERE)
    assert np.isnan(found.covariance).all()


def test_places_follow_from_the_shifts_of_all_pairs_and_outvote_a_wrong_one() -> None:
    true = np.array([[0.0, 0.0], [1.0, -2.0], [3.0, 0.5], [4.0, 4.0]])
    true -= true.mean(axis=0)
    pairs = all_pairs(4)
    shifts = true[pairs[:, 1]] - true[pairs[:, 0]]
    weights = np.tile(np.eye(2), (len(pairs), 1, 1))
    assert_allclose(places(pairs, shifts, weights, 4), true, atol=1e-12)
    shifts[2] += 50.0
    weights[2] = 0.0
    assert_allclose(places(pairs, shifts, weights, 4), true, atol=1e-12)
