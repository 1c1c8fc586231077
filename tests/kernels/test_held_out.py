"""What images say that were not fitted: their noise, their poses, and which atoms they miss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose, assert_array_equal

from aetx.kernels.held_out import estimated, gain_of_atoms, joined, judged, split
from aetx.kernels.refinement import F64, Free, Noise, Prior, Scene, turned_by
from tests.kernels.scenes import STEP, cluster, counted, disturbed, pictures, scene_of, state_of, turned


def flat(mean: F64, images: F64) -> Scene:
    return Scene(images.astype(np.float32), STEP, np.zeros(2), [None], 0, mean.shape[1:], np.zeros(1))


@pytest.mark.parametrize(("gain", "reading"), [(1.0, 0.0), (1.0, 3.0), (7.0, 10.0), (0.02, 0.1)])
def test_gain_and_offset_are_those_of_poisson_and_reading_noise(gain: float, reading: float) -> None:
    generator = np.random.default_rng(0)
    mean = gain * generator.uniform(2, 60, (9, 60, 61))
    images = gain * generator.poisson(mean / gain) + generator.normal(0, reading, mean.shape)
    found = estimated(flat(mean, images), mean.astype(np.float32), 0, 0.0)
    assert_allclose(found.gain, gain, rtol=0.05)
    level = float(mean.mean())
    assert_allclose(found.gain * (level + found.offset), gain * level + reading**2, rtol=0.02)
    if reading > gain:
        assert_allclose(found.gain * found.offset, reading**2, rtol=0.35)


def test_what_was_fitted_is_allowed_for() -> None:
    generator = np.random.default_rng(1)
    mean = np.full((4, 50, 50), 30.0)
    mean[:, :, ::2] = 60.0
    images = generator.poisson(mean).astype(float)
    kept = images.copy()
    kept[:, ::4] = mean[:, ::4]  # a quarter of the pixels are explained in full
    assert_allclose(estimated(flat(mean, kept), mean.astype(np.float32), 2500, 0.0).gain, 1.0, rtol=0.06)
    assert estimated(flat(mean, kept), mean.astype(np.float32), 0, 0.0).gain < 0.8


def test_background_that_was_taken_off_is_given_back() -> None:
    mean = np.random.default_rng(3).uniform(0, 60, (9, 60, 60))
    images = np.random.default_rng(4).poisson(mean).astype(float) - 5.0
    found = estimated(flat(mean, images), (mean - 5).astype(np.float32), 0, -5.0)
    assert_allclose(found.gain, 1.0, rtol=0.05)
    assert_allclose(found.offset, 5.0, atol=0.1)
    assert_allclose(found.weight(0, np.array([[-5.0, 20.0]], np.float32), None)[0, 1], 1 / 25, rtol=0.05)


def test_masked_pixels_say_nothing_about_the_noise() -> None:
    generator = np.random.default_rng(2)
    mean = generator.uniform(2, 60, (4, 60, 60))
    images = generator.poisson(mean).astype(float)
    seen = np.ones(mean.shape, np.float32)
    seen[:, :, 40:], images[:, :, 40:] = 0, 1e4
    found = estimated(replace(flat(mean, images), seen=seen), mean.astype(np.float32), 0, 0.0)
    assert_allclose(found.gain, 1.0, rtol=0.05)


@given(count=some.integers(7, 200), held_out=some.integers(1, 3))
def test_images_are_held_out_at_even_steps_and_never_the_outermost(count: int, held_out: int) -> None:
    parts = split(count, held_out)
    assert parts.free.size == held_out
    assert_array_equal(np.sort(np.concatenate([parts.work, parts.free])), np.arange(count))
    assert 0 < parts.free[0] <= parts.free[-1] < count - 1
    steps = np.diff(np.concatenate([parts.free, [parts.free[0] + count]]))
    assert steps.max() - steps.min() <= 1


def test_nothing_is_held_out_unless_asked() -> None:
    assert split(5, 0).free.size == 0
    assert_array_equal(split(5, 0).work, np.arange(5))


def test_poses_of_fitted_and_held_out_images_are_joined_in_order() -> None:
    before = state_of(cluster(5), turned(7))
    parts = split(7, 2)
    after = disturbed(before.of_tilts(parts.work), 0, position=0.1, turn=2.0, shift=0.5)
    made = joined(parts, after, before.of_tilts(parts.free))
    assert_array_equal(made.position, after.position)
    for name in ("turned", "shift", "scale", "background", "stretch"):
        assert_array_equal(getattr(made, name)[parts.work], getattr(after, name))
        assert_array_equal(getattr(made, name)[parts.free], getattr(before, name)[parts.free])
    assert joined(split(7, 0), before, before) is before


def test_held_out_images_find_their_poses_and_leave_the_atoms_alone() -> None:
    truth = state_of(cluster(20), turned(5))
    scene = scene_of(truth)
    begin = replace(disturbed(truth, 1, turn=2.0, shift=0.3), scale=np.full(5, 1.1))
    made = judged(scene, begin, Free(), Noise(), Prior(turn=0.05, shift=1.0), begin)
    for name in ("position", "height", "width"):
        assert_array_equal(getattr(made.state, name), getattr(begin, name))
    assert np.rad2deg(np.abs(turned_by(truth.turned, made.state.turned))).max() < 0.1
    assert_allclose(made.state.shift, truth.shift, atol=0.01)
    assert_allclose(made.state.scale, 1.0, atol=0.01)


def test_what_is_not_free_stays_in_held_out_images() -> None:
    truth = state_of(cluster(20), turned(5))
    begin = disturbed(truth, 1, turn=1.0, shift=0.2)
    made = judged(scene_of(truth), begin, Free(angles=False, scale=False), Noise(), None, begin)
    assert_array_equal(made.state.turned, begin.turned)
    assert_array_equal(made.state.scale, begin.scale)
    assert np.abs(made.state.shift - begin.shift).max() > 0.01


def test_the_gain_of_an_atom_is_the_rise_of_the_deviance_without_it() -> None:
    generator = np.random.default_rng(3)
    position = STEP * np.round(cluster(8) / STEP)  # on pixels, where nothing is interpolated
    truth = state_of(position, np.repeat(np.eye(3)[None], 4, axis=0), height=40.0)
    scene = scene_of(truth)
    scene = replace(scene, images=counted(pictures(scene, truth), 4))
    more = state_of(np.concatenate([position, [[0.8, 0.4, 9.0]]]), truth.turned, height=40.0)
    variance = generator.uniform(1, 3, scene.images.shape).astype(np.float32)
    noise = Noise(variance=variance)
    found = gain_of_atoms(scene, more, scene.models(more), noise)

    def deviance(chosen: list[int]) -> float:
        off = scene.images - pictures(scene, more.of_atoms(chosen))
        return float((off**2 / variance).sum())

    whole = deviance(list(range(9)))
    wanted = [deviance([k for k in range(9) if k != i]) - whole for i in range(9)]
    assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.max(np.abs(wanted)))
    assert (found[:8] > 0).all()
    assert found[8] < 0
