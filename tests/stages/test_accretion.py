"""simulate.accretion"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.errors import InputError
from aetx.stages.simulate.accretion import accretion


def nearest(position: np.ndarray) -> np.ndarray:
    return np.asarray(KDTree(position).query(position, k=2)[0])[:, 1]


@pytest.mark.parametrize(("atoms", "diameter"), [(50_000, 120.0), (4_000, 52.0), (600, 26.0)])
def test_the_number_the_diameter_and_both_bounds_are_met(atoms: int, diameter: float) -> None:
    made = accretion(atoms=atoms, diameter=diameter)
    position = made["position"].values
    assert made.sizes["atom"] == atoms
    assert (made["species"] == 14).all()
    assert nearest(position).min() >= 2.32 * (1 - 1e-12)
    assert nearest(position).max() <= 2.53 * (1 + 1e-12)
    far = np.linalg.norm(position, axis=1).max()
    assert diameter / 2 - 1.5 < far <= diameter / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("atoms", "diameter"), [(25_000, 90), (75_000, 140), (100_000, 150), (150_000, 170), (200_000, 190)]
)
def test_the_published_balls_can_be_made(atoms: int, diameter: float) -> None:
    position = accretion(atoms=atoms, diameter=diameter)["position"].values
    assert len(position) == atoms
    assert nearest(position).min() >= 2.32 * (1 - 1e-12)
    assert nearest(position).max() <= 2.53 * (1 + 1e-12)


def test_the_density_is_the_same_at_the_centre_and_further_out() -> None:
    radius = np.linalg.norm(accretion(atoms=20_000, diameter=88.0)["position"].values, axis=1)
    inner, outer = (radius < 25).sum(), (radius < 41).sum()
    assert_allclose(outer / inner, (41 / 25) ** 3, rtol=0.05)


def test_seeds_make_different_balls_and_the_same_seed_the_same() -> None:
    small: dict[str, Any] = {"atoms": 300, "diameter": 22.0}
    assert accretion(**small, seed=1).identical(accretion(**small, seed=1))
    assert not accretion(**small, seed=1).equals(accretion(**small, seed=2))


def test_another_element_has_its_own_bonds() -> None:
    made = accretion(atoms=800, diameter=18.0, element="C", closest=1.42, farthest=1.54)
    assert (made["species"] == 6).all()
    assert nearest(made["position"].values).max() <= 1.54


def test_a_ball_that_is_too_small_is_refused_and_says_how_many_fill_it() -> None:
    with pytest.raises(InputError, match=r"which \d+ atoms fill.*raise 'diameter'"):
        accretion(atoms=900, diameter=24.0)


def test_a_loose_ball_has_its_number_and_bounds_too() -> None:
    position = accretion(atoms=500, diameter=33.0)["position"].values
    assert len(position) == 500
    assert nearest(position).max() <= 2.53 * (1 + 1e-12)


@pytest.mark.parametrize(
    "wrong", [{"closest": 2.6}, {"farthest": 5.0}, {"diameter": 2.1, "atoms": 2}, {"diameter": 1900.0}]
)
def test_bounds_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"above closest|below diameter|at most 125\.7 angstrom for 25000"):
        accretion(**wrong)
