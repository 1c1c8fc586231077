"""`measure.compare`: each atom once, nothing counted twice, and the motion between two sets."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from aetx.kernels import matching
from aetx.stages.measure.compare import compare

F64 = NDArray[np.float64]


def atoms_at(position: F64, first: int = 0) -> xr.Dataset:
    count = len(position)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), position.reshape(-1, 3).astype(float), {"units": "angstrom"}),
            "species": ("atom", np.zeros(count, np.int32), {"units": "1"}),
        },
        coords={"atom": ("atom", np.arange(count) + first, {"units": "1"}), "axis": ["x", "y", "z"]},
    )


def values(score: xr.Dataset, *names: str) -> list[float]:
    return [float(score[name]) for name in names]


GRID = np.stack(np.meshgrid(*[np.arange(4.0) * 2.5] * 3, indexing="ij"), -1).reshape(-1, 3)


def test_the_same_atoms_have_no_error() -> None:
    score = compare(atoms_at(GRID), atoms_at(GRID[::-1], first=100))
    assert values(score, "common", "missed", "false", "rmsd") == [64, 0, 0, 0]
    np.testing.assert_array_equal(score["found_atom"] + score["true_atom"], 163)


def test_the_counts_are_those_of_a_case_worked_by_hand() -> None:
    true = np.array([[0.0, 0, 0], [3, 0, 0], [6, 0, 0]])
    found = np.array([[0.3, 0, 0], [3, 0.4, 0], [20, 0, 0], [30, 0, 0]])
    score = compare(atoms_at(found), atoms_at(true, first=7))
    assert values(score, "true", "found", "common") == [3, 4, 2]
    assert values(score, "missed", "false") == [1, 2]
    assert score["tracing_error"] == pytest.approx(1.0)
    assert score["rmsd"] == pytest.approx(np.sqrt((0.09 + 0.16) / 2))
    np.testing.assert_allclose(score["rmsd_axis"], [0.3 / 2**0.5, 0.4 / 2**0.5, 0])
    assert score["missed_atom"].values.tolist() == [9]
    assert score["false_atom"].values.tolist() == [2, 3]


def test_an_atom_is_used_once_even_where_two_true_ones_are_near() -> None:
    true = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    score = compare(atoms_at(np.array([[0.4, 0, 0]])), atoms_at(true))
    assert values(score, "common", "missed", "false") == [1, 1, 0]
    assert score["true_atom"].values.tolist() == [0]


def test_as_many_pairs_as_can_be_come_before_short_ones() -> None:
    true = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    found = np.array([[1.1, 0, 0], [2.3, 0, 0]])  # 1.1 is nearest to both
    score = compare(atoms_at(found), atoms_at(true), radius=1.5)
    assert score["common"] == 2


@given(seed=st.integers(0, 2**32 - 1), one=st.integers(0, 12), other=st.integers(0, 12))
def test_pairs_are_those_of_the_whole_assignment(seed: int, one: int, other: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0, 4, (one, 3)), rng.uniform(0, 4, (other, 3))
    radius = 1.5
    i, j = matching.pairs(first, second, radius)
    assert len(set(i)) == len(i) == len(set(j))
    apart = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert (apart[i, j] <= radius).all()
    cost = np.where(apart <= radius, apart**2, 1e4)
    rows, columns = linear_sum_assignment(cost)
    good = apart[rows, columns] <= radius
    assert len(i) == good.sum()
    assert (apart[i, j] ** 2).sum() == pytest.approx((apart[rows, columns][good] ** 2).sum())


def test_a_shift_and_a_turn_are_found_and_taken_out() -> None:
    rng = np.random.default_rng(1)
    true = GRID + 0.3 * rng.standard_normal(GRID.shape)
    turn = Rotation.from_rotvec([0.02, -0.03, 0.05]).as_matrix()
    found = (true - [0.2, -0.3, 0.1]) @ turn
    plain, shifted, rigid = (
        compare(atoms_at(found), atoms_at(true), align=how) for how in ("none", "translation", "rigid")
    )
    assert rigid["rmsd"] < 1e-6 < 0.05 < shifted["rmsd"] < plain["rmsd"]
    np.testing.assert_allclose(rigid["rotation"], turn, atol=1e-6)
    np.testing.assert_allclose(rigid["shift"], [0.2, -0.3, 0.1], atol=1e-6)


def test_a_shift_farther_than_the_radius_is_found_from_the_centres() -> None:
    score = compare(atoms_at(GRID + 40.0), atoms_at(GRID), align="translation")
    assert values(score, "common", "rmsd") == [64, pytest.approx(0, abs=1e-9)]


def test_a_mirror_image_is_not_turned_into_its_twin() -> None:
    rng = np.random.default_rng(2)
    true = rng.uniform(0, 12, (20, 3))
    score = compare(atoms_at(true * [1, 1, -1]), atoms_at(true), align="rigid")
    assert score["common"] < 20 or score["rmsd"] > 0.1
    assert np.linalg.det(score["rotation"]) == pytest.approx(1)


@pytest.mark.parametrize(("found", "true"), [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("align", ["none", "translation", "rigid"])
def test_without_atoms_the_distance_is_undefined(found: int, true: int, align: str) -> None:
    score = compare(atoms_at(GRID[:found]), atoms_at(GRID[:true]), align=align)
    assert values(score, "missed", "false") == [true, found]
    assert np.isnan(score["rmsd"])
    assert np.isnan(score["tracing_error"]) == (true == 0)


def test_the_order_of_the_axes_does_not_matter() -> None:
    other = atoms_at(GRID + 0.1).isel(axis=[2, 0, 1])
    assert compare(other, atoms_at(GRID))["rmsd"] == pytest.approx(0.1 * 3**0.5)
