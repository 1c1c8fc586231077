"""simulate.graphene"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.errors import InputError
from aetx.stages.simulate.graphene import graphene

FLAT: dict[str, Any] = {"corrugation": 0.0, "holes": 0}


def bonds_of(position: np.ndarray) -> np.ndarray:
    """Pairs of atoms that are among the nearest three of each other."""
    distance, other = (np.asarray(one)[:, 1:] for one in KDTree(position).query(position, k=4))
    near = {(i, j) for i in range(len(position)) for j in other[i][distance[i] < 1.85].tolist()}
    return np.array(sorted((i, j) for i, j in near if i < j and (j, i) in near))


def lengths(position: np.ndarray) -> np.ndarray:
    first, second = bonds_of(position).T
    return np.linalg.norm(position[first] - position[second], axis=1)


def faces(position: np.ndarray) -> list[int]:
    """Sizes of all faces of the planar graph of bonds, walked with the next bond to the left."""
    pairs = bonds_of(position)
    around: dict[int, list[int]] = {}
    for first, second in np.concatenate([pairs, pairs[:, ::-1]]).tolist():
        around.setdefault(first, []).append(second)
    for atom, others in around.items():
        others.sort(key=lambda one, atom=atom: np.arctan2(*(position[one] - position[atom])[1::-1]))  # type: ignore[misc]
    unseen = {(atom, one) for atom, others in around.items() for one in others}
    sizes = []
    while unseen:
        start = step = min(unseen)
        size = 0
        while True:
            unseen.discard(step)
            size += 1
            others = around[step[1]]
            step = (step[1], others[others.index(step[0]) - 1])
            if step == start:
                break
        sizes.append(size)
    return sizes


def test_bonds_have_the_published_mean_and_hardly_differ() -> None:
    for seed in range(3):
        found = lengths(graphene(seed=seed)["position"].values)
        assert_allclose(found.mean(), 1.42, atol=0.01)
        assert found.std() < 0.105
        assert found.min() > 1.0


def test_rings_have_five_to_eight_atoms_and_most_have_six() -> None:
    position = graphene(size=60.0, **FLAT)["position"].values
    sizes = np.array(faces(position))
    atoms, bonds = len(position), len(bonds_of(position))
    assert atoms - bonds + len(sizes) == 2  # Euler, with the face outside
    inner = np.delete(sizes, sizes.argmax())
    share = np.bincount(inner, minlength=9) / len(inner)
    assert share[5:9].sum() > 0.97
    assert share.argmax() == 6
    assert share[6] > 0.5
    assert share[5] > 0.1
    assert share[7] > 0.1


def test_more_steps_of_lloyd_give_more_hexagons() -> None:
    few, many = (np.array(faces(graphene(size=60.0, lloyd=n, **FLAT)["position"].values)) for n in (0, 20))
    assert (many == 6).mean() > (few == 6).mean() + 0.08


def test_holes_are_cut_and_their_rims_are_whole() -> None:
    options: dict[str, Any] = {"size": 60.0, "corrugation": 0.0, "smallest": 8.0, "largest": 8.0}
    atoms = [graphene(**options, holes=4, seed=seed).sizes["atom"] for seed in range(8)]
    whole = graphene(**options, holes=0).sizes["atom"]
    assert max(atoms) > 0.97 * whole  # none drawn
    assert min(atoms) < 0.85 * whole
    position = graphene(**options, holes=4, seed=int(np.argmin(atoms)))["position"].values
    assert np.bincount(bonds_of(position).ravel(), minlength=len(position)).min() >= 2


def test_the_sheet_has_its_size_its_density_and_its_corrugation() -> None:
    position = graphene(size=80.0, holes=0, corrugation=0.1)["position"].values
    assert_allclose(np.ptp(position[:, :2], axis=0), 80.0, atol=1.5)
    assert np.abs(position[:, :2]).max() <= 40
    assert_allclose(len(position) / 80**2, 2 / 5.24, rtol=0.05)
    assert_allclose(position[:, 2].std(), 0.1, rtol=0.1)


def test_the_sheet_is_turned_as_stated() -> None:
    flat, upright = graphene(**FLAT), graphene(**FLAT, theta=90.0)
    assert_allclose(upright["position"].values[:, 0], flat["position"].values[:, 2], atol=1e-12)
    assert_allclose(upright["position"].values[:, 2], -flat["position"].values[:, 0], atol=1e-12)


def test_the_bare_tessellation_has_no_atoms_nearer_than_the_separation() -> None:
    position = graphene(relaxation=0)["position"].values
    found = np.asarray(KDTree(position).query(position, k=2)[0])[:, 1]
    assert found.min() >= 1.0
    assert lengths(position).std() > 0.15


def test_seeds_make_different_sheets_and_the_same_seed_the_same() -> None:
    assert graphene(size=20.0, holes=0, seed=1).identical(graphene(size=20.0, holes=0, seed=1))
    assert not graphene(size=20.0, holes=0, seed=1).equals(graphene(size=20.0, holes=0, seed=2))


def test_a_sheet_that_is_all_hole_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least one atom.*raise 'size'"):
        graphene(size=6.0, holes=50, smallest=30.0, largest=30.0)


@pytest.mark.slow
def test_two_hundred_thousand_atoms_are_possible() -> None:
    position = graphene(size=730.0)["position"].values
    assert len(position) > 195_000
    assert_allclose(lengths(position).mean(), 1.42, atol=0.01)


@pytest.mark.parametrize("wrong", [{"smallest": 30.0}, {"separation": 1.5}, {"corrugation": 0.6}])
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"not above largest|below bond|third of bond"):
        graphene(**wrong)
