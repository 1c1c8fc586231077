from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from aetx.io import open_input
from aetx.model import TILT_SERIES, VOLUME

ANGLES = np.array([-70.0, -35.0, 0.0, 35.0, 61.5])


def _tomviz(path: Path, stack: Any, *, angles: Any = ANGLES, unit: str = "[deg]", **options: Any) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/tomography")
        group.attrs["emd_group_type"] = np.uint32(1)
        group.create_dataset("data", data=stack, **options)
        _dim(group, 1, angles, "angles", unit)
        _dim(group, 2, np.arange(stack.shape[1]) * 0.034, "y", "[n_m]")
        _dim(group, 3, np.arange(stack.shape[2]) * 0.034, "x", "[n_m]")


def _dim(group: Any, number: int, values: Any, name: str, unit: str) -> None:
    one = group.create_dataset(f"dim{number}", data=np.asarray(values, np.float32))
    one.attrs["name"] = np.bytes_(name)
    one.attrs["units"] = np.bytes_(unit)


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 6, 8), "compression": "gzip", "shuffle": True}])
def test_a_tilt_series_of_tomviz_comes_back_with_uneven_tilts(tmp_path: Path, stack: Any, options: Any) -> None:
    path = tmp_path / "s.emd"
    _tomviz(path, stack, **options)
    found = open_input([path], kind=TILT_SERIES)
    np.testing.assert_array_equal(found["image"].values, stack)
    np.testing.assert_allclose(found["theta"].values, ANGLES)
    assert float(found["x"][1] - found["x"][0]) == pytest.approx(0.34)
    assert float(found["x"][4]) == 0.0


def test_tilts_in_radian_are_turned_to_degree(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.emd"
    _tomviz(path, stack, angles=np.deg2rad(ANGLES), unit="[rad]")
    np.testing.assert_allclose(open_input([path], kind=TILT_SERIES)["theta"].values, ANGLES, rtol=1e-6)


def test_a_volume_of_tomviz_is_turned_to_z_y_x(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "v.tvh5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/tomography")
        group["data"] = stack.transpose(2, 1, 0)
        for number, name in enumerate("xyz", 1):
            _dim(group, number, np.arange(group["data"].shape[number - 1]) * 0.034, name, "[n_m]")
    found = open_input([path], kind=VOLUME, stated={"units": "count/pixel"})
    np.testing.assert_allclose(found["density"].values, stack / 0.34, rtol=1e-6)
    assert found["density"].attrs["units"] == "count/angstrom"
    assert found["density"].dtype == np.float32


def test_a_plain_dataset_is_named_by_the_recipe(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["one/images"] = stack.transpose(1, 2, 0)
        file["one/dark"] = stack
    stated = {"variable": "one/images", "axes": ["y", "x", "tilt"], "pixel_size": 0.34, "angles": tuple(ANGLES)}
    found = open_input([path], kind=TILT_SERIES, stated=stated)
    np.testing.assert_array_equal(found["image"].values, stack)


def test_the_same_statement_in_file_and_recipe_is_no_contradiction(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.emd"
    _tomviz(path, stack)
    open_input([path], kind=TILT_SERIES, stated={"angles": tuple(ANGLES), "pixel_size": 0.34})
    other = (-70.0, -35.0, 0.0, 35.0, 62.5)
    assert "62.5 degree in the recipe" in refused(path, stated={"angles": other})
    assert "4 angles" not in refused(path, stated={"angles": other[:4]})
    found = open_input([path], kind=TILT_SERIES, stated={"angles": other, "override": ["angles"]})
    assert found["theta"].values[-1] == 62.5
    assert json.loads(found.attrs["stated"])["override"] == "('angles',)"


def test_hostile_and_unfinished_files_are_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"secret" * 1000)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["data"] = stack
    path = tmp_path / "s.emd"

    def write(make: Any) -> str:
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            group = file.create_group("data/tomography")
            make(group)
            for number, size in enumerate(stack.shape, 1):
                _dim(
                    group,
                    number,
                    np.arange(size) + 1,
                    ("angles", "y", "x")[number - 1],
                    ("[deg]", "[nm]", "[nm]")[number - 1],
                )
        return refused(path, stated={})

    def external(group: Any) -> None:
        group.create_dataset("data", stack.shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def link(group: Any) -> None:
        group["data"] = h5py.ExternalLink(str(other), "/data")

    def dangling(group: Any) -> None:
        group["data"] = h5py.SoftLink("/nowhere")

    def circle(group: Any) -> None:
        group["data"] = h5py.SoftLink("/data/tomography/data")

    def virtual(group: Any) -> None:
        layout = h5py.VirtualLayout(stack.shape, "f4")
        layout[:] = h5py.VirtualSource(str(other), "data", stack.shape)
        group.create_virtual_dataset("data", layout)

    def huge(group: Any) -> None:
        group.create_dataset("data", (10**4, 10**4, 10**5), "u1", chunks=(1, 1000, 1000))

    def unwritten(group: Any) -> None:
        group.create_dataset("data", stack.shape, "f4")

    def partly(group: Any) -> None:
        one = group.create_dataset("data", stack.shape, "f4", chunks=(1, 6, 8))
        one[0] = stack[0]

    def text(group: Any) -> None:
        group["data"] = np.array([b"a", b"b"])

    def imaginary(group: Any) -> None:
        group["data"] = stack.astype(np.complex64)

    def nothing(group: Any) -> None:
        group["data"] = np.empty((0, 6, 8), np.float32)

    assert "external storage" in write(external)
    assert "external link" in write(link)
    assert "leads nowhere" in write(dangling)
    assert "leads nowhere" in write(circle)
    assert "virtual" in write(virtual)
    assert "never written" in write(huge)
    assert "never written" in write(unwritten)
    assert "1 of 5 chunks" in write(partly)
    assert "dtype" in write(text)
    assert "complex" in write(imaginary)
    assert "shape (0, 6, 8)" in write(nothing)
    assert "without 'data'" in write(lambda group: None)


def test_axes_that_do_not_fit_are_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.emd"
    _tomviz(path, stack, angles=np.arange(7))
    assert "dim1" in refused(path)
    _tomviz(path, stack, angles=np.full(5, np.nan))
    assert "not finite" in refused(path)
    _tomviz(path, stack, unit="[furlong]")
    assert "furlong" in refused(path)


def test_a_file_cut_short_is_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    whole = tmp_path / "whole.emd"
    _tomviz(whole, stack)
    content = whole.read_bytes()
    path = tmp_path / "s.emd"
    for size in (0, 4, 96, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refused(path)


def test_a_loop_of_groups_is_walked_once(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.emd"
    with h5py.File(path, "w") as file:
        file["one/data"] = stack
        file["one/again"] = file["one"]
        file["one/soft"] = h5py.SoftLink("/one")
    stated = {"axes": ["tilt", "y", "x"], "pixel_size": 0.34, "angles": tuple(ANGLES)}
    np.testing.assert_array_equal(open_input([path], kind=TILT_SERIES, stated=stated)["image"].values, stack)


def test_a_soft_link_within_the_file_is_followed(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.tvh5"
    with h5py.File(path, "w") as file:
        file["sources/1/data"] = stack
        file.create_group("data")
        file["data/tomography"] = h5py.SoftLink("/sources/1")
    stated = {"axes": ["tilt", "y", "x"], "pixel_size": 0.34, "angles": tuple(ANGLES)}
    np.testing.assert_array_equal(open_input([path], kind=TILT_SERIES, stated=stated)["image"].values, stack)


def test_an_attribute_that_claims_to_be_huge_is_refused_before_it_is_read(
    tmp_path: Path, stack: Any, refused: Any
) -> None:
    path = tmp_path / "s.emd"
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("data/tomography")
        group["data"] = stack
        _dim(group, 1, ANGLES, "angles", "[deg]")
        group["dim1"].attrs["name"] = np.bytes_(b"angles" * 20000)
    assert "attribute name: found 120000 bytes" in refused(path)
