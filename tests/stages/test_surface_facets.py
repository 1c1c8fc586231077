"""Facets of particles, what of them touches a support, and how far they are out of their planes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray as xr
from scipy.spatial import cKDTree

from aetx.errors import AetxWarning, InputError
from aetx.kernels.stacking import CUBIC
from aetx.stages.lattice.fit import fit
from aetx.stages.simulate.dumbbell import dumbbell
from aetx.stages.surface.contact import ContactParams, contact
from aetx.stages.surface.displacement import displacement
from aetx.stages.surface.facets import SITES, facets
from tests.stages.crystals import CELL, TURN, atoms, faces, lattice, sites

MILLER = {"111": (1, 1, 1), "100": (1, 0, 0)}
SIGNS = np.array(np.meshgrid([1, -1], [1, -1], [1, -1])).reshape(3, -1).T
BODIES = [("truncated_octahedron", 12, 8), ("cuboctahedron", 6, 0), ("cube", 6, 0)]


def on_family(found: xr.Dataset, family: str) -> np.ndarray:
    mine = found["facet_family"].values == family
    return np.asarray(found["on_facet"].values[:, mine].any(axis=1))


@pytest.mark.parametrize(("shape", "size", "cut"), BODIES)
def test_atoms_of_noisy_bodies_are_on_their_facets(shape: str, size: int, cut: int) -> None:
    site = sites(shape, size, cut)
    true = faces(site, MILLER)
    true["111"] &= shape != "cube"
    right = []
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, 0.12, site.shape)
        found = facets(fit(atoms(site @ (CELL * TURN) + noise, 0.12), type="fcc"))
        right.append([np.mean(on_family(found, name) == true[name]) for name in true])
    assert np.min(right) >= 0.99


def patches(chosen: np.ndarray, place: np.ndarray, height: np.ndarray) -> list[list[int]]:
    """Chosen atoms of one height, no further apart than a cell is long, one list for each patch."""
    left, found = set(np.flatnonzero(chosen).tolist()), []
    while left:
        front = [left.pop()]
        patch = list(front)
        while front:
            one = front.pop()
            near = [k for k in left if abs(height[k] - height[one]) < 0.4]
            near = [k for k in near if np.linalg.norm(place[k] - place[one]) < CELL + 0.2]
            left.difference_update(near)
            front += near
            patch += near
        found.append(patch)
    return found


def plane_truth(place: np.ndarray, half: np.ndarray, pairs: np.ndarray, normal: np.ndarray, family: str) -> np.ndarray:
    """Apply the rule to one direction with distances and heights alone: bare patches of more than 20, and islands."""
    on, height = np.zeros(len(place), bool), place @ normal
    lower, upper = pairs[(place[pairs[:, 1]] - place[pairs[:, 0]]) @ normal > CELL / (3.5 if family == "111" else 4)].T
    above = np.bincount(lower, minlength=len(place))
    bare = half & (above == 0)
    island = np.zeros(len(place), bool)
    for patch in patches(bare, place, height):
        island[patch] = len(patch) <= 20
    hidden = np.bincount(lower[~island[upper]], minlength=len(place)) > 0
    for patch in patches(half & ~hidden, place, height):
        flat = [k for k in patch if bare[k]]
        inner = [np.sum(np.linalg.norm(place[flat] - place[k], axis=1) < 3.3) - 1 for k in flat]
        if len(patch) > 20 and 2 * len(flat) >= len(patch) and np.mean(inner) > (3 if family == "111" else 2):
            on[[k for k in patch if above[k] < (3 if family == "111" else 4)]] = True
            on[[k for j in patch for k in upper[lower == j] if island[k]]] = True
    return on


def dumbbell_truth(true: xr.Dataset) -> dict[str, np.ndarray]:
    """Return which undisplaced sites of the dumbbell are on {111} and on {100} of its two halves."""
    place, layer = true["position"].values - true["displacement"].values, true["layer"].values
    twist = np.deg2rad(1.59)
    turn = np.array([[np.cos(twist), np.sin(twist), 0], [-np.sin(twist), np.cos(twist), 0], [0, 0, 1]])
    pairs = cKDTree(place).query_pairs(3.3, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    wanted = {}
    for family, directions in (("111", SIGNS / 3**0.5), ("100", np.concatenate([np.eye(3), -np.eye(3)]))):
        on = np.zeros(len(place), bool)
        for half, axes in ((layer > 0, CUBIC @ turn), (layer < 0, CUBIC)):
            for normal in directions @ axes:
                on |= plane_truth(place, half, pairs, normal, family)
        wanted[family] = on
    return wanted


def test_facets_of_the_noisy_dumbbell_are_those_of_its_sites() -> None:
    true = dumbbell()
    found = facets(fit(true, type="fcc"))
    for name, on in dumbbell_truth(true).items():
        assert np.mean(on_family(found, name) == on) >= 0.99, name
        assert on.sum() > 100
    across = found["facet_normal"].values[found["facet_family"].values == "111"]
    ends = np.abs(across[:, 2]) > 0.99
    assert ends.sum() == 2, "the ends, and neither side of the twin planes"


def test_sites_of_the_surface_are_told_apart() -> None:
    found = facets(lattice(sites("cuboctahedron", 5)))
    kinds = found["surface_site"].values
    counts = {name: int((kinds == number).sum()) for number, name in enumerate(SITES)}
    assert counts == {"inner": 309, "terrace": 8 * 6 + 6 * 16, "edge": 24 * 4, "corner": 12, "island": 0, "rough": 0}
    assert found["surface_site"].attrs["flag_meanings"].split() == list(SITES)
    assert (found["facet_count"].values[kinds == SITES.index("corner")] == 4).all()


def test_shares_of_families_add_up_and_wulff_ratios_are_those_of_the_body() -> None:
    found = facets(lattice(sites("truncated_octahedron", 18, 12), 0.1))
    assert float(found["family_atoms"].sum()) == pytest.approx(1)
    assert float(found["family_area"].sum()) == pytest.approx(1)
    ratio = found["wulff_ratio"].sel(family="100")
    wanted = (12 / 2) / (18 / 2 / 3**0.5)
    error = float(found["wulff_ratio_error"].sel(family="100"))
    assert abs(float(ratio) - wanted) < 4 * error
    assert error < 0.01
    assert np.isnan(found["wulff_ratio"].sel(family="110"))


def test_families_that_are_not_asked_for_are_not_looked_for() -> None:
    found = facets(lattice(sites("cuboctahedron", 5)), families=("100",))
    assert set(found["facet_family"].values) == {"100"}
    assert (found["facet"].values < 0).sum() > 309


def test_facets_found_again_replace_those_before() -> None:
    once = facets(lattice(sites("cuboctahedron", 5)))
    xr.testing.assert_identical(facets(once), once)


def test_permuting_atoms_permutes_the_answer() -> None:
    given = lattice(sites("truncated_octahedron", 12, 8), 0.1)
    order = np.random.default_rng(0).permutation(given.sizes["atom"])
    one, other = facets(given).isel(atom=order), facets(given.isel(atom=order))
    xr.testing.assert_equal(one["facet_count"], other["facet_count"])
    xr.testing.assert_equal(one["surface_site"], other["surface_site"])


def test_other_lattices_are_refused() -> None:
    with pytest.raises(InputError, match="fcc"):
        facets(lattice(sites("cuboctahedron", 3)).assign_attrs(lattice="bcc"))


def test_the_stated_side_touches_the_support() -> None:
    found = facets(lattice(sites("truncated_octahedron", 12, 8)))
    normal = tuple(TURN[2])  # of a {100} facet
    made = contact(found, normal=normal)
    touching = np.flatnonzero(made["facet_contact"].values)
    angles = np.rad2deg(np.arccos(found["facet_normal"].values @ np.array(normal)))
    assert angles[touching].max() < 40
    assert touching.size == 1, "those of {111} are 54.7 degrees away"
    np.testing.assert_array_equal(made["on_facet"].values[:, touching[0]] <= made["contact"].values, True)
    height = made["position"].values @ np.array(normal)
    assert (height[made["contact"].values > 0] > height.max() - 3.0 - 1e-9).all()
    assert int(contact(found, normal=normal, depth=1.0)["contact"].sum()) == 25


def test_listed_facets_touch_whatever_their_direction() -> None:
    found = facets(lattice(sites("cuboctahedron", 5)))
    made = contact(found, facets=(2, 5))
    assert np.flatnonzero(made["facet_contact"].values).tolist() == [2, 5]
    np.testing.assert_array_equal(made["contact"].values > 0, found["on_facet"].values[:, [2, 5]].any(axis=1))


def test_a_support_is_never_guessed_in_silence() -> None:
    found = facets(lattice(sites("cuboctahedron", 5)))
    with pytest.raises(InputError, match="where the support is"):
        contact(found)
    flat = sites("cuboctahedron", 6)
    flat = flat[(flat[:, 2] > -1.2) & (flat[:, 2] < 2.2)]
    lying = facets(lattice(flat))
    with pytest.warns(AetxWarning, match="guessed"):
        made = contact(lying, normal="shape")
    assert made["contact"].attrs["support"].endswith("from the shape")
    height = made["position"].values @ TURN[2]
    assert height[made["contact"].values > 0].max() < 0, "the broader end"


def test_contradictory_supports_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        ContactParams(normal=(0, 0, 1), facets=(1,))
    with pytest.raises(ValueError, match="no angle"):
        ContactParams(facets=(1,), angle=20.0)
    with pytest.raises(ValueError, match="not 0"):
        ContactParams(normal=(0, 0, 0))
    found = facets(lattice(sites("cuboctahedron", 5)))
    with pytest.raises(InputError, match="numbers from 0 to 13"):
        contact(found, facets=(99,))


def test_a_lattice_without_facets_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"put surface\.facets before"):
        contact(lattice(sites("cuboctahedron", 3)), normal=(0, 0, 1))


def test_planted_displacements_out_of_the_plane_come_back_within_their_errors() -> None:
    site, noise = sites("truncated_octahedron", 18, 12), 0.1
    given = lattice(site, noise)
    found = facets(given)
    out = np.zeros(site.shape)
    for number in np.flatnonzero(found["facet_family"].values == "111"):
        only = (found["on_facet"].values[:, number] > 0) & (found["facet_count"].values == 1)
        out[only] = 0.05 * found["facet_normal"].values[number]
    moved = found.assign(displacement=found["displacement"] + xr.DataArray(out, dims=("atom", "axis")))
    made = displacement(moved, edges=False)
    for family, wanted in (("111", 0.05), ("100", 0.0)):
        one = made.sel(family=family, part="all")
        assert abs(float(one["mean"]) - wanted) < 4 * float(one["mean_error"])
        assert float(one["mean_low"]) < float(one["mean"]) < float(one["mean_high"])
        assert float(one["deviation"]) == pytest.approx(noise, rel=0.15)
        assert float(one["mean_error"]) == pytest.approx(float(one["mean_measurement_error"]), rel=0.15)
        half = (float(one["mean_high"]) - float(one["mean_low"])) / 2
        assert half == pytest.approx(1.96 * float(one["mean_error"]), rel=0.1)


def test_outwards_is_positive_on_every_side() -> None:
    given = facets(lattice(sites("cuboctahedron", 5), strain=0.01))
    made = displacement(given)
    assert float(made["out_of_plane"].min()) > 0
    assert float(made["facet_mean"].min()) > 0
    inwards = displacement(facets(lattice(sites("cuboctahedron", 5), strain=-0.01)))
    assert float(inwards["out_of_plane"].max()) < 0


def test_free_and_contact_parts_share_the_facets() -> None:
    given = contact(facets(lattice(sites("cuboctahedron", 5), 0.1)), facets=(0, 7))
    made = displacement(given)
    assert made["part"].values.tolist() == ["all", "contact", "free"]
    count = made["count"]
    np.testing.assert_array_equal(count.sel(part="contact") + count.sel(part="free"), count.sel(part="all"))
    assert int(count.sel(part="contact").sum()) == 36 + 21


def test_unknown_errors_of_positions_stay_unknown() -> None:
    made = displacement(facets(lattice(sites("cuboctahedron", 5), strain=0.01)))
    assert np.isnan(made["mean_measurement_error"].values).all()
    assert np.isfinite(made["mean_error"].values).all()


def test_the_measured_bipyramid_has_facets_on_its_caps_and_none_on_its_twin_planes(
    real_data: Callable[[str], Path],
) -> None:
    file = scipy.io.loadmat(real_data("pdpt_core_shell/coordinates_PB.mat"))
    position = file["pos"].T * 0.3434
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # bonds of its measured defects lead to other sites
        found = facets(fit(atoms(position - position.mean(axis=0)), type="fcc"))
    close = found["facet_family"].values == "111"
    normal, grain = found["facet_normal"].values[close], found["facet_grain"].values[close]
    assert set(grain) == set(range(5)), "two caps on each of the five sectors"
    assert np.abs(normal[:, 2]).min() > 0.3, "normals of twin planes are across the axis, z"
    for number in range(5):
        assert {1.0, -1.0} <= set(np.sign(normal[grain == number, 2]))
    middle = found["position"].values - found["position"].values.mean(axis=0)
    on = found["on_facet"].values[:, close] > 0
    outwards = [(middle[on[:, k]].mean(axis=0) @ normal[k]) for k in range(close.sum())]
    assert min(outwards) > 8
