"""simulate.perovskite"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.spatial import KDTree

from aetx.stages.simulate.perovskite import perovskite

TEXTURES = (
    "uniform",
    "vortex",
    "antivortex",
    "two_vortices",
    "two_opposite_vortices",
    "skyrmion",
    "hopfion",
    "flux_closure",
)


def split(made: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of barium, places of titanium, and the truth about the latter."""
    position, titanium = made["position"].values, made["species"].values == 22
    return position[made["species"].values == 56], position[titanium], made["polar"].values[titanium]


@pytest.mark.parametrize("texture", TEXTURES)
def test_titanium_is_off_the_centre_of_its_cage_by_the_truth(texture: str) -> None:
    barium, titanium, polar = split(perovskite(size=32.0, texture=texture))
    cage = barium[np.asarray(KDTree(barium).query(titanium - polar, k=8)[1])]
    assert_allclose(titanium - cage.mean(axis=1), polar, atol=1e-9)
    length = np.linalg.norm(polar, axis=1)
    assert length.max() <= 0.1 + 1e-12
    assert length.max() > 0.09


def test_the_truth_is_undefined_for_all_but_titanium() -> None:
    made = perovskite(size=24.0, oxygen=True)
    other = made["species"].values != 22
    assert np.isnan(made["polar"].values[other]).all()
    assert np.isfinite(made["polar"].values[~other]).all()
    assert made["polar"].attrs["units"] == "angstrom"


def test_the_toroidal_moment_is_that_of_the_integral() -> None:
    _, titanium, polar = split(perovskite(size=120.0))
    radius = 60.0

    def shell(rho: float) -> float:
        return float(4 * np.pi * rho**2 * np.sqrt(radius**2 - rho**2) * np.tanh(rho / 4.0))

    expected = 0.1 / 2 * quad(shell, 0, radius)[0] / (4 / 3 * np.pi * radius**3)
    moment = np.cross(titanium - titanium.mean(axis=0), polar - polar.mean(axis=0)).mean(axis=0) / 2
    assert_allclose(moment, [0, 0, expected], rtol=0.01, atol=1e-3)
    assert 0.9 < expected / (3 * np.pi / 32 * 0.1 * radius) < 1


def test_the_truth_turns_with_the_particle() -> None:
    _, _, polar = split(perovskite(size=24.0, texture="uniform", theta=90.0))
    assert_allclose(polar, np.broadcast_to([0.1, 0, 0], polar.shape), atol=1e-12)
    barium, titanium, polar = split(perovskite(size=24.0, phi=11.0, theta=7.0, psi=17.0))
    cage = barium[np.asarray(KDTree(barium).query(titanium - polar, k=8)[1])]
    assert_allclose(titanium - cage.mean(axis=1), polar, atol=1e-9)


@pytest.mark.parametrize("distribution", ["cube", "gaussian"])
def test_noise_moves_the_atoms_and_leaves_the_truth(distribution: str) -> None:
    options: dict[str, Any] = {"size": 50.0, "texture": "vortex"}
    still, noisy = perovskite(**options), perovskite(**options, displacement=0.2, distribution=distribution)
    shift = (noisy["position"] - still["position"]).values
    assert_allclose(np.sqrt((shift**2).sum(axis=1).mean()), 0.2, rtol=0.05)
    xr.testing.assert_identical(noisy["polar"], still["polar"])


@pytest.mark.parametrize(("shape", "cells"), [("cube", 15**3), ("sphere", 1791), ("rounded_cube", 2757)])
def test_the_shape_is_filled_with_cells(shape: str, cells: int) -> None:
    made = perovskite(shape=shape)
    assert_allclose((made["species"] == 22).sum(), cells, rtol=0.04)


def test_oxygen_stands_between_titanium_and_titanium() -> None:
    made = perovskite(size=40.0, shape="cube", oxygen=True, polar=0.0)
    counts = [int((made["species"] == number).sum()) for number in (56, 22, 8)]
    assert counts == [11**3, 10**3, 3 * 10 * 10 * 11]
    position = made["position"].values
    oxygen, titanium = (position[made["species"].values == number] for number in (8, 22))
    assert_allclose(np.asarray(KDTree(oxygen).query(titanium, k=6)[0]), 4.009 / 2)


def test_skyrmions_take_their_winding_and_helicity() -> None:
    _, titanium, outwards = split(perovskite(texture="skyrmion", helicity=0.0))
    _, _, around = split(perovskite(texture="skyrmion"))
    rho = titanium[:, :2] / np.linalg.norm(titanium[:, :2], axis=1, keepdims=True)
    middle = np.abs(np.linalg.norm(titanium[:, :2], axis=1) - 15) < 3
    assert (outwards[middle, :2] * rho[middle]).sum(axis=1).min() > 0.05
    assert np.abs((around[middle, :2] * rho[middle]).sum(axis=1)).max() < 0.02


@pytest.mark.parametrize(("texture", "sense"), [("two_vortices", 1.0), ("two_opposite_vortices", -1.0)])
def test_two_vortices_lie_half_a_radius_off_the_middle_and_turn_as_named(texture: str, sense: float) -> None:
    _, titanium, polar = split(perovskite(texture=texture))
    for middle, turn in ((-15.0, 1.0), (15.0, sense)):
        away = (titanium - polar)[:, :2] - [middle, 0.0]
        near = np.linalg.norm(away, axis=1) < 7
        moment = away[near, 0] * polar[near, 1] - away[near, 1] * polar[near, 0]
        assert (np.sign(moment[moment != 0]) == turn).mean() > 0.9


def test_skyrmions_turn_anticlockwise_and_the_ring_of_a_hopfion_has_half_the_radius() -> None:
    _, titanium, polar = split(perovskite(texture="skyrmion"))
    moment = titanium[:, 0] * polar[:, 1] - titanium[:, 1] * polar[:, 0]
    assert moment.min() > -1e-9
    assert moment.max() > 1
    _, titanium, polar = split(perovskite(texture="hopfion"))
    flat = np.abs(titanium[:, 2]) < 2.5
    lowest = np.argsort(polar[flat, 2])[:12]
    assert_allclose(np.linalg.norm(titanium[flat][lowest, :2], axis=1), 15.0, atol=1.5)


def test_seeds_make_different_noise_and_the_same_seed_the_same() -> None:
    options: dict[str, Any] = {"size": 20.0, "displacement": 0.1}
    assert perovskite(**options, seed=1).identical(perovskite(**options, seed=1))
    assert not perovskite(**options, seed=1).equals(perovskite(**options, seed=2))


def test_two_hundred_thousand_atoms_are_possible() -> None:
    assert perovskite(size=230.0, displacement=0.2).sizes["atom"] > 200_000


@pytest.mark.parametrize(
    "wrong",
    [{"texture": "skyrmion", "core": 3.0}, {"winding": 2}, {"helicity": 0.0, "texture": "hopfion"}],
)
def test_parameters_that_the_texture_does_not_have_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"no (core|winding|helicity) in the texture"):
        perovskite(**wrong)
