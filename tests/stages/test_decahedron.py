"""simulate.decahedron"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.errors import InputError
from aetx.kernels.rendering import rotation
from aetx.stages.simulate.decahedron import decahedron

UPRIGHT: dict[str, Any] = {"phi": 0.0, "theta": 0.0, "psi": 0.0}


def is_fcc(position: np.ndarray, reach: float) -> np.ndarray:
    """Tell which atoms have twelve neighbours in twelve pairs of signature 421 (common-neighbour analysis)."""
    near = [set(found) - {i} for i, found in enumerate(KDTree(position).query_ball_point(position, reach))]
    fcc = np.zeros(len(position), bool)
    for i, found in enumerate(near):
        if len(found) != 12:
            continue
        fcc[i] = all(_signature(near, near[i] & near[j]) == (4, 2, 1) for j in found)
    return fcc


def _signature(near: list[set[int]], common: set[int]) -> tuple[int, int, int]:
    bonds = [pair for pair in combinations(common, 2) if pair[1] in near[pair[0]]]
    touching = any(set(a) & set(b) for a, b in combinations(bonds, 2))
    return len(common), len(bonds), 2 if touching else 1


def test_the_published_particle_has_25790_atoms_and_its_extent() -> None:
    made = decahedron(**UPRIGHT)
    assert made.sizes["atom"] == 25_790
    assert_allclose(sorted(np.ptp(made["position"].values, axis=0)), [94.1, 94.1, 98.9], atol=0.06)
    assert (made["species"] == 78).all()
    assert decahedron(edge=13, height=11, reentrance=6).sizes["atom"] == 25_780


def test_the_ten_last_atoms_sit_together_on_the_crystal() -> None:
    body = decahedron(edge=13, height=11, reentrance=6, **UPRIGHT)["position"].values
    made = decahedron(**UPRIGHT)["position"].values
    shift = made[0] - body[0]
    fresh = made[KDTree(body + shift).query(made)[0] > 0.1]
    assert len(fresh) == 10
    near = KDTree(made).query_ball_point(fresh, 1.2 * 2.766, return_length=True)
    assert near.min() - 1 >= 5
    assert np.asarray(KDTree(made).query(fresh, k=2)[0])[:, 1].min() == pytest.approx(2.766, abs=1e-3)


def test_there_are_five_equal_sectors_a_fifth_of_a_turn_apart() -> None:
    made = decahedron(edge=6, height=4, reentrance=2, **UPRIGHT)
    position, sector = made["position"].values, made["sector"].values
    counts = [int((sector == m).sum()) for m in range(5)]
    assert len(set(counts)) == 1
    for m in range(5):
        turned = position[sector == 0] @ rotation(2 * np.pi / 5 * m, 0, 0).T
        assert_allclose(KDTree(position[sector == m]).query(turned)[0], 0.0, atol=1e-9)
    inner = position[np.linalg.norm(position[:, :2], axis=1) > 1]
    steps = np.rad2deg(np.arctan2(inner[:, 1], inner[:, 0])) % 72
    twin = np.minimum(np.abs(steps - 18), 72 - np.abs(steps - 18)) < 1e-6
    assert_allclose(twin.sum(), (sector == -1).sum() - (np.linalg.norm(position[:, :2], axis=1) <= 1).sum())


def test_each_sector_is_fcc_and_the_axis_is_110_of_all() -> None:
    made = decahedron(atoms=3000, **UPRIGHT)
    position, sector = made["position"].values, made["sector"].values
    reach = 1.2 * 2.766
    inside = KDTree(position).query_ball_point(position, reach, return_length=True) == 13
    fcc = is_fcc(position, reach)
    for m in range(5):
        assert fcc[inside & (sector == m)].mean() >= 0.95
    assert fcc[inside & (sector == -1)].mean() < 0.05
    tree = KDTree(position[sector >= 0])
    along = np.asarray(tree.query(position[sector >= 0] + [0, 0, 3.912 / np.sqrt(2)])[0]) < 1e-6
    assert along.mean() > 0.8


@pytest.mark.parametrize("atoms", [7, 100, 1001, 5377])
def test_any_number_of_atoms_is_met(atoms: int) -> None:
    made = decahedron(atoms=atoms)
    assert made.sizes["atom"] == atoms
    nearest = np.asarray(KDTree(made["position"].values).query(made["position"].values, k=2)[0])[:, 1]
    assert_allclose(nearest, 2.766, atol=1e-3)


def test_the_turn_is_the_active_rotation_and_turns_the_displacements_too() -> None:
    options: dict[str, Any] = {"atoms": 309, "displacement": 0.1, "distribution": "gaussian", "seed": 3}
    upright, turned = decahedron(**options, **UPRIGHT), decahedron(**options)
    matrix = rotation(*np.deg2rad([11.0, 7.0, 17.0]))
    for name in ("position", "displacement"):
        assert_allclose(turned[name].values, upright[name].values @ matrix.T, atol=1e-12)
    assert_allclose(np.sqrt((upright["displacement"] ** 2).sum("axis").mean()), 0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"edge": 5}, "edge, height, reentrance together"),
        ({"edge": 5, "height": 3, "reentrance": 1, "atoms": 1000}, "either atoms or edge"),
        ({"separation": 3.0}, "nearest sites"),
    ],
)
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        decahedron(**wrong)


def test_atoms_that_cannot_keep_their_distance_are_an_error() -> None:
    with pytest.raises(InputError, match=r"closer than 2\.7 angstrom"):
        decahedron(atoms=309, displacement=1.5, separation=2.7)
