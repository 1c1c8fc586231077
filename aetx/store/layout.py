"""How a dataset lies in a store: chunks, codecs, fill values, text, attributes. Values stay what they are."""

from __future__ import annotations

import math
import uuid
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec, Crc32cCodec

from aetx.model import VOLUME, kind_of

EDGE = 64
"""Edge of a chunk of a volume, in voxels."""
SMALL = 1 << 20
"""Variables below so many bytes are written in one piece."""
IMAGE_AXES = ("tilt", "frame", "focus", "scan_y", "scan_x")
"""Axes along which each chunk holds one step."""
IMAGE = 2**22
"""Pixels up to which an image is one chunk."""
BLOCK = 2**21
"""Voxels of a block that is read, and written, at a time where nothing else says how large."""


@dataclass(frozen=True)
class Layout:
    """A dataset ready to be written, and the encoding of each of its variables."""

    dataset: xr.Dataset
    encoding: Mapping[Hashable, Mapping[str, object]]
    blocks: tuple[str, ...]
    """Names of the variables that are written block by block."""


def lay_out(dataset: xr.Dataset) -> Layout:
    """Return a dataset with every large variable cut into blocks of whole chunks, and its encoding.

    Tables and labels are loaded; large arrays stay as lazy as they came, and beside them small ones that dask makes,
    often of the same blocks: loading them would make these twice.
    """
    plain = _plain_attrs(dataset.drop_encoding())
    large = [name for name in plain.variables if _is_large(plain.variables[name]) and name not in plain.indexes]
    if large:
        large += [name for name, one in plain.variables.items() if name not in large and _is_made_by_dask(one)]
    small = plain.drop_vars(large).compute()
    made: dict[Hashable, xr.Variable] = {}
    encoding: dict[Hashable, dict[str, object]] = {}
    for name, variable in plain.variables.items():
        chunks = chunk_shape(variable)
        if name in large:
            made[name] = _in_blocks(variable, chunks)
        else:
            made[name] = _text(variable) if variable.dtype.kind in "UTO" else small.variables[name]
        encoding[name] = _encoding(variable, chunks, name in plain.coords)
    coordinates = {name: made[name] for name in plain.coords}
    variables = {name: made[name] for name in plain.data_vars}
    return Layout(xr.Dataset(variables, coordinates, plain.attrs), encoding, tuple(map(str, large)))


def _is_made_by_dask(variable: xr.Variable) -> bool:
    return variable.chunks is not None and variable.dtype.kind not in "UTO"


def _is_large(variable: xr.Variable) -> bool:
    return variable.dtype.kind not in "UTO" and variable.nbytes >= SMALL


def chunk_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Return the shape of a variable's chunks: 64 along the axes of a volume, one image of a series.

    Images above `IMAGE` are cut into bands of rows, as large as a chunk of a volume: some rows can be read alone.
    Where a lazy variable comes in even blocks that these chunks would straddle (slabs of one slice), the chunks follow
    the blocks, so that no block waits for another.
    """
    shape = tuple(max(1, size) for size in variable.shape)
    if not _is_large(variable):
        return shape
    series = any(axis in IMAGE_AXES for axis in variable.dims)
    first = [
        1 if axis in IMAGE_AXES else size if series or size <= EDGE or len(shape) < 3 else EDGE
        for axis, size in zip(variable.dims, shape, strict=True)
    ]
    if series and "y" in variable.dims and math.prod(first) > IMAGE:
        row = variable.dims.index("y")
        band = EDGE**3 // (math.prod(first) // first[row])
        first[row] = min(first[row], max(EDGE, band // EDGE * EDGE))
    if variable.chunks is None:
        return tuple(first)
    chosen, narrowed = [], False
    for wanted, sizes in zip(first, variable.chunks, strict=True):
        if all(size % wanted == 0 for size in sizes[:-1]) or len(set(sizes[:-1])) > 1:
            chosen.append(wanted)
        else:
            narrowed = True
            chosen.append(math.gcd(wanted, sizes[0]) if math.gcd(wanted, sizes[0]) >= 16 else min(wanted, sizes[0]))
    return _widen(chosen, variable.chunks) if narrowed else tuple(chosen)


def _widen(chunks: list[int], blocks: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """Double chunks within their block, last axis first, up to the voxels of an ordinary chunk."""
    wide = list(chunks)
    for axis in reversed(range(len(wide))):
        size = blocks[axis][0]
        while wide[axis] < size and size % (2 * wide[axis]) == 0 and math.prod(wide) * 2 <= EDGE**3:
            wide[axis] *= 2
    return tuple(wide)


def _in_blocks(variable: xr.Variable, chunks: tuple[int, ...]) -> xr.Variable:
    """Cut a variable into blocks of whole chunks; only blocks that straddle chunks are merged with a neighbour."""
    if variable.chunks is None:
        wanted = dict(zip(variable.dims, block_shape(variable.shape, chunks), strict=True))
        return variable.chunk(wanted, name=f"source-{uuid.uuid4().hex}", inline_array=True)
    aligned = {
        axis: -(-max(sizes) // chunk) * chunk
        for axis, sizes, chunk in zip(variable.dims, variable.chunks, chunks, strict=True)
        if any(size % chunk for size in sizes[:-1])
    }
    return variable.chunk(aligned) if aligned else variable


def block_shape(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return blocks of whole chunks of about 2 million voxels, grown from the last axis."""
    block = list(chunks)
    for axis in reversed(range(len(block))):
        while block[axis] < shape[axis] and math.prod(block) * 2 <= BLOCK:
            block[axis] *= 2
    return tuple(block)


def _encoding(variable: xr.Variable, chunks: tuple[int, ...], coordinate: bool) -> dict[str, object]:
    made: dict[str, object] = {"_FillValue": None, "compressors": codecs()}
    if variable.ndim:
        made["chunks"] = chunks
    if variable.dtype.kind == "f" and not coordinate:
        made["fill_value"] = np.nan
    return made


def codecs() -> tuple[BloscCodec, Crc32cCodec]:
    """Return the codecs of every array: fast compression, and a checksum that finds any flipped bit."""
    return BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()


def _text(variable: xr.Variable) -> xr.Variable:
    """Return text as variable-length strings, the only text that the Zarr 3 specification has."""
    words = np.asarray(variable.values).astype(object).astype(np.dtypes.StringDType())
    return xr.Variable(variable.dims, words, variable.attrs)


def _plain_attrs(dataset: xr.Dataset) -> xr.Dataset:
    attrs = {str(name): _json(value) for name, value in dataset.attrs.items() if name != "ome"}
    made = dataset.copy(deep=False)
    made.attrs = attrs
    if kind_of(dataset) is VOLUME and all(dataset.sizes[axis] > 1 for axis in ("z", "y", "x")):
        made.attrs["ome"] = _ome(dataset)
    for variable in made.variables.values():
        variable.attrs = {str(name): _json(value) for name, value in variable.attrs.items()}
    return made


def _json(value: Any) -> Any:
    """Return a value as JSON has it; what JSON has no word for becomes text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _ome(volume: xr.Dataset) -> dict[str, object]:
    """Return the OME-Zarr 0.5 attributes that let any viewer of images open the density at its scale."""
    axes = [str(axis) for axis in volume["density"].dims]
    first = [float(volume[axis].values[0]) for axis in axes]
    step = [float(volume[axis].values[-1] - volume[axis].values[0]) / (volume.sizes[axis] - 1) for axis in axes]
    transforms = [{"type": "scale", "scale": step}, {"type": "translation", "translation": first}]
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "density",
                "axes": [{"name": axis, "type": "space", "unit": volume[axis].attrs["units"]} for axis in axes],
                "datasets": [{"path": "density", "coordinateTransformations": transforms}],
            }
        ],
    }
