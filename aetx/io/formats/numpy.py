"""NumPy's own files, .npy and .npz; never a pickle."""

from __future__ import annotations

import functools
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.lib import format as npy
from pydantic import Field

from aetx.core import Params, reader
from aetx.io.lazy import Identity, Key, LazyArray, RawArray, check_bomb, pread, reading, wrong
from aetx.model import ATOMS, COLUMNS, FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME

HEAD = 65536


class NumpyParams(Params):
    """Parameters of `numpy`."""

    variable: str | None = Field(None, description="name inside an .npz file; not needed where there is only one array")


@reader(
    "numpy",
    patterns=("*.npy", "*.npz"),
    gives=(TILT_SERIES, VOLUME, ATOMS, SCAN_SERIES, FOCAL_SERIES, FRAMES, RAW_SERIES, COLUMNS),
    params=NumpyParams,
)
def numpy(path: Path, params: NumpyParams) -> xr.Dataset:
    """Open one array of a .npy or .npz file; its axes have no names and its values no unit.

    An .npy file is read lazily; an array of an .npz file is unpacked when it is first read.
    """
    identity = Identity.of(path)
    if pread(path, 0, min(4, identity.size)) == b"PK\x03\x04":
        return _archive(identity, params.variable)
    if params.variable is not None:
        raise wrong(path, "variable", repr(params.variable), "no name", "an .npy file holds one array: leave it out")
    head = pread(path, 0, min(HEAD, identity.size))
    shape, order, dtype, offset = _header(path, "header", head)
    array = RawArray(identity, offset, shape, dtype, "F" if order else "C")
    dims = tuple(f"dim_{axis}" for axis in range(len(shape)))
    return xr.Dataset({"values": array.variable(dims)}, attrs={"source_header": f"NumPy {dtype} {shape}"})


def _header(path: Path, field: str, head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(head)
    with reading(path, field, "an array as numpy.save writes it"):
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, order, dtype = read(stream)
    if dtype.hasobject:
        raise wrong(path, field, "pickled objects", "numbers", "save plain numbers; objects could run code")
    if dtype.kind not in "iufb":
        what = "complex numbers" if dtype.kind == "c" else f"dtype {dtype}"
        raise wrong(path, field, what, "real numbers", "save it as real numbers")
    if not all(size > 0 for size in shape) or not shape:
        raise wrong(path, field, f"shape {shape}", "an array with values", "save it again")
    return shape, order, dtype, stream.tell()


def _archive(identity: Identity, wanted: str | None) -> xr.Dataset:
    path = identity.path
    with reading(path, "archive", "an .npz file as numpy.savez writes it"), zipfile.ZipFile(path) as archive:
        members = {
            one.filename.removesuffix(".npy"): one for one in archive.infolist() if one.filename.endswith(".npy")
        }
        heads = {}
        for name, member in members.items():
            with archive.open(member) as stream:
                heads[name] = stream.read(min(HEAD, member.file_size))
    known = ", ".join(members) or "none"
    if wanted is not None and wanted not in members:
        raise wrong(path, "variable", repr(wanted), "an array of the file", f"state variable: one of {known}")
    if wanted is None:
        arrays = [name for name, head in heads.items() if _is_array(path, name, head)]
        if len(arrays) != 1:
            fix = f"state variable: one of {known}"
            raise wrong(path, "variable", f"{len(arrays)} arrays", "one array of numbers", fix)
        wanted = arrays[0]
    shape, _, dtype, offset = _header(path, wanted, heads[wanted])
    member = members[wanted]
    claimed = math.prod(shape) * dtype.itemsize
    if claimed + offset != member.file_size:
        raise wrong(path, wanted, f"{member.file_size - offset} bytes", f"{claimed} bytes for {shape}", "save it again")
    check_bomb(path, wanted, claimed, member.compress_size)
    dims = tuple(f"dim_{axis}" for axis in range(len(shape)))
    made = ZipArray(identity, member.filename, shape, dtype).variable(dims)
    return xr.Dataset({wanted: made}, attrs={"source_header": f"NumPy archive, {wanted} {dtype} {shape}"})


def _is_array(path: Path, name: str, head: bytes) -> bool:
    with reading(path, name, "an array"):
        stream = io.BytesIO(head)
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    return dtype.kind in "iuf" and math.prod(shape) > 1


class ZipArray(LazyArray):
    """An array in a ZIP file, unpacked once and kept."""

    def __init__(self, identity: Identity, member: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.identity = identity
        self.member = member
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        self.identity.confirm()
        return np.asarray(_unpacked(self.identity, self.member)[key]).astype(self.dtype)


@functools.lru_cache(maxsize=2)
def _unpacked(identity: Identity, member: str) -> np.ndarray:
    with reading(identity.path, member, "a whole array"), zipfile.ZipFile(identity.path) as archive:
        block = archive.read(member)
        shape, order, dtype, offset = _header(identity.path, member, block[:HEAD])
        return np.frombuffer(block, dtype, offset=offset).reshape(shape, order="F" if order else "C")
