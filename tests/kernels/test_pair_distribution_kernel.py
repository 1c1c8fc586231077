"""Pairs of points by their distance, and the body that they are in."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from aetx.kernels.alpha_shape import body
from aetx.kernels.pair_distribution import cross, filled_share, first_peak, histogram, shell_volume


def plainly(position: np.ndarray, kind: np.ndarray, edges: np.ndarray, weight: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    np.fill_diagonal(distance, -1)
    both = weight[:, None] * weight
    made = np.zeros((len(edges) - 1, 2, 2))
    for a in (0, 1):
        for b in (0, 1):
            chosen = np.ix_(kind == a, kind == b)
            made[:, a, b] = np.histogram(distance[chosen], edges, weights=both[chosen])[0]
    return made


@pytest.mark.parametrize("count", [300, 120, 2])
def test_counts_and_weights_are_those_of_all_distances(count: int) -> None:
    generator = np.random.default_rng(count)
    position, kind = generator.uniform(0, [9, 5, 14], (count, 3)), generator.integers(0, 2, count)
    weight, edges = generator.random(count), 0.25 * np.arange(14)
    found = histogram(position, kind, 2, weight, 0.25, 13)
    assert_array_equal(found.count, plainly(position, kind, edges, np.ones(count)))
    assert_allclose(found.weight, plainly(position, kind, edges, weight), atol=1e-12)
    squares = plainly(position, kind, edges, weight**2)
    assert_allclose(found.square, squares * np.where(np.eye(2, dtype=bool), 2, 1), atol=1e-12)


def test_each_atom_of_a_face_centred_crystal_has_twelve_neighbours() -> None:
    place = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    site = place[place.sum(axis=1) % 2 == 0]
    inner = ((site > 0) & (site < 7)).all(axis=1)
    found = histogram(site / 2**0.5, inner.astype(np.int64), 2, np.ones(len(site)), 1.1, 1)
    assert found.count[0, 1].sum() == 12 * inner.sum()


def test_no_points_make_no_pairs() -> None:
    nothing = histogram(np.empty((0, 3)), np.empty(0, np.int64), 1, np.empty(0), 1.0, 3)
    assert nothing.count.sum() == 0
    assert cross(np.empty((0, 3)), np.empty(0), np.zeros((2, 3)), 1.0, 3).sum() == 0


def test_pairs_of_two_sets_are_those_of_all_distances() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.uniform(0, 9, (200, 3)), generator.uniform(3, 14, (150, 3))
    weight = generator.random(200)
    distance = np.linalg.norm(first[:, None] - second, axis=2)
    wanted = np.histogram(distance, 0.5 * np.arange(9), weights=np.broadcast_to(weight[:, None], distance.shape))[0]
    assert_allclose(cross(first, weight, second, 0.5, 8), wanted)


def test_the_body_of_a_cube_has_its_volume_and_its_corners_an_eighth() -> None:
    place = np.stack(np.meshgrid(*[np.arange(5.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    made = body(place, 1.5)
    assert made.volume.sum() == pytest.approx(64)
    rim = ((place == 0) | (place == 4)).sum(axis=1)
    assert_allclose(made.share(), 0.5**rim, atol=1e-9)
    assert made.share().sum() == pytest.approx(64)


def test_points_drawn_in_a_body_fill_it_evenly() -> None:
    place = np.stack(np.meshgrid(*[np.arange(5.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    drawn = body(place, 1.5).sample(64_000, np.random.default_rng(0))
    count = np.histogramdd(drawn, bins=[np.arange(5)] * 3)[0]
    assert_allclose(count, 1000, atol=140)


def test_the_share_of_shells_in_a_ball_is_the_known_polynomial() -> None:
    generator = np.random.default_rng(2)
    radius = 10.0

    def inside(count: int) -> np.ndarray:
        way = generator.standard_normal((count, 3))
        return np.asarray(radius * way / np.linalg.norm(way, axis=1)[:, None] * generator.random((count, 1)) ** (1 / 3))

    share = filled_share(inside(4000), np.ones(4000), inside(20_000), 4 / 3 * np.pi * radius**3, 0.5, 20)
    r = 0.5 * np.arange(20) + 0.25
    assert_allclose(share, 1 - 3 * r / (4 * radius) + r**3 / (16 * radius**3), atol=0.02)
    assert shell_volume(20, 0.5).sum() == pytest.approx(4 / 3 * np.pi * 1000)


def test_the_first_peak_is_found_between_the_bins_with_its_error() -> None:
    generator = np.random.default_rng(3)
    middle, found = np.asarray(0.05 * np.arange(120) + 0.025, np.float64), []
    for _ in range(60):
        values = np.concatenate([generator.normal(2.783, 0.12, 4000), generator.normal(3.95, 0.14, 2000)])
        count = np.histogram(values, 0.05 * np.arange(121))[0].astype(float)
        found.append(first_peak(middle, count, np.sqrt(count)))
    place, error = np.array(found).T
    assert place.mean() == pytest.approx(2.783, abs=0.002)
    assert place.std() == pytest.approx(error.mean(), rel=0.35)
    assert np.isnan(first_peak(middle, np.zeros(120), np.zeros(120))).all()
