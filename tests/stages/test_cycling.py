"""simulate.cycling"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from aetx.errors import InputError
from aetx.stages.simulate.cycling import cycling

CYCLES = (0, 4000, 8000, 12_000)


def history(**options: Any) -> list[xr.Dataset]:
    return [cycling(cycles=cycles, edge=13, **options) for cycles in CYCLES]


def nickel_at_surface(made: xr.Dataset) -> float:
    surface = made["coordination"].values < 12
    return float((made["species"].values[surface] == 28).mean())


def sites(made: xr.Dataset) -> xr.DataArray:
    """Half lattice steps from the centre."""
    return (made["position"] / (3.764 / 2 * (1 + made.attrs["strain"]))).round().astype(int)


def test_it_starts_as_an_octahedron_with_three_platinum_for_two_nickel() -> None:
    made = cycling()
    assert made.sizes["atom"] == 3281
    platinum, nickel = ((made["species"].values == number).sum() for number in (78, 28))
    assert_allclose(platinum / nickel, 1.5, rtol=1e-3)
    assert abs(sites(made)).sum("axis").max() == 16
    assert (made["moves"] == 0).all()
    assert made["atom"].values.tolist() == list(range(3281))


def test_each_state_evolves_from_the_one_before() -> None:
    states = history()
    for before, after in pairwise(states):
        assert set(after["atom"].values) < set(before["atom"].values)
        shared = before.sel(atom=after["atom"])
        assert (shared["species"] == after["species"]).all()
        assert (after["moves"] >= shared["moves"]).all()
        still = (after["moves"] == shared["moves"]).values
        assert 0.7 < still.mean() < 1
        assert (sites(shared).values[still] == sites(after).values[still]).all()
        gone = before.sel(atom=np.setdiff1d(before["atom"], after["atom"]))
        assert (gone["species"] == 28).mean() > 0.95


def test_the_surface_loses_its_nickel() -> None:
    found = [nickel_at_surface(made) for made in history()]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.35
    assert found[-1] < 0.6 * found[0]


def test_the_particle_becomes_rounder() -> None:
    def stretch(made: xr.Dataset) -> float:
        radius = np.linalg.norm(sites(made).values, axis=1)
        return float(radius.max() / np.sqrt((radius**2).mean()))

    first, *_, last = history(dissolution=0.0)
    assert first.sizes["atom"] == last.sizes["atom"]
    assert stretch(last) < stretch(first) - 0.15


def test_the_strain_decays_with_its_time_constant() -> None:
    states = history(relaxation=5000.0)
    spacing = [np.asarray(KDTree(one["position"]).query(one["position"], k=2)[0])[:, 1].mean() for one in states]
    strain = np.array(spacing) / (3.764 / np.sqrt(2)) - 1
    assert_allclose(strain, -0.02 * np.exp(-np.array(CYCLES) / 5000.0), rtol=1e-9)


def test_the_doped_particle_has_gallium_near_its_surface_and_changes_less() -> None:
    plain, doped = history(), history(rates=0.3, doping=0.03)
    gallium = doped[0].isel(atom=doped[0]["species"].values == 31)
    assert gallium.sizes["atom"] == round(0.03 * doped[0].sizes["atom"])
    depth = 12 - abs(sites(gallium)).sum("axis")
    assert depth.max() <= 2  # one layer is two steps in the sum
    same = (plain[0]["species"] == doped[0]["species"]) | (doped[0]["species"] == 31)
    assert same.all()
    assert nickel_at_surface(plain[-1]) < nickel_at_surface(doped[-1]) - 0.05
    assert plain[-1].sizes["atom"] < doped[-1].sizes["atom"]
    assert_allclose(doped[-1].attrs["strain"], -0.02 * np.exp(-12_000 * 0.3 / 6000))


def test_coordination_counts_nearest_atoms() -> None:
    made = cycling(cycles=5000, edge=9)
    position = made["position"].values
    reach = np.asarray(KDTree(position).query(position, k=2)[0])[:, 1].max() * 1.1
    near = np.asarray(KDTree(position).query_ball_point(position, reach, return_length=True)) - 1
    assert (made["coordination"].values == near).all()
    assert near.min() >= 1


def test_what_is_left_hangs_together() -> None:
    made = cycling(edge=7, cycles=10_000, temperature=5.0, motion=0.5, dissolution=0.9, strain=0.0)
    near = KDTree(made["position"]).query_pairs(3.764 * 0.75, output_type="ndarray")
    count = made.sizes["atom"]
    links = coo_array((np.ones(len(near)), near.T), shape=(count, count))
    assert connected_components(links, directed=False)[0] == 1


def test_seeds_make_different_histories_and_the_same_seed_the_same() -> None:
    options: dict[str, Any] = {"edge": 7, "cycles": 3000}
    assert cycling(**options, seed=1).identical(cycling(**options, seed=1))
    assert not cycling(**options, seed=1).equals(cycling(**options, seed=2))


def test_states_share_their_frame_and_are_turned_alike() -> None:
    one, other = (cycling(edge=7, cycles=cycles, strain=0.0, phi=30.0) for cycles in (0, 2000))
    shared = one.sel(atom=other["atom"])
    still = other["moves"].values == 0
    assert_allclose(other["position"].values[still], shared["position"].values[still], atol=1e-12)


def test_a_particle_that_has_dissolved_is_refused() -> None:
    with pytest.raises(InputError, match=r"at least one atom.*lower 'cycles'"):
        cycling(edge=3, share=0.0, cycles=50_000, dissolution=1.0)


@pytest.mark.parametrize("wrong", [{"cycles": 1500}, {"dopant": "In"}, {"noble": "Ni"}])
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"whole intervals|without doping|different elements"):
        cycling(**wrong)
