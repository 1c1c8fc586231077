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

from aetx.errors import InputError
from aetx.kernels import alignment, matching
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
    for free in ("rigid", "scale"):
        assert np.linalg.det(alignment.fitted(true * [1, 1, -1], true, free).matrix) > 0


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


def with_species(position: F64, species: list[int]) -> xr.Dataset:
    return atoms_at(position).assign(species=("atom", np.array(species, np.int32), {"units": "1"}))


def cuboctahedron(shells: int, bond: float = 2.77) -> F64:
    """Atoms of a cuboctahedron: |x|, |y|, |z| <= k and |x| + |y| + |z| <= 2 k on a face-centred lattice."""
    edge = np.arange(-shells, shells + 1)
    sites = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    inside = (np.abs(sites).sum(1) <= 2 * shells) & (sites.sum(1) % 2 == 0)
    return sites[inside] * bond / 2**0.5


def test_a_found_atom_may_serve_twice_only_in_the_published_score() -> None:
    true = np.array([[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0], [9.0, 9, 0]])
    found = np.array([[0.5, 0, 0], [9.0, 0, 0], [9.0, 9, 0]])
    score = compare(atoms_at(found), atoms_at(true))
    assert values(score, "common", "missed", "false", "many_to_one_common") == [3, 1, 0, 4]
    assert score["rmsd"] == pytest.approx(np.sqrt(0.25 / 3))
    spread = float(np.std([0.5, -0.5, 0, 0], ddof=1))
    np.testing.assert_allclose(score["many_to_one_rmsd_axis"], [spread, 0, 0], atol=1e-12)


def test_the_published_score_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    true = 1.6 * GRID
    found = np.delete(true + rng.normal([0.2, -0.1, 0.3], 0.25, true.shape), [3, 40], axis=0)
    shift, moved = np.zeros(3), 1.0
    while moved > 1e-4:
        off = []
        for place in true:
            apart = found + shift - place
            distance = np.sqrt((apart**2).sum(1))
            if distance.min() <= 1.5:
                off.append(apart[distance.argmin()])
        shift, moved = shift - np.mean(off, 0), np.abs(np.mean(off, 0)).sum()
    score = compare(atoms_at(found), atoms_at(true))
    assert score["many_to_one_common"] == len(off)
    assert score["many_to_one_rmsd"] == pytest.approx(np.sqrt(np.var(off, 0, ddof=1).sum()), abs=1e-4)
    np.testing.assert_allclose(score["many_to_one_shift"], shift, atol=2e-4)


def test_definitions_of_the_tracing_error_give_the_published_numbers() -> None:
    """Seed 000: two models of 1,411 and 1,530 atoms, 1,284 in common: 25.4 % (373 differ)."""
    places = 5.0 * np.stack(np.meshgrid(*[np.arange(12.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    score = compare(atoms_at(places[:1530]), atoms_at(places[1530 - 1284 : 1530 - 1284 + 1411]))
    assert values(score, "common", "found", "true") == [1284, 1530, 1411]
    assert values(score, "missed", "false") == [127, 246]
    assert float(score["tracing_difference"]) == pytest.approx(0.254, abs=5e-4)
    assert float(score["tracing_error"]) == pytest.approx(373 / 1411)
    assert float(score["identified"]) == pytest.approx(1284 / 1411)


def test_a_scale_and_an_affine_map_are_recovered_and_each_alignment_is_reported() -> None:
    rng = np.random.default_rng(5)
    true = GRID + 0.2 * rng.standard_normal(GRID.shape)
    matrix = Rotation.from_rotvec([0.05, 0.08, -0.04]).as_matrix() @ np.diag([1.02, 0.99, 1.01])
    score = compare(atoms_at(true @ matrix.T + [0.4, 0, -0.3]), atoms_at(true), align="affine")
    assert float(score["rmsd"]) < 1e-9
    turned = score["rotation"].values @ score["stretch"].values
    np.testing.assert_allclose(turned, np.linalg.inv(matrix), atol=1e-9)
    assert (np.diff(score["rmsd_aligned"]) < 0).all()
    assert score["rmsd"].attrs["fitted"] == "affine"
    scaled = compare(atoms_at(true / 1.03), atoms_at(true), align="scale")
    assert float(scaled["scale"]) == pytest.approx(1.03)
    assert float(scaled["rmsd"]) < 1e-9 < 0.05 < float(scaled["rmsd_aligned"].sel(alignment="rigid"))


@pytest.mark.parametrize("degrees", [4, 9, 15])
def test_sets_that_are_turned_by_many_degrees_are_found(degrees: int) -> None:
    rng = np.random.default_rng(6)
    true = cuboctahedron(7)
    true = true[true[:, 0] - 0.3 * true[:, 1] < 15]  # a cap less, so that no rotation maps it onto itself
    true = true + 0.15 * rng.standard_normal(true.shape)
    kept = np.delete(true, rng.choice(len(true), 20, replace=False), axis=0)
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([1, 2, -1]) / 6**0.5).as_matrix()
    score = compare(atoms_at((kept + 0.05 * rng.standard_normal(kept.shape)) @ turn.T), atoms_at(true), align="rigid")
    assert score["common"] == len(kept)
    assert float(score["rmsd"]) == pytest.approx(0.05 * 3**0.5, rel=0.1)
    np.testing.assert_allclose(score["rotation"], turn.T, atol=3e-3)


def test_errors_at_the_surface_are_told_from_those_in_the_core() -> None:
    true = cuboctahedron(5)
    k = 5 * 2.77 / 2**0.5
    shell = (np.abs(true).max(1) > k - 0.1) | (np.abs(true).sum(1) > 2 * k - 0.1)
    found = true + np.where(shell[:, None], [0.3, 0, 0], [0, 0.1, 0])
    missed = [int(np.flatnonzero(shell)[4]), int(np.flatnonzero(~shell)[7])]
    found = np.concatenate([np.delete(found, missed, axis=0), [[1.3 * k, 0, 0]]])
    score = compare(atoms_at(found), atoms_at(true), radius=1.0)
    assert score["true_region"].values.tolist() == [252, 309]
    assert score["missed_region"].values.tolist() == [1, 1]
    assert score["false_region"].values.tolist() == [1, 0]
    np.testing.assert_allclose(score["tracing_error_region"], [2 / 252, 1 / 309])
    np.testing.assert_allclose(score["rmsd_region"], [0.3, 0.1])
    assert int(score["on_surface"].sum()) == 251


def test_wrong_elements_are_counted_and_unknown_ones_are_not() -> None:
    true = with_species(GRID[:8] * 2, [78, 78, 78, 46, 46, 46, 46, 0])
    found = with_species(GRID[:8] * 2 + [0.1, 0, 0], [78, 78, 46, 46, 46, 0, 0, 78])
    score = compare(found, true)
    assert score["true_species"].values.tolist() == [0, 46, 78]
    assert score["found_species"].values.tolist() == [0, 46, 78]
    assert score["confusion"].values.tolist() == [[0, 0, 1], [2, 2, 0], [0, 1, 2]]
    np.testing.assert_allclose(score["accuracy_species"], [np.nan, 1, 2 / 3])
    np.testing.assert_allclose(score["rmsd_species"], [np.nan, 0.1, 0.1])
    assert float(score["right_element"]) == pytest.approx(4 / 5)


def test_the_interval_of_the_distance_is_beside_it() -> None:
    found = GRID * 3 + 0.1 * np.random.default_rng(7).standard_normal(GRID.shape)
    score = compare(atoms_at(found), atoms_at(GRID * 3))
    for name in ("rmsd", "rmsd_axis", "rmsd_region"):
        low, high = score[f"{name}_interval"].values
        assert (low < score[name].values).all()
        assert (score[name].values < high).all()
        assert (high < 3 * low).all()
    again = compare(atoms_at(found), atoms_at(GRID * 3), seed=1)
    assert float(again["rmsd_interval"][0]) == pytest.approx(float(score["rmsd_interval"][0]), rel=0.03)


def test_no_wrong_atom_among_many_is_not_certainty() -> None:
    """The exact bound for nothing seen is -log(0.025)."""
    score = compare(atoms_at(GRID), atoms_at(GRID))
    np.testing.assert_allclose(score["tracing_error_interval"], [0, -np.log(0.025) / 64])


def test_atoms_that_are_nowhere_are_refused() -> None:
    lost = GRID.copy()
    lost[[3, 9], 1] = np.nan
    with pytest.raises(InputError, match="2 atoms that are not finite"):
        compare(atoms_at(GRID), atoms_at(lost))
