"""MATLAB files, version 5 to 7.3."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, reader
from aetx.io import mat5
from aetx.io.hdf5 import Hdf5Array, attribute, datasets, entry, opened, text_of
from aetx.io.lazy import Identity, RawArray, View, pread, wrong
from aetx.model import ATOMS, COLUMNS, FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class MatlabParams(Params):
    """Parameters of `matlab`."""

    variable: str | None = Field(None, description="name of the variable; not needed where there is only one array")


@reader(
    "matlab",
    patterns=("*.mat",),
    gives=(TILT_SERIES, VOLUME, ATOMS, SCAN_SERIES, FOCAL_SERIES, FRAMES, RAW_SERIES, COLUMNS),
    params=MatlabParams,
)
def matlab(path: Path, params: MatlabParams) -> xr.Dataset:
    """Open one numeric array of a MATLAB file; its axes stand as MATLAB counts them, ``A(dim_0, dim_1, ...)``.

    Version 7.3 is HDF5 and is read lazily. Of version 5 (``-v6``, ``-v7``) an uncompressed array is read lazily, a
    compressed one is unpacked when it is first read. Cells, structs and objects hold no array and are refused;
    the fields of a 7.3 struct are named ``struct/field``.
    """
    identity = Identity.of(path)
    if identity.size < 128:
        raise wrong(path, "size", f"{identity.size} bytes", "at least 128 bytes", "the file is cut short")
    head = pread(path, 0, min(520, identity.size))
    if head[512:520] == HDF5_SIGNATURE and head.startswith(b"MATLAB"):
        return _version_73(identity, params.variable)
    if head.startswith(HDF5_SIGNATURE):
        fix = "rename it to .h5; MATLAB 7.3 files begin with 512 bytes that say so"
        raise wrong(path, "header", "an HDF5 file without MATLAB's header", "a MATLAB file", fix)
    return _version_5(identity, params.variable)


def _version_5(identity: Identity, wanted: str | None) -> xr.Dataset:
    order, found = mat5.variables(identity)
    numeric = [name for name, one in found.items() if one.numeric]
    arrays = [name for name in numeric if np.prod(found[name].shape) > 1]
    name = _chosen(identity.path, wanted, list(found), numeric, arrays)
    one = found[name]
    if not one.numeric:
        what = "complex numbers" if one.complex else f"a MATLAB {one.kind}"
        raise wrong(identity.path, name, what, "an array of real numbers", _advice(numeric))
    if 0 in one.shape:
        raise wrong(identity.path, name, f"shape {one.shape}", "an array with values", _advice(numeric))
    dims = tuple(f"dim_{axis}" for axis in range(len(one.shape)))
    if one.compressed:
        variable = mat5.Mat5Array(identity, order, one).variable(dims)
    else:
        stored = np.dtype(order + one.stored)
        raw = RawArray(identity, one.offset, one.shape, stored, "F").variable(dims)
        variable = View(raw, tuple(range(len(dims))), dtype=np.dtype(mat5.NUMBERS[one.kind])).variable(dims)
    return xr.Dataset({name: variable}, attrs={"source_header": f"MATLAB 5, {name} {one.kind} {one.shape}"})


def _version_73(identity: Identity, wanted: str | None) -> xr.Dataset:
    with opened(identity.path) as file:
        numeric = [name for name in datasets(identity.path, file) if _is_numeric(identity.path, file[name])]
        arrays = [name for name in numeric if file[name].size > 1 and "/" not in name]
        name = _chosen(identity.path, wanted, [*file, *numeric], numeric, arrays)
        one = entry(identity.path, file, name)
        if isinstance(one, h5py.Group) or not _is_numeric(identity.path, one):
            text = text_of(attribute(identity.path, one, "MATLAB_class")) or "group"
            what = "complex numbers" if one.dtype.kind == "V" else f"a MATLAB {text}"
            raise wrong(identity.path, name, what, "an array of real numbers", _advice(numeric))
        lazy = Hdf5Array(identity, file, name)
    stored = tuple(f"dim_{axis}" for axis in reversed(range(len(lazy.shape))))
    turned = View(lazy.variable(stored), tuple(reversed(range(len(stored)))))
    return xr.Dataset(
        {name: turned.variable(stored[::-1])}, attrs={"source_header": f"MATLAB 7.3, {name} {turned.shape}"}
    )


def _is_numeric(path: Path, one: h5py.Group | h5py.Dataset) -> bool:
    if isinstance(one, h5py.Group):
        return False
    text = text_of(attribute(path, one, "MATLAB_class")) or "double"
    return one.dtype.kind in "iuf" and (text in mat5.NUMBERS or text == "logical") and "MATLAB_empty" not in one.attrs


def _chosen(path: Path, wanted: str | None, all_names: list[str], numeric: list[str], arrays: list[str]) -> str:
    if wanted is not None:
        if wanted not in all_names:
            raise wrong(path, "variable", repr(wanted), "a variable of the file", _advice(numeric))
        return wanted
    if len(arrays) == 1:
        return arrays[0]
    found = f"{len(arrays)} arrays" if arrays else f"no array, only {', '.join(all_names[:20]) or 'nothing'}"
    raise wrong(path, "variable", found, "one array of numbers", _advice(numeric))


def _advice(numeric: list[str]) -> str:
    return "state variable: one of " + ", ".join(numeric[:20]) if numeric else "the file holds no array of numbers"
