"""Strain at atoms and on grids is that which the atoms have, with the errors that it has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aetx.errors import AetxWarning, InputError
from aetx.kernels import core_shell
from aetx.stages.strain.atoms import AtomsParams, atoms
from aetx.stages.strain.field import field
from aetx.stages.strain.lattice_constant import lattice_constant
from aetx.stages.strain.local import local
from tests.stages.lattices import EDGE, fcc_ball, lattice_of, rotation, strained

BALL = fcc_ball(369)
PAIRS = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def component(a: int, b: int, size: float = 0.01) -> np.ndarray:
    made = np.zeros((3, 3))
    made[a, b] = made[b, a] = size
    return made


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_a_uniform_strain_comes_back_at_every_atom_and_everywhere_on_the_grid(a: int, b: int) -> None:
    given = strained(BALL, component(a, b))
    for made in (atoms(given), field(given, points=14), local(given)):
        found = made["strain"].values
        known = np.isfinite(found).all(axis=(-2, -1))
        assert known.sum() > 300
        np.testing.assert_allclose(found[known], np.broadcast_to(component(a, b), found[known].shape), atol=1e-9)
        np.testing.assert_allclose(made["rotation"].values[known], 0, atol=1e-9)
    assert np.isfinite(atoms(given)["strain"]).all(), "surface atoms too"


def test_a_turn_of_one_degree_is_rotation_and_no_strain() -> None:
    turned = strained(BALL, rotation(1.0, (0, 0, 1)) - np.eye(3))
    for made in (atoms(turned), field(turned, points=12), local(turned)):
        assert np.nanmax(np.abs(made["strain"])) < 1e-9
        found = made["rotation"].values[np.isfinite(made["volumetric"].values)]
        np.testing.assert_allclose(found[:, 0, 1], -np.deg2rad(1), rtol=1e-6)
        np.testing.assert_allclose(found[:, 1, 0], np.deg2rad(1), rtol=1e-6)
        np.testing.assert_allclose(found[:, 0, 2], 0, atol=1e-9)


def test_order_0_finds_less_at_the_surface_and_says_so() -> None:
    given = strained(BALL, 0.01 * np.eye(3))
    with pytest.warns(AetxWarning, match="too small a strain near surfaces"):
        made = atoms(given, order=0)
    depth = EDGE * (np.linalg.norm(BALL, axis=1).max() - np.linalg.norm(BALL, axis=1))
    volume = made["volumetric"].values
    assert volume[depth < 1.0].mean() < 0.75 * 0.03
    assert volume[0] > 0.93 * 0.03


def repeats(sigma: np.ndarray, noise: np.ndarray, gradient: np.ndarray, turn: np.ndarray) -> xr.Dataset:
    """Return a particle for each set of errors, shape (repeats, atoms, 3), far from each other, each a grain."""
    count, atoms_each = noise.shape[:2]
    site = BALL[:atoms_each]
    far = 20.0 * np.stack(np.unravel_index(np.arange(count), (6, 6, 6)), axis=1)
    every = (far[:, None] + site).reshape(-1, 3)
    return lattice_of(
        every,
        (EDGE * site @ turn.T @ gradient.T + sigma * noise).reshape(-1, 3),
        sigma=np.tile(sigma, (count, 1)),
        grain=np.repeat(np.arange(count), atoms_each),
        turns=np.tile(turn, (count, 1, 1)),
    )


@pytest.mark.parametrize(
    ("stage", "rule"),
    [
        (atoms, {"frame": "crystal", "density": 0.0}),
        (atoms, {"order": 0, "density": 0.0}),
        (atoms, {"weights": "errors", "width": 3.5}),
        (local, {}),
        (lattice_constant, {"lattice_constant": EDGE}),
    ],
)
@pytest.mark.filterwarnings("ignore:order 0")
def test_errors_are_those_of_two_hundred_noisy_repeats(stage: Any, rule: dict[str, Any]) -> None:
    generator = np.random.default_rng(5)
    sigma, noise = generator.uniform(0.02, 0.12, (135, 3)), generator.normal(size=(200, 135, 3))
    turn, gradient = rotation(35), component(0, 1) + rotation(0.5) - np.eye(3)
    truth = stage(repeats(sigma, 0 * noise[:1], gradient, turn), **rule)
    made = stage(repeats(sigma, noise, gradient, turn), **rule)
    names = ("strain", "rotation", "volumetric") if "strain" in made else ("local_lattice_constant", "local_strain")
    for name in names:
        found = made[name].values.reshape(200, 135, *made[name].shape[1:])
        error = made[f"{name}_error"].values.reshape(found.shape)
        pull = ((found - truth[name].values)[error > 0]) / error[error > 0]
        assert pull.size > 200 * 100
        assert pull.std() == pytest.approx(1, abs=0.06), name
        assert abs(pull.mean()) < 0.06, name


def test_the_error_deep_inside_is_that_of_the_formula() -> None:
    site = fcc_ball(1505)
    made = atoms(lattice_of(site, np.zeros((len(site), 3)), sigma=0.099 / np.sqrt(3)))
    density = 4 / EDGE**3
    expected = 0.099 / np.sqrt(3) / np.sqrt(16 * np.pi**1.5 * density * 2.7**5)
    assert expected == pytest.approx(0.002, rel=0.03), "9.9 pm in three dimensions are 0.2 %"
    assert made["strain_error"].values[0, 0, 0] == pytest.approx(expected, rel=0.01)
    assert made["strain_error"].values[0, 0, 1] == pytest.approx(expected / np.sqrt(2), rel=0.01)


def test_the_case_that_twelve_bonds_get_wrong_by_three_quarters_of_a_percent_is_told_within_a_quarter() -> None:
    """3,511 atoms, smooth strain of 0.216 %, 5 pm of noise along each axis; every atom counts, of the surface too."""
    site = fcc_ball(3511)
    place, generator = EDGE * site, np.random.default_rng(0)
    wave = 2 * np.pi / 46 * np.array([[1, 0, 0], [0, 0.6, 0.8], [-0.6, 0, 0.8]])
    along = np.array([[0.8, 0.6, 0], [0, 0.8, -0.6], [0.6, 0, 0.8]])
    moved = np.einsum("nk,ka->na", np.sin(place @ wave.T + [0.3, 1.0, 2.0]), along)
    gradient = np.einsum("nk,ka,kb->nab", np.cos(place @ wave.T + [0.3, 1.0, 2.0]), along, wave)
    strain = 0.5 * (gradient + gradient.transpose(0, 2, 1))
    size = 0.00216 / np.sqrt((strain**2).mean())
    lattice = lattice_of(site, size * moved + 0.05 * generator.normal(size=place.shape), sigma=0.05)
    made = atoms(lattice, density=0.0)
    error = made["strain"].values - size * strain
    assert np.isfinite(error).all()
    assert np.sqrt((error**2).mean()) < 0.0025
    bonds = local(lattice)["strain"].values - size * strain
    inside = np.linalg.norm(place, axis=1) < 19
    assert np.sqrt((bonds[inside] ** 2).mean()) == pytest.approx(0.0074, abs=0.0004)


def test_the_strain_of_a_core_in_a_shell_that_does_not_fit_is_found() -> None:
    site = fcc_ball(6000)
    place, core, outer = EDGE * site, 14.0, 27.8
    radius = np.linalg.norm(place, axis=1)
    moved = core_shell.misfit(radius, core, outer, 0.03, 0.39)
    made = atoms(
        lattice_of(site, place * (moved / np.maximum(radius, 1e-9))[:, None]), width=2.0, centre=(0.0, 0.0, 0.0)
    )
    size, share = 0.03 * 1.39 / (3 * 0.61), (core / outer) ** 3
    inside, beyond = (radius > 0) & (radius < 5), (radius > 18.5) & (radius < 22)
    for name in ("radial", "hoop"):
        np.testing.assert_allclose(made[name].values[inside], -(1 - share) * size, rtol=2e-3)
    away = core / radius[beyond]
    np.testing.assert_allclose(made["radial"].values[beyond], size * (share + 2 * away**3), rtol=0.03)
    np.testing.assert_allclose(made["hoop"].values[beyond], size * (share - away**3), atol=0.01 * size)


@settings(max_examples=6)
@given(degrees=st.floats(-170, 170), seed=st.integers(0, 99))
def test_turning_the_particle_turns_the_strain(degrees: float, seed: int) -> None:
    moved = 0.05 * np.random.default_rng(seed).normal(size=(135, 3))
    turn = rotation(degrees)
    still, turned = lattice_of(BALL[:135], moved), lattice_of(BALL[:135], moved @ turn.T, turn=turn)
    first, second = atoms(still, density=0.0), atoms(turned, density=0.0)
    expected = turn @ first["strain"].values @ turn.T
    np.testing.assert_allclose(second["strain"], expected, atol=1e-10)
    for name in ("volumetric", "von_mises", "radial", "hoop", "volumetric_error", "hoop_error"):
        np.testing.assert_allclose(second[name], first[name], atol=1e-10)


def test_strain_in_the_crystal_does_not_turn_with_it_whatever_its_axes_are_called() -> None:
    moved, turn = 0.05 * np.random.default_rng(3).normal(size=(135, 3)), rotation(15)
    still, turned = lattice_of(BALL[:135], moved), lattice_of(BALL[:135], moved @ turn.T, turn=turn)
    first = atoms(still, density=0.0)
    renamed = turned.assign(
        basis=turned["basis"].isel(vector=[1, 0, 2]) * [[[1], [-1], [1]]], site=turned["site"].isel(vector=[1, 0, 2])
    )
    renamed["basis"].attrs["units"] = "angstrom"
    for named in (turned, renamed):
        crystal = atoms(named, density=0.0, frame="crystal")
        np.testing.assert_allclose(crystal["strain"], first["strain"], atol=1e-10)
        np.testing.assert_allclose(crystal["strain_error"], first["strain_error"], atol=1e-10)


def test_axes_of_the_crystal_can_be_chosen() -> None:
    rows = np.array([[1, 1, -2], [-1, 1, 0], [1, 1, 1]]) / np.sqrt([[6], [2], [3]])
    lattice = strained(BALL, component(2, 2) + component(0, 1), turn=rows)
    made = atoms(lattice, frame="crystal", x_axis=(1, 1, -2), z_axis=(1, 1, 1))
    np.testing.assert_allclose(made["strain"][0], component(2, 2) + component(0, 1), atol=1e-9)
    assert made.attrs["strain_frame"] == "x along [1 1 -2] and z along [1 1 1] of each grain"


def two_grains() -> xr.Dataset:
    """Two halves of one lattice, the upper one moved by a tenth of an angstrom."""
    grain = (BALL[:, 2] > 0.1).astype(np.int64)
    jump = np.where(grain[:, None] > 0, [0.0, 0.0, 0.1], [0.0, 0.0, -0.1])
    return lattice_of(BALL, jump, grain=grain, turns=np.stack([np.eye(3)] * 2))


def test_displacements_of_grains_are_mixed_only_when_told() -> None:
    given = two_grains()
    assert np.nanmax(np.abs(atoms(given)["strain"])) < 1e-9
    made = field(given, points=16)
    assert np.nanmax(np.abs(made["strain"])) < 1e-6
    assert set(np.unique(made["grain"])) == {-1, 0, 1}
    assert np.nanmax(atoms(given, grains="joined")["strain"].values[:, 2, 2]) > 0.02
    assert "one grain" in made.attrs["strain_method"]


def test_strain_from_a_stated_lattice_has_the_mean_strain_in_it() -> None:
    made = atoms(strained(BALL, np.zeros((3, 3)), turn=rotation(50)), lattice_constant=EDGE / 1.01)
    np.testing.assert_allclose(made["strain"], np.broadcast_to(0.01 * np.eye(3), (369, 3, 3)), atol=1e-9)
    local_made = lattice_constant(strained(BALL, 0.01 * np.eye(3)), lattice_constant=EDGE)
    np.testing.assert_allclose(local_made["local_lattice_constant"], 1.01 * EDGE, rtol=1e-9)
    np.testing.assert_allclose(local_made["local_strain"], 0.01, rtol=1e-6)
    hexagonal = strained(BALL, np.zeros((3, 3))).assign_attrs(lattice="hcp")
    with pytest.raises(InputError, match="leave out 'lattice_constant'"):
        atoms(hexagonal, lattice_constant=3.9)


def test_a_strain_is_significant_above_its_error_and_not_known_to_be_without_one() -> None:
    sure = atoms(strained(BALL, component(0, 0), sigma=0.01))
    assert (sure["significant"][:, 0, 0] == 1).all()
    assert (sure["significant"][:, 1, 1] == 0).all()
    unsure = atoms(strained(BALL, component(0, 0), sigma=None))
    assert np.isnan(unsure["strain_error"]).all()
    assert (unsure["significant"] == -1).all()
    assert np.isfinite(unsure["strain"]).all()


def test_atoms_that_are_known_better_can_weigh_more() -> None:
    generator = np.random.default_rng(0)
    sigma = np.repeat(generator.choice([0.03, 0.3], 369)[:, None], 3, axis=1)
    given = lattice_of(BALL, sigma * generator.normal(size=(369, 3)), sigma=sigma)
    equal, weighed = atoms(given), atoms(given, weights="errors")
    assert weighed["strain_error"].mean() < 0.4 * equal["strain_error"].mean()
    assert np.abs(weighed["strain"]).mean() < 0.4 * np.abs(equal["strain"]).mean()
    with pytest.raises(InputError, match="369 atoms without a standard error"):
        atoms(given.drop_vars("sigma"), weights="errors")


def test_errors_of_positions_that_are_not_known_follow_from_their_scatter() -> None:
    pulls, site = [], fcc_ball(683)
    for seed in range(5):
        noise = 0.08 * np.random.default_rng(seed).normal(size=(683, 3))
        given = lattice_of(site, EDGE * site @ component(0, 1) + noise, sigma=None)
        made = atoms(given, errors="scatter")
        pulls.append((made["strain"] - component(0, 1)).values / made["strain_error"].values)
    assert np.std(pulls) == pytest.approx(1, abs=0.06)
    assert "scatter of displacements" in made.attrs["strain_errors"]
    plain = field(given, points=12, errors="scatter")["strain_error"].values
    assert np.nanmin(plain) > 0
    with pytest.raises(ValueError, match="weights: equal"):
        AtomsParams(weights="errors", errors="scatter")


def test_nothing_is_told_where_nothing_can_be_known() -> None:
    plane = fcc_ball(369)
    plane = plane[plane[:, 2] == 0]
    with pytest.warns(AetxWarning, match=f"{len(plane)} of {len(plane)} atoms"):
        assert np.isnan(atoms(lattice_of(plane, np.zeros(plane.shape)))["strain"]).all()
    with pytest.warns(AetxWarning, match="not known"):
        assert np.isnan(local(lattice_of(plane, np.zeros(plane.shape)))["strain"]).all()
    with pytest.warns(AetxWarning, match="not known"):
        assert np.isnan(lattice_constant(lattice_of(plane, np.zeros(plane.shape)))["local_lattice_constant"]).all()
    given = strained(BALL, component(0, 0))
    given["grain"][5] = -1
    for made in (atoms(given), local(given), lattice_constant(given)):
        names = [name for name in ("strain", "volumetric", "local_strain") if name in made]
        for name in names:
            assert np.isnan(made[name][5]).all()
            assert np.isfinite(made[name].drop_isel(atom=5)).all()
    given["grain"][:] = -1
    with pytest.raises(InputError, match="no atom with a site"):
        atoms(given)


def test_a_vacancy_changes_no_linear_field() -> None:
    given = strained(np.delete(BALL, [0, 3, 7], axis=0), component(1, 2))
    np.testing.assert_allclose(atoms(given)["strain"][:, 1, 2], 0.01, atol=1e-9)


def test_the_grid_holds_all_atoms_or_says_how_many_points_it_takes() -> None:
    given = strained(BALL + 30, np.zeros((3, 3)))
    made = field(given, points=20, density=0.0)
    assert made["x"].values[0] < EDGE * (BALL[:, 0].min() + 30)
    assert made["x"].values[-1] > EDGE * (BALL[:, 0].max() + 30)
    step = field(given, points=80, step=0.5)["x"].diff("x").values
    np.testing.assert_allclose(step, 0.5)
    with pytest.raises(InputError, match="at least 53, so that the atoms fit"):
        field(given, points=20, step=0.5)


def test_the_grid_has_at_the_place_of_an_atom_what_the_atom_has() -> None:
    given = lattice_of(BALL[:135], 0.05 * np.random.default_rng(1).normal(size=(135, 3)))
    made = field(given, points=17, step=EDGE / 2, density=0.0)
    centre = made.sel(x=0, y=0, z=0, method="nearest")
    first = atoms(given, density=0.0).isel(atom=0)
    for name in ("strain", "strain_error", "rotation", "von_mises", "weight"):
        np.testing.assert_allclose(centre[name], first[name], rtol=2e-6)


def test_parameters_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="for frame crystal only"):
        AtomsParams(z_axis=(1, 1, 1))
    with pytest.raises(ValueError, match="not along one line"):
        AtomsParams(frame="crystal", x_axis=(0, 0, 2))


def test_nothing_is_announced_where_all_is_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms(strained(BALL, component(0, 0)))
        local(strained(BALL, component(0, 0)))
