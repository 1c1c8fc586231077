"""Transforms of images near the points of a grid, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from aetx.kernels.gridding import Points, from_planes, from_samples, transform_at
from aetx.kernels.projection import rotation

START = (-6.5, -9.0)


def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((13, 18)).astype(np.float32)


def summed(values: NDArray[np.float32], u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the transform at frequencies in cycles per pixel, term by term."""
    y, x = (start + np.arange(count) for start, count in zip(START, values.shape, strict=True))
    down, across = np.exp(-2j * np.pi * np.outer(v, y)), np.exp(-2j * np.pi * np.outer(u, x))
    return np.asarray(np.einsum("yx,py,px->p", values.astype(float), down, across))


def turned() -> NDArray[np.float64]:
    return rotation(np.array([0.3, -0.2, 0.0]), np.array([-0.9, 0.4, 0.0]), np.array([0.1, 0.5, 0.0]))


def test_the_transform_at_any_frequency_is_the_sum_written_out() -> None:
    u, v = np.random.default_rng(1).uniform(-0.7, 0.7, (2, 60))
    values = image()
    assert np.abs(transform_at(values, START, u, v) - summed(values, u, v)).max() < 2e-9 * values.sum()


@pytest.mark.parametrize("size", [40, 41])
def test_points_of_planes_are_all_those_within_the_radius_and_hold_the_transform_at_their_feet(size: int) -> None:
    values, radius, reach, r = image(), 0.4, 15.0, turned()[:1]
    found = from_planes(values[None], START, r, size, radius, reach)
    half = (size - 1) // 2
    k = np.stack(np.meshgrid(*[np.arange(-half, half + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    frame = k @ r[0]
    near = (np.abs(frame[:, 2]) < radius) & (np.hypot(frame[:, 0], frame[:, 1]) <= reach)
    kept = (k[:, 1] > 0) | ((k[:, 1] == 0) & ((k[:, 0] > 0) | ((k[:, 0] == 0) & (k[:, 2] >= 0))))
    wanted = {(y, z, x): f for (x, y, z), f in zip(k[near & kept], frame[near & kept], strict=True)}
    assert {tuple(one) for one in found.waves()} == set(wanted)
    feet = np.array([wanted[tuple(one)] for one in found.waves()]) / size
    np.testing.assert_allclose(found.value, summed(values, feet[:, 0], feet[:, 1]), atol=1e-6)


def test_points_of_samples_take_the_transform_of_the_nearest_sample() -> None:
    values, size, radius = image(), 40, 0.45
    found = from_samples(values[None], START, turned()[:1], size, radius, 15.0)
    frame = found.waves()[:, [2, 0, 1]] @ turned()[0]
    nearest = np.round(frame[:, :2])
    away = np.hypot(np.hypot(*(frame[:, :2] - nearest).T), frame[:, 2])
    assert away.max() < radius
    np.testing.assert_allclose(found.value, summed(values, *nearest.T / size), atol=1e-6)


def test_where_planes_meet_the_nearer_one_counts_more() -> None:
    ones = np.stack([np.ones((9, 9)), 3 * np.ones((9, 9))]).astype(np.float32)
    tilted = rotation(np.zeros(2), np.deg2rad([0.0, 4.0]), np.zeros(2))
    found = from_planes(ones, (-4.0, -4.0), tilted, 18, 0.5, 9.0)
    told = dict(zip(map(tuple, found.waves()), found.value, strict=True))
    wave = (0, 0, 2)
    away = 2 * np.sin(np.deg2rad(4.0))
    foot = 2 * np.cos(np.deg2rad(4.0)) / 18
    first, second = (9 * np.exp(-2j * np.pi * np.outer(f, np.arange(-4, 5))).sum() for f in (2 / 18, foot))
    weights = np.array([1e5, 1 / away])
    assert told[wave] == pytest.approx((weights[0] * first + weights[1] * 3 * second) / weights.sum(), abs=1e-6)


@pytest.mark.parametrize("gridded", [from_planes, from_samples])
def test_no_point_comes_with_its_partner(gridded: type) -> None:
    found: Points = gridded(np.stack([image()] * 3), START, turned(), 36, 0.6, 18.0)
    waves = {tuple(one) for one in found.waves()}
    assert len(waves) == found.key.size > 1000
    assert (np.diff(found.key) > 0).all()
    assert all(tuple(-k for k in one) not in waves for one in waves if any(one))
