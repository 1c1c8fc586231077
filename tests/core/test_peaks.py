"""What the tracing stages share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aetx.core.peaks import Cubes


@given(
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    corner=st.tuples(*[st.floats(-20, 70)] * 3),
    size=st.tuples(*[st.floats(0, 50)] * 3),
    seed=st.integers(0, 99),
)
def test_a_box_finds_all_places_in_it_and_in_order(
    shape: tuple[int, int, int], corner: tuple[float, ...], size: tuple[float, ...], seed: int
) -> None:
    places = np.random.default_rng(seed).uniform(-5, np.array(shape) + 5, (40, 3))
    low = np.array(corner)
    high = low + size
    near = Cubes.of(places, shape, edge=16).near(low, high)
    inside = np.flatnonzero(((places >= low) & (places <= high)).all(1))
    assert set(inside) <= set(near)
    assert np.all(np.diff(near) > 0)


def test_a_box_does_not_look_at_places_far_away() -> None:
    places = np.stack(np.meshgrid(*[np.arange(4.0, 64, 8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    near = Cubes.of(places, (64, 64, 64), edge=16).near(np.zeros(3), np.full(3, 15.0))
    assert len(near) == 8
