"""structure.warren_cowley"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import loadmat
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.kernels import chemical_order
from aetx.kernels.neighbours import within
from aetx.stages.structure.warren_cowley import warren_cowley

CONSTANT = 3.9


def grid(cells: int) -> np.ndarray:
    """The fcc sites of a cube, in halves of the cell."""
    place = np.stack(np.meshgrid(*[np.arange(2 * cells + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return place[place.sum(axis=1) % 2 == 0]


def alloy(site: np.ndarray, first: np.ndarray) -> xr.Dataset:
    """Pd where `first` is true, else Pt."""
    return atoms_dataset(site * CONSTANT / 2, np.where(first, 46, 78)).assign_attrs(aetx_schema="atoms/1")


def test_in_layers_of_l1_0_a_third_of_the_neighbours_are_alike() -> None:
    site = grid(4)
    site = site[site[:, 2] < 8]
    first = site[:, 2] % 2 == 0
    made = warren_cowley(alloy(site, first), cutoff=3.3, surface="kept")
    deep = ((site > 1) & (site < [7, 7, 6])).all(axis=1)
    share = first.mean()
    assert share == pytest.approx(0.5, abs=0.01)
    found = made["warren_cowley"].values[deep]
    assert_allclose(found[:, 0, 0], (1 / 3 - share) / (1 - share))
    assert_allclose(found[:, 0, 1], ((2 / 3 - (1 - share)) / -(1 - share) + (2 / 3 - share) / -share) / 2)
    assert_allclose(found, -1 / 3, atol=0.03)


def test_a_random_alloy_has_no_order_beyond_what_chance_makes() -> None:
    site = grid(6)
    made = warren_cowley(alloy(site, np.random.default_rng(0).random(len(site)) < 0.4), cutoff=3.3)
    inner = int(np.isfinite(made["warren_cowley"].values[:, 0, 0]).sum())
    found, chance = made["warren_cowley_global"].values, made["warren_cowley_global_error"].values
    assert (np.abs(found) < 2 * 2 / np.sqrt(12 * inner)).all()
    pull = (made["warren_cowley"] / made["warren_cowley_error"]).values
    assert np.nanstd(pull) == pytest.approx(1, abs=0.15)
    assert (chance > 0).all()


def test_chance_takes_a_bulk_alloy_as_far_as_theory_says() -> None:
    place = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    site = place[place.sum(axis=1) % 2 == 0]
    pair = cKDTree(site * 1.0, boxsize=np.full(3, 8.0)).query_pairs(1.6, output_type="ndarray")
    row, column = np.concatenate([pair, pair[:, ::-1]]).T
    near = csr_array((np.ones(len(row)), (row, column)), shape=(len(site),) * 2)
    kind = (np.arange(len(site)) % 10 < 3).astype(np.int64)
    found = chemical_order.scatter_if_random(kind, 2, near, near, True, 400, 0)
    assert_allclose(found.whole, np.sqrt(2 / (12 * len(site))), rtol=0.12)


def test_two_pure_halves_tend_to_one_away_from_their_interface() -> None:
    site = grid(6)
    made = warren_cowley(alloy(site, site[:, 0] < 6), cutoff=3.3)
    away = np.isfinite(made["warren_cowley"].values[:, 0, 0]) & (site[:, 0] < 4)
    assert_allclose(made["warren_cowley"].values[away][:, 0, 0], 1)
    assert np.isnan(made["warren_cowley"].values[away][:, 1, 1]).all()
    assert "fewer atoms j around atoms i" in made["warren_cowley"].attrs["sign"]


def test_a_turn_of_the_particle_and_the_order_of_its_atoms_change_nothing() -> None:
    site = grid(3)
    atoms = alloy(site, np.random.default_rng(4).random(len(site)) < 0.5)
    order = np.random.default_rng(5).permutation(len(site))
    turned = atoms.isel(atom=order)
    turned["position"] = (turned["position"].dims, turned["position"].values[:, [1, 2, 0]], {"units": "angstrom"})
    one, other = (each["warren_cowley"].values for each in (warren_cowley(atoms), warren_cowley(turned)))
    assert_allclose(other, one[order], atol=1e-12)


def test_where_all_atoms_are_of_the_surface_nothing_is_known(small_atoms: xr.Dataset) -> None:
    small_atoms["surface"] = ("atom", np.ones(13, np.int8), {"units": "1"})
    with pytest.warns(AetxWarning, match="every atom is of the surface"):
        made = warren_cowley(small_atoms, cutoff=4.0)
    assert np.isnan(made["warren_cowley"]).all()


@pytest.mark.parametrize(("name", "cutoff"), [("MEA1", 3.49), ("MEA2", 3.44)])
def test_local_order_and_surface_are_those_published(
    real_data: Callable[[str], Path], name: str, cutoff: float
) -> None:
    folder = real_data("mea_hea") / name
    position = loadmat(folder / f"model_{name}.mat")["model_refined"].T.astype(float)
    kind = loadmat(folder / f"atoms_{name}.mat")["atom_type"].ravel()
    said = loadmat(folder / f"Chemsro_{name}_excl_surf.mat")
    atoms = atoms_dataset(position, np.array([0, 28, 46, 78])[kind]).assign_attrs(aetx_schema="atoms/1")
    one_way = np.nan_to_num(warren_cowley(atoms, symmetric=False, cutoff=cutoff, shuffles=10)["warren_cowley"].values)
    inner = np.setdiff1d(np.arange(len(position)), said["bf"].ravel().astype(int) - 1)
    published = np.moveaxis(said["Chemsro_alpha"], 2, 0)
    assert_array_equal((one_way + one_way.transpose(0, 2, 1))[inner] / 2, published)
    both = warren_cowley(atoms, cutoff=cutoff, shuffles=10)["warren_cowley"].values
    assert np.isnan(both[said["bf"].ravel().astype(int) - 1]).all()
    known = np.isfinite(both[inner])
    assert_array_equal(both[inner][known], published[known])


@pytest.mark.parametrize("name", ["HEA_4", "HEA_22"])
def test_order_from_published_neighbours_is_that_published(real_data: Callable[[str], Path], name: str) -> None:
    folder = real_data("hea_nucleation") / name
    model = loadmat(folder / f"Final_atomic_model_{name}_nanoparticle.mat")
    lists = loadmat(folder / f"Voronoi_{name}_nanoparticle.mat")["neigh"].ravel()
    said = loadmat(folder / f"CSRO_{name}_nanoparticle.mat")
    position, kind = model["model"].T, model["atoms"].ravel().astype(np.int64) - 1
    tree, rows, columns = cKDTree(position), [], []
    for i, near in enumerate(lists):
        those = np.atleast_1d(tree.query(near.reshape(-1, 3))[1])
        columns += [j for j in those if j != i]
        rows += [i] * int((those != i).sum())
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(position),) * 2)
    found = chemical_order.warren_cowley(kind, 3, matrix, chemical_order.ball(within(position, 5.0)), False)
    assert_allclose(found.whole, said["alpha1"], rtol=0, atol=1e-14)
    local = np.nan_to_num(found.local)
    assert_array_equal((local + local.transpose(0, 2, 1)) / 2, np.moveaxis(said["alpha_arr"], 2, 0))
