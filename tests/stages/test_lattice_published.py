"""lattice.*: grains and twins of particles that were measured, against what their authors published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat

from aetx.core.atoms import atoms_dataset
from aetx.stages.lattice.boundaries import boundaries
from aetx.stages.lattice.fit import fit

VOXEL = 0.3434

pytestmark = pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")


def core_shell(folder: Path, name: str) -> xr.Dataset:
    """A measured Pd@Pt particle; Z. Li et al., Nature Communications 14, 2934 (2023)."""
    table = loadmat(folder / f"coordinates_{name}.mat")
    return atoms_dataset(VOXEL * table["pos"].T, np.where(table["type"].ravel() == 1, 46, 78).astype(np.int32))


def test_the_measured_pentagonal_bipyramid_is_five_twins_about_the_published_axis(
    real_data: Callable[[str], Path],
) -> None:
    made = boundaries(fit(core_shell(real_data("pdpt_core_shell"), "PB"), type="fcc"))
    assert made.sizes["grain_id"] == 5
    assert (made["grain"] >= 0).mean() > 0.998
    twins = np.isfinite(made["twin_deviation"].values)
    assert (twins.sum(axis=1) == 2).all(), "each domain is a twin of two others"
    assert float(np.nanmax(made["twin_deviation"])) < 2.0
    pairs = {tuple(one) for one in made["plane_grains"].values.tolist()}
    assert pairs == {(int(i), int(j)) for i, j in np.argwhere(twins) if i < j}, "where they meet there is a plane"

    _, size, axes = np.linalg.svd(made["plane_normal"].values)
    assert size[2] < 0.01 * size[0], "all planes share one axis"
    phi, theta, psi = np.deg2rad([-2.5, 6.0, -8.0])
    about_y = np.array([[np.cos(theta), 0, np.sin(theta)], [0, 1, 0], [-np.sin(theta), 0, np.cos(theta)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(psi), -np.sin(psi)], [0, np.sin(psi), np.cos(psi)]])
    about_z = np.array([[np.cos(phi), -np.sin(phi), 0], [np.sin(phi), np.cos(phi), 0], [0, 0, 1]])
    published = (about_y @ about_x @ about_z).T @ [0, 0, 1]
    assert np.rad2deg(np.arccos(abs(axes[2] @ published))) < 0.5


def test_the_measured_truncated_octahedron_is_one_crystal(real_data: Callable[[str], Path]) -> None:
    made = boundaries(fit(core_shell(real_data("pdpt_core_shell"), "TO"), type="fcc"))
    assert made.sizes["grain_id"] == 1
    assert (made["grain"] == 0).mean() > 0.998
    assert int(made["mismatch"].sum()) == 0
    assert 3.89 < float(made["lattice_constant"][0]) < 3.924, "between those of Pd and Pt"
    assert made.sizes["plane"] == 0
