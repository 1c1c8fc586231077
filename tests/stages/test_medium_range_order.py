"""structure.medium_range_order"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal
from scipy.io import loadmat
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.stages.structure.medium_range_order import medium_range_order

BOND = 4.9


def crystal(name: str, cells: int = 2) -> np.ndarray:
    """Points of a crystal in a cube, the distance of neighbours being 1."""
    if name == "hcp":
        n, m, k = (part.ravel() for part in np.meshgrid(*[np.arange(2 * cells)] * 3, indexing="ij"))
        return np.column_stack([n + m / 2 + (k % 2) / 2, m * 3**0.5 / 2 + (k % 2) * 3**0.5 / 6, k * (2 / 3) ** 0.5])
    place = np.stack(np.meshgrid(*[np.arange(2 * cells + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    if name == "sc":
        return place * 1.0
    if name == "fcc":
        return place[place.sum(axis=1) % 2 == 0] / 2**0.5
    return place[np.ptp(place % 2, axis=1) == 0] / 3**0.5


def glass(solute: np.ndarray, seed: int = 0) -> xr.Dataset:
    """Solutes where they are, and solvents somewhere between them, none too close."""
    generator = np.random.default_rng(seed)
    low, high = solute.min(axis=0) - 3, solute.max(axis=0) + 3
    kept = [*solute]
    for one in generator.uniform(low, high, (4000, 3)):
        if cKDTree(kept).query(one)[0] > 2.4:
            kept.append(one)
    species = np.where(np.arange(len(kept)) < len(solute), 78, 28)
    return atoms_dataset(np.array(kept), species).assign_attrs(aetx_schema="atoms/1")


@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc", "sc"])
def test_a_planted_network_is_found_whole_with_its_structure(name: str) -> None:
    solute = BOND * crystal(name) @ Rotation.from_rotvec([0.3, 0.8, -0.5]).as_matrix().T
    solute += 0.15 * np.random.default_rng(1).standard_normal(solute.shape)
    made = medium_range_order(glass(solute), solute="Pt", inner=3.858, outer=6.079)
    assert str(made["network_structure"][0].values) == name
    assert int(made["network_atoms"][0]) >= 0.95 * len(solute)
    assert float(made["network_bond"][0]) == pytest.approx(BOND, rel=0.02)
    assert float(made["network_rmsd"][0]) == pytest.approx(0.15 * 3**0.5, rel=0.25)
    assert_array_equal(made["network"].values[len(solute) :], -1)


def test_two_crystals_are_two_networks_and_share_no_atom() -> None:
    first = BOND * crystal("fcc")
    second = BOND * crystal("sc", 1) @ Rotation.from_rotvec([0.7, 0.2, 0.1]).as_matrix().T + [45.0, 0, 0]
    made = medium_range_order(glass(np.concatenate([first, second])), solute="Pt", inner=3.858, outer=6.079)
    assert list(made["network_structure"].values[:2]) == ["fcc", "sc"]
    count = np.bincount(made["network"].values[made["network"].values >= 0])
    assert_array_equal(count, made["network_atoms"])
    assert (np.diff(made["network_atoms"].values) <= 0).all()


def test_solutes_without_order_make_small_networks_only() -> None:
    generator = np.random.default_rng(5)
    lone = [np.zeros(3)]
    for one in generator.uniform(-14, 14, (3000, 3)):
        if cKDTree(lone).query(one)[0] > 3.9:
            lone.append(one)
    made = medium_range_order(glass(np.array(lone)), solute="Pt", inner=3.858, outer=6.079)
    assert made["network_atoms"].max() < 0.25 * len(lone)


def test_few_atoms_have_no_network(small_atoms: xr.Dataset) -> None:
    made = medium_range_order(small_atoms, inner=5.0, outer=6.0)
    assert_array_equal(made["network"], -1)
    assert made.sizes["network_id"] == 0


def test_solutes_of_the_published_glass_make_larger_networks_than_shuffled_ones(
    real_data: Callable[[str], Path],
) -> None:
    folder = real_data("metallic_glass") / "6_Final_coordinates"
    position = loadmat(folder / "final_atom_coord_inA.mat")["final_atom_coord_inAngstrom"].T.astype(float)
    kind = loadmat(folder / "final_atom_types.mat")["final_atom_types"].ravel()
    made = []
    for one in (kind, np.random.default_rng(0).permutation(kind)):
        atoms = atoms_dataset(position, np.array([0, 28, 45, 78])[one]).assign_attrs(aetx_schema="atoms/1")
        made.append(medium_range_order(atoms, solute="Pt", inner=3.858, outer=6.079))
    glass_made, shuffled = made
    assert {"fcc", "hcp", "bcc", "sc"} <= set(glass_made["network_structure"].values)
    assert (glass_made["network_rmsd"] < 0.75).all()
    assert glass_made["network_atoms"].max() > 1.5 * shuffled["network_atoms"].max()
    assert (glass_made["network"] >= 0).sum() > 1.5 * (shuffled["network"] >= 0).sum()
