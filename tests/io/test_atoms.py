from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest

from aetx.io import open_input
from aetx.model import ATOMS

POSITIONS = np.array([[0.0, 1.5, -2.25], [3.0, 0.125, 7.0], [-1.0, 2.0, 3.0]])


@pytest.fixture
def atoms(tmp_path: Path) -> Any:
    """Return a function that writes three atoms with columns and opens them again."""

    def write(suffix: str) -> Path:
        made = ase.Atoms("PtNiX", POSITIONS)
        made.set_array("id", np.array([7, 3, 11]))
        made.set_array("intensity", np.array([1.5, 2.5, 3.5]))
        made.set_array("sigma", np.array([[0.1, 0.2, 0.3]] * 3))
        made.set_array("exists", np.array([1.0, 0.5, 0.25]))
        made.set_array("flag", np.array([0, 1, 2]))
        made.set_array("good", np.array([True, False, True]))
        path = tmp_path / f"a.{suffix}"
        ase.io.write(path, made, format="extxyz")
        return path

    return write


@pytest.mark.parametrize("suffix", ["extxyz", "xyz"])
def test_extended_xyz_brings_every_numeric_column(atoms: Any, suffix: str) -> None:
    found = open_input([atoms(suffix)], kind=ATOMS)
    np.testing.assert_allclose(found["position"].sel(axis=["x", "y", "z"]).values, POSITIONS)
    np.testing.assert_array_equal(found["species"].values, [78, 28, 0])
    np.testing.assert_array_equal(found["atom"].values, [7, 3, 11])
    np.testing.assert_allclose(found["intensity"].values, [1.5, 2.5, 3.5])
    np.testing.assert_allclose(found["sigma"].values[2], [0.1, 0.2, 0.3])
    assert found["sigma"].attrs["units"] == "angstrom"
    assert found["flag"].dtype == np.int32
    np.testing.assert_array_equal(found["good"].values, [1, 0, 1])
    assert found.attrs["aetx_schema"] == "atoms/1"


def test_plain_xyz_is_read_by_symbol_or_number(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("2\nfrom the data bank\nPt 1 2 3 0.5\n28 -1 -2 -3 0.5\n")
    found = open_input([path], kind=ATOMS)
    np.testing.assert_array_equal(found["species"].values, [78, 28])
    np.testing.assert_array_equal(found["position"].values, [[1, 2, 3], [-1, -2, -3]])


def test_positions_in_pixels_are_scaled_by_the_stated_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("1\n\nPt 1 2 3\n")
    found = open_input([path], kind=ATOMS, stated={"units": "pixel", "pixel_size": {"x": 0.5, "y": 0.5, "z": 2.0}})
    np.testing.assert_array_equal(found["position"].values, [[0.5, 1, 6]])


def test_columns_of_text_are_named_and_so_swapped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("% id x y z\n1  0.1 0.2 0.3\n2, 0.4, 0.5, 0.6\n\n# end\n")
    stated = {"columns": ["id", "y", "x", "z"], "units": "nm", "species": "Si", "zero": "mean"}
    found = open_input([path], kind=ATOMS, stated=stated)
    np.testing.assert_allclose(found["position"].values, [[-1.5, -1.5, -1.5], [1.5, 1.5, 1.5]])
    np.testing.assert_array_equal(found["atom"].values, [1, 2])
    np.testing.assert_array_equal(found["species"].values, [14, 14])
    shifted = open_input([path], kind=ATOMS, stated=stated | {"zero": (0.2, 0.1, 0.3), "origin": (1.0, 0.0, 0.0)})
    np.testing.assert_allclose(shifted["position"].values, [[1, 0, 0], [4, 3, 3]], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "stated", "says"),
    [
        ("a.xyz", "", {}, "empty"),
        ("a.xyz", "Pt 1 2 3\n", {}, "number of atoms"),
        ("a.xyz", "0\n\n", {}, "number of atoms"),
        ("a.xyz", "-3\n\n", {}, "number of atoms"),
        ("a.xyz", "3\n\nPt 1 2 3\n", {}, "cut short"),
        ("a.xyz", "1\n\nPt 1 2 3\nPt 4 5 6\n", {}, "one frame"),
        ("a.xyz", "1\n\nQq 1 2 3\n", {}, "line 3"),
        ("a.xyz", "1\n\nPt 1 two 3\n", {}, "'two'"),
        ("a.xyz", "1\n\nPt 1 2\n", {}, "2 columns|3 columns"),
        ("a.xyz", "1\n\nPt 1 2 nan\n", {}, "index 0"),
        ("a.xyz", "1\n\nPt 1 2 3\n", {"species": "Ni"}, "leave species out"),
        ("a.xyz", "1\n\nPt 1 2 3\n", {"units": "pixel"}, "state pixel_size"),
        ("a.xyz", "1\n\nPt 1 2 3\n", {"units": "keV"}, "cannot be converted"),
        ("a.xyz", "1\n\nPt 1 2 3\n", {"units": "A"}, "ampere"),
        ("a.xyz", "1\n\nPt 1 2 3\n", {"columns": ["x", "y", "z"]}, "leave columns out"),
        ("a.extxyz", "1\nno layout\nPt 1 2 3\n", {}, "Properties"),
        ("a.extxyz", "1\nProperties=species:S:1:pos:R\nPt 1 2 3\n", {}, "Properties"),
        ("a.extxyz", "1\nProperties=species:S:1:pos:R:3:id:I:1\nPt 1 2 3 1.5\n", {}, "whole numbers"),
        ("a.extxyz", "1\nProperties=species:S:1:pos:R:3:ok:L:1\nPt 1 2 3 maybe\n", {}, "T or F"),
        ("a.extxyz", "2\nProperties=species:S:1:pos:R:3:id:I:1\nPt 1 2 3 1\nPt 1 2 4 1\n", {}, "repeat"),
        ("a.txt", "1 2 3\n", {}, "state columns"),
        ("a.txt", "1 2 3\n", {"columns": ["x", "y", "z"]}, "no unit"),
        ("a.txt", "1 2 3\n", {"columns": ["x", "y"], "units": "nm"}, "x, y and z"),
        ("a.txt", "1 2 3\n", {"columns": ["x", "y", "z", "id"], "units": "nm"}, "4, as columns names"),
        ("a.txt", "1 2 3\n1 2\n", {"columns": ["x", "y", "z"], "units": "nm"}, "line 2"),
        ("a.txt", "1 2 x\n", {"columns": ["x", "y", "z"], "units": "nm"}, "line 1, z"),
        ("a.txt", "1 2 3\n", {"columns": ["x", "y", "z"], "units": "nm", "species": ["Pt", "Pt"]}, "2 elements"),
        ("a.txt", "1 2 3\n", {"columns": ["x", "y", "z"], "units": "nm", "species": "Unobtainium"}, "species"),
    ],
)
def test_tables_with_faults_are_refused(
    tmp_path: Path, refused: Any, name: str, text: str, stated: dict[str, object], says: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    found = refused(path, kind=ATOMS, stated=stated)
    assert any(word in found for word in says.split("|"))
