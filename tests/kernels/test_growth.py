"""Crystals of an exact number of atoms."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from aetx.kernels import growth

SQUARE = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0), [0.0], indexing="ij"), axis=-1).reshape(-1, 3)


def test_neighbours_are_listed_for_each_point_in_order() -> None:
    starts, found = growth.neighbours(SQUARE, 1.1)
    assert_array_equal(found[starts[40] : starts[41]], [31, 39, 41, 49])
    assert_array_equal(np.unique(growth.coordination(SQUARE, 1.1), return_counts=True)[1], [4, 28, 49])


def test_an_atom_joins_where_it_has_most_neighbours() -> None:
    filled = (SQUARE[:, 0] < 3) & ~((SQUARE[:, 0] == 2) & (SQUARE[:, 1] == 5))
    grown = growth.grow(SQUARE, filled, 1, 1.1, np.random.default_rng(0))
    assert grown[2 * 9 + 5]
    assert_array_equal(np.flatnonzero(grown & ~filled), [2 * 9 + 5])


def test_a_new_layer_is_one_island_that_depends_on_the_seed() -> None:
    filled = SQUARE[:, 0] < 3
    islands = []
    for seed in range(6):
        grown = growth.grow(SQUARE, filled, 4, 1.1, np.random.default_rng(seed)) & ~filled
        assert (SQUARE[grown, 0] == 3).all()
        assert_array_equal(np.diff(SQUARE[grown, 1]), 1)
        islands.append(float(SQUARE[grown, 1].min()))
    assert len(set(islands)) > 1


def test_a_cut_keeps_whole_facets_and_breaks_only_the_last() -> None:
    size = np.abs(SQUARE - [4, 4, 0]).max(axis=1)
    for wanted in (1, 9, 20, 25, 48, 81):
        chosen = growth.cut(SQUARE, size, wanted, 1.1, np.random.default_rng(1))
        assert chosen.sum() == wanted
        edge = size[chosen].max()
        assert chosen[size < edge].all()
        assert growth.coordination(SQUARE[chosen], 1.1).min() >= (0 if wanted == 1 else 2 if wanted != 20 else 1)
