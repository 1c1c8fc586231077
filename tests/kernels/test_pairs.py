"""Pairs of points by their distance."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.pairs import pair_counts


def plainly(position: np.ndarray, kind: np.ndarray, edges: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    np.fill_diagonal(distance, -1)
    counts = np.zeros((len(edges) - 1, 2, 2), int)
    for a in (0, 1):
        for b in (0, 1):
            counts[:, a, b] = np.histogram(distance[kind == a][:, kind == b], edges)[0]
    return counts


@pytest.mark.parametrize(("first", "count"), [(0.0, 300), (1.3, 120), (0.0, 2)])
def test_counts_are_those_of_all_distances(first: float, count: int) -> None:
    rng = np.random.default_rng(count)
    position, kind = rng.uniform(0, [9, 5, 14], (count, 3)), rng.integers(0, 2, count)
    found = pair_counts(position, kind, 2, first, 0.25, 13)
    np.testing.assert_array_equal(found, plainly(position, kind, first + 0.25 * np.arange(14)))


def test_each_atom_of_a_face_centred_crystal_has_twelve_neighbours() -> None:
    edge = np.arange(8)
    sites = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[sites.sum(1) % 2 == 0]
    inner = ((sites > 0) & (sites < 7)).all(1)
    found = pair_counts(sites / 2**0.5, inner.astype(np.int64), 2, 0.9, 0.2, 1)
    assert found[0, 1].sum() == 12 * inner.sum()


def test_no_points_make_no_pairs() -> None:
    assert pair_counts(np.empty((0, 3)), np.empty(0, np.int64), 1, 0.0, 1.0, 3).sum() == 0
