"""structure.nuclei"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal
from scipy.io import loadmat

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.structure.nuclei import nuclei


def with_order(position: np.ndarray, order: np.ndarray) -> xr.Dataset:
    return atoms_dataset(position, 78, {"bond_order": (order, "1")}).assign_attrs(aetx_schema="atoms/1")


def test_two_hills_of_order_are_two_nuclei_and_the_valley_belongs_to_the_nearer() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(12) * 2.5] * 3, indexing="ij"), -1).reshape(-1, 3)
    top = grid[[np.ravel_multi_index((3, 3, 3), (12,) * 3), np.ravel_multi_index((8, 8, 8), (12,) * 3)]]
    away = np.linalg.norm(grid[:, None] - top, axis=2)
    order = np.maximum(1.0 - 0.05 * away[:, 0], 0.9 - 0.05 * away[:, 1])
    made = nuclei(with_order(grid, order), threshold=0.6)
    assert made.sizes["nucleus_id"] == 2
    assert set(made["nucleus_core"].values) == {
        int(np.ravel_multi_index((3, 3, 3), (12,) * 3)),
        int(np.ravel_multi_index((8, 8, 8), (12,) * 3)),
    }
    inside = order > 0.6
    assert_array_equal(made["nucleus"].values[~inside], -1)
    nearer = 1.0 - 0.05 * away[:, 0] > 0.9 - 0.05 * away[:, 1]
    clear = inside & (np.abs(0.1 - 0.05 * (away[:, 0] - away[:, 1])) > 0.15)
    first = made["nucleus"].values[np.argmax(order)]
    assert_array_equal(made["nucleus"].values[clear] == first, nearer[clear])
    assert float(made["nucleus_gradient"][first]) == pytest.approx(-0.05, abs=0.005)
    assert int(made["nucleus_atoms"].sum()) == int(inside.sum())


def test_small_ones_and_unknown_orders_are_none() -> None:
    line = np.arange(20.0)[:, None] * [3.0, 0, 0]
    order = np.where(np.arange(20) < 5, 0.9 - 0.01 * np.arange(20), np.nan)
    made = nuclei(with_order(line, order), least=6)
    assert_array_equal(made["nucleus"], -1)
    assert_array_equal(nuclei(with_order(line, order), least=5)["nucleus"].values, [0] * 5 + [-1] * 15)


def test_the_column_must_be_there(small_atoms: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"put structure\.bond_order before"):
        nuclei(small_atoms)


@pytest.mark.parametrize("name", ["HEA_4", "HEA_10"])
def test_nuclei_are_those_published(real_data: Callable[[str], Path], name: str) -> None:
    folder = real_data("hea_nucleation") / name
    said = loadmat(folder / f"Nuclei_atoms_{name}_nanoparticle.mat")["indGrain_ori"]
    made = nuclei(with_order(said[:, :3], said[:, 4]), least=1)
    core = np.append(made["nucleus_core"].values, -2)[made["nucleus"].values]
    assert_array_equal(core + 1, said[:, 3].astype(int))
    enough = loadmat(folder / f"Nuclei_atoms_{name}_nanoparticle.mat")["indGrain"][:, 3]
    large = nuclei(with_order(said[:, :3], said[:, 4]))
    assert_array_equal(large["nucleus"].values >= 0, enough > 0)
