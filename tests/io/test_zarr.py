from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.io import describe_files, open_input
from aetx.model import ATOMS, TILT_SERIES, VOLUME
from aetx.store import write

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)


@pytest.fixture
def volume(stack: Any) -> xr.Dataset:
    """Return a small finished volume."""
    coords = {
        axis: (axis, (np.arange(size) - size // 2) * 0.5 + 3, {"units": "angstrom"})
        for axis, size in zip("zyx", stack.shape, strict=True)
    }
    made = xr.Dataset({"density": (("z", "y", "x"), stack, {"units": "count/angstrom"})}, coords)
    return VOLUME.stamp(made)


def _publish(dataset: xr.Dataset, path: Path) -> None:
    dataset.to_zarr(path, zarr_format=3, consolidated=True)
    files = {
        one.relative_to(path).as_posix(): {"bytes": one.stat().st_size, "sha256": "0"}
        for one in path.rglob("*")
        if one.is_file()
    }
    (path / "aetx-manifest.json").write_text(json.dumps({"aetx": 1, "files": files}))


def _bare(stack: Any, path: Path, **encoding: Any) -> None:
    made = xr.Dataset({"image": (("tilt", "y", "x"), stack)})
    made.to_zarr(path, zarr_format=3, consolidated=False, encoding={"image": {"chunks": (1, 6, 8)} | encoding})


def test_a_finished_store_comes_back_with_its_own_coordinates(tmp_path: Path, volume: xr.Dataset) -> None:
    path = tmp_path / "v.zarr"
    _publish(volume, path)
    found = open_input([path], kind=VOLUME, stated={"pixel_size": 0.5})
    xr.testing.assert_equal(found.load(), volume)
    assert len(describe_files([path])) > 5


def test_atoms_that_a_run_left_are_read_with_the_names_of_their_axes(tmp_path: Path) -> None:
    atoms = ATOMS.stamp(atoms_dataset(np.arange(6.0).reshape(2, 3), 78))
    write(atoms, tmp_path / "atoms.zarr", key="k", record={})
    found = open_input([tmp_path / "atoms.zarr"], kind=ATOMS, stated={})
    xr.testing.assert_equal(found.load(), atoms)
    assert list(found["axis"].values) == ["x", "y", "z"]


def test_a_finished_store_is_not_stated_anew(tmp_path: Path, volume: xr.Dataset, refused: Any) -> None:
    path = tmp_path / "v.zarr"
    _publish(volume, path)
    assert "factor of 10" in refused(path, kind=VOLUME, stated={"pixel_size": 5.0})
    assert "the store says it" in refused(path, kind=VOLUME, stated={"units": "count"})
    assert "volume/1" in refused(path)


def test_a_bare_store_takes_what_the_recipe_states(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.zarr"
    _bare(stack, path)
    found = open_input([path], kind=TILT_SERIES, stated={"pixel_size": 0.34, "angles": ANGLES})
    np.testing.assert_array_equal(found["image"].values, stack)
    assert "state pixel_size" in refused(path, stated={"angles": ANGLES})


def test_damaged_stores_are_refused_by_array_and_chunk(tmp_path: Path, stack: Any, refused: Any) -> None:
    whole = tmp_path / "whole.zarr"
    path = tmp_path / "s.zarr"
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")

    def damage(make: Any) -> str:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole, path)
        make(path / "image")
        return refused(path)

    def chunk(image: Path) -> Path:
        return image / "c" / "3" / "0" / "0"

    def link(image: Path) -> None:
        chunk(image).unlink()
        chunk(image).symlink_to(outside)

    def edit(key: str, value: Any) -> Any:
        def change(image: Path) -> None:
            meta = json.loads((image / "zarr.json").read_text())
            meta[key] = value
            (image / "zarr.json").write_text(json.dumps(meta))

        return change

    def huge(image: Path) -> None:
        edit("shape", [10**5, 10**5, 1000])(image)
        edit("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [10**5, 10**5, 1000]}})(image)

    for kind in ("f4", "u2"):
        shutil.rmtree(whole, ignore_errors=True)
        _bare(stack.astype(kind), whole)
        assert "image/c/3/0/0" in damage(lambda image: chunk(image).unlink())
        assert "0 bytes" in damage(lambda image: chunk(image).write_bytes(b""))
        damage(lambda image: chunk(image).write_bytes(chunk(image).read_bytes()[:10]))
        assert "symbolic link" in damage(link)
        assert "zarr.json" in damage(lambda image: (image / "zarr.json").unlink())
        damage(lambda image: (image / "zarr.json").write_text("{"))
        assert "pickle" in damage(edit("codecs", [{"name": "pickle"}]))
        assert "chunks" in damage(edit("shape", [10**6, 10**6, 10]))
        damage(huge)
        damage(edit("shape", [0, 6, 8]))


def test_a_store_without_its_manifest_is_not_finished(tmp_path: Path, volume: xr.Dataset, refused: Any) -> None:
    path = tmp_path / "v.zarr"
    _publish(volume, path)
    (path / "density" / "c" / "0" / "0" / "0").write_bytes(b"short")
    assert "as the manifest says" in refused(path, kind=VOLUME, stated={})
    (path / "aetx-manifest.json").unlink()
    assert "not a finished aetx store" in refused(path, kind=VOLUME, stated={})


def test_version_2_and_other_folders_are_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.zarr"
    path.mkdir()
    assert "zarr.json" in refused(path)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    assert "version 3" in refused(path)
    file = tmp_path / "f.zarr"
    file.write_bytes(b"no folder")
    assert "folder" in refused(file)
