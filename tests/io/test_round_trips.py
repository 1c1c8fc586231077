"""What aetx exports, its readers read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core import Registry
from aetx.io import open_input
from aetx.model import ATOMS, VOLUME


def test_a_volume_goes_through_mrc_with_its_unit_and_its_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coords = {
        axis: (axis, (np.arange(size) - size // 2) * 0.35 + first, {"units": "angstrom"})
        for axis, size, first in (("z", 6, 1.0), ("y", 7, 0.0), ("x", 8, -5.0))
    }
    values = rng.random((6, 7, 8), np.float32)
    volume = VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), values, {"units": "count/angstrom"})}, coords))
    path = tmp_path / "v.mrc"
    path.write_bytes(Registry().stage("export.mrc")(volume)["content"].values.tobytes())
    found = open_input([path], kind=VOLUME)
    np.testing.assert_array_equal(found["density"].values, values)
    assert found["density"].attrs["units"] == "count/angstrom"
    for axis in "zyx":
        np.testing.assert_allclose(found[axis].values, volume[axis].values, atol=1e-6)


def test_atoms_go_through_extended_xyz_with_every_column_and_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    atoms = ATOMS.stamp(
        xr.Dataset(
            {
                "position": (("atom", "axis"), rng.random((3, 3)), {"units": "angstrom"}),
                "species": ("atom", np.array([78, 0, 28], np.int32), {"units": "1"}),
                "intensity": ("atom", rng.random(3), {"units": "count"}),
                "sigma": (("atom", "axis"), rng.random((3, 3)), {"units": "angstrom"}),
                "flag": ("atom", np.arange(3, dtype=np.int32), {"units": "1"}),
            },
            {"atom": ("atom", np.array([5, 2, 9]), {"units": "1"}), "axis": ("axis", np.array(["x", "y", "z"]))},
        )
    )
    path = tmp_path / "a.extxyz"
    path.write_bytes(Registry().stage("export.extxyz")(atoms)["content"].values.tobytes())
    found = open_input([path], kind=ATOMS)
    for name in ("position", "species", "intensity", "sigma", "flag", "atom"):
        np.testing.assert_allclose(found[name].values, atoms[name].values, rtol=1e-12)
        assert found[name].attrs["units"] == atoms[name].attrs["units"]
