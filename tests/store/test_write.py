"""Stores keep every value, are complete or absent, and say of themselves what they hold."""

import errno
import json
import os
import pickle
import resource
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

from aetx.errors import EnvironmentFault, InputError, RecipeError
from aetx.model import ATOMS, TILT_SERIES, VOLUME
from aetx.store import disk, manifest, open_store, publish, sweep, verify, write
from aetx.store.layout import chunk_shape

LENGTH = {"units": "angstrom"}


def volume(shape: tuple[int, ...] = (70, 65, 90), lazy: Any = None, seed: int = 1) -> xr.Dataset:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    values[0, 0, :3] = [np.nan, 0.0, -0.0]
    data = values if lazy is None else da.from_array(values, chunks=lazy)
    axes = {axis: (axis, 0.35 * (np.arange(size) - size // 2), LENGTH) for axis, size in zip("zyx", shape, strict=True)}
    found = xr.Dataset({"density": (("z", "y", "x"), data, {"units": "count/angstrom"})}, axes)
    return VOLUME.stamp(found.assign_attrs(title="a µ", nothing=None, bad=float("nan"), numbers=np.arange(2)))


def series(tilts: int = 3, lazy: Any = None) -> xr.Dataset:
    values = np.arange(tilts * 600 * 500, dtype=np.uint16).reshape(tilts, 600, 500)
    data = values if lazy is None else da.from_array(values, chunks=lazy)
    angles = {name: ("tilt", np.linspace(-60, 60, tilts), {"units": "degree"}) for name in ("phi", "theta", "psi")}
    return TILT_SERIES.stamp(
        xr.Dataset(
            {"image": (("tilt", "y", "x"), data, {"units": "count"})},
            {
                **angles,
                "tilt": ("tilt", np.arange(tilts), {"units": "1"}),
                "y": ("y", np.arange(600.0), LENGTH),
                "x": ("x", np.arange(500.0), LENGTH),
            },
        )
    )


def atoms(count: int) -> xr.Dataset:
    return ATOMS.stamp(
        xr.Dataset(
            {
                "position": (("atom", "axis"), np.ones((count, 3)), LENGTH),
                "species": ("atom", np.full(count, 78, np.int32), {"units": "1"}),
                "good": ("atom", np.arange(count) % 2 == 0, {"units": "1"}),
                "kind_name": ("atom", np.array(["Pt µ", "a longer name"] * count)[:count].astype(object)),
            },
            {"atom": ("atom", np.arange(count), {"units": "1"}), "axis": ["x", "y", "z"]},
        )
    )


@pytest.mark.parametrize("made", [volume(), series(), atoms(5), atoms(0), atoms(200_000), volume(lazy=(64, 65, 64))])
def test_what_is_written_comes_back_bit_for_bit(tmp_path: Path, made: xr.Dataset) -> None:
    path = tmp_path / "results" / "it.zarr"
    wrote = write(made, path, key="k", record={"stage": "s"})
    found = open_store(path)
    ATOMS.check(found) if "atom" in found.dims else None
    assert set(found.variables) == set(made.variables)
    assert set(found.coords) == set(made.coords)
    for name in made.variables:
        a, b = made[name].values, found[name].values
        assert a.tobytes() == b.tobytes() if a.dtype.kind in "biuf" else (a.astype(str) == b).all(), name
        if a.dtype.kind in "biuf":
            assert a.dtype == b.dtype
        assert dict(made[name].attrs) == dict(found[name].attrs)
        assert found[name].dims == made[name].dims
    assert found.attrs["aetx_schema"] == made.attrs["aetx_schema"]
    assert (manifest(path), verify(path)) == (wrote, [])
    assert list((tmp_path / "results" / ".aetx-tmp").iterdir()) == []


def test_attributes_that_json_has_no_word_for_become_text(tmp_path: Path) -> None:
    write(volume(), tmp_path / "v.zarr", key="k", record={})
    attrs = open_store(tmp_path / "v.zarr").attrs
    assert (attrs["title"], attrs["nothing"], attrs["bad"], attrs["numbers"]) == ("a µ", None, "nan", [0, 1])


@pytest.mark.parametrize(
    ("made", "name", "chunks"),
    [
        (volume((100, 70, 130)), "density", (64, 64, 64)),
        (volume((100, 70, 130), lazy=(64, 70, 128)), "density", (64, 64, 64)),
        (volume((100, 70, 130), lazy=(1, 70, 130)), "density", (1, 64, 64)),
        (volume((100, 70, 130), lazy=((30, 64, 6), (70,), (130,))), "density", (64, 64, 64)),
        (series(), "image", (1, 600, 500)),
        (series(3, lazy=(2, 600, 500)), "image", (1, 600, 500)),
        (series(3, lazy=(3, 40, 500)), "image", (1, 40, 500)),
    ],
)
def test_chunks_are_64_cubed_or_one_image_and_follow_even_blocks(
    tmp_path: Path, made: xr.Dataset, name: str, chunks: tuple[int, ...]
) -> None:
    write(made, tmp_path / "s.zarr", key="k", record={})
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")[name]
    assert isinstance(array, zarr.Array)
    assert array.chunks == chunks
    assert np.array_equal(array[:], made[name].values, equal_nan=True)
    names = [codec.to_dict()["name"] for codec in array.metadata.codecs]  # type: ignore[union-attr]
    assert names == ["bytes", "blosc", "crc32c"]


@pytest.mark.parametrize(("shape", "chunks"), [((2, 70_000, 64), (1, 4096, 64)), ((2, 3000, 3000), (1, 64, 3000))])
def test_large_images_are_cut_into_bands_of_rows(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    for data in (da.zeros(shape, np.float32, chunks=(1, *shape[1:])), np.broadcast_to(np.float32(0), shape)):
        assert chunk_shape(xr.Variable(("tilt", "y", "x"), data)) == chunks


def test_a_lazy_dataset_goes_from_store_to_store_without_being_loaded(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a.zarr", key="k", record={})
    opened = open_store(tmp_path / "a.zarr")
    assert opened.chunks == {}
    write(opened, tmp_path / "b.zarr", key="k", record={})
    assert not opened["density"].variable._in_memory
    assert manifest(tmp_path / "a.zarr").digest == manifest(tmp_path / "b.zarr").digest


def test_small_variables_made_of_the_same_blocks_do_not_make_them_twice(tmp_path: Path) -> None:
    made = []

    def block(block_info: Any = None) -> np.ndarray:
        made.append(block_info[None]["array-location"])
        return np.ones(block_info[None]["chunk-shape"], np.float32)

    data = da.map_blocks(block, chunks=((64,) * 2, (64,) * 2, (64,) * 2), meta=np.empty((0, 0, 0), np.float32))
    made_of = volume((128, 128, 128)).assign(density=(("z", "y", "x"), data, {"units": "count/angstrom"}))
    made_of["total"] = made_of["density"].sum().assign_attrs(units="1")
    made_of["profile"] = made_of["density"].sum(["y", "x"]).assign_attrs(units="1")
    write(made_of, tmp_path / "made.zarr", key="made", record={})
    assert len(made) == 8
    back = open_store(tmp_path / "made.zarr")
    assert float(back["total"]) == 128**3
    assert (back["profile"] == 128**2).all()


def test_an_opened_store_pickles(tmp_path: Path) -> None:
    write(volume(), tmp_path / "a.zarr", key="k", record={})
    again = pickle.loads(pickle.dumps(open_store(tmp_path / "a.zarr")))
    xr.testing.assert_identical(again, open_store(tmp_path / "a.zarr"))


def test_two_writes_give_the_same_bytes_whatever_the_blocks(tmp_path: Path) -> None:
    for name, lazy in (("a", None), ("b", (64, 65, 64)), ("c", (128, 64, 128))):
        write(volume(lazy=lazy), tmp_path / f"{name}.zarr", key=name, record={"time": name})
    assert len({manifest(tmp_path / f"{name}.zarr").digest for name in "abc"}) == 1


def test_blocks_of_nothing_but_the_fill_value_are_written_too(tmp_path: Path) -> None:
    nowhere = volume(lazy=(64, 65, 64))
    nowhere = nowhere.assign(density=nowhere["density"].copy(data=nowhere["density"].data * np.float32(np.nan)))
    dark = series(lazy=(1, 600, 500))
    dark = dark.assign(image=dark["image"].copy(data=dark["image"].data * np.uint16(0)))
    for made, name, chunks in ((nowhere, "density", 8), (dark, "image", 3)):
        write(made, tmp_path / f"{name}.zarr", key="k", record={})
        written = [one for one in (tmp_path / f"{name}.zarr" / name / "c").rglob("*") if one.is_file()]
        assert len(written) == chunks


def test_a_volume_store_is_an_ome_zarr_image(tmp_path: Path) -> None:
    write(volume(), tmp_path / "v.zarr", key="k", record={})
    ome = json.loads((tmp_path / "v.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    image = ome["multiscales"][0]
    assert [axis["unit"] for axis in image["axes"]] == ["angstrom"] * 3
    scale, shift = image["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([0.35] * 3)
    assert shift["translation"] == pytest.approx([-35 * 0.35, -32 * 0.35, -45 * 0.35])


def test_foreign_programs_open_a_store_without_a_warning(tmp_path: Path) -> None:
    write(atoms(4), tmp_path / "a.zarr", key="k", record={})
    assert xr.open_zarr(tmp_path / "a.zarr")["position"].shape == (4, 3)


def test_blocks_are_counted(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write(volume(lazy=(64, 64, 64)), tmp_path / "v.zarr", key="k", record={}, blocks=lambda *now: seen.append(now))
    assert sorted(seen) == [(i, 8) for i in range(1, 9)]


def test_a_dataset_without_a_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="aetx_schema"):
        write(xr.Dataset({"a": 1}), tmp_path / "a.zarr", key="k", record={})
    assert list(tmp_path.iterdir()) == []


def test_a_new_result_takes_the_place_of_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.zarr"
    for swap_in_one_step in (True, False):
        if not swap_in_one_step:
            monkeypatch.setattr(disk, "exchange", lambda *_: False)
        for seed in (1, 2):
            write(volume(seed=seed), path, key=f"k{seed}", record={})
            assert manifest(path).key == f"k{seed}"
            assert verify(path) == []
            assert float(open_store(path)["density"][1, 1, 1]) == float(volume(seed=seed)["density"][1, 1, 1])
    assert list((tmp_path / ".aetx-tmp").iterdir()) == []


def test_a_swap_cut_in_two_is_ended_by_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.zarr"
    write(volume(), path, key="old", record={})
    monkeypatch.setattr(disk, "exchange", lambda *_: False)
    rename = Path.rename

    def die_after_the_first(self: Path, target: Path) -> Path:
        done = rename(self, target)
        if self == path:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Path, "rename", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        write(volume(seed=2), path, key="new", record={})
    monkeypatch.undo()
    assert not path.exists()
    assert sweep(tmp_path / ".aetx-tmp") == 2  # the note and the old store; the new one has its name
    assert manifest(path).key == "new"
    assert verify(path) == []
    assert list((tmp_path / ".aetx-tmp").iterdir()) == []


def test_a_failure_while_computing_leaves_the_old_result_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "v.zarr"
    write(volume(), path, key="old", record={})

    def broken(block: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    bad = volume(lazy=(64, 64, 64))
    bad["density"] = bad["density"].copy(
        data=bad["density"].data.map_blocks(broken, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    )
    bad["density"].attrs["units"] = "1/angstrom"
    with pytest.raises(ValueError, match="no"):
        write(bad, path, key="new", record={})
    assert manifest(path).key == "old"
    assert verify(path) == []


def test_what_refuses_at_the_last_moment_publishes_nothing(tmp_path: Path) -> None:
    def changed() -> None:
        raise RuntimeError("the input changed")

    with pytest.raises(RuntimeError, match="changed"):
        write(volume(), tmp_path / "v.zarr", key="k", record={}, before=changed)
    assert [one.name for one in tmp_path.rglob("*")] == [".aetx-tmp"]


@pytest.mark.parametrize("spare", [1, 3, 4])
def test_what_cannot_be_removed_for_want_of_open_files_cannot_be_opened_either(tmp_path: Path, spare: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhausted() -> None:
        handle = os.dup(0)
        os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (handle + spare, before[1]))
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    try:
        with pytest.raises(EnvironmentFault, match="ulimit -n"):
            write(volume(), tmp_path / "v.zarr", key="k", record={}, before=exhausted)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    left = list((tmp_path / ".aetx-tmp").iterdir())
    assert left
    for one in left:
        with pytest.raises(FileNotFoundError):
            xr.open_zarr(one)


@pytest.mark.parametrize("stands", ["file", "folder", "link", "zarr"])
def test_nothing_that_aetx_did_not_make_is_replaced(tmp_path: Path, stands: str) -> None:
    path, other = tmp_path / "v.zarr", tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("kept")
    if stands == "file":
        path.write_text("kept")
    elif stands == "folder":
        path.mkdir()
        (path / "precious").write_text("kept")
    elif stands == "link":
        path.symlink_to(other)
    else:
        zarr.create_array(path, shape=(2,), dtype="f4")
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    with pytest.raises(RecipeError, match="move it away"):
        write(volume(), path, key="k", record={})
    assert before == {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}


def test_a_full_disk_is_an_error_in_words_and_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.zarr"
    write(volume(), path, key="old", record={})

    def full(file: object) -> None:
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(EnvironmentFault, match=r"No space left.*ENOSPC.*bytes free.*wanted \d+ bytes.*free some space"):
        write(volume(seed=2), path, key="new", record={})
    monkeypatch.undo()
    assert (manifest(path).key, verify(path)) == ("old", [])
    assert list((tmp_path / ".aetx-tmp").iterdir()) == []


def test_a_chunk_that_goes_missing_before_publication_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_blocks = publish._store_blocks

    def lose_one(pairs: Any, blocks: Any) -> None:
        store_blocks(pairs, blocks)
        next(tmp_path.rglob("density/c/1/0/0")).unlink()

    monkeypatch.setattr(publish, "_store_blocks", lose_one)
    with pytest.raises(InputError, match="found 7 chunks written, wanted 8 chunks"):
        write(volume(), tmp_path / "v.zarr", key="k", record={})
    assert not (tmp_path / "v.zarr").exists()
