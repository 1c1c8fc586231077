"""Filtered back projection: the ramp against its integral, weights against a sphere."""

import numpy as np
import pytest
import torch

from aetx.kernels.filtering import (
    WINDOWS,
    about_y,
    angular_widths,
    back_projection,
    radermacher,
    ramp,
    windowed,
)
from aetx.kernels.projection import F64, Grid, Projector, rotation

SIZE, RADIUS = 40, 12.0


def turned(theta: F64, wobble: float = 0.0) -> F64:
    noise = np.random.default_rng(3).uniform(-wobble, wobble, (2, theta.size))
    return rotation(*np.deg2rad([noise[0], theta, noise[1]]))


def inside_of_a_sphere(rotations: F64, diameter: float | None) -> tuple[float, float]:
    """Return the mean of the back projection of a unit sphere inside it, and far outside."""
    axis = np.arange(SIZE) - SIZE // 2
    image = 2 * np.sqrt(np.maximum(RADIUS**2 - axis[:, None] ** 2 - axis**2, 0))
    tool = Projector(rotations, Grid.centred(SIZE, SIZE, SIZE), Grid.centred(SIZE, SIZE))
    images = tool.images_in(np.repeat(image[None], len(rotations), 0).astype(np.float32))
    found = tool.volume_out(back_projection(tool, images, "none", 1.0, diameter))
    away = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return float(found[away < 0.7 * RADIUS].mean()), float(found[(away > 15) & (away < 18)].mean())


def test_a_sphere_seen_from_all_sides_comes_back_with_its_density() -> None:
    inner, outer = inside_of_a_sphere(turned(np.arange(0.0, 180.0, 2.0)), None)
    assert inner == pytest.approx(1, abs=0.01)
    assert outer == pytest.approx(0, abs=0.01)


def test_uneven_tilts_are_weighted_by_the_angle_they_stand_for() -> None:
    dense, sparse = np.arange(0.0, 90.0, 1.5), np.arange(90.0, 180.0, 4.5)
    inner, _ = inside_of_a_sphere(turned(np.concatenate([dense, sparse])), None)
    assert inner == pytest.approx(1, abs=0.02)


def test_weights_of_any_directions_agree_with_the_ramp_in_the_mean() -> None:
    theta = np.arange(0.0, 180.0, 3.0)
    assert inside_of_a_sphere(turned(theta, 3.0), None)[0] == pytest.approx(1, abs=0.06)
    assert inside_of_a_sphere(turned(theta), float(SIZE))[0] == pytest.approx(1, abs=0.06)


def test_the_ramp_is_the_frequency_but_for_its_mean() -> None:
    found = ramp(256)
    np.testing.assert_allclose(found[8:], np.fft.rfftfreq(256)[8:], rtol=0.01)
    assert 0 < found[0] < 1e-2


def test_equal_tilts_share_their_angle() -> None:
    theta = np.deg2rad([0.0, 10.0, 10.0, 30.0])
    np.testing.assert_allclose(np.rad2deg(angular_widths(theta)), [10, 7.5, 7.5, 20])
    assert angular_widths(np.zeros(2)).sum() == pytest.approx(np.pi)


def test_one_direction_gets_the_reciprocal_of_the_diameter() -> None:
    q = np.linspace(0, 0.5, 5)
    np.testing.assert_allclose(radermacher(turned(np.array([20.0])), 0, q, np.zeros(5), 30.0), 1 / 30)


def test_a_perpendicular_beam_counts_where_the_slabs_meet() -> None:
    weight = radermacher(turned(np.array([0.0, 90.0])), 0, np.array([0.0, 1 / 30]), np.zeros(2), 30.0)
    np.testing.assert_allclose(weight * 30, [0.5, 1.0], atol=1e-12)


def test_slabs_lie_across_the_beams_as_seen_in_the_image() -> None:
    beside = rotation(*np.deg2rad([[0.0, 45.0], [0.0, 90.0], [0.0, 0.0]]))  # the second beam runs along x = y
    q = np.array([1 / 30]) / np.sqrt(2)
    assert radermacher(beside, 0, q, -q, 30.0) * 30 == pytest.approx(0.5)
    assert radermacher(beside, 0, q, q, 30.0) * 30 == pytest.approx(1.0)


@pytest.mark.parametrize("name", list(WINDOWS))
def test_windows_keep_the_mean_and_end_at_the_cutoff(name: str) -> None:
    found = windowed(np.array([0.0, 0.25, 0.5, 0.51]), name, 0.5)
    assert found[0] == 1
    assert (np.diff(found) <= 0).all()
    assert found[-1] == 0


def test_tilts_about_y_are_told_from_others() -> None:
    theta = np.linspace(-60, 60, 5)
    assert about_y(turned(theta))
    assert not about_y(turned(theta, 0.1))


def test_filtering_is_linear() -> None:
    rng = np.random.default_rng(0)
    tool = Projector(turned(np.linspace(-60, 60, 5), 2.0), Grid.centred(9, 10, 11), Grid.centred(10, 11))
    one, other = torch.as_tensor(rng.standard_normal((2, 5, 11, 10)).astype(np.float32))
    joint = back_projection(tool, 2 * one + other, "hann", 0.8, None)
    apart = 2 * back_projection(tool, one, "hann", 0.8, None) + back_projection(tool, other, "hann", 0.8, None)
    torch.testing.assert_close(joint, apart, rtol=1e-4, atol=1e-5)
