"""Zarr stores: those that aetx finished, and any version 3 store that xarray opens."""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.io.lazy import View, check_bomb, reading, wrong
from aetx.model import KINDS

MANIFEST = "aetx-manifest.json"
CODECS = {
    "bytes",
    "transpose",
    "blosc",
    "zstd",
    "gzip",
    "crc32c",
    "sharding_indexed",
    "vlen-utf8",
    "numcodecs.shuffle",
    "numcodecs.zlib",
}
"""Codecs that are read; none of them can run code."""
FIX = "the store is damaged; copy it again, or run again what wrote it"


@reader("zarr", patterns=("*.zarr",), gives=tuple(KINDS.values()))
def zarr(path: Path, _: NoParams) -> xr.Dataset:
    """Open a Zarr version 3 store lazily.

    A store of aetx must be finished: its manifest lists every file and its size. In a store of another program every
    chunk must be there, because a missing chunk would read as zeros or NaN. Links, object types and codecs that
    could run code are refused.
    """
    if not path.is_dir():
        raise wrong(path, "path", "no folder", "a Zarr store, which is a folder", "mend the path")
    files = _files(path)
    if ".zgroup" in files or ".zarray" in files or ".zmetadata" in files:
        raise wrong(path, "zarr_format", "2", "3", "convert the store to version 3; version 2 can hold code")
    root = _metadata(path, "zarr.json", files)
    if root.get("node_type") != "group":
        raise wrong(path, "node_type", repr(root.get("node_type")), "'group'", "name the group that holds the arrays")
    attributes = root.get("attributes") or {}
    if "aetx_schema" in attributes:
        _check_manifest(path, files)
    nested = ((root.get("consolidated_metadata") or {}).get("metadata") or {}) if isinstance(root, dict) else {}
    folders = {name.split("/")[0] for name in files if "/" in name} | set(nested)
    for name in sorted(folders):
        meta = _metadata(path, f"{name}/zarr.json", files)
        if meta.get("node_type") == "array":
            _check_array(path, name, meta, files)
    with reading(path, "metadata", "a Zarr store that xarray reads"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object at .* is not recognized")  # the manifest
        found = xr.open_dataset(
            path, engine="zarr", chunks=None, consolidated=False, cache=False, mask_and_scale=False, decode_times=False
        )
        words = {name: one for name, one in found.variables.items() if one.dtype.kind in "TO"}
        for name, one in words.items():
            plain = (one.dims, np.asarray(one.values).astype(object).astype(str), one.attrs)
            found = found.assign_coords({name: plain}) if name in found.coords else found.assign({name: plain})
        cuts = {label: dict(one.encoding.get("preferred_chunks", {})) for label, one in found.data_vars.items()}
        found = found.drop_encoding()
        for label in found.data_vars:
            data = found.variables[label]
            if data.ndim > 1 and data.dtype.kind in "biuf":
                view = View(data, tuple(range(data.ndim)), dtype=data.dtype, place=(path, str(label)))
                found[label] = view.variable(tuple(map(str, data.dims)), dict(data.attrs))
                found[label].encoding["preferred_chunks"] = cuts[label]
    return found


def _files(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder, names, inside in os.walk(path):
        for name in [*names, *inside]:
            one = Path(folder, name)
            if one.is_symlink():
                place = str(one.relative_to(path))
                raise wrong(path, place, "a symbolic link", "a file of the store", "copy what it points to into place")
        for name in inside:
            one = Path(folder, name)
            found[one.relative_to(path).as_posix()] = one.stat().st_size
    return found


def _metadata(path: Path, name: str, files: dict[str, int]) -> dict[str, Any]:
    if name not in files:
        raise wrong(path, name, "nothing", "the metadata of an array or group", FIX)
    with reading(path, name, "JSON metadata"):
        found = json.loads((path / name).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    return found


def _check_manifest(path: Path, files: dict[str, int]) -> None:
    if MANIFEST not in files:
        raise wrong(path, MANIFEST, "no manifest", "a finished aetx store", f"not a finished aetx store; {FIX}")
    with reading(path, MANIFEST, "a whole manifest"):
        listed = {str(name): int(one["bytes"]) for name, one in _metadata(path, MANIFEST, files)["files"].items()}
    for name, size in listed.items():
        if files.get(name) != size:
            found = "nothing" if name not in files else f"{files[name]} bytes"
            raise wrong(path, name, found, f"{size} bytes, as the manifest says", FIX)


def _check_array(path: Path, name: str, meta: dict[str, Any], files: dict[str, int]) -> None:
    with reading(path, f"{name}/zarr.json", "the metadata of an array"):
        shape = [int(one) for one in meta["shape"]]
        chunk = [int(one) for one in meta["chunk_grid"]["configuration"]["chunk_shape"]]
        encoding = meta["chunk_key_encoding"]["name"]
        kind = meta["data_type"]
        codecs = [one if isinstance(one, str) else str(one["name"]) for one in _all_codecs(meta["codecs"])]
        if meta.get("storage_transformers"):
            what = "storage transformers"
            raise wrong(path, f"{name} storage_transformers", what, "none", "write the array without them")
        for one in codecs:
            if one not in CODECS:
                raise wrong(path, f"{name} codec", repr(one), f"one of {sorted(CODECS)}", "write it with one of these")
        text = not isinstance(kind, str) or kind in ("string", "bytes") or kind.startswith(("complex", "r"))
        if text and kind != "string" and not (isinstance(kind, dict) and kind.get("name") == "fixed_length_utf32"):
            raise wrong(path, f"{name} data_type", repr(kind), "numbers or text", "write plain numbers")
        if min([*shape, *chunk], default=1) < 1 or len(chunk) != len(shape):
            raise wrong(path, f"{name} shape", f"{shape} in chunks {chunk}", "sizes of at least 1", FIX)
        counts = [-(-size // step) for size, step in zip(shape, chunk, strict=True)]
    have = {file: size for file, size in files.items() if file.startswith(f"{name}/") and not file.endswith(".json")}
    wanted = math.prod(counts)
    empty = next((file for file, size in have.items() if size == 0), None)
    if empty:
        raise wrong(path, empty, "0 bytes", "a chunk", FIX)
    if len(have) < wanted:
        missing = _missing(name, counts, encoding, have)
        found = f"{len(have)} of {wanted} chunks, {missing} is missing"
        raise wrong(path, name, found, "all chunks: a missing one would read as a fill value", FIX)
    if kind != "string" and isinstance(kind, str):
        with reading(path, f"{name} data_type", "the name of a type of number"):
            claimed = math.prod(chunk) * np.dtype(kind).itemsize
        check_bomb(path, name, claimed, max(have.values(), default=1))


def _all_codecs(codecs: list[Any]) -> list[Any]:
    found = []
    for one in codecs:
        found.append(one)
        inner = one.get("configuration") or {} if isinstance(one, dict) else {}
        found += _all_codecs(inner.get("codecs", [])) + _all_codecs(inner.get("index_codecs", []))
    return found


def _missing(name: str, counts: list[int], encoding: str, have: dict[str, int]) -> str:
    """Return the first chunk that is not there, in C order: one of as many as there are and one more."""
    for number in range(len(have) + 1):
        parts: list[str] = []
        rest = number
        for count in reversed(counts):
            rest, one = divmod(rest, count)
            parts.insert(0, str(one))
        place = "/".join(["c", *parts]) if encoding == "default" else ".".join(parts) or "0"
        if f"{name}/{place}" not in have:
            return f"{name}/{place}"
    return "one"
