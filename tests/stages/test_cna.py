"""Common neighbour analysis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from ase.cluster import Icosahedron
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.core.neighbourhoods import STRUCTURES
from aetx.stages.structure.cna import cna
from aetx.stages.structure.coordination import coordination


def ball(name: str, noise: float, seed: int = 0) -> xr.Dataset:
    """Return a turned ball of a crystal with bonds of 2.77 angstrom, and noise of each coordinate."""
    edge = {"fcc": 2.77 * 2**0.5, "bcc": 2.77 * 2 / 3**0.5, "hcp": 2.77}[name]
    crystal = bulk("Pt", name, a=edge, c=edge * (8 / 3) ** 0.5 if name == "hcp" else None) * (13, 13, 13)
    sites = crystal.positions - crystal.positions.mean(axis=0)
    sites = sites[np.linalg.norm(sites, axis=1) < 13] @ Rotation.random(random_state=seed).as_matrix()
    return atoms_dataset(sites + noise * np.random.default_rng(seed).standard_normal(sites.shape), 78)


def within(atoms: xr.Dataset) -> np.ndarray:
    """Tell which atoms are deep enough that no surface matters."""
    return np.asarray(np.linalg.norm(atoms["position"].values, axis=1) < 13 - 4.5)


@pytest.mark.parametrize("method", ["adaptive", "fixed"])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc"])
def test_a_crystal_is_known_within_and_nothing_at_the_surface(name: str, noise: float, method: str) -> None:
    atoms = ball(name, noise)
    found = cna(atoms, method=method)["structure"].values
    right = found == STRUCTURES.index(name)
    assert right[within(atoms)].all()
    assert (right | (found == 0)).all()
    whole = coordination(atoms)["coordination"].values == (14 if name == "bcc" else 12)
    assert (found[~whole] == 0).all() if method == "fixed" else True


def test_an_icosahedron_has_one_centre_thirty_twin_planes_and_twenty_grains() -> None:
    """Of 309 atoms 162 are surface and 36 on the five-fold axes, which no structure has."""
    counts = np.bincount(cna(atoms_dataset(Icosahedron("Pt", 5, 3.92).positions, 78))["structure"].values, minlength=5)
    assert dict(zip(STRUCTURES, counts.tolist(), strict=False)) == {
        "other": 198,
        "fcc": 20,
        "hcp": 90,
        "bcc": 0,
        "ico": 1,
    }


def test_what_is_found_depends_neither_on_order_nor_on_place() -> None:
    atoms = ball("hcp", 0.15)
    order = np.random.default_rng(1).permutation(atoms.sizes["atom"])
    moved = atoms.isel(atom=order).copy()
    moved["position"] = moved["position"].copy(
        data=moved["position"].values @ Rotation.random(random_state=5).as_matrix() + 7
    )
    np.testing.assert_array_equal(cna(moved)["structure"], cna(atoms)["structure"][order])


def test_few_atoms_have_no_structure() -> None:
    atoms = ball("fcc", 0.0)
    for count in (1, 5, 13):
        assert (cna(atoms.isel(atom=slice(0, count)))["structure"] == 0).all()
    with pytest.raises(ValueError, match="without cutoff"):
        cna(atoms, cutoff=3.0)


@pytest.mark.parametrize(("name", "cutoff", "fcc", "hcp"), [("TO", 3.41, 6291, 0), ("PB", 3.31, 7704, 788)])
def test_the_published_core_shell_particles_have_their_counts(
    name: str, cutoff: float, fcc: int, hcp: int, real_data: Callable[[str], Path]
) -> None:
    position = np.asarray(loadmat(real_data("pdpt_core_shell") / f"coordinates_{name}.mat")["pos"]).T * 0.3434
    found = cna(atoms_dataset(position, 78), method="fixed", cutoff=cutoff)["structure"].values
    assert [(found == 1).sum(), (found == 2).sum()] == [fcc, hcp]
