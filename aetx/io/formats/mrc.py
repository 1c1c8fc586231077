"""MRC files: image stacks and volumes, from SerialEM, IMOD and everyone else."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.errors import AetxWarning
from aetx.io.lazy import Identity, Key, LazyArray, RawArray, pread, wrong
from aetx.model import FRAMES, RAW_SERIES, TILT_SERIES, VOLUME

HEADER = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
Numbers = Callable[..., list[Any]]
IMOD_STAMP = 1146047817
LOOKS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\x00": "a TIFF file",
    b"MM\x00*": "a TIFF file",
    b"\x89HDF": "an HDF5 file",
    b"PK\x03\x04": "a ZIP file",
    b"\x1f\x8b": "a gzip file: unpack it",
    b"%PDF": "a PDF",
    b"BZh": "a bzip2 file: unpack it",
}


@reader(
    "mrc",
    patterns=("*.mrc", "*.mrcs", "*.st", "*.ali", "*.preali", "*.rec", "*.map"),
    gives=(TILT_SERIES, VOLUME, FRAMES, RAW_SERIES),
)
def mrc(path: Path, _: NoParams) -> xr.Dataset:
    """Open an MRC stack or volume: axes ``dim_0`` (sections), ``y``, ``x``; the pixel size of its header if it has one.

    Modes 0, 1, 2, 6 and 12, both byte orders, IMOD's signed bytes, any order of axes, extended headers. The header
    does not tell the unit of the values, nor the tilts. Only in a file that aetx wrote, which says so in its labels,
    are the unit and the origin known; other programs disagree about the sign of the origin, so it is not used.
    """
    identity = Identity.of(path)
    if identity.size < HEADER:
        _not_text(path, pread(path, 0, min(identity.size, 64)))
        raise wrong(path, "header", f"{identity.size} bytes", f"{HEADER} bytes", "the header is cut short; copy again")
    block = pread(path, 0, HEADER)
    order = _byte_order(path, block)

    def number(place: int, count: int = 1, kind: str = "i4") -> list[Any]:
        return list(np.frombuffer(block, order + kind, count, place).tolist())

    sizes = number(0, 3)
    (mode,) = number(12)
    for name, size in zip(("nx", "ny", "nz"), sizes, strict=True):
        if size <= 0:
            raise wrong(path, f"header.{name}", str(size), "a size of at least 1", "the header is damaged; copy again")
    stored = _stored(path, mode, order, number)
    (extended,) = number(92)
    if extended < 0 or HEADER + extended > identity.size:
        raise wrong(
            path,
            "header.nsymbt",
            f"an extended header of {extended} bytes",
            f"at most {identity.size - HEADER} bytes",
            "the extended header is longer than the file; the header is damaged",
        )
    needed = math.prod(sizes) * stored.itemsize
    have = identity.size - HEADER - extended
    if have < needed:
        raise wrong(
            path,
            "size",
            f"{have} pixel bytes",
            f"{needed} pixel bytes for {sizes[0]} x {sizes[1]} x {sizes[2]} in mode {mode}",
            "the file is cut short or its header is damaged; copy it again",
        )
    if have > needed:
        text = f"{path}: {have - needed} unexplained bytes after the last pixel; they are not read"
        warnings.warn(text, AetxWarning, stacklevel=3)
    axes = _axes(path, number(64, 3))
    steps = _steps(path, number(28, 3), number(40, 3, "f4"))
    dims = tuple(axes[::-1])
    raw = RawArray(identity, HEADER + extended, tuple(sizes[::-1]), stored)
    data = Xyz(raw, dims).variable(("dim_0", "y", "x"))
    labels = _labels(block, number)
    (group,) = number(88)
    header = {"mode": mode, "size": sizes, "ispg": group, "origin": _finite(number(196, 3, "f4")), "labels": labels}
    header |= {"cell": _finite(number(40, 3, "f4")), "intervals": number(28, 3)}
    attrs = {"source_header": json.dumps(header), "space_group": group}
    found = xr.Dataset({"values": data}, attrs=attrs)
    named = re.fullmatch(r"aetx \S+: density in (\S+)", labels[0]) if labels else None
    own = named is not None and len(labels) > 1 and labels[1].startswith("origin: the first voxel")
    if named is not None:
        found["values"].attrs["units"] = named[1]
    for axis, step, first in zip("xyz", steps, header["origin"], strict=True):
        name = "dim_0" if axis == "z" else axis
        if step is None:
            continue
        made = {"units": "angstrom"} | ({"placed": 1} if own else {})
        values = np.arange(found.sizes[name]) * step + (first if own else 0.0)
        found = found.assign_coords({name: (name, values, made)})
    return found


class Xyz(LazyArray):
    """The array of a file whose columns, rows and sections may be any of x, y, z; seen as z, y, x."""

    def __init__(self, raw: RawArray, dims: tuple[str, ...]) -> None:
        self.raw = raw
        self.dtype = raw.dtype
        self.order = tuple(dims.index(axis) for axis in "zyx")
        self.shape = tuple(raw.shape[place] for place in self.order)

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        slices = tuple(slice(one, one + 1) if isinstance(one, int) else one for one in key)
        back = np.argsort(self.order)
        found = self.raw.read(tuple(slices[place] for place in back)).transpose(self.order)
        return found[tuple(0 if isinstance(one, int) else slice(None) for one in key)]


def _byte_order(path: Path, block: bytes) -> str:
    _not_text(path, block)
    for order in "<>":
        sizes = np.frombuffer(block, order + "i4", 4)
        axes = np.frombuffer(block, order + "i4", 3, 64)
        likely = 0 <= sizes[3] < 1000 and sorted(axes.tolist()) in ([1, 2, 3], [0, 0, 0])
        stamp = block[212:214]
        if likely or (stamp == b"DD" and order == "<") or (stamp == b"\x11\x11" and order == ">"):
            return order
    raise wrong(
        path, "header", repr(block[:8]), "the header of an MRC file", "this is not an MRC file; name its reader"
    )


def _not_text(path: Path, block: bytes) -> None:
    start = block.lstrip()[:64].lower()
    what = next((text for sign, text in LOOKS.items() if block.startswith(sign)), "")
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        what = "an HTML page, as a failed download leaves it"
    elif not what and len(block) >= 32 and all(32 <= byte < 127 or byte in b"\r\n\t" for byte in block[:32]):
        what = f"text: {block[:24].decode('ascii')!r}"
    if what:
        raise wrong(path, "header", what, "an MRC file", "this is not an MRC file; download or name the right one")


def _stored(path: Path, mode: int, order: str, number: Numbers) -> np.dtype[Any]:
    if mode == 101:
        raise wrong(path, "header.mode", "101", f"one of {sorted(MODES)}", "packed 4-bit is not supported; convert it")
    if mode in (3, 4):
        raise wrong(path, "header.mode", f"{mode}, complex", f"one of {sorted(MODES)}", "give real images")
    if mode not in MODES:
        raise wrong(path, "header.mode", str(mode), f"one of {sorted(MODES)}", "convert the file to one of these modes")
    stamp, flags = number(152, 2)
    if mode == 0 and stamp == IMOD_STAMP and not flags & 1:
        return np.dtype("u1")  # IMOD counts from 0 unless it says otherwise; the standard's bytes are signed
    return np.dtype(order + MODES[mode])


def _axes(path: Path, codes: list[int]) -> str:
    if codes == [0, 0, 0]:
        return "xyz"
    if sorted(codes) != [1, 2, 3]:
        raise wrong(path, "header.mapc", f"axes {codes}", "1, 2 and 3 in some order", "the header is damaged")
    return "".join("xyz"[code - 1] for code in codes)


def _steps(path: Path, intervals: list[int], cell: list[float]) -> list[float | None]:
    steps: list[float | None] = []
    for axis, count, length in zip("xyz", intervals, cell, strict=True):
        if not math.isfinite(length) or length < 0 or count < 0:
            field = f"header.{axis}len" if count >= 0 else f"header.m{axis}"
            fix = "the header is damaged; mend it, or copy the file again"
            raise wrong(path, field, f"{length:g} angstrom in {count} steps", "a length greater than 0", fix)
        steps.append(length / count if count and length else None)
    return steps


def _finite(numbers: list[float]) -> list[float]:
    return [one if math.isfinite(one) else 0.0 for one in numbers]


def _labels(block: bytes, number: Numbers) -> list[str]:
    (count,) = number(220)
    texts = [block[224 + 80 * place : 304 + 80 * place] for place in range(max(0, min(count, 10)))]
    return [text.decode("ascii", "replace").strip("\x00 ") for text in texts]
