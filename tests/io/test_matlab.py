from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from aetx.io import open_input
from aetx.model import ATOMS, TILT_SERIES

STATED = {"pixel_size": 0.34, "angles": (-70.0, -35.0, 0.0, 35.0, 61.5), "axes": ["x", "y", "tilt"]}


def _version_73(path: Path, content: dict[str, Any]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, (values, kind) in content.items():
            file[name] = values
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "u1", "i1", "u2", "i2", "u4", "i4", "i8"])
def test_version_5_arrays_come_back_in_any_class(tmp_path: Path, stack: Any, compressed: bool, kind: str) -> None:
    path = tmp_path / "s.mat"
    array = stack.T.astype(kind)
    scipy.io.savemat(path, {"images": array, "step": 0.34, "note": "text"}, do_compression=compressed)
    found = open_input([path], kind=TILT_SERIES, stated=STATED)
    np.testing.assert_array_equal(found["image"].values, array.T)
    assert found["image"].dtype == np.dtype(kind)
    np.testing.assert_array_equal(found["image"][2, 1:3, ::2].values, array.T[2, 1:3, ::2])


def test_version_73_arrays_are_seen_as_matlab_counts_axes(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.mat"
    _version_73(path, {"images": (stack, "single"), "other/field": (stack[0], "double")})
    found = open_input([path], kind=TILT_SERIES, stated=STATED)
    np.testing.assert_array_equal(found["image"].values, stack)
    turned = open_input(
        [path], kind=TILT_SERIES, stated=STATED | {"axes": ["tilt", "y", "x"], "angles": tuple(range(8))}
    )
    np.testing.assert_array_equal(turned["image"].values, stack.T)


def test_the_variable_is_named_where_there_are_several(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.mat"
    scipy.io.savemat(path, {"one": stack.T, "two": stack.T + 1})
    assert "one, two" in refused(path, stated=STATED)
    assert "one, two" in refused(path, stated=STATED | {"variable": "three"})
    found = open_input([path], kind=TILT_SERIES, stated=STATED | {"variable": "two"})
    np.testing.assert_array_equal(found["image"].values, stack + 1)


def test_cells_structs_and_complex_numbers_are_refused_by_name(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.mat"
    cell = np.empty((2, 2), object)
    cell[:] = [[1, 2], [3, "a"]]
    scipy.io.savemat(path, {"cell": cell, "struct": {"a": 1}, "imaginary": stack * 1j, "images": stack})
    for name in ("cell", "struct", "imaginary"):
        text = refused(path, stated=STATED | {"variable": name})
        assert name in text
        assert "images" in text
    _version_73(path, {"cell": (stack[0], "cell"), "images": (stack, "single")})
    assert "a MATLAB cell" in refused(path, stated=STATED | {"variable": "cell"})


def test_files_that_are_cut_short_or_foreign_are_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.mat"
    for compressed in (False, True):
        scipy.io.savemat(path, {"images": stack.T}, do_compression=compressed)
        content = path.read_bytes()
        for size in (0, 100, 128, 140, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:size])
            refused(path, stated=STATED)
    with h5py.File(path, "w") as file:
        file["images"] = stack
    assert "7.3" in refused(path, stated=STATED)
    path.write_bytes(b"not MATLAB at all" * 100)
    assert "MATLAB 5" in refused(path, stated=STATED)


def test_axes_must_be_stated(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.mat"
    scipy.io.savemat(path, {"images": stack.T})
    stated = {"pixel_size": 0.34, "angles": STATED["angles"]}
    assert "state axes" in refused(path, stated=stated)
    assert "mend axes" in refused(path, stated=stated | {"axes": ["x", "y"]})
    assert "mend axes" in refused(path, stated=stated | {"axes": ["x", "x", "tilt"]})
    assert "mend axes" in refused(path, stated=stated | {"axes": ["x", "y", "depth"]})


def test_positions_in_voxels_become_angstrom(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    voxels = np.array([[151, 152, 150, 151], [151, 151, 161, 141.5], [151, 151, 151, 153]])
    scipy.io.savemat(path, {"model": voxels, "types": np.array([[1, 3, 2, 1]])})
    stated = {"variable": "model", "units": "pixel", "pixel_size": 0.347, "zero": (151, 151, 151)}
    stated |= {"species": {"path": str(path), "variable": "types", "types": {1: "Ni", 2: 45, 3: "Pt"}}}
    found = open_input([path], kind=ATOMS, stated=stated)
    np.testing.assert_allclose(found["position"].sel(axis="y"), [0, 0, 3.47, -9.5 * 0.347])
    np.testing.assert_array_equal(found["species"], [28, 78, 45, 28])
    assert found["species"].dtype == np.int32
