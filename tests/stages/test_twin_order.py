"""structure.twin_order and structure.template"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.kernels.neighbours import within
from aetx.kernels.shell_template import template as first_shell
from aetx.stages.structure.template import template
from aetx.stages.structure.twin_order import twin_order

BOND = 2.77


def stamped(position: np.ndarray) -> xr.Dataset:
    return atoms_dataset(position, 78).assign_attrs(aetx_schema="atoms/1")


def stacked(letters: str, across: int = 9, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Close-packed layers, and the number of the layer of each atom."""
    n, m = np.meshgrid(np.arange(across), np.arange(across), indexing="ij")
    flat = BOND * np.stack([n + m / 2, m * 3**0.5 / 2], -1).reshape(-1, 2)
    place = []
    for i, letter in enumerate(letters):
        moved = flat + BOND * "ABC".index(letter) * np.array([0.5, 3**0.5 / 6])
        place.append(np.column_stack([moved, np.full(len(flat), i * BOND * (2 / 3) ** 0.5)]))
    made = np.concatenate(place)
    made += noise * np.random.default_rng(0).standard_normal(made.shape)
    return made @ Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix().T, np.repeat(np.arange(len(letters)), n.size)


def test_a_twin_plane_is_one_layer_of_hcp_and_a_fault_two() -> None:
    position, layer = stacked("ABCABACBABACB", noise=0.08)
    made = twin_order(stamped(position), cutoff=3.4)
    full = within(position, 3.4).count == 12
    hcp = np.unique(layer[full & (made["twin_order"].values > 0)])
    assert list(hcp) == [4, 8, 9]
    sides = [float(made["twin_order"][full & (layer == i)].mean()) for i in range(1, 12)]
    assert [i + 1 for i, one in enumerate(sides) if one > 0] == [4, 8, 9]


def test_a_perfect_crystal_fits_its_own_template_and_not_the_other() -> None:
    for letters, own, other in (("ABCABC", "fcc", "hcp"), ("ABABAB", "hcp", "fcc")):
        position, _ = stacked(letters, 6)
        made = twin_order(stamped(position), cutoff=3.4)
        full = within(position, 3.4).count == 12
        assert_allclose(made[f"{own}_rmsd"].values[full], 0, atol=1e-6)
        assert (made[f"{other}_rmsd"].values[full] > 0.3).all()


@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc", "sc", "diamond", "ico"])
def test_every_template_is_found_turned_and_scaled(name: str) -> None:
    shell = first_shell(name).vector
    turn = Rotation.from_rotvec([0.4, -0.9, 0.2]).as_matrix()
    position = np.concatenate([np.zeros((1, 3)), 2.5 * shell @ turn.T])
    made = template(stamped(position), structure=name, cutoff=2.6)
    assert float(made["template_rmsd"][0]) == pytest.approx(0, abs=1e-6)
    assert float(made["template_bond"][0]) == pytest.approx(2.5)
    assert int(made["template_matched"][0]) == len(shell)
    back = shell @ made["template_rotation"].values[0].T
    assert np.linalg.norm(back[:, None] - shell @ turn.T, axis=2).min(axis=1).max() < 1e-6


def test_a_displaced_neighbour_is_as_far_off_as_it_was_moved() -> None:
    shell = 2.5 * first_shell("fcc").vector
    shell[0] += [0.0, 0.0, 0.3]
    made = template(stamped(np.concatenate([np.zeros((1, 3)), shell])), cutoff=3.0)
    assert 0.2 < float(made["template_largest"][0]) < 0.3
    assert float(made["template_mean"][0]) < 0.09


def test_too_few_neighbours_have_no_value(small_atoms: xr.Dataset) -> None:
    made = twin_order(small_atoms.isel(atom=slice(0, 5)), cutoff=4.0)
    assert np.isnan(made["twin_order"]).all()
    with pytest.raises(InputError, match="state 'cutoff'"):
        twin_order(small_atoms.isel(atom=slice(0, 1)))


def test_errors_of_positions_scatter_the_values_as_far_as_told() -> None:
    position, _ = stacked("ABCABAC", 7, noise=0.12)
    full = within(position, 3.4).count == 12
    sigma, generator = 0.02, np.random.default_rng(1)
    covariance = np.tile(sigma**2 * np.eye(3), (len(position), 1, 1))
    atoms = stamped(position).assign(covariance=(("atom", "axis", "axis2"), covariance, {"units": "angstrom**2"}))
    told = twin_order(atoms.assign_coords(axis2=["x", "y", "z"]), cutoff=3.4)
    shell = template(atoms.assign_coords(axis2=["x", "y", "z"]), cutoff=3.4)
    moved = [stamped(position + sigma * generator.standard_normal(position.shape)) for _ in range(30)]
    for name, one, stage in (("twin_order", told, twin_order), ("template_rmsd", shell, template)):
        scatter = np.std([stage(each, cutoff=3.4)[name].values[full] for each in moved], axis=0, ddof=1)
        ratio = scatter / one[f"{name}_error"].values[full]
        assert np.sqrt(np.median(ratio**2)) == pytest.approx(1, abs=0.12)
    assert np.isnan(twin_order(moved[0], cutoff=3.4)["twin_order_error"]).all()


@pytest.mark.parametrize(("name", "cutoff"), [("MEA2", 3.439), ("HEA1", 3.6)])
def test_the_sign_is_that_of_published_atoms(real_data: Callable[[str], Path], name: str, cutoff: float) -> None:
    """Of atoms with twelve neighbours that a published template fits to .29 angstrom."""
    folder = real_data("mea_hea") / name
    position = loadmat(folder / f"model_{name}.mat")["model_refined"].T.astype(float)
    said = loadmat(folder / f"twin_op_{name}.mat")
    published, best = said["twin_op"].ravel(), np.minimum(said["fcc_misfit"], said["hcp_misfit"]).ravel()
    inner = np.zeros(len(position), bool)
    inner[np.load(folder / f"ptm_decoded_{name}.npz")["atom_index0"]] = True
    clear = inner & (within(position, cutoff).count == 12) & (best < 12 * 0.29)
    found = twin_order(stamped(position), cutoff=cutoff)["twin_order"].values
    assert (found[clear & (published < 0)] < 0).mean() >= 0.99
    assert (found[clear & (published > 0)] > 0).mean() >= 0.97


@pytest.mark.parametrize(("name", "cutoff"), [("MEA1", 3.493), ("MEA2", 3.439)])
def test_deviations_from_the_template_are_those_published(
    real_data: Callable[[str], Path], name: str, cutoff: float
) -> None:
    """Where both match all twelve neighbours."""
    folder = real_data("mea_hea") / name
    position = loadmat(folder / f"model_{name}.mat")["model_refined"].T.astype(float)
    said = np.load(folder / f"ptm_decoded_{name}.npz")
    made = template(stamped(position), cutoff=cutoff).isel(atom=said["atom_index0"])
    both = (made["template_matched"].values == 12) & (said["n_matched"] == 12)
    assert both.sum() > 0.25 * both.size
    away = made["template_mean"].values[both] - said["mean_deviation_A"][both]
    assert (np.abs(away) < 2e-3).mean() > 0.97
