"""Neighbours of each atom, and how many they are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.structure.coordination import coordination
from aetx.stages.structure.neighbours import neighbours


def cuboctahedron(shells: int = 3) -> xr.Dataset:
    edge = np.arange(-shells, shells + 1)
    sites = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[(np.abs(sites).sum(1) <= 2 * shells) & (sites.sum(1) % 2 == 0)]
    return atoms_dataset(1.96 * sites, np.where(sites[:, 0] % 2 == 0, 46, 78).astype(np.int32))


def with_sigma(atoms: xr.Dataset, sigma: float) -> xr.Dataset:
    values = np.full(atoms["position"].shape, sigma)
    return atoms.assign(sigma=(("atom", "axis"), values, {"units": "angstrom"}))


def test_sites_of_a_cuboctahedron_have_their_coordination() -> None:
    """Vertices have 5 neighbours, edges 7, (100) 8, (111) 9, the inside 12."""
    found = coordination(cuboctahedron())
    numbers, counts = np.unique(found["coordination"].values, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {5: 12, 7: 48, 8: 24, 9: 8, 12: 55}
    centre = int(np.linalg.norm(found["position"].values, axis=1).argmin())
    assert float(found["generalised_coordination"][centre]) == pytest.approx(12.0)
    vertex = int(found["coordination"].values.argmin())
    near = found["coordination"].values[
        np.abs(np.linalg.norm(found["position"].values - found["position"].values[vertex], axis=1) - 2.772) < 0.1
    ]
    assert float(found["generalised_coordination"][vertex]) == pytest.approx(near.sum() / 12)


def test_species_of_neighbours_sum_to_the_coordination() -> None:
    found = coordination(cuboctahedron())
    np.testing.assert_array_equal(found["species_j"], [46, 78])
    np.testing.assert_array_equal(found["coordination_species"].sum("species_j"), found["coordination"])
    inside = found.isel(atom=int(np.linalg.norm(found["position"].values, axis=1).argmin()))
    np.testing.assert_array_equal(inside["coordination_species"], [4, 8])


def test_an_atom_near_the_cutoff_makes_the_number_uncertain() -> None:
    """A bond of 3 angstrom, 10 pm along it, counts half of the time: the error of 0 or 1 is one half."""
    pair = atoms_dataset(np.array([[0.0, 0, 0], [3.0, 0, 0], [0.0, 2.0, 0]]), 78)
    found = coordination(with_sigma(pair, 0.05), cutoff=3.0, draws=2000)
    np.testing.assert_allclose(found["coordination_error"], [0.5, 0.5, 0.0], atol=0.02)
    assert np.isnan(coordination(pair, cutoff=3.0)["coordination_error"]).all()


def test_neighbours_are_listed_by_their_ids_with_their_distances() -> None:
    atoms = cuboctahedron().isel(atom=slice(None, None, -1))
    found = neighbours(atoms)
    assert found["neighbour"].dims == ("atom", "rank")
    place = {int(one): k for k, one in enumerate(atoms["atom"].values)}
    position = atoms["position"].values
    for i in (0, 50, 100):
        count = int(found["coordination"][i])
        listed = [place[int(one)] for one in found["neighbour"].values[i, :count]]
        np.testing.assert_allclose(
            np.linalg.norm(position[listed] - position[i], axis=1), found["neighbour_distance"].values[i, :count]
        )
        assert (found["neighbour"].values[i, count:] == -1).all()
        assert np.isnan(found["neighbour_distance"].values[i, count:]).all()
    np.testing.assert_array_equal(found["coordination"], coordination(atoms)["coordination"])
    again = coordination(found, shell="listed")
    np.testing.assert_array_equal(found["coordination"], again["coordination"])


def test_the_error_of_a_distance_is_that_along_the_bond() -> None:
    pair = atoms_dataset(np.array([[0.0, 0, 0], [0.0, 0, 2.8]]), 78)
    sigma = np.array([[0.3, 0.3, 0.03], [0.3, 0.3, 0.04]])
    pair["sigma"] = (("atom", "axis"), sigma, {"units": "angstrom"})
    found = neighbours(pair, cutoff=3.0)
    np.testing.assert_allclose(found["neighbour_distance_error"], 0.05)


def test_the_nearest_are_as_many_as_asked_for() -> None:
    found = neighbours(cuboctahedron(), method="nearest", count=4)
    assert (found["neighbour"] >= 0).all()
    assert found.sizes["rank"] == 4
    np.testing.assert_allclose(found["neighbour_distance"], 1.96 * 2**0.5)
    few = neighbours(cuboctahedron().isel(atom=slice(0, 3)), method="nearest", count=4)
    np.testing.assert_array_equal(few["coordination"], 2)
    with pytest.raises(ValueError, match="without cutoff"):
        neighbours(cuboctahedron(), method="nearest", cutoff=3.0)


def test_one_atom_needs_a_cutoff() -> None:
    alone = cuboctahedron().isel(atom=[0])
    with pytest.raises(InputError, match="state 'cutoff'"):
        neighbours(alone)
    assert neighbours(alone, cutoff=3.0)["coordination"].values.tolist() == [0]
