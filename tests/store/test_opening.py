"""Damage is found, and the unfinished and the foreign are refused in words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.model import VOLUME
from aetx.store import check_sizes, open_store, verify, write


@pytest.fixture
def store(tmp_path: Path) -> Path:
    axes = {axis: (axis, np.arange(66.0), {"units": "angstrom"}) for axis in "zyx"}
    values = np.random.default_rng(0).standard_normal((66, 66, 66)).astype(np.float32)
    made = VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), values, {"units": "count/angstrom"})}, axes))
    write(made, tmp_path / "v.zarr", key="k", record={})
    return tmp_path / "v.zarr"


def damaged(store: Path, name: str) -> Path:
    copy = store.with_name(f"{name}.zarr")
    shutil.copytree(store, copy)
    return copy


def every_file(store: Path) -> list[str]:
    return sorted(str(one.relative_to(store)) for one in store.rglob("*") if one.is_file())


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (Path.unlink, empty, cut)


def test_a_missing_short_or_empty_file_is_refused_when_opening(store: Path) -> None:
    for i, name in enumerate(every_file(store)):
        for j, damage in enumerate(DAMAGES):
            copy = damaged(store, f"d{i}-{j}")
            damage(copy / name)
            with pytest.raises(InputError, match=r"run the recipe again"):
                open_store(copy)
            assert verify(copy), name


def test_a_flipped_bit_is_found_by_verify_and_by_reading(store: Path) -> None:
    random = np.random.default_rng(3)
    chunks = [name for name in every_file(store) if "/c/" in name and name.startswith("density")]
    for i in range(40):
        name = chunks[i % len(chunks)]
        copy = damaged(store, f"f{i}")
        content = bytearray((copy / name).read_bytes())
        bit = int(random.integers(8 * len(content)))
        content[bit // 8] ^= 1 << bit % 8
        (copy / name).write_bytes(content)
        assert check_sizes(copy) == []
        assert [problem.field for problem in verify(copy)] == [name]
        with pytest.raises((ValueError, RuntimeError)):
            open_store(copy)["density"].load()
        shutil.rmtree(copy)


def test_extra_files_and_links_are_found(store: Path) -> None:
    (store / "density" / "extra").write_text("x")
    chunk = store / "density" / "c" / "0" / "0" / "0"
    chunk.rename(store.parent / "elsewhere")
    chunk.symlink_to(store.parent / "elsewhere")
    found = {problem.field: problem.found for problem in verify(store)}
    assert found == {"density/extra": "a file", "density/c/0/0/0": "a symbolic link"}


def test_what_is_no_finished_store_is_refused_with_a_reason(store: Path, tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", np.ones(3))}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    (tmp_path / "link.zarr").symlink_to(store)
    for name, words in [
        ("none.zarr", "found nothing"),
        ("foreign.zarr", "found no manifest, wanted a store finished by aetx"),
        ("link.zarr", "a symbolic link"),
    ]:
        with pytest.raises(InputError, match=words):
            open_store(tmp_path / name)
        assert len(verify(tmp_path / name)) == 1


def test_a_store_of_a_later_version_is_refused(store: Path) -> None:
    file = store / "aetx-manifest.json"
    file.write_text(file.read_text().replace('"aetx": 1', '"aetx": 2'))
    with pytest.raises(InputError, match="use the version of aetx that wrote it"):
        open_store(store)
