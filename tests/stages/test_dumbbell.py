"""simulate.dumbbell"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree
from scipy.special import sph_harm_y

from aetx.errors import InputError
from aetx.stages.simulate.dumbbell import dumbbell

IDEAL: dict[str, Any] = {"twist": 0.0, "protrusion": 0.0, "displacement": 0.0}
CUTOFF = 3.416


def bond_order(position: np.ndarray, averaged: bool) -> np.ndarray:
    """Return Q4 and Q6 of each atom, shape (atoms, 2), by scipy's spherical harmonics."""
    near = KDTree(position).query_ball_point(position, CUTOFF)
    found = np.empty((len(position), 2))
    for column, order in enumerate((4, 6)):
        local = np.empty((len(position), 2 * order + 1), complex)
        for i, others in enumerate(near):
            away = position[[j for j in others if j != i]] - position[i]
            polar = np.arccos(away[:, 2] / np.linalg.norm(away, axis=1))
            turn = np.arctan2(away[:, 1], away[:, 0])
            harmonics = [sph_harm_y(order, m, polar, turn).mean() for m in range(-order, order + 1)]
            local[i] = harmonics
        if averaged:
            local = np.array([local[others].mean(axis=0) for others in near])
        found[:, column] = np.sqrt(4 * np.pi / (2 * order + 1) * (np.abs(local) ** 2).sum(axis=1))
    return found


def test_there_are_exactly_3504_atoms_in_layers_of_the_published_spacing() -> None:
    for shape in ("truncated_octahedron", "sphere"):
        made = dumbbell(shape=shape)
        assert made.sizes["atom"] == 3504
        assert (made["species"] == 78).all()
    made = dumbbell(**IDEAL)
    assert made.sizes["atom"] == 3504
    height = made["position"].sel(axis="z").values
    assert_allclose(height - height[0], (made["layer"] - made["layer"][0]) * 2.2586, atol=1e-3)


AVERAGED = {0: (0.1315, 0.5124), 1: (0.0972, 0.4848), 2: (0.1595, 0.5397), 3: (0.1909, 0.5745), 5: (0.1909, 0.5745)}
FCC, HCP = (0.190941, 0.574524), (0.097222, 0.484762)


def test_the_bond_order_of_the_ideal_one_is_the_published() -> None:
    made = dumbbell(**IDEAL)
    core = (
        np.linalg.norm(made["position"].values - made["position"].values[made["layer"] == 0].mean(axis=0), axis=1) < 21
    )
    position, layer = made["position"].values[core], made["layer"].values[core]
    across = np.hypot(*(position - position[layer == 0].mean(axis=0))[:, :2].T)
    averaged, plain = (bond_order(position, one) for one in (True, False))
    for number, wanted in AVERAGED.items():
        for sign in (1, -1):
            central = (layer == sign * number) & (across < 3)
            assert central.sum() >= 3
            alone = HCP if number == 1 else FCC
            assert_allclose(averaged[central], np.broadcast_to(wanted, (central.sum(), 2)), atol=1e-4)
            assert_allclose(plain[central], np.broadcast_to(alone, (central.sum(), 2)), atol=1e-6)


def test_the_upper_half_is_turned_by_the_twist() -> None:
    options: dict[str, Any] = {"protrusion": 0.0, "displacement": 0.0}
    plain, turned = dumbbell(**options, twist=0.0), dumbbell(**options, twist=1.59)
    layer = plain["layer"].values
    assert (layer == turned["layer"].values).all()
    for part, angle in ((layer <= 0, 0.0), (layer > 0, 1.59)):
        one, other = (made["position"].values[part, :2] for made in (plain, turned))
        one, other = one - one.mean(axis=0), other - other.mean(axis=0)
        cross = (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()
        assert_allclose(np.rad2deg(np.arctan2(cross, (one * other).sum())), angle, atol=1e-9)


def test_the_bump_is_on_the_upper_half_towards_x_and_strained_there() -> None:
    made = dumbbell(displacement=0.0, twist=0.0)
    position, moved, layer = (made[name].values for name in ("position", "displacement", "layer"))
    assert_allclose(moved[layer <= 0], 0.0)
    half = [np.ptp(position[part][:, 0]) for part in (layer > 0, layer < 0)]
    assert half[0] > half[1] + 6
    site = position - moved
    middle = site[layer > 0][np.abs(moved[layer > 0]).max(axis=1) < 0.02]
    assert len(middle)
    row = (layer == 6) & (np.abs(site[:, 1] - site[layer == 6, 1][np.argmax(site[layer == 6, 0])]) < 0.1)
    order = np.argsort(site[row, 0])
    stretch = np.diff(position[row, 0][order]) / np.diff(site[row, 0][order]) - 1
    assert 0.025 < stretch.max() <= 0.04
    assert moved[layer > 0, 1].std() > 0.01


def test_surface_and_middle_are_more_disordered() -> None:
    options: dict[str, Any] = {"protrusion": 0.0, "distribution": "gaussian"}
    made = dumbbell(**options, displacement=0.1, disorder=2.0)
    square = (made["displacement"].values ** 2).sum(axis=1)
    near = KDTree(dumbbell(**IDEAL)["position"].values)
    surface = near.query_ball_point(near.data, CUTOFF, return_length=True) < 13
    rough = surface | (np.abs(made["layer"].values) <= 1)
    assert_allclose(np.sqrt(square[~rough].mean()), 0.1, rtol=0.05)
    assert_allclose(np.sqrt(square[rough].mean()), 0.2, rtol=0.05)


@pytest.mark.parametrize(
    "wrong",
    [{"protrusion": 0.0, "strain_along": 0.02}, {"displacement": 0.0, "disorder": 2.0}, {"separation": 3.0}],
)
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"a protrusion where|a displacement where|nearest sites"):
        dumbbell(**wrong)


def test_atoms_that_cannot_keep_their_distance_are_an_error() -> None:
    with pytest.raises(InputError, match=r"closer than 2\.7 angstrom"):
        dumbbell(twist=20.0, separation=2.7, displacement=0.0, atoms=1000)
