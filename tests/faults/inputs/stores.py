"""Bad Zarr stores, those of aetx and others, and paths that are not what they should be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from aetx.model import VOLUME
from aetx.store import write
from tests.faults.inputs.base import Maker, Table, in_turn, mrc, recipe, series, stack, volume

TABLE = Table({})
Change = Callable[[Path], object]


def published(kind: str = "f4") -> xr.Dataset:
    """Return a small volume as a run leaves it."""
    axes = {
        axis: (axis, (np.arange(size) - size // 2) * 0.5, {"units": "angstrom"})
        for axis, size in zip("zyx", stack().shape, strict=True)
    }
    values = stack(kind) / np.float32(3) if kind == "f4" else stack(kind)
    return VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), values, {"units": "count/angstrom"})}, axes))


def finished(change: Change) -> Maker:
    """Return a maker of a store of aetx, changed afterwards, and a recipe that reads it."""

    def make(folder: Path) -> None:
        write(published(), folder / "v.zarr", key="k", record={}, scratch=folder / "scratch")
        (folder / "scratch").rmdir()
        change(folder / "v.zarr")
        recipe(folder, {"path": "v.zarr", "kind": "volume"}, "augment.gaussian")

    return make


def foreign(change: Change, kind: str = "f4", use: Callable[..., None] = series, **encoding: Any) -> Maker:
    """Return a maker of another program's store of images, changed afterwards."""

    def make(folder: Path) -> None:
        made = xr.Dataset({"image": (("tilt", "y", "x"), stack(kind))})
        how = {"chunks": (1, 32, 32), **encoding}
        made.to_zarr(folder / "s.zarr", zarr_format=3, consolidated=False, encoding={"image": how})
        change(folder / "s.zarr")
        use(folder, "s.zarr")

    return make


def of_chunk(name: str, change: Callable[[Path], object]) -> Change:
    """Return a change of the first chunk below a name."""

    def apply(store: Path) -> None:
        change(sorted(one for one in (store / name).rglob("*") if one.is_file() and one.suffix != ".json")[0])

    return apply


def of_json(name: str, **changes: Any) -> Change:
    """Return a change of keys of a metadata file."""

    def apply(store: Path) -> None:
        file = store / name
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return apply


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _link(file: Path) -> None:
    outside = file.parent / "outside"
    shutil.move(file, outside)
    file.symlink_to(outside)


def _outside(store: Path) -> None:
    file = next(one for one in (store / "image").rglob("*") if one.is_file() and one.suffix != ".json")
    secret = store.parent / "secret"
    shutil.move(file, secret)
    file.symlink_to(secret)


def _linked_folder(store: Path) -> None:
    shutil.move(store / "image" / "c", store.parent / "elsewhere")
    (store / "image" / "c").symlink_to(store.parent / "elsewhere")


def _version_2(store: Path) -> None:
    shutil.rmtree(store)
    group = zarr.open_group(store, mode="a", zarr_format=2)
    group.create_array("image", data=stack())


def _pickling(store: Path) -> None:
    shutil.rmtree(store)
    (store / "image").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    filters = [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 4}]
    meta = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None, "fill_value": None}
    (store / "image" / ".zarray").write_text(json.dumps(meta | {"order": "C", "filters": filters}))
    (store / "image" / "0").write_bytes(b"\x80\x04cos\nsystem\n(S'touch CANARY'\ntR.")


def _array(**changes: Any) -> Change:
    return of_json("image/zarr.json", **changes)


REGULAR = "regular"
BARE = [{"name": "bytes", "configuration": {"endian": "little"}}]
FINISHED: dict[str, tuple[Change, str]] = {
    "Z01 a chunk deleted": (of_chunk("density", Path.unlink), "density"),
    "Z03 a chunk of 0 bytes": (of_chunk("density", lambda file: file.write_bytes(b"")), "density"),
    "Z04 a chunk cut to half": (of_chunk("density", _cut), "density"),
    "Z05 a bit flipped": (of_chunk("density", _flip), "density"),
    "Z09 no manifest": (lambda store: (store / "aetx-manifest.json").unlink(), "not a finished aetx store"),
    "Z09 a manifest cut": (lambda store: _cut(store / "aetx-manifest.json"), "manifest"),
    "Z09 a manifest of nothing": (lambda store: (store / "aetx-manifest.json").write_text("{}"), "manifest"),
    "Z09 a manifest of lists": (lambda store: (store / "aetx-manifest.json").write_text("[]"), "manifest"),
    "Z09 a manifest that names files outside": (
        of_json("aetx-manifest.json", files={"../../../etc/passwd": {"bytes": 1, "sha256": "0"}}),
        "",
    ),
    "Z10 zarr.json of an array removed": (lambda store: (store / "density" / "zarr.json").unlink(), "density"),
    "Z10 zarr.json of the root removed": (lambda store: (store / "zarr.json").unlink(), "zarr.json"),
    "Z10 zarr.json cut": (lambda store: _cut(store / "density" / "zarr.json"), "density"),
    "Z10 an array removed": (lambda store: shutil.rmtree(store / "density"), "density"),
    "Z10 a coordinate removed": (lambda store: shutil.rmtree(store / "x"), ""),
    "Z08 a chunk that is a link": (of_chunk("density", _link), "link"),
    "an empty folder": (in_turn(shutil.rmtree, Path.mkdir), ""),
}
for _name, (_change, _words) in FINISHED.items():
    TABLE.add(_name if _name[0] == "Z" else f"Zarr: {_name}", 3, _words or (), finished(_change))

FOREIGN: dict[str, tuple[Change, dict[str, Any], str]] = {
    "Z01 a chunk deleted, float": (of_chunk("image", Path.unlink), {}, "is missing"),
    "Z02 a chunk deleted, uint16": (of_chunk("image", Path.unlink), {"kind": "u2"}, "is missing"),
    "Z01 every chunk deleted": (lambda store: shutil.rmtree(store / "image" / "c"), {}, "is missing"),
    "Z03 a chunk of 0 bytes": (of_chunk("image", lambda file: file.write_bytes(b"")), {}, "0 bytes"),
    "Z04 a chunk cut to half": (of_chunk("image", _cut), {"compressors": None}, "image"),
    "Z04 a chunk cut to half, packed": (of_chunk("image", _cut), {}, "image"),
    "Z05 a chunk of noise": (of_chunk("image", lambda file: file.write_bytes(b"noise" * 100)), {}, "image"),
    "Z06 version 2": (_version_2, {}, "version 2"),
    "Z06 version 2 that runs code": (_pickling, {}, "version 2"),
    "Z06 a codec that is unknown": (_array(codecs=[{"name": "pickle"}]), {}, "codec"),
    "Z06 a codec of numcodecs": (_array(codecs=[{"name": "numcodecs.pickle"}, *BARE]), {}, "codec"),
    "Z06 a codec of nothing": (_array(codecs=[]), {}, ""),
    "Z06 a codec that is a number": (_array(codecs=[3]), {}, ""),
    "Z06 codecs within codecs": (
        _array(codecs=[{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}]),
        {},
        "codec",
    ),
    "Z07 10 TB in one chunk": (
        _array(
            shape=[100, 160000, 160000],
            chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": [100, 160000, 160000]}},
            codecs=BARE,
        ),
        {},
        "",
    ),
    "Z07 10^9 chunks": (
        _array(
            shape=[1000, 32000, 32000],
            chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": [1, 32, 32]}},
        ),
        {},
        "is missing",
    ),
    "Z07 chunks of 0": (_array(chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": [0, 0, 0]}}), {}, ""),
    "Z07 chunks of -1": (_array(chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": [-1, 3, 3]}}), {}, ""),
    "Z07 chunks of 10^30": (
        _array(chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": [10**30, 32, 32]}}),
        {},
        "",
    ),
    "Z07 chunks of words": (
        _array(chunk_grid={"name": REGULAR, "configuration": {"chunk_shape": ["a", "b", "c"]}}),
        {},
        "",
    ),
    "Z07 an unknown grid": (
        _array(chunk_grid={"name": "hexagonal", "configuration": {"chunk_shape": [1, 3, 3]}}),
        {},
        "",
    ),
    "Z07 a shape of -5": (_array(shape=[-5, 32, 32]), {}, ""),
    "Z07 a shape of 0": (_array(shape=[0, 32, 32]), {}, ""),
    "Z07 a shape of 10^30": (_array(shape=[10**30, 32, 32]), {}, ""),
    "Z07 a shape of words": (_array(shape=["five", 32, 32]), {}, ""),
    "Z07 a shape that is a number": (_array(shape=5), {}, ""),
    "Z07 no shape": (_array(shape=None), {}, ""),
    "Z07 an unknown type": (_array(data_type="float7"), {}, ""),
    "Z07 a type of objects": (_array(data_type="object"), {}, ""),
    "Z07 a type of raw bits": (_array(data_type="r64"), {}, ""),
    "Z07 another type than the chunks": (_array(data_type="float64"), {}, ""),
    "Z07 complex": (_array(data_type="complex64"), {}, ""),
    "Z07 a fill value of words": (_array(fill_value="nothing"), {}, ""),
    "Z07 a storage transformer": (_array(storage_transformers=[{"name": "x"}]), {}, ""),
    "Z07 zarr format 4": (_array(zarr_format=4), {}, ""),
    "Z07 a node of another type": (_array(node_type="table"), {}, ""),
    "Z07 dimension names of numbers": (_array(dimension_names=[1, 2, 3]), {}, ""),
    "Z07 one dimension name": (_array(dimension_names=["tilt"]), {}, ""),
    "Z07 dimension names twice": (_array(dimension_names=["x", "x", "y"]), {}, ""),
    "Z07 attributes that are a list": (_array(attributes=[1]), {}, ""),
    "Z07 metadata that is a list": (lambda store: (store / "image" / "zarr.json").write_text("[]"), {}, ""),
    "Z07 metadata of 100,000 brackets": (
        lambda store: (store / "image" / "zarr.json").write_text("[" * 100_000),
        {},
        "",
    ),
    "Z07 metadata of noise": (
        lambda store: (store / "image" / "zarr.json").write_bytes(b"\xff\xfe\0"),
        {},
        "",
    ),
    "Z08 a chunk that is a link": (of_chunk("image", _link), {}, "link"),
    "Z08 a chunk that is a link outside": (_outside, {}, "link"),
    "Z08 a folder that is a link": (_linked_folder, {}, "link"),
    "Z10 metadata removed": (lambda store: (store / "image" / "zarr.json").unlink(), {}, ""),
    "a root that is an array": (lambda store: shutil.copy(store / "image" / "zarr.json", store / "zarr.json"), {}, ""),
    "a group within": (lambda store: _nested(store), {}, ""),
    "a chunk that is a pipe": (lambda store: _piped(store), {}, ""),
}


def _nested(store: Path) -> None:
    (store / "group").mkdir()
    shutil.move(store / "image", store / "group" / "image")
    (store / "group" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')


def _piped(store: Path) -> None:
    file = next(one for one in (store / "image").rglob("*") if one.is_file() and one.suffix != ".json")
    file.unlink()
    os.mkfifo(file)


for _name, (_change, _options, _words) in FOREIGN.items():
    _title = f"{_name}, another program's" if _name[0] == "Z" else f"Zarr: {_name}"
    TABLE.add(_title, 3, _words or (), foreign(_change, **_options))


def place(make: Callable[[Path], object], name: str, use: Callable[..., None] = series, **stated: Any) -> Maker:
    """Return a maker of something that is no plain file under the name of an input."""

    def put(folder: Path) -> None:
        make(folder / name)
        use(folder, name, **stated)

    return put


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _long_loop(path: Path) -> None:
    path.symlink_to("other")
    (path.parent / "other").symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


SUFFIXES = ("mrc", "tif", "emd", "mat", "npy", "dm4", "zarr")
for _suffix in SUFFIXES:
    if _suffix != "zarr":
        TABLE.add(f"a folder named .{_suffix}", 3, (), place(Path.mkdir, f"s.{_suffix}"))
    TABLE.add(f"a pipe named .{_suffix}", 3, (), place(os.mkfifo, f"s.{_suffix}"))
    TABLE.add(f"a link to itself named .{_suffix}", 2, (), place(_loop, f"s.{_suffix}"))
TABLE.add("two links to each other", 2, (), place(_long_loop, "s.mrc"))
TABLE.add("a link to nowhere", 2, (), place(_dangling, "s.mrc"))
TABLE.add("a device named .mrc", 3, (), place(lambda path: path.symlink_to("/dev/zero"), "s.mrc"))
TABLE.add("a device of nothing", 3, (), place(lambda path: path.symlink_to("/dev/null"), "s.mrc"))
TABLE.add("a file of the kernel", 3, (), place(lambda path: path.symlink_to("/proc/self/mem"), "s.mrc"))
TABLE.add("a file named .zarr", 3, (), place(lambda path: path.write_bytes(mrc()), "s.zarr"))
TABLE.add(
    "a table that is a pipe",
    3,
    (),
    place(os.mkfifo, "a.xyz", lambda folder, name: recipe(folder, {"path": name, "kind": "atoms"}, "export.extxyz")),
)
TABLE.add("edits that are a folder", 3, (), place(Path.mkdir, "e.yaml", lambda folder, name: _edits(folder, name)))
TABLE.add("edits that are a pipe", 3, (), place(os.mkfifo, "e.yaml", lambda folder, name: _edits(folder, name)))


def _edits(folder: Path, name: str) -> None:
    (folder / "a.xyz").write_text("2\n\nPt 0 0 0\nPt 3 3 3\n")
    whole = {
        "aetx": 1,
        "inputs": {"a": {"path": "a.xyz", "kind": "atoms"}, "e": {"path": name, "kind": "edits"}},
        "steps": [{"name": "b", "stage": "refine.edits", "from": {"atoms": "a", "edits": "e"}}],
        "report": [],
    }
    (folder / "recipe.yaml").write_text(json.dumps(whole))


def _angles(make: Callable[[Path], object]) -> Maker:
    def put(folder: Path) -> None:
        (folder / "s.mrc").write_bytes(mrc())
        make(folder / "a.rawtlt")
        series(folder, "s.mrc", angles="a.rawtlt")

    return put


TABLE.add("angles that are a pipe", 3, (), _angles(os.mkfifo))
TABLE.add("angles that are a device", 3, (), _angles(lambda path: path.symlink_to("/dev/zero")))
TABLE.add("angles that are a link to themselves", 2, (), _angles(_loop))
TABLE.add("E18 a path with blanks, signs and a line break", 0, (), lambda folder: _odd(folder))
TABLE.add("a volume asked for as atoms", 3, (), lambda folder: _other_kind(folder))


def _odd(folder: Path) -> None:
    name = "my µ 画像\nüber.mrc"
    (folder / name).write_bytes(mrc())
    series(folder, name)


def _other_kind(folder: Path) -> None:
    finished(lambda _: None)(folder)
    recipe(folder, {"path": "v.zarr", "kind": "atoms"}, "export.extxyz")


def _output(change: Callable[[Path], object]) -> Maker:
    def make(folder: Path) -> None:
        (folder / "v.mrc").write_bytes(mrc())
        volume(folder, "v.mrc")
        (folder / "out").mkdir()
        change(folder / "out")

    return make


def _aside(out: Path) -> None:
    (out.parent / "real").mkdir()


OUTPUTS: dict[str, Callable[[Path], object]] = {
    "E04 user files": lambda out: (out / "thesis.txt").write_text("years of work"),
    "E04 a hidden file": lambda out: (out / ".config").write_text("x"),
    "E04 another program's store": lambda out: xr.Dataset({"a": ("x", [1, 2])}).to_zarr(out / "a.zarr"),
    "E05 a link to a folder": in_turn(Path.rmdir, _aside, lambda out: out.symlink_to("real")),
    "E05 a link within": in_turn(_aside, lambda out: (out / "results").symlink_to("../real")),
    "E05 a link to nowhere": in_turn(Path.rmdir, lambda out: out.symlink_to("nowhere")),
    "E04 a file": in_turn(Path.rmdir, lambda out: out.write_text("x")),
    "E04 a pipe": in_turn(Path.rmdir, os.mkfifo),
    "E04 a folder with a pipe": lambda out: os.mkfifo(out / "pipe"),
}
for _name, _make in OUTPUTS.items():
    TABLE.add(f"{_name} as output", 2, (), _output(_make))
