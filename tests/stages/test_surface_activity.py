"""Activity for oxygen reduction from strain, coordination and neighbours in an alloy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.stages.strain.lattice_constant import lattice_constant
from aetx.stages.surface.activity import activity
from aetx.stages.surface.activity_alloy import activity_alloy
from aetx.stages.surface.activity_coordination import activity_coordination
from aetx.stages.surface.activity_map import activity_map
from aetx.stages.surface.contact import contact
from aetx.stages.surface.facets import facets
from tests.stages.crystals import CELL, NONE, TURN, atoms, lattice, sites

LN10 = np.log(10)


def strained(strain: float, error: float = np.nan, size: int = 5) -> xr.Dataset:
    found = facets(lattice(sites("cuboctahedron", size)))
    count = found.sizes["atom"]
    return found.assign(
        local_strain=("atom", np.full(count, strain), NONE),
        local_strain_error=("atom", np.full(count, error), NONE),
    )


def of_family(made: xr.Dataset, name: str = "activity_mean") -> tuple[float, float]:
    return tuple(float(made[name].sel(activity_group=one)) for one in ("111", "100"))  # type: ignore[return-value]


@pytest.mark.parametrize(("strain", "first", "second"), [(0.0, 0.0, -2.70), (0.04, -2.37, -2.03), (-0.02, 1.18, -3.04)])
def test_the_check_table_of_the_defaults_holds(strain: float, first: float, second: float) -> None:
    found = of_family(activity(strained(strain), edges=False))
    assert np.array(found) / LN10 == pytest.approx([first, second], abs=0.006)


def test_compression_makes_111_better_up_to_the_peak_and_worse_beyond() -> None:
    mean = [of_family(activity(strained(e), edges=False))[0] for e in (0.0, -0.02, -0.0377, -0.05)]
    assert mean[0] < mean[1] < mean[2]
    assert mean[2] > mean[3]
    assert mean[2] == pytest.approx(5.137, abs=0.01)


def test_tension_makes_100_the_better_facet_where_the_readings_say_so() -> None:
    def better(strain: float, **given: Any) -> bool:
        first, second = of_family(activity(strained(strain), edges=False, **given))
        return second > first

    assert [better(e) for e in (0.0, 0.035, 0.0362)] == [False, False, True]
    assert [better(e, slope_100=-1.0) for e in (-0.0975, -0.095, 0.063, 0.065)] == [True, False, False, True]


def test_every_result_says_that_it_is_a_parametrised_model_and_which() -> None:
    said = activity(strained(0.0))["activity"].attrs["model"]
    assert said.startswith("parametrised model (default)")
    assert "slopes not measured" in said
    assert "B: slopes of one sign" in activity(strained(0.0), slope_100=-1.0)["activity"].attrs["model"]
    assert "(own)" in activity(strained(0.0), slope_111=-2.0)["activity"].attrs["model"]


def test_inner_atoms_and_110_have_no_activity() -> None:
    made = activity(strained(0.0))
    assert np.isnan(made["activity"].values[made["facet"].values < 0]).all()
    found = facets(lattice(sites("rhombic_dodecahedron", 14)))
    count = found.sizes["atom"]
    given = found.assign(local_strain=("atom", np.zeros(count), NONE))
    with pytest.warns(AetxWarning, match="no atom has an activity"):
        assert np.isnan(activity(given)["activity"].values).all()


def test_atoms_of_edges_count_where_they_are_asked_for() -> None:
    given = strained(0.0)
    every, inner = activity(given), activity(given, edges=False)
    assert np.isfinite(every["activity"]).sum() == 252
    assert np.isfinite(inner["activity"]).sum() == 8 * 6 + 6 * 16


def test_errors_of_the_parametrisation_are_there_only_where_they_are_stated() -> None:
    given = strained(0.01, 0.002)
    assert np.isnan(activity(given)["activity_model_error"].values).all()
    made = activity(given, slope_error=1.0, start_error=0.05, edges=False)
    first, second = of_family(made, "activity_mean_model_error")
    assert first == pytest.approx(0.01 / 0.02569, rel=1e-6)
    assert second == pytest.approx(np.hypot(0.01, 0.05) / 0.02569, rel=1e-3)


def test_averages_are_weighted_by_the_area_of_sites() -> None:
    made = activity(strained(0.01), edges=False)
    weight = np.array([8 * 6 * np.sqrt(3) / 4, 6 * 16 / 2])
    each = np.array(of_family(made))
    total = float(made["activity_total"].sel(activity_group="all"))
    assert total == pytest.approx(np.log((weight * np.exp(each)).sum() / weight.sum()))
    mean = float(made["activity_mean"].sel(activity_group="all"))
    assert mean == pytest.approx((weight * each).sum() / weight.sum())


def test_atoms_free_of_the_support_have_their_own_average() -> None:
    made = activity(contact(strained(0.01), facets=(0,)))
    free = made["activity_atoms"].sel(activity_group="free")
    assert int(free) == 252 - 36


def test_strain_that_is_not_there_is_asked_for() -> None:
    bare = facets(lattice(sites("cuboctahedron", 3)))
    with pytest.raises(InputError, match=r"strain\.lattice_constant"):
        activity(bare)
    assert np.isfinite(activity(bare, strain="in_plane")["activity"]).any()


def test_strain_in_the_plane_leaves_out_that_across_it() -> None:
    site = sites("cuboctahedron", 5)
    one = np.array([1.0, 1.0, 1.0]) @ TURN / 3**0.5
    bend = 0.02 * np.eye(3) - 0.05 * np.outer(one, one)
    made = activity(facets(lattice(site, strain=bend)), strain="in_plane")
    across = np.abs(made["facet_normal"].values @ one)[made["facet"].values]
    known = np.isfinite(made["surface_strain"].values)
    assert known.sum() == 252
    flat = known & (across > 0.999)
    assert flat.sum() >= 2 * 6
    np.testing.assert_allclose(made["surface_strain"].values[flat], 0.02, atol=1e-12)
    assert (made["surface_strain"].values[known & ~flat] < 0.019).all(), "planes that are not across feel it"


def test_strain_in_the_plane_is_counted_from_the_stated_cell() -> None:
    given = facets(lattice(sites("cuboctahedron", 5), strain=0.01))
    made = activity(given, strain="in_plane", lattice_constant=CELL * 1.01)["surface_strain"].values
    np.testing.assert_allclose(made[np.isfinite(made)], 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="in_plane only"):
        activity(given, lattice_constant=CELL)


def test_pulls_of_activity_have_the_width_of_one() -> None:
    generator = np.random.default_rng(7)
    given = facets(lattice(sites("cuboctahedron", 4)))
    count = given.sizes["atom"]
    true = generator.uniform(-0.08, 0.08, count)
    error = generator.uniform(0.003, 0.01, count)
    bare = given.assign(local_strain=("atom", true, NONE), local_strain_error=("atom", np.zeros(count), NONE))
    wanted = activity(bare)["activity"].values
    pulls = []
    for _ in range(100):
        noisy = given.assign(
            local_strain=("atom", true + generator.normal(0, error), NONE), local_strain_error=("atom", error, NONE)
        )
        made = activity(noisy)
        pulls.append((made["activity"].values - wanted) / made["activity_error"].values)
    known = np.array(pulls)[:, np.isfinite(wanted)]
    assert np.sqrt((known**2).mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_pulls_of_activity_from_positions_have_the_width_of_one() -> None:
    noise, pulls = 0.03, []
    site = sites("truncated_octahedron", 12, 8)
    bend = np.diag([-0.02, 0.01, 0.015])
    wanted = activity(lattice_constant(facets(lattice(site, strain=bend)), lattice_constant=CELL))["activity"].values
    for seed in range(200):
        given = facets(lattice(site, noise, seed, bend))
        made = activity(lattice_constant(given, lattice_constant=CELL))
        pulls.append((made["activity"].values - wanted) / made["activity_error"].values)
    known = np.array(pulls)[:, np.isfinite(wanted)]
    assert np.sqrt((known**2).mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("meaning", ["local", "in_plane"])
def test_a_planted_strain_comes_back_on_the_map_and_on_average_within_its_error(meaning: str) -> None:
    site, noise = sites("cuboctahedron", 4), 0.04
    bend = np.diag([-0.03, 0.01, 0.02])

    def shown(given: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
        made = activity(lattice_constant(facets(given)), strain=meaning)
        return made, activity_map(made, points=24, step=2.0)

    exact, flat = shown(lattice(site, 0.0, strain=bend))
    pulls: dict[str, list[np.ndarray]] = {"activity": [], "surface_strain": [], "activity_mean": []}
    for seed in range(30):
        noisy, field = shown(lattice(site, noise, seed, bend))
        for name in ("activity", "surface_strain"):
            pulls[name].append(((field[name] - flat[name]) / field[f"{name}_error"]).values)
        pulls["activity_mean"].append(
            ((noisy["activity_mean"] - exact["activity_mean"]) / noisy["activity_mean_error"]).values
        )
    for name, one in pulls.items():
        wide = 0.3 if name == "activity_mean" else 0.12
        assert np.sqrt(np.nanmean(np.square(one))) == pytest.approx(1.0, abs=wide), name
    strain, x = flat["surface_strain"], flat["x"]
    assert float(strain.where(x > 8).mean()) > float(strain.where(abs(x) < 2).mean()), "across x there is tension"


def test_the_mean_current_is_not_raised_by_noise() -> None:
    site, noise = sites("cuboctahedron", 4), 0.03
    exact = activity(lattice_constant(facets(lattice(site))))
    total = []
    for seed in range(15):
        made = activity(lattice_constant(facets(lattice(site, noise, seed))))
        total.append(made["activity_total"].values)
        error = made["activity_total_error"].values
    away = np.mean(total, axis=0) - exact["activity_total"].values
    assert (np.abs(away) < 4 * error / np.sqrt(15)).all()
    assert (error < 0.2).all()


def test_a_map_is_undefined_away_from_the_surface() -> None:
    made = activity_map(activity(strained(0.0, 0.001)), points=24)
    middle = made.sel(x=0, y=0, z=0, method="nearest")
    assert np.isnan(middle["activity"])
    assert float(middle["weight"]) < 0.3
    assert "parametrised model" in made["activity"].attrs["model"]
    for family, wanted in (("111", 0.0), ("100", -0.16 / 0.02569)):
        only = activity_map(activity(strained(0.0, 0.001)), points=24, family=family)["activity"].values
        np.testing.assert_allclose(only[np.isfinite(only)], wanted, atol=1e-5)


def test_a_map_of_one_point_is_its_kernel() -> None:
    made = activity(strained(0.0, 0.001))
    lone = np.full(made.sizes["atom"], np.nan)
    lone[int(np.flatnonzero(np.isfinite(made["activity"].values))[0])] = 1.5
    shown = activity_map(made.assign(activity=made["activity"].copy(data=lone)), points=40, least=0.01)
    place = made["position"].values[np.isfinite(lone)][0]
    away = (shown["x"] - place[0]) ** 2 + (shown["y"] - place[1]) ** 2 + (shown["z"] - place[2]) ** 2
    wanted = np.exp(-away.transpose("z", "y", "x").values / (2 * 2.7**2))
    near = wanted > 0.01
    np.testing.assert_allclose(shown["weight"].values[near], wanted[near], rtol=1e-5)
    np.testing.assert_allclose(shown["activity"].values[near], 1.5, rtol=1e-6)


def test_a_grid_that_is_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="so that the atoms fit"):
        activity_map(activity(strained(0.0)), points=10, step=1.0)


def slab(layers: int, tilted: bool = False) -> np.ndarray:
    """A wide platelet along [111], or along [100]."""
    edge = np.arange(-14, 15)
    twice = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    twice = twice[twice.sum(1) % 2 == 0]
    height = twice[:, 0] if tilted else twice.sum(1) // 2
    wide = np.linalg.norm(twice - height[:, None] * ([1, 0, 0] if tilted else [2 / 3] * 3), axis=1) < 12
    return np.asarray(twice[wide & (height >= 0) & (height < layers)] / 2 * CELL)


@pytest.mark.parametrize(("tilted", "wanted"), [(False, 0.0), (True, 0.192 * (20 / 3 - 7.5))])
def test_coordination_gives_111_no_energy_and_100_a_stronger_bond(tilted: bool, wanted: float) -> None:
    place = slab(8, tilted)
    made = activity_coordination(atoms(place), below=10)
    height = place @ (np.array([1, 0, 0]) if tilted else np.ones(3) / 3**0.5)
    middle = (height > height.max() - 0.1) & (
        np.linalg.norm(place - place[height > height.max() - 0.1].mean(0), axis=1) < 8
    )
    energy = made["binding_energy"].values[middle]
    assert middle.sum() > 20
    np.testing.assert_allclose(energy, wanted, atol=1e-12)
    assert (made["activity_error"].values[middle] == 0).all()


def test_the_alloy_descriptor_gives_its_published_values() -> None:
    place = slab(8) * (2.75 * np.sqrt(2) / CELL)
    made = activity_alloy(atoms(place, 0.05))
    top = place.sum(1) > place.sum(1).max() - 0.1
    middle = top & (np.linalg.norm(place - place[top].mean(0), axis=1) < 8)
    np.testing.assert_allclose(made["binding_energy"].values[middle], -0.057, atol=5e-4)
    rim = top & (np.bincount(np.arange(len(place))) > 0) & np.isfinite(made["activity"].values) & ~middle
    assert rim.sum() > 0
    cut = place[~(top & (np.arange(len(place)) == np.flatnonzero(middle)[0]))]
    less = activity_alloy(atoms(cut, 0.05))
    assert np.isclose(less["binding_energy"].values, -0.244, atol=5e-4).sum() >= 6, "neighbours of the vacancy"


def test_compression_and_nickel_weaken_the_bond_in_an_alloy() -> None:
    place = slab(8) * (2.75 * np.sqrt(2) / CELL)
    top = place.sum(1) > place.sum(1).max() - 0.1
    middle = np.flatnonzero(top & (np.linalg.norm(place - place[top].mean(0), axis=1) < 5))
    plain = activity_alloy(atoms(place))
    pressed = activity_alloy(atoms(0.98 * place), bond=2.75)
    assert (pressed["binding_energy"].values[middle] > plain["binding_energy"].values[middle]).all()
    below = place.sum(1) < place.sum(1).max() - 1.0
    mixed = atoms(place)
    mixed["species"] = ("atom", np.where(below, 28, 78).astype(np.int32), NONE)
    made = activity_alloy(mixed)
    wanted = 0.1868 * (6 + 1.134 * 3) - 1.7382
    np.testing.assert_allclose(made["binding_energy"].values[middle], wanted, atol=1e-3)
    assert np.isnan(made["activity"].values[below]).all()
    assert np.isnan(made["activity_error"].values[middle]).all(), "without errors of positions"


def test_pulls_of_activity_in_an_alloy_have_the_width_of_one() -> None:
    place, noise, generator = slab(4) * 0.99, 0.04, np.random.default_rng(0)
    wanted = activity_alloy(atoms(place, noise), cutoff=3.35)["activity"].values
    pulls = []
    for _ in range(60):
        made = activity_alloy(atoms(place + generator.normal(0, noise, place.shape), noise), cutoff=3.35)
        pulls.append((made["activity"].values - wanted) / made["activity_error"].values)
    known = np.array(pulls)[:, np.isfinite(wanted)]
    assert np.sqrt(np.nanmean(known**2)) == pytest.approx(1.0, abs=0.1)


def test_unknown_elements_are_refused_in_an_alloy() -> None:
    given = atoms(slab(3))
    given["species"] = ("atom", np.zeros(given.sizes["atom"], np.int32), NONE)
    with pytest.raises(InputError, match="unknown element"):
        activity_alloy(given)
