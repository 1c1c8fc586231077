"""Gain, offset and read noise from counts of which they are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from aetx.kernels.noise_estimation import NoiseLine, from_frames, from_image, line, noise_of

F32 = NDArray[np.float32]
SIDE = 192


def particle(peak: float) -> F32:
    """Return the expected counts of a ball of atoms on one count of background."""
    v, u = np.mgrid[:SIDE, :SIDE] - SIDE / 2.0
    thickness = np.sqrt(np.maximum(0, 1 - (u**2 + v**2) / 70**2))
    atoms = 1 + 0.3 * np.cos(2 * np.pi * u / 6.5) * np.cos(2 * np.pi * v / 7.5)
    return np.asarray(1 + peak * thickness * atoms, np.float32)


def taken(expected: F32, gain: float, offset: float, read: float, count: int = 1) -> F32:
    generator = np.random.default_rng(5)
    shape = (count, *expected.shape)
    counted = gain * generator.poisson(expected, shape) + offset + generator.normal(0, 1, shape) * read
    return np.asarray(counted, np.float32)


def everywhere(image: F32) -> NDArray[np.bool_]:
    return np.ones(image.shape, bool)


@pytest.mark.parametrize(("gain", "offset", "read"), [(1.0, 0.0, 0.0), (3.0, 10.0, 4.0), (0.5, -2.0, 3.0)])
def test_one_image_tells_gain_and_read_noise(gain: float, offset: float, read: float) -> None:
    images = taken(particle(40.0), gain, offset, read, 8)
    blocks = [from_image(image, everywhere(image), 8) for image in images]
    found = noise_of(line(*(np.concatenate(some) for some in zip(*blocks, strict=True))), offset)  # type: ignore[arg-type]
    assert_allclose(found.gain, gain, rtol=0.03)
    assert abs(found.gain - gain) < 4 * found.gain_error < 0.2 * gain
    assert abs(found.read_noise**2 - read**2) < 0.25 * gain**2 + 0.1 * read**2
    assert found.offset_error == 0


def test_frames_tell_the_same_even_where_noise_is_not_white() -> None:
    frames = taken(particle(20.0), 2.0, 5.0, 3.0, 6)
    found = noise_of(line(*from_frames(frames, everywhere(frames), 8)), 5.0)  # type: ignore[arg-type]
    assert_allclose(found.gain, 2.0, atol=4 * found.gain_error)
    assert_allclose(found.read_noise, 3.0, rtol=0.05)
    assert found.gain_error < 0.05
    alike = np.repeat(frames, 2, axis=1)
    again = line(*from_frames(alike, everywhere(alike), 8))
    assert again is not None
    assert_allclose(again.slope, 2.0, rtol=0.05)


def test_the_error_that_is_told_is_the_spread() -> None:
    true = particle(30.0)
    many = [line(*from_image(image, everywhere(image), 12)) for image in taken(true, 1.0, 0.0, 0.0, 60)]
    slopes = np.array([one.slope for one in many if one is not None])
    told = np.sqrt([one.covariance[0, 0] for one in many if one is not None])
    assert_allclose(slopes.std(), np.median(told), rtol=0.35)
    assert abs(slopes.mean() - 1) < 0.03


def test_edges_and_bright_points_are_left_out() -> None:
    true = particle(40.0)
    true[60:70] *= 4
    image = taken(true, 1.0, 0.0, 0.0)[0]
    image[np.random.default_rng(1).integers(0, SIDE, 30), np.random.default_rng(2).integers(0, SIDE, 30)] = 5000
    found = line(*from_image(image, everywhere(image), 8))
    assert found is not None
    assert_allclose(found.slope, 1, rtol=0.12)


def test_pixels_that_are_not_trusted_have_no_say() -> None:
    image = taken(particle(40.0), 1.0, 0.0, 0.0)[0]
    trusted = everywhere(image)
    trusted[40:60, 100:130] = False
    whole = line(*from_image(np.where(trusted, image, 0), trusted, 8))
    spoilt = line(*from_image(np.where(trusted, image, np.nan), trusted, 8))
    assert whole is not None
    assert spoilt is not None
    assert whole[:2] == spoilt[:2]
    assert_allclose(whole.slope, 1, rtol=0.15)


def test_smoothed_images_seem_to_have_less_noise() -> None:
    image = taken(particle(40.0), 1.0, 0.0, 0.0)[0]
    smooth = ((image + np.roll(image, 1, 0)) / 2).astype(np.float32)
    found = line(*from_image(smooth, everywhere(smooth), 8))
    assert found is not None
    assert found.slope < 0.5


def test_a_line_of_two_numbers_is_shared_out_as_told() -> None:
    covariance = np.diag([0.01, 0.04])
    low = noise_of(NoiseLine(2.0, -10.0, covariance), None)
    assert (low.offset, low.read_noise) == (5.0, 0.0)
    assert low.offset_error == pytest.approx(np.sqrt(25 * 0.01 + 0.04) / 2)
    high = noise_of(NoiseLine(2.0, 9.0, covariance), None)
    assert (high.offset, high.read_noise) == (0.0, 3.0)
    assert high.read_noise_error == pytest.approx(0.2 / 6)
    stated = noise_of(NoiseLine(2.0, -4.0, covariance), 10.0)
    assert stated.read_noise == 4.0
    assert stated.gain_error == pytest.approx(0.1)
    assert noise_of(NoiseLine(-1.0, 9.0, covariance), None)[:3] == (0.0, 0.0, 3.0)


def test_too_few_blocks_make_no_line() -> None:
    image = taken(particle(40.0), 1.0, 0.0, 0.0)[0][:30, :30]
    assert line(*from_image(image, everywhere(image), 8)) is None
    assert line(np.arange(40.0), np.zeros(40)) is None
