"""Polyhedral template matching."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from ase.cluster import Icosahedron
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.core.neighbourhoods import STRUCTURES
from aetx.kernels.templates import template
from aetx.stages.structure.cna import cna
from aetx.stages.structure.ptm import ptm

BOND = 2.77
EDGE = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0, "sc": 1.0, "diamond": 4 / 3**0.5}
NAMES = tuple(EDGE)


def ball(
    name: str, noise: float = 0.0, seed: int = 0, stretch: np.ndarray | None = None
) -> tuple[xr.Dataset, Rotation]:
    """Return a turned ball of a crystal, stretched before it is turned, and the rotation."""
    edge = BOND * EDGE[name]
    crystal = bulk("Po", name, a=edge, c=edge * (8 / 3) ** 0.5 if name == "hcp" else None, cubic=name not in ("hcp",))
    crystal = crystal * (10, 10, 10)
    sites = crystal.positions - crystal.positions.mean(axis=0) + 0.1
    sites = sites[np.linalg.norm(sites, axis=1) < 11] @ (np.eye(3) if stretch is None else stretch).T
    turn = Rotation.random(random_state=seed)
    rng = np.random.default_rng(seed)
    return atoms_dataset(turn.apply(sites) + noise * rng.standard_normal(sites.shape), 84), turn


def deep(atoms: xr.Dataset) -> np.ndarray:
    return np.asarray(np.linalg.norm(atoms["position"].values, axis=1) < 11 - 4.8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_crystal_is_matched_exactly_however_it_is_turned(name: str, seed: int) -> None:
    atoms, turn = ball(name, seed=seed)
    found = ptm(atoms).isel(atom=deep(atoms))
    assert (found["structure"] == STRUCTURES.index(name)).all()
    assert float(found["rmsd"].max()) < 1e-7
    np.testing.assert_allclose(found["bond_length"], BOND, rtol=1e-12)
    told = Rotation.from_quat(np.roll(found["orientation"].values, -1, axis=1))
    group = Rotation.from_quat(template(name).group)
    least = np.min([(turn.inv() * told * one).magnitude() for one in group], axis=0)
    assert least.max() < 1e-6
    assert np.ptp(found["orientation"].values, axis=0).max() < 1e-7
    assert found["orientation"].values[:, 0].min() > (0.7 if name == "hcp" else 0.85)
    gradient = found["deformation_gradient"].values
    np.testing.assert_allclose(gradient, told.as_matrix(), atol=1e-9)


def test_an_icosahedron_has_its_centre() -> None:
    found = ptm(atoms_dataset(Icosahedron("Pt", 4, 3.92).positions, 78))
    centre = int(np.linalg.norm(found["position"].values, axis=1).argmin())
    ico = np.flatnonzero(found["structure"].values == STRUCTURES.index("ico"))
    assert ico.tolist() == [centre]


@pytest.mark.parametrize("name", NAMES)
def test_noise_of_five_per_cent_of_a_bond_leaves_99_per_cent_right(name: str) -> None:
    atoms, _ = ball(name, noise=0.05 * BOND / 3**0.5, seed=4)
    inside = deep(atoms)
    found = ptm(atoms).isel(atom=inside)
    assert (found["structure"] == STRUCTURES.index(name)).mean() > 0.99
    assert float(found["rmsd"].mean()) == pytest.approx(0.05, abs=0.02)


def test_noise_that_is_too_much_for_common_neighbours_is_not_for_templates() -> None:
    atoms, _ = ball("fcc", noise=0.18, seed=5)
    inside = deep(atoms)
    by_template = (ptm(atoms, deviation=0.2)["structure"].values[inside] == 1).mean()
    assert by_template > 0.98
    assert (cna(atoms)["structure"].values[inside] == 1).mean() < by_template - 0.1


def test_the_deviation_is_the_least_over_rotations_pairs_and_scales() -> None:
    atoms, _ = ball("hcp", noise=0.12, seed=6)
    position = atoms["position"].values
    found = ptm(atoms, structures=("hcp",), deviation=0.5)
    points = template("hcp").points
    for i in np.flatnonzero(deep(atoms))[:4]:
        near = np.asarray(cKDTree(position).query(position[i], k=13)[1])
        vectors = position[near] - position[near].mean(axis=0)
        least = np.inf
        for seed in range(60):
            turn = Rotation.random(random_state=seed)
            for _ in range(20):
                cost = ((vectors[1:, None] / BOND - turn.apply(points)) ** 2).sum(axis=2)
                pair = linear_sum_assignment(cost)[1]
                turn, _ = Rotation.align_vectors(vectors[1:], points[pair])
            target = np.concatenate([np.zeros((1, 3)), turn.apply(points[pair])])
            scale = (vectors * target).sum() / (vectors**2).sum()
            least = min(least, float(np.sqrt(((scale * vectors - target) ** 2).sum(axis=1).mean())))
        assert float(found["rmsd"][i]) == pytest.approx(least, rel=1e-6)


def test_atoms_of_a_surface_are_other_unless_part_of_a_template_is_enough() -> None:
    atoms, _ = ball("fcc", noise=0.05, seed=7)
    whole, part = ptm(atoms), ptm(atoms, least=5)
    count = np.array(
        [len(one) - 1 for one in cKDTree(atoms["position"].values).query_ball_point(atoms["position"].values, 3.34)]
    )
    assert (whole["structure"].values[count < 12] == 0).all()
    assert (part["structure"].values[count >= 5] == 1).mean() > 0.95
    assert (part["structure"].values[count < 5] == 0).all()
    both = whole["structure"].values > 0
    for name in ("structure", "rmsd", "orientation", "bond_length", "deformation_gradient"):
        np.testing.assert_array_equal(part[name].values[both], whole[name].values[both])
    surface = (count < 12) & (part["structure"].values == 1)
    orientation = part["orientation"].values
    assert np.abs(np.abs(orientation[surface] @ orientation[both].mean(axis=0)) - 1).max() < 0.02
    assert float(part["bond_length"].values[surface].mean()) == pytest.approx(BOND, rel=0.01)


def test_both_sites_of_a_hexagonal_surface_are_matched() -> None:
    atoms, _ = ball("hcp", seed=8)
    count = np.array(
        [len(one) - 1 for one in cKDTree(atoms["position"].values).query_ball_point(atoms["position"].values, 3.34)]
    )
    part = ptm(atoms, least=6)["structure"].values
    assert (part[count >= 6] == 2).mean() > 0.95


def test_a_stretch_is_told_without_its_volume() -> None:
    stretch = np.array([[1.02, 0.01, 0.0], [0.01, 0.99, 0.005], [0.0, 0.005, 1.01]])
    atoms, turn = ball("fcc", seed=9, stretch=stretch)
    found = ptm(atoms).isel(atom=deep(atoms))
    size = np.linalg.det(stretch) ** (1 / 3)
    np.testing.assert_allclose(found["bond_length"], BOND * size, rtol=1e-12)
    gradient = found["deformation_gradient"].values
    np.testing.assert_allclose(np.linalg.det(gradient), 1.0, rtol=1e-12)
    wanted = turn.as_matrix() @ stretch / size
    np.testing.assert_allclose(
        gradient @ gradient.transpose(0, 2, 1), np.broadcast_to(wanted @ wanted.T, gradient.shape), atol=1e-10
    )


@pytest.mark.parametrize("least", [None, 6])
def test_errors_are_the_scatter_over_noisy_repeats(least: int | None) -> None:
    sigma = np.array([0.03, 0.05, 0.08])
    atoms, _ = ball("fcc", seed=10)
    told = atoms.assign(sigma=(("atom", "axis"), np.tile(sigma, (atoms.sizes["atom"], 1)), {"units": "angstrom"}))
    found = ptm(told, least=least)
    repeats = []
    for seed in range(60):
        noise = sigma * np.random.default_rng(seed).standard_normal(atoms["position"].shape)
        repeats.append(
            ptm(atoms.assign(position=atoms["position"].copy(data=atoms["position"].values + noise)), least=least)
        )
    same = np.all([one["structure"].values == 1 for one in repeats], axis=0) & (found["structure"].values == 1)
    assert same.sum() > 50
    for name in ("bond_length", "deformation_gradient"):
        scatter = np.std([one[name].values[same] for one in repeats], axis=0, ddof=1)
        error = found[f"{name}_error"].values[same]
        ratio = np.sqrt((error**2).mean(axis=0) / (scatter**2).mean(axis=0))
        np.testing.assert_allclose(ratio, 1.0, atol=0.1)
    assert np.isnan(ptm(atoms)["bond_length_error"]).all()


def test_few_atoms_and_atoms_at_one_place_have_no_structure() -> None:
    atoms, _ = ball("fcc")
    for few in (atoms.isel(atom=slice(0, 1)), atoms.isel(atom=slice(0, 6)), atoms_dataset(np.zeros((20, 3)), 78)):
        found = ptm(few)
        assert (found["structure"] == 0).all()
        assert np.isnan(found["bond_length"]).all()
