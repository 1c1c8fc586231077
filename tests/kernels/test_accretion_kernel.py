"""Growth by accretion."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import accretion

CLOSEST, FARTHEST = 2.32, 2.53


def grown(radius: float, candidates: int, seed: int = 0) -> np.ndarray:
    room = accretion.capacity(radius, CLOSEST)
    return accretion.grow(np.random.default_rng(seed), radius, CLOSEST, FARTHEST, candidates, room)


def nearest(place: np.ndarray) -> np.ndarray:
    return np.asarray(KDTree(place).query(place, k=2)[0])[:, 1]


def test_each_atom_is_at_bond_distance_from_its_nearest_and_no_nearer_to_any() -> None:
    place = grown(25.0, 30)
    assert nearest(place).min() >= CLOSEST * (1 - 1e-12)
    assert nearest(place).max() <= FARTHEST * (1 + 1e-12)
    assert np.linalg.norm(place, axis=1).max() <= 25.0


def test_growth_hangs_together_and_reaches_every_side_of_the_ball() -> None:
    place = grown(25.0, 30)
    reached, todo = np.zeros(len(place), bool), [0]
    near = KDTree(place).query_ball_point(place, FARTHEST)
    reached[0] = True
    while todo:
        new = [one for one in near[todo.pop()] if not reached[one]]
        reached[new] = True
        todo += new
    assert reached.all()
    assert_allclose(place.mean(axis=0), 0, atol=0.6)
    assert (np.linalg.norm(place, axis=1) > 24).sum() > 100


def test_more_candidates_pack_more_closely() -> None:
    sizes = [len(grown(25.0, candidates)) for candidates in (3, 10, 30, 300)]
    assert sizes == sorted(sizes)


def test_the_densities_are_those_of_an_independent_count() -> None:
    volume = 4 / 3 * np.pi * 45.0**3
    assert_allclose(len(grown(45.0, 30)) / volume, 0.0581, rtol=0.01)
    assert_allclose(len(grown(45.0, 300)) / volume, 0.0635, rtol=0.01)


def test_no_ball_holds_more_than_its_capacity() -> None:
    for radius in (1.0, 2.5, 6.0, 20.0):
        assert len(grown(radius, 1000)) < accretion.capacity(radius, CLOSEST)


def test_thinning_leaves_the_number_asked_for_and_no_atom_alone() -> None:
    place = grown(20.0, 30)
    left = accretion.thin(place, int(0.7 * len(place)), FARTHEST, np.random.default_rng(0))
    assert len(left) == int(0.7 * len(place))
    assert nearest(left).max() <= FARTHEST * (1 + 1e-12)
    assert np.max(KDTree(place).query(left)[0]) == 0


def test_thinning_keeps_more_where_an_atom_would_be_alone() -> None:
    pairs = np.array([[0.0, 0, 0], [2.4, 0, 0], [10, 0, 0], [12.4, 0, 0]])
    assert len(accretion.thin(pairs, 2, FARTHEST, np.random.default_rng(0))) == 4
