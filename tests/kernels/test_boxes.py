"""Boxes around atoms against scipy's splines, templates against plain loops, supports of shapes that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, uniform_filter
from scipy.spatial.distance import cdist

from aetx.kernels import boxes, support, surroundings
from aetx.kernels.polynomial import coefficients

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@pytest.mark.parametrize(("half", "fine"), [(3, 3), (1, 1), (4, 2), (2, 5)])
def test_boxes_are_those_of_scipys_cubic_spline(half: int, fine: int) -> None:
    rng = np.random.default_rng(half)
    volume = rng.standard_normal((21, 17, 25)).astype(np.float32)
    shape = np.array(volume.shape)
    place = np.concatenate([rng.uniform(0, shape - 1, (20, 3)), [[0.0, 0.0, 0.0]], [shape - 1.0], [[4.0, 5.0, 6.0]]])
    points = boxes.ball(half)
    found = boxes.cut(coefficients(volume), np.zeros(3, np.int64), shape, place, points, half, fine)
    plain = map_coordinates(
        volume.astype(np.float64), (place[:, None] + points / fine).reshape(-1, 3).T, order=3, mode="mirror"
    )
    np.testing.assert_allclose(found.ravel(), plain, atol=2e-5)


def test_the_published_ball_has_179_points() -> None:
    points = boxes.ball(3)
    assert len(points) == 179
    assert np.linalg.norm(points, axis=1).max() <= 3.5


def test_the_background_of_a_gaussian_on_a_constant_is_that_constant() -> None:
    points = boxes.ball(3)
    box = 5 * np.exp(-(points**2) @ np.array([0.20, 0.25, 0.15])) + 0.4
    assert boxes.background(box, points) == pytest.approx(0.4, abs=0.02)
    lowered = box - 0.9
    assert lowered.min() < 0
    assert boxes.background(lowered, points) == pytest.approx(lowered.min(), abs=0.02)
    assert boxes.background(np.array([3.0]), np.zeros((1, 3), np.int64)) == 0.0


def families(count: int, noise: float = 0.3) -> tuple[F32, NDArray[np.int64]]:
    """Boxes of three shapes and equal sums, so that only templates can tell them apart."""
    rng = np.random.default_rng(2)
    shape = np.array([[3.0, 1, 1, 1], [1, 3, 1, 1], [1, 1, 3, 1]])
    kind = rng.integers(0, 3, count)
    return (shape[kind] + noise * rng.standard_normal((count, 4))).astype(np.float32), kind


def test_templates_find_shapes_from_a_start_that_is_half_wrong() -> None:
    cut, kind = families(600)
    rng = np.random.default_rng(0)
    start = np.where(rng.random(600) < 0.5, kind, rng.integers(0, 3, 600))
    found, settled = boxes.by_template(cut, start, 3, False, 50)
    assert settled
    assert (found == kind).mean() > 0.99


def test_a_template_that_stays_zero_does_not_rise_with_what_began_there() -> None:
    cut = np.array([[1.0, 1.0], [0.9, 1.1], [0.6, 0.6], [0.0, -0.1]], np.float32)
    start = np.array([1, 1, 0, 0])
    assert boxes.by_template(cut, start, 2, True, 50)[0].tolist() == [1, 1, 1, 0]
    assert boxes.by_template(cut, start, 2, False, 50)[0].tolist() == [1, 1, 0, 0]


def plain_round(cut: F32, position: F64, labels: NDArray[np.int64], radius: float, least: int) -> NDArray[np.int64]:
    """One synchronous round, as one would write it down."""
    near = cdist(position, position) <= radius
    np.fill_diagonal(near, False)
    found = labels.copy()
    for i in range(len(labels)):
        members = [np.flatnonzero(near[i] & (labels == part)) for part in range(3)]
        if len(members[labels[i]]) < least:
            continue
        apart = [((cut[i] - cut[j].mean(0)) ** 2).sum() if len(j) >= least else np.inf for j in members]
        found[i] = int(np.argmin(apart))
    return found


def test_local_classes_are_those_of_plain_rounds() -> None:
    cut, kind = families(300, 0.6)
    rng = np.random.default_rng(1)
    position = rng.uniform(0, 30, (300, 3))
    start = np.where(rng.random(300) < 0.6, kind, rng.integers(0, 3, 300))
    now, changes = start, []
    for _ in range(6):
        then = plain_round(cut, position, now, 9.0, 3)
        changes.append(int((then != now).sum()))
        now = then
    found = surroundings.local_classes(cut, position, start, 3, 9.0, 3, 6)
    assert found.changes.tolist() == changes[: len(found.changes)]
    if len(found.changes) == 6:
        np.testing.assert_array_equal(found.labels, now)
    assert (found.labels == kind).mean() > (start == kind).mean() + 0.1


def test_two_atoms_that_swap_for_ever_end_after_five_equal_rounds() -> None:
    cut = np.array([[0.0], [1.0]] * 2, np.float32)
    position = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    found = surroundings.local_classes(cut, position, np.array([1, 0, 0, 1]), 2, 5.0, 1, 100)
    assert found.changes.tolist() == [4, 4, 4, 4, 4]
    assert found.settled
    assert not surroundings.local_classes(cut, position, np.array([1, 0, 0, 1]), 2, 5.0, 1, 4).settled


def test_an_atom_with_too_few_of_its_own_around_stays_what_it_is() -> None:
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 5, (12, 3))
    cut = np.ones((12, 1), np.float32)
    labels = np.zeros(12, np.int64)
    labels[:3] = 1
    assert surroundings.local_classes(cut, position, labels, 2, 20.0, 3, 50).labels[:3].tolist() == [1, 1, 1]


def test_the_level_follows_a_slope() -> None:
    rng = np.random.default_rng(0)
    position = rng.uniform(-20, 20, (4000, 3))
    slope = 1 + 0.01 * position[:, 0]
    expected = rng.choice([1.0, 2.0], 4000)
    found = surroundings.level(expected * slope, expected, position, 8.0, 3)
    inside = (np.abs(position) < 12).all(1)
    np.testing.assert_allclose(found[inside], slope[inside], atol=0.03)
    alone = surroundings.level(np.ones(2), np.ones(2), np.array([[0.0, 0, 0], [50, 0, 0]]), 8.0, 1)
    np.testing.assert_array_equal(alone, 1.0)


def ball(size: int, radius: float) -> F32:
    grid = np.indices((size,) * 3) - size // 2
    return (np.sqrt((grid**2).sum(0)) <= radius).astype(np.float32)


def test_averages_are_those_of_a_uniform_filter_whatever_the_block() -> None:
    volume = np.random.default_rng(0).standard_normal((20, 22, 24)).astype(np.float32)
    every, half = np.array([3, 3, 2]), np.array([4, 4, 3])
    zero, shape = np.zeros(3, np.int64), np.array(volume.shape)
    whole = support.averaged(volume, zero, zero, shape, every, half)
    plain = uniform_filter(volume.astype(np.float64), (9, 9, 7), mode="constant")[1::3, 1::3, 1::2]
    np.testing.assert_allclose(whole, plain, atol=1e-6)
    low, high = np.array([5, 7, 9]), np.array([12, 15, 19])
    start, stop = np.maximum(low - 4, 0), np.minimum(high + 4, shape)
    block = volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    part = support.averaged(block, start, low, high, every, half)
    kept = [np.isin(support.centres(n, e), np.arange(a, b)) for n, e, a, b in zip(shape, every, low, high, strict=True)]
    np.testing.assert_array_equal(part, whole[np.ix_(*kept)])


def test_supports_close_pores_drop_specks_and_leave_a_margin() -> None:
    density = ball(48, 12)
    density[24, 24, 22:26] = 0
    density[3, 3, 3] = 1
    tight, loose = support.supports(density, np.ones(3), 0.9, 100.0, 3.0, 2.0)
    np.testing.assert_array_equal(tight, ball(48, 12) > 0)
    assert loose[24, 24, 24 + 14]
    assert not loose[24, 24, 24 + 15]
    nothing, _ = support.supports(density, np.ones(3), 0.9, 1e5, 3.0, 2.0)
    assert not nothing.any()


def test_the_support_of_an_empty_volume_is_empty() -> None:
    assert not support.supports(np.zeros((4, 4, 4), np.float32), np.ones(3), 0.9, 1.0, 1.0, 1.0)[1].any()
