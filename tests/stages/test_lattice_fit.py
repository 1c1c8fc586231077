"""lattice.fit: grains of any known crystal are found from nothing, with honest errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.stages.lattice.boundaries import boundaries
from aetx.stages.lattice.fit import fit
from aetx.stages.lattice.layers import layers
from aetx.stages.simulate.decahedron import decahedron
from aetx.stages.simulate.dumbbell import dumbbell

FACES: list[tuple[float, ...]] = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
CELLS: dict[str, tuple[np.ndarray, list[tuple[float, ...]]]] = {
    "fcc": (np.eye(3), FACES),
    "bcc": (np.eye(3), [(0, 0, 0), (0.5, 0.5, 0.5)]),
    "sc": (np.eye(3), [(0, 0, 0)]),
    "diamond": (np.eye(3), [(x + d, y + d, z + d) for x, y, z in FACES for d in (0, 0.25)]),
    "hcp": (np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]]), [(0, 0, 0), (1 / 3, 2 / 3, 0.5)]),
}


def ball(lattice: str, edge: float, radius: float, seed: int = 0) -> np.ndarray:
    """Sites of a crystal within a ball, turned at random; made without the code under test."""
    vectors, basis = CELLS[lattice]
    count = int(np.ceil(2 * radius / edge)) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-count, count + 1)] * 3), axis=-1).reshape(-1, 1, 3)
    generator = np.random.default_rng(seed)
    sites = (cells + np.array(basis)).reshape(-1, 3) @ (edge * vectors) + generator.uniform(-1, 1, 3)
    sites = sites[np.linalg.norm(sites, axis=1) < radius]
    return np.asarray(Rotation.random(random_state=seed).apply(sites))


def noisy(position: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    """Positions with Gaussian errors of a given root mean square length."""
    return position + np.random.default_rng(seed).normal(0, noise / math.sqrt(3), position.shape)


def fitted(position: np.ndarray, **params: Any) -> xr.Dataset:
    return fit(atoms_dataset(position, 78), **params)


def rebuilt(made: xr.Dataset) -> np.ndarray:
    """Where origin, sites, basis and displacements say that the atoms are."""
    grain = made["grain"].values
    on_site = np.einsum("nv,nva->na", made["site"].values, made["basis"].values[grain])
    return np.asarray(made["origin"].values[grain] + on_site + made["displacement"].values)


@pytest.mark.parametrize("lattice", list(CELLS))
def test_every_atom_of_a_perfect_crystal_has_its_site_and_the_lattice_constant_is_exact(lattice: str) -> None:
    position = ball(lattice, 4.1, 14.0)
    made = fitted(position, type=lattice, **({"ratio": 1.6} if lattice == "hcp" else {}))
    assert made.sizes["grain_id"] == 1
    assert (made["grain"] == 0).mean() > 0.97, "but for lone atoms of the rim"
    assert float(made["lattice_constant"][0]) == pytest.approx(4.1, abs=1e-9)
    inside = made["grain"].values == 0
    np.testing.assert_allclose(rebuilt(made)[inside], position[inside], atol=1e-9)
    np.testing.assert_allclose(made["displacement"].values[inside], 0, atol=1e-9)
    whole = np.round(made["site"].values[inside] * 12)
    np.testing.assert_allclose(made["site"].values[inside] * 12, whole, atol=1e-9)
    assert len(np.unique(whole, axis=0)) == len(whole), "no site is given twice"


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_30_pm_in_any_orientation_leaves_the_lattice_constant_good_to_a_thousandth(seed: int) -> None:
    noise, position = 0.3, ball("fcc", 3.912, 29.0, seed)
    made = fitted(noisy(position, noise, seed), type="fcc")
    atoms = len(position)
    assert float(made["grain_atoms"][0]) >= atoms - 2
    assert float(made["lattice_constant"][0]) == pytest.approx(3.912, abs=1e-3)
    assert float(made["rmsd"][0]) == pytest.approx(noise * math.sqrt(1 - 7 / (3 * atoms)), rel=0.02)
    assert 3e-4 < float(made["lattice_constant_error"][0]) < 8e-4


def test_the_errors_of_the_fit_are_those_of_repeats() -> None:
    generator, true = np.random.default_rng(3), ball("fcc", 3.912, 8.0, 3)
    spread = generator.uniform(0.05, 0.25, (len(true), 3))
    table = atoms_dataset(true, 78).assign(sigma=(("atom", "axis"), spread, {"units": "angstrom"}))
    pulls, shifts, turns, moved = [], [], [], []
    basis = fit(table, type="fcc")["basis"].values[0]
    for _ in range(60):
        error = generator.normal(0, spread)
        made = fit(table.assign(position=table["position"].copy(data=true + error)), type="fcc")
        pulls.append((float(made["lattice_constant"][0]) - 3.912) / float(made["lattice_constant_error"][0]))
        away = made["displacement"].values / made["displacement_error"].values
        shifts.append(away[made["grain"].values == 0].std())
        turn = Rotation.align_vectors(nearest(made["basis"].values[0], basis), basis)[0].as_rotvec(degrees=True)
        turns.append(turn / made["orientation_error"].values[0])
        moved.append(made["grain_atoms"].values[0])
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)
    assert abs(np.mean(pulls)) < 0.5
    assert np.mean(shifts) == pytest.approx(1.0, abs=0.05)
    assert np.std(turns) == pytest.approx(1.0, abs=0.2)


def nearest(basis: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The vectors of a cubic basis, or their opposites, nearest to those of another one, in its order."""
    both = np.concatenate([basis, -basis])
    return both[(both @ other.T).argmax(axis=0)]


def test_without_errors_of_the_atoms_those_of_displacements_are_unknown_and_those_of_the_fit_come_from_scatter() -> (
    None
):
    made = fitted(noisy(ball("fcc", 3.912, 10.0), 0.1), type="fcc")
    assert made.attrs["errors"] == "scatter"
    assert np.isnan(made["displacement_error"]).all()
    atoms = int(made["grain_atoms"][0])
    assert float(made["disorder"][0]) == pytest.approx(float(made["rmsd"][0]) / math.sqrt(3 - 7 / atoms), rel=1e-6)


@given(seed=st.integers(0, 50))
def test_missing_and_added_atoms_change_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    position = noisy(ball("fcc", 3.912, 13.0, seed), 0.15, seed)
    kept = position[generator.uniform(size=len(position)) > 0.05]
    out = generator.normal(size=(15, 3))
    added = out / np.linalg.norm(out, axis=1, keepdims=True) * 16.0
    made = fitted(np.concatenate([kept, added]), type="fcc")
    assert made.sizes["grain_id"] == 1
    assert (made["grain"].values[: len(kept)] == 0).mean() > 0.99
    assert float(made["lattice_constant"][0]) == pytest.approx(3.912, abs=0.01)


def test_of_two_atoms_for_one_site_the_nearer_has_it() -> None:
    position = noisy(ball("fcc", 3.912, 11.0), 0.05)
    generator = np.random.default_rng(1)
    rim = np.flatnonzero(np.linalg.norm(position, axis=1) > 9.5)[:12]
    outwards = position[rim] / np.linalg.norm(position[rim], axis=1, keepdims=True)
    spurious = position[rim] + 0.55 * outwards
    order = generator.permutation(len(position) + len(spurious))
    made = fitted(np.concatenate([position, spurious])[order], type="fcc")
    true = order < len(position)
    assert (made["grain"].values[true] == 0).all()
    assert (made["grain"].values[~true] == -1).all()


def test_a_turn_of_the_atoms_turns_the_basis_and_nothing_else() -> None:
    position, turn = noisy(ball("fcc", 3.912, 10.0), 0.1), Rotation.from_rotvec([0.3, -0.5, 0.2])
    one, other = fitted(position, type="fcc"), fitted(turn.apply(position), type="fcc")
    xr.testing.assert_allclose(one["lattice_constant"], other["lattice_constant"], rtol=1e-9)
    lengths = [np.linalg.norm(made["displacement"].values, axis=1) for made in (one, other)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-6)
    both = nearest(other["basis"].values[0], turn.apply(one["basis"].values[0]))
    np.testing.assert_allclose(both, turn.apply(one["basis"].values[0]), atol=1e-8)


def test_an_affine_fit_finds_the_strain_that_a_rigid_one_leaves_in_the_displacements() -> None:
    stretch = np.array([[1.01, 0.004, 0], [0.004, 0.99, 0], [0, 0, 1.005]])
    position = ball("fcc", 3.912, 12.0)
    affine = fitted(position @ stretch, type="fcc", shape="affine")
    assert float(affine["rmsd"][0]) < 1e-9
    assert float(affine["lattice_constant"][0]) == pytest.approx(3.912 * np.linalg.det(stretch) ** (1 / 3), rel=1e-9)
    metric = affine["basis"].values[0] @ affine["basis"].values[0].T
    assert np.sqrt(np.linalg.eigvalsh(metric)) == pytest.approx(3.912 * np.linalg.eigvalsh(stretch), rel=1e-9)
    assert float(fitted(position @ stretch, type="fcc")["rmsd"][0]) > 0.05


def test_the_dumbbell_is_two_halves_and_a_twin_of_one_layer_between_them() -> None:
    truth = dumbbell()
    made = fit(truth, type="fcc")
    assert made.sizes["grain_id"] == 3
    layers = [set(truth["layer"].values[made["grain"].values == number]) for number in range(3)]
    assert {-1, 1} == {min(one, key=abs) for one in layers[:2]}, "each half is on its own side"
    assert layers[2] == {0}
    assert (made["grain"] >= 0).mean() > 0.99


def test_the_decahedron_is_five_domains_without_a_number_typed_in() -> None:
    truth = decahedron(atoms=3000, displacement=0.1)
    made = fit(truth, type="fcc")
    assert made.sizes["grain_id"] == 5
    sector, grain = truth["sector"].values, made["grain"].values
    for number in range(5):
        owners = np.bincount(grain[sector == number] + 1, minlength=6)
        assert owners.max() >= 0.99 * owners.sum()
    assert (grain >= 0).mean() > 0.98


@pytest.mark.filterwarnings("ignore:neighbours of grain")
@pytest.mark.parametrize("angle", [9.0, 25.0])
def test_grains_that_are_turned_by_more_than_the_limit_are_kept_apart(angle: float) -> None:
    whole = ball("fcc", 3.912, 15.0, seed=1)
    turned = Rotation.from_rotvec([0, 0, angle], degrees=True).apply(whole)
    position = np.concatenate([whole[whole[:, 0] < -1.2], turned[turned[:, 0] > 1.2]])
    made = fitted(noisy(position, 0.05), type="fcc")
    assert made.sizes["grain_id"] == 2
    grain = made["grain"].values
    right = np.where(position[:, 0] > 0, grain[position[:, 0].argmax()], grain[position[:, 0].argmin()])
    assert ((grain == right) | (grain < 0)).mean() > 0.99
    assert (grain[np.abs(position[:, 0]) > 5.0] == right[np.abs(position[:, 0]) > 5.0]).all()
    np.testing.assert_allclose(made["lattice_constant"], 3.912, atol=2e-3)


def test_a_small_turn_within_the_limit_is_one_bent_grain() -> None:
    whole = ball("fcc", 3.912, 12.0, seed=1)
    bent = [Rotation.from_rotvec([0, 0, 0.15 * one[0]], degrees=True).apply(one) for one in whole]
    made = fitted(np.array(bent), type="fcc")
    assert made.sizes["grain_id"] == 1
    assert (made["grain"] == 0).all()


def test_a_lattice_of_two_dimensions_is_found_in_a_tilted_layer() -> None:
    steps = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), -1).reshape(-1, 2)
    plane = 2.5 * np.column_stack([steps @ [[1.0, 0.0], [0.5, math.sqrt(0.75)]], np.zeros(len(steps))])
    turn = Rotation.from_rotvec([0.3, 0.2, 0.4])
    made = fitted(turn.apply(plane) + np.array([3.0, -2.0, 7.0]), type="hex2d")
    assert made.sizes["vector"] == 2
    assert float(made["lattice_constant"][0]) == pytest.approx(2.5, abs=1e-9)
    assert (made["grain"] == 0).all()
    np.testing.assert_allclose(rebuilt(made), made["position"].values, atol=1e-9)
    assert abs(made["basis"].values[0] @ turn.apply([0, 0, 1])).max() < 1e-9


def test_a_lattice_of_the_user_is_found() -> None:
    vectors, motif = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
    position = noisy(ball("bcc", 3.2, 11.0), 0.05)
    made = fitted(position, type="user", vectors=vectors, motif=motif)
    xr.testing.assert_allclose(made["lattice_constant"], fitted(position, type="bcc")["lattice_constant"])


def perovskite(oxygen: bool) -> tuple[np.ndarray, np.ndarray]:
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 1, 3)
    motif = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)][: 5 if oxygen else 2]
    species = np.tile([56, 22, 8, 8, 8][: len(motif)], len(cells))
    return Rotation.random(random_state=5).apply(4.0 * (cells + np.array(motif)).reshape(-1, 3)), species


@pytest.mark.parametrize("oxygen", [False, True])
def test_perovskite_puts_every_element_on_its_site(oxygen: bool) -> None:
    position, species = perovskite(oxygen)
    made = fit(atoms_dataset(noisy(position, 0.1), species), type="perovskite", elements=("Ba", "Ti", "O"))
    assert (made["grain"] == 0).mean() > 0.99
    assert float(made["lattice_constant"][0]) == pytest.approx(4.0, abs=3e-3)
    halves = np.mod(np.round(2 * made["site"].values), 2).sum(axis=1)
    for element, wanted in ((56, 0), (22, 3), (8, 2)):
        assert set(halves[(species == element) & (made["grain"].values == 0)]) <= {wanted}


@pytest.mark.parametrize("walk", ["atom", "site"])
def test_a_walk_from_sites_and_one_from_atoms_agree_where_nothing_is_bent(walk: str) -> None:
    position = noisy(ball("fcc", 3.912, 11.0), 0.2)
    made = fitted(position, type="fcc", walk=walk)
    xr.testing.assert_allclose(made["basis"], fitted(position, type="fcc")["basis"])


def test_a_screw_dislocation_is_told_with_its_burgers_vector() -> None:
    position = ball("sc", 3.0, 15.0) @ Rotation.random(random_state=0).as_matrix()
    turn = np.arctan2(position[:, 1] - 0.7, position[:, 0] - 0.6)
    position[:, 2] += 3.0 * turn / (2 * np.pi)
    with pytest.warns(AetxWarning, match="a dislocation, or a wrong turn"):
        made = fitted(position, type="sc")
    burgers = made["burgers"].values[0] @ made["basis"].values[0]
    assert abs(burgers[2]) == pytest.approx(3.0, abs=0.2)
    assert np.hypot(*burgers[:2]) < 0.5


def test_atoms_of_no_crystal_have_no_grain_and_say_so() -> None:
    position = np.random.default_rng(0).uniform(-8, 8, (100, 3))
    with pytest.warns(AetxWarning, match="there is no grain"):
        made = fitted(position, type="fcc")
    assert made.sizes["grain_id"] == 0
    assert (made["grain"] == -1).all()
    assert np.isnan(made["displacement"]).all()


def test_the_type_must_be_stated_and_parameters_of_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="state type"):
        fitted(ball("fcc", 4.0, 6.0))
    with pytest.raises(ValueError, match="ratio is for hcp, not fcc"):
        fitted(ball("fcc", 4.0, 6.0), type="fcc", ratio=1.6)
    with pytest.raises(ValueError, match="perovskite needs elements"):
        fitted(ball("fcc", 4.0, 6.0), type="perovskite")
    with pytest.raises(InputError, match="atoms of one layer"):
        fitted(ball("fcc", 4.0, 6.0), type="hex2d")


def test_a_lattice_may_be_fitted_again_and_what_was_known_of_the_first_is_gone() -> None:
    made = layers(boundaries(fit(dumbbell(atoms=900), type="fcc", least=3)))
    again = fit(made, type="fcc", least=40)
    assert again.sizes["grain_id"] == 2
    assert "plane_normal" not in again
    assert "layer_rmsd" not in again


@pytest.mark.parametrize("atoms", [0, 1, 3])
def test_too_few_atoms_are_no_grain(atoms: int) -> None:
    with pytest.warns(AetxWarning, match="there is no grain"):
        made = fitted(np.arange(3.0 * atoms).reshape(-1, 3), type="fcc")
    assert made.sizes["grain_id"] == boundaries(made).sizes["plane"] == 0
