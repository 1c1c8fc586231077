"""What residuals say: error bars as wide as errors with and without model error, and sites that are atoms or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aetx.kernels import model_error, uncertainty
from aetx.kernels.refinement import Free, Linear, Prior
from tests.benchmarks.accuracy_errors import CASES, calibrated
from tests.kernels.test_uncertainty import FREE, IMAGES, SPREAD, WEIGHT, fit


def left(linear: Linear, seed: int) -> np.ndarray:
    """Residuals of noise after a fit that is linear, in units of the image."""
    noise = np.random.default_rng(seed).standard_normal(linear.weight.shape) * np.sqrt(linear.weight)
    matrix = np.stack([linear.apply(one) for one in np.eye(linear.size)], axis=1)
    score = linear.back(lambda tilt: noise[tilt].astype(np.float32))
    found = np.linalg.lstsq(matrix, score, rcond=1e-7)[0].astype(np.float64)
    atoms, sorts, tilts = linear.parts(found)
    seen = [linear.image(t, *linear.moves(t, atoms, sorts, tilts[t])) for t in range(IMAGES)]
    made: np.ndarray = (noise / linear.weight - np.stack(seen)).astype(np.float32)
    return made


def test_error_bars_are_as_wide_as_errors() -> None:
    row = calibrated(CASES[0], 6, 50, 1)
    assert row["pull_width"] == pytest.approx([1, 1, 1], abs=0.12)
    assert row["widened_pull_width"] == pytest.approx(row["pull_width"], rel=0.03)
    assert row["excess"] == pytest.approx(1.0, abs=0.05)
    assert row["ratio"] == pytest.approx(1.0, abs=0.08)


def test_error_bars_are_widened_by_what_images_disagree_about() -> None:
    row = calibrated(CASES[-1], 6, 50, 1)
    assert np.mean(row["pull_width"]) > 1.12
    assert np.mean(row["widened_pull_width"]) == pytest.approx(1.0, abs=0.08)


def test_noise_alone_has_no_excess_and_a_wrong_image_has_it() -> None:
    linear = fit(Free(**FREE))
    drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 12, 0)
    fits = [model_error.excess(linear, left(linear, seed), drawn) for seed in range(10)]
    assert np.mean([one.atoms.mean() for one in fits]) == pytest.approx(1.0, abs=0.06)
    assert np.mean([one.tilts for one in fits]) == pytest.approx(1.0, abs=0.06)
    assert np.mean([one.atoms.std() for one in fits]) < 0.5 * np.mean([one.raw.std() for one in fits])
    residuals = left(linear, 0)
    residuals[4] *= 3
    found = model_error.excess(linear, residuals, drawn)
    assert found.tilts[4] > 4
    assert np.delete(found.tilts, 4).max() < 2
    assert found.atoms.mean() > 1.5


def test_an_atom_that_no_image_agrees_about_stands_out() -> None:
    linear = fit(Free(**FREE))
    drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 12, 0)
    moved, zero = np.zeros((14, 2)), np.zeros(14)
    residuals = left(linear, 1)
    for tilt in range(IMAGES):
        moved[5] = 0.15 * np.array([np.cos(2.4 * tilt), np.sin(2.4 * tilt)])
        residuals[tilt] += linear.image(tilt, moved, zero, zero, 0.0)
    found = model_error.excess(linear, residuals, drawn)
    assert found.raw.argmax() == 5
    assert found.atoms[5] > 2 * np.median(found.atoms)


def test_presence_is_the_deviance_that_an_atom_saves() -> None:
    """With everything else held: sum of w (r + I)**2 - sum of w r**2 = information + 2 score."""
    linear = fit(Free(**FREE))
    drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 8, 0)
    residuals = left(linear, 2)
    score, told = model_error.presence(linear, residuals, drawn, uncertainty.exact(linear, WEIGHT, SPREAD))
    alone = np.zeros(14)
    alone[3] = 1.0
    picture = np.stack([linear.image(tilt, np.zeros((14, 2)), alone, np.zeros(14), 0.0) for tilt in range(IMAGES)])
    own = model_error.own_information(linear)[:, 3, 2, 2].sum()
    saved = (linear.weight * ((residuals + picture) ** 2 - residuals**2)).sum()
    assert own + 2 * score[3] == pytest.approx(saved, rel=1e-3)
    assert 0.3 < told[3] / own <= 1.1


def test_heights_that_are_fitted_tell_as_much_as_the_images_do() -> None:
    """The prior is taken off again: what is left hangs on it little."""
    told = []
    for spread in (0.1, np.inf):
        linear = fit(Free(**FREE | {"heights": "each"}), Prior(height=spread))
        drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 2, 0)
        bars = uncertainty.exact(linear, WEIGHT, SPREAD)
        told.append(model_error.presence(linear, left(linear, 3), drawn, bars)[1])
    np.testing.assert_allclose(told[0], told[1], rtol=0.1)


def test_an_atom_exists_and_a_false_one_does_not() -> None:
    linear = fit(Free(**FREE))
    false = 6
    height = linear.state.height.copy()
    height[false] = 0.0
    truth = linear.scene.models(replace(linear.state, height=height))
    noise = np.random.default_rng(0).standard_normal(truth.shape) / np.sqrt(linear.weight)
    residuals = (truth + noise - linear.scene.models(linear.state)).astype(np.float32)
    drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 8, 0)
    bars = uncertainty.exact(linear, WEIGHT, SPREAD)
    score, told = model_error.presence(linear, residuals, drawn, bars)
    found = model_error.exists(told + 2 * score, bars.atoms[:, :3, :3], 15.0, 1.0)
    assert found[false] < 1e-6
    assert np.delete(found, false).min() > 1 - 1e-6


def test_what_an_uncertain_site_saves_is_weighed_against_how_long_it_was_searched_for() -> None:
    """sqrt(det(2 pi C)) = (2 pi)**1.5 * 0.001 angstrom**3 in 15: a deviance of 13.7 is as good as none."""
    covariance = 0.01 * np.eye(3)[None]
    even = 2 * np.log(15.0 / ((2 * np.pi) ** 1.5 * 1e-3))
    assert even == pytest.approx(13.7, abs=0.05)
    assert model_error.exists(np.array([even]), covariance, 15.0, 1.0)[0] == pytest.approx(0.5)
    assert model_error.exists(np.array([even]), covariance, 15.0, 9.0)[0] == pytest.approx(0.9)
    assert model_error.exists(np.array([0.0]), covariance, 15.0, 1.0)[0] < 0.002


@pytest.mark.parametrize("exact_too", [False, True])
def test_error_bars_of_every_atom_come_in_one_call(exact_too: bool) -> None:
    linear = fit(Free(**FREE | {"heights": "each"}))
    residuals = (1.5 * left(linear, 0)).astype(np.float32)
    found = model_error.error_bars(linear, residuals, WEIGHT, SPREAD, exact_too, 6, 0, 15.0, 1.0)
    plain = uncertainty.exact(linear, WEIGHT, SPREAD).atoms
    ratio = np.trace(found.covariance, axis1=1, axis2=2) / np.trace(plain[:, :3, :3], axis1=1, axis2=2)
    np.testing.assert_allclose(ratio, found.excess.atoms, rtol=1e-9 if exact_too else 0.15)
    assert found.excess.atoms.mean() == pytest.approx(1.5**2, rel=0.2)
    np.testing.assert_allclose(found.height**2, plain[:, 3, 3] * found.excess.atoms, rtol=1e-9 if exact_too else 0.3)
    assert np.isnan(found.width).all()
    assert (found.exists > 0.999).all()
