"""TIFF stacks, page by page."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.io.lazy import Identity, Key, LazyArray, check_bomb, reading, wrong
from aetx.model import FRAMES, RAW_SERIES, TILT_SERIES, VOLUME, units

PAGES = 100_000
"""More pages than this are taken for a damaged file."""


@reader("tiff", patterns=("*.tif", "*.tiff"), gives=(TILT_SERIES, VOLUME, FRAMES, RAW_SERIES))
def tiff(path: Path, _: NoParams) -> xr.Dataset:
    """Open the pages of a TIFF file as one stack: ``dim_0`` (pages), ``y``, ``x``.

    The pixel size is taken from OME-XML or ImageJ's description, where they give one with its unit. Resolution
    tags in inch or centimetre speak of print and are not used. OME files whose pixels lie in other files are refused.
    """
    identity = Identity.of(path)
    _check_chain(identity)
    with _opened(path) as (file, complaints):
        pages = list(file.pages)
        if not pages:
            raise wrong(path, "pages", "none", "at least one page", "the file is cut short; copy it again")
        first = pages[0]
        ome = first.description if first.description.lstrip().startswith("<?xml") and "OME" in first.description else ""
        description = "" if ome else str(first.description)
        imagej = dict(file.imagej_metadata or {}) if file.is_imagej else {}
        resolution = first.tags.get("XResolution")
        ratio = None if resolution is None else resolution.value
        shape, dtype = tuple(first.shape), first.dtype
        if complaints:  # a tag that cannot be read is left out, and what it said is then guessed
            raise wrong(path, "tags", complaints[0], "tags that can be read", "the file is damaged; copy it again")
        planes, per_page = _planes(identity, pages, imagej)
    steps = _ome_steps(path, ome) if ome else _imagej_steps(imagej, ratio)
    lazy = Pages(identity, planes, per_page, shape[-2:], dtype)
    found = xr.Dataset(
        {"values": lazy.variable(("dim_0", "y", "x"))},
        attrs={"source_header": json.dumps({"description": (ome or description)[:20000], "pages": len(pages)})},
    )
    for axis, (step, unit) in steps.items():
        values = np.arange(found.sizes[axis]) * step
        found = found.assign_coords({axis: (axis, values, {"units": unit})})
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[tifffile.TiffFile, list[str]]]:
    """Open a TIFF file, and collect what tifffile only logs; nothing of it goes to the terminal."""
    complaints: list[str] = []
    here = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.thread == here and ("TiffTag" in text or "TiffPage" in text):
                complaints.append(text[:200])

    collector = Collector(logging.WARNING)
    logger = logging.getLogger("tifffile")
    logger.addHandler(collector)
    try:
        with reading(path, "TIFF structure", "a TIFF file"), tifffile.TiffFile(path, _multifile=False) as file:
            yield file, complaints
    finally:
        logger.removeHandler(collector)


class Pages(LazyArray):
    """The pages of a TIFF file as one array, opened anew for each read."""

    def __init__(
        self, identity: Identity, planes: int, contiguous: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.identity = identity
        self.contiguous = contiguous
        self.shape = (planes, *shape)
        self.dtype = np.dtype(dtype).newbyteorder("=")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        self.identity.confirm()
        first, rest = key[0], key[1:]
        chosen = [first] if isinstance(first, int) else list(range(*first.indices(self.shape[0])))
        path = self.identity.path
        parts = []
        with _opened(path) as (file, _):
            for number in chosen:
                with reading(path, f"page {number}", "a readable page"):
                    parts.append(self._plane(file, int(number))[rest])
        if isinstance(first, int):
            return parts[0]
        empty = np.broadcast_to(np.empty((), self.dtype), self.shape[1:])[rest]
        return np.stack(parts) if parts else np.empty((0, *empty.shape), self.dtype)

    def _plane(self, file: tifffile.TiffFile, number: int) -> np.ndarray:
        if not self.contiguous:
            return np.asarray(file.pages[number].asarray()).reshape(self.shape[1:])
        page = file.pages[0]
        size = math.prod(self.shape[1:])
        handle = file.filehandle
        handle.seek(page.dataoffsets[0] + number * size * self.dtype.itemsize)
        return np.asarray(handle.read_array(file.byteorder + page.dtype.char, size)).reshape(self.shape[1:])


def _planes(identity: Identity, pages: list[Any], imagej: dict[str, Any]) -> tuple[int, int]:
    path = identity.path
    shape, dtype = tuple(pages[0].shape), pages[0].dtype
    if dtype is None or dtype.kind not in "iufb":
        what = "complex numbers" if dtype is not None and dtype.kind == "c" else f"dtype {dtype}"
        raise wrong(path, "page 0", what, "real numbers", "write the pages as grey values")
    if len(shape) != 2 or 0 in shape:
        raise wrong(path, "page 0", f"shape {shape}", "one grey image (y, x)", "write grey images, not colour")
    for number, page in enumerate(pages):
        if tuple(page.shape) != shape or page.dtype != dtype:
            found = f"{page.shape} {page.dtype}"
            raise wrong(path, f"page {number}", found, f"{shape} {dtype}, as page 0", "one size and type in one file")
        offsets, counts = page.dataoffsets, page.databytecounts
        if not offsets or len(offsets) != len(counts):
            raise wrong(path, f"page {number}", f"{len(offsets)} strips", "strips with sizes", "the file is damaged")
        end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
        if end > identity.size:
            fix = "the file is cut short or damaged; copy it again"
            raise wrong(path, f"page {number}", f"pixels up to byte {end}", f"at most {identity.size} bytes", fix)
        claimed = math.prod(shape) * dtype.itemsize
        if int(page.compression) == 1 and sum(counts) < claimed:
            raise wrong(path, f"page {number}", f"{sum(counts)} bytes", f"{claimed} bytes", "the header is damaged")
        check_bomb(path, f"page {number}", claimed, sum(counts))
        if claimed > 1032 * sum(counts) + 65536:
            raise wrong(path, f"page {number}", f"{sum(counts)} bytes", f"{claimed} bytes", "the header is damaged")
    wanted = int(imagej.get("images", 1) or 1)
    if len(pages) == 1 and wanted > 1:  # ImageJ keeps long stacks behind one page
        needed = pages[0].dataoffsets[0] + wanted * math.prod(shape) * dtype.itemsize
        if needed > identity.size:
            raise wrong(path, "images", f"{wanted} images", f"{needed} bytes, has {identity.size}", "copy it again")
        return wanted, 1
    return len(pages), 0


def _check_chain(identity: Identity) -> None:
    """Walk the chain of pages, so that a loop or a jump out of the file is found before anything is parsed."""
    path = identity.path
    seen: set[int] = set()
    with reading(path, "TIFF structure", "a TIFF file"), path.open("rb") as file:
        head = file.read(16)
        if len(head) < 16:
            raise wrong(path, "header", f"{len(head)} bytes", "a TIFF header and a page", "the file is cut short")
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack((order or "<") + "H", head[2:4])[0]
        if order is None or version not in (42, 43):
            raise wrong(path, "header", repr(head[:4]), "a TIFF file", "this is not a TIFF file; name its reader")
        big = version == 43
        place = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
        while place:
            if place in seen or len(seen) > PAGES:
                raise wrong(
                    path, f"page {len(seen)}", f"a page that points to byte {place}", "no loop", "copy it again"
                )
            seen.add(place)
            file.seek(place)
            count = file.read(8 if big else 2)
            if place >= identity.size or len(count) < (8 if big else 2):
                found = f"a page at byte {place}"
                raise wrong(path, f"page {len(seen) - 1}", found, f"within {identity.size} bytes", "it is cut short")
            entries = struct.unpack(order + ("Q" if big else "H"), count)[0]
            file.seek(place + len(count) + entries * (20 if big else 12))
            link = file.read(8 if big else 4)
            if len(link) < (8 if big else 4):
                raise wrong(path, f"page {len(seen) - 1}", "a page without end", "a whole page", "it is cut short")
            place = struct.unpack(order + ("Q" if big else "I"), link)[0]
    if not seen:
        raise wrong(path, "pages", "none", "at least one page", "the file is cut short; copy it again")


def _ome_steps(path: Path, text: str) -> dict[str, tuple[float, str]]:
    """Return pixel sizes from OME-XML, read with patterns: no parser that follows entities or other files."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise wrong(path, "OME-XML", "a document type with entities", "plain OME-XML", "write the metadata again")
    for name in re.findall(r'FileName="([^"]*)"', text):
        if name and name != path.name:
            fix = "it refers to another file, which may lie outside the folder; write the pixels into one file"
            raise wrong(path, "OME-XML FileName", repr(name), repr(path.name), fix)
    found: dict[str, tuple[float, str]] = {}
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}="([^"]*)"', text)
        unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', text)
        if size is None:
            continue
        with reading(path, f"OME-XML PhysicalSize{axis}", "a number"):
            found[axis.lower()] = (float(size[1]), unit[1] if unit else "um")  # OME's default
    return found


def _imagej_steps(imagej: dict[str, Any], ratio: tuple[int, int] | None) -> dict[str, tuple[float, str]]:
    unit = str(imagej.get("unit", "")).replace("\\u00B5", "u").replace("\\u00C5", "angstrom")
    if not ratio or not ratio[0] or unit in ("", "pixel", "pixels", "inch", "cm"):
        return {}
    step = ratio[1] / ratio[0]
    try:
        units.factor(unit, "angstrom")
    except units.UnitError:
        return {}
    found = {"y": (step, unit), "x": (step, unit)}
    if imagej.get("spacing"):
        found["dim_0"] = (float(imagej["spacing"]), unit)
    return found
