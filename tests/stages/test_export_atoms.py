"""Atoms to the files of other programs, read back by programs that are not aetx."""

import io
import re
import struct
import tracemalloc
import warnings
import xml.etree.ElementTree as ET

import ase.io
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aetx.errors import AetxWarning, InputError
from aetx.model import ATOMS
from aetx.stages.export.cif import cif
from aetx.stages.export.extxyz import SLAB, extxyz
from aetx.stages.export.lammps import lammps
from aetx.stages.export.vtp import vtp


def table(count: int = 7, seed: int = 0, first: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    one = {"units": "1"}
    made = xr.Dataset(
        {
            "position": (("atom", "axis"), rng.normal(0, 30, (count, 3)), {"units": "angstrom"}),
            "species": ("atom", rng.choice(np.array([78, 26, 14], np.int32), count), one),
            "intensity": ("atom", rng.uniform(0, 1, count).astype(np.float32), {"units": "1/angstrom"}),
            "sigma": (("atom", "axis"), rng.uniform(0.01, 0.1, (count, 3)), {"units": "angstrom"}),
            "covariance": (("atom", "axis", "axis2"), rng.normal(size=(count, 3, 3)), {"units": "angstrom**2"}),
            "flag": ("atom", rng.integers(0, 3, count).astype(np.int32), one),
            "inside": ("atom", rng.uniform(size=count) > 0.5, one),
        },
        {"atom": ("atom", np.arange(first, first + count) * 3, one), "axis": ["x", "y", "z"]},
    )
    return ATOMS.stamp(made)


def text(file: xr.Dataset) -> str:
    return file["content"].values.tobytes().decode()


def vtk_arrays(file: xr.Dataset) -> tuple[ET.Element, dict[str, np.ndarray]]:
    """Read a VTK XML file with appended raw data by its specification."""
    head, blob = file["content"].values.tobytes().split(b'<AppendedData encoding="raw">\n_', 1)
    tree = ET.fromstring(head + b"</VTKFile>")
    kinds = {"Float64": "<f8", "Float32": "<f4", "Int64": "<i8", "Int32": "<i4", "UInt8": "u1"}
    found = {}
    for one in tree.iter("DataArray"):
        start = int(one.attrib["offset"])
        (size,) = struct.unpack_from("<Q", blob, start)
        flat = np.frombuffer(blob[start + 8 : start + 8 + size], kinds[one.attrib["type"]])
        found[one.attrib["Name"]] = flat.reshape(-1, int(one.attrib["NumberOfComponents"]))
    return tree, found


def test_extxyz_comes_back_through_ase_with_every_column() -> None:
    atoms = table()
    back = ase.io.read(io.StringIO(text(extxyz(atoms))), format="extxyz")
    np.testing.assert_array_equal(back.positions, atoms["position"])
    np.testing.assert_array_equal(back.numbers, atoms["species"])
    np.testing.assert_array_equal(back.arrays["id"], atoms["atom"])
    np.testing.assert_array_equal(back.arrays["intensity"].astype(np.float32), atoms["intensity"])
    np.testing.assert_array_equal(back.arrays["sigma"], atoms["sigma"])
    np.testing.assert_array_equal(back.arrays["covariance"], atoms["covariance"].values.reshape(-1, 9))
    np.testing.assert_array_equal(back.arrays["flag"], atoms["flag"])
    np.testing.assert_array_equal(back.arrays["inside"], atoms["inside"])
    assert "pos:angstrom" in back.info["aetx_units"]
    assert "covariance:angstrom**2" in back.info["aetx_units"]


def test_extxyz_takes_about_what_its_forecast_says() -> None:
    atoms = table(2 * SLAB + 1)
    told = extxyz.forecast({"atoms": ({"atom": atoms.sizes["atom"], "axis": 3},)}, extxyz.params())
    tracemalloc.start()
    try:
        made = extxyz(atoms)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 < told.sizes["byte"] / made.sizes["byte"] < 1.2
    assert peak < told.memory < 3 * peak
    assert text(made).count("\n") == atoms.sizes["atom"] + 2


def test_positions_are_chosen_by_label_not_by_place() -> None:
    atoms = table()
    turned = atoms.sel(axis=["z", "x", "y"])
    assert text(extxyz(ATOMS.stamp(turned))) == text(extxyz(atoms))


@settings(max_examples=20)
@given(count=st.integers(0, 5), seed=st.integers(0, 99))
def test_extxyz_of_any_table_reads_back_within_1e_8(count: int, seed: int) -> None:
    atoms = table(count, seed)
    lines = text(extxyz(atoms)).splitlines()
    assert int(lines[0]) == count == len(lines) - 2
    for line, position in zip(lines[2:], atoms["position"].values, strict=True):
        np.testing.assert_allclose([float(word) for word in line.split()[1:4]], position, rtol=0, atol=1e-8)


def test_an_unknown_species_is_exported_as_x() -> None:
    atoms = ATOMS.stamp(table()[["position", "species"]])
    atoms["species"][:] = 0
    back = ase.io.read(io.StringIO(text(extxyz(atoms))), format="extxyz")
    assert set(back.get_chemical_symbols()) == {"X"}
    assert "X1 X " in text(cif(atoms))
    with pytest.warns(AetxWarning, match="unknown species are LAMMPS type 1"):
        made = text(lammps(atoms))
    assert re.search(r"^1 1\.0+  # X$", made, re.MULTILINE)


def test_columns_without_a_place_are_named_in_a_warning() -> None:
    with pytest.warns(AetxWarning, match="CIF has no place for covariance, flag, inside, intensity, sigma"):
        cif(table())
    with pytest.warns(AetxWarning, match="LAMMPS data has no place for covariance, flag"):
        lammps(table())
    atoms = table().assign(
        note=("atom", np.array(["two words"] * 7)), history=("iteration", np.ones(3), {"units": "1"})
    )
    with pytest.warns(AetxWarning, match="extXYZ has no place for history, note"):
        extxyz(ATOMS.stamp(atoms))


def test_a_table_with_nothing_to_drop_gives_no_warning() -> None:
    atoms = ATOMS.stamp(table()[["position", "species"]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in (extxyz, cif, lammps, vtp):
            one(atoms)


def test_a_position_that_is_not_finite_is_refused() -> None:
    atoms = table()
    atoms["position"][2, 1] = np.nan
    with pytest.raises(InputError, match=r"position: found 1 that are not finite"):
        extxyz(atoms)


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_cif_comes_back_through_ase_up_to_the_corner_in_its_comment() -> None:
    atoms = table()
    made = text(cif(atoms, margin=4.0))
    back = ase.io.read(io.StringIO(made), format="cif")
    corner = [float(word) for word in re.findall(r"centre = (\S+) (\S+) (\S+)", made)[0]]
    np.testing.assert_allclose(back.positions + corner, atoms["position"], atol=1e-8)
    np.testing.assert_array_equal(back.numbers, atoms["species"])
    assert np.ptp(back.positions, axis=0) + 8 == pytest.approx(back.cell.lengths(), abs=1e-6)


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
@pytest.mark.parametrize("first", [0, 5])
def test_lammps_comes_back_through_ase_with_types_masses_and_ids(first: int) -> None:
    atoms = table(first=first)
    made = text(lammps(atoms))
    back = ase.io.read(io.StringIO(made), format="lammps-data", units="metal")
    shift = 1 if first == 0 else 0
    order = np.argsort(atoms["atom"].values)
    np.testing.assert_array_equal(np.sort(back.arrays["id"]), atoms["atom"].values[order] + shift)
    np.testing.assert_array_equal(back.numbers, atoms["species"].values[order])
    np.testing.assert_allclose(back.positions, atoms["position"].values[order], atol=1e-8)
    assert ("plus 1" in made.splitlines()[0]) == (first == 0)


def test_vtk_points_hold_every_column_bit_for_bit() -> None:
    atoms = table()
    tree, arrays = vtk_arrays(vtp(atoms))
    np.testing.assert_array_equal(arrays["position"], atoms["position"])
    np.testing.assert_array_equal(arrays["connectivity"].ravel(), np.arange(7))
    np.testing.assert_array_equal(arrays["offsets"].ravel(), np.arange(1, 8))
    np.testing.assert_array_equal(arrays["sigma"], atoms["sigma"])
    np.testing.assert_array_equal(arrays["inside"].ravel(), atoms["inside"])
    assert tree.findall(".//Piece")[0].attrib["NumberOfPoints"] == "7"
