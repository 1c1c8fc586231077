"""Formats of microscope makers, through RosettaSciIO, which is installed with the extra ``formats``."""

from __future__ import annotations

import importlib
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.errors import AetxWarning, EnvironmentFault, Problem
from aetx.io.lazy import Identity, Key, LazyArray, pread, reading, wrong
from aetx.model import FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME, units

PLUGINS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".ser": "tia",
    ".emi": "tia",
    ".mib": "quantumdetector",
    ".emd": "emd",
    ".blo": "blockfile",
    ".tvips": "tvips",
    ".xml": "empad",
    ".prz": "pantarhei",
}


@reader(
    "vendor",
    patterns=("*.dm3", "*.dm4", "*.ser", "*.emi", "*.mib", "*.blo", "*.tvips"),
    gives=(TILT_SERIES, SCAN_SERIES, FOCAL_SERIES, FRAMES, RAW_SERIES, VOLUME),
)
def vendor(path: Path, _: NoParams) -> xr.Dataset:
    """Open a Digital Micrograph, TIA, Velox, Quantum Detectors or other maker's file through RosettaSciIO.

    Only its pixels and the steps of its image axes are taken. Its tilts are not: that package replaces uneven tilts
    by start and mean step, so the recipe states them.
    """
    identity = Identity.of(path)
    if path.suffix.lower() == ".ser":
        _check_ser(identity)
    return _dataset(identity, _signal(path))


def _signal(path: Path) -> dict[str, Any]:
    """Return the one dataset with images of a file, its pixels not yet read."""
    name = PLUGINS.get(path.suffix.lower())
    if name is None:
        raise wrong(path, "suffix", repr(path.suffix), f"one of {sorted(PLUGINS)}", "name another reader")
    try:
        plugin = importlib.import_module(f"rsciio.{name}")
    except ImportError as error:
        fix = "install it with: pip install 'aetx[formats]'"
        raise EnvironmentFault(Problem(str(path), "reader", "no rosettasciio", "the package", fix)) from error
    with reading(path, "content", f"a {path.suffix} file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signals = plugin.file_reader(str(path), lazy=True)
    images = [one for one in signals if np.ndim(one["data"]) >= 2]
    if len(images) != 1:
        found = f"{len(images)} datasets with images"
        raise wrong(path, "signals", found, "one", "write the one you want into a file of its own")
    return dict(images[0])


class SignalArray(LazyArray):
    """The pixels of a file, opened anew for each read; the package maps files, so the file is looked at before."""

    def __init__(self, identity: Identity, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.identity = identity
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        self.identity.confirm()
        with reading(self.identity.path, "pixels", "readable pixels"):
            part = _signal(self.identity.path)["data"][key]
            return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "compute") else part)


def _check_ser(identity: Identity) -> None:
    """Look at the counts of a TIA series before anything is allocated for them."""
    head = pread(identity.path, 0, min(30, identity.size))
    if len(head) < 30 or head[:4] != b"II\x97\x01":
        raise wrong(identity.path, "header", repr(head[:4]), "a TIA series", "the file is damaged; copy it again")
    long = struct.unpack_from("<H", head, 4)[0] >= 0x220
    total, valid = struct.unpack_from("<ii", head, 14)
    (table,) = struct.unpack_from("<q" if long else "<i", head, 22)
    if not 1 <= valid <= total or not 0 < table <= identity.size - valid * (8 if long else 4):
        found = f"{valid} valid of {total} images, listed at byte {table}"
        raise wrong(identity.path, "header", found, f"what {identity.size} bytes can hold", "copy the file again")
    if valid < total:
        text = f"{identity.path}: {valid} of {total} images were taken; the rest is not there"
        warnings.warn(text, AetxWarning, stacklevel=4)


def _dataset(identity: Identity, signal: dict[str, Any]) -> xr.Dataset:
    path, data = identity.path, signal["data"]
    if data.dtype.kind not in "iufb" or 0 in data.shape:
        raise wrong(path, "data", f"{data.dtype} {data.shape}", "real numbers", "give images of real numbers")
    if data.size * data.dtype.itemsize > 1000 * identity.size:
        raise wrong(path, "data", f"shape {data.shape}", f"what {identity.size} bytes can hold", "it is damaged")
    dims = [f"dim_{axis}" for axis in range(data.ndim)]
    coords = {}
    axes = sorted(signal["axes"], key=lambda one: int(one.get("index_in_array", 0)))
    image = [place for place, one in enumerate(axes) if not one.get("navigate", False)][-2:]
    for place, name in zip(image, ("y", "x"), strict=False):
        step, unit = float(axes[place].get("scale", 0) or 0), str(axes[place].get("units", "") or "")
        if not _is_length(unit):
            if unit not in ("", "px", "<undefined>", "None"):
                text = f"{path}: axis {place} is in {unit!r}, no length; its step is not used"
                warnings.warn(text, AetxWarning, stacklevel=4)
            continue
        if data.ndim <= 3:
            dims[place] = name
        coords[dims[place]] = (dims[place], np.arange(data.shape[place]) * step, {"units": unit})
    if data.ndim <= 3:
        dims[-2:] = ["y", "x"]
    header = json.dumps({"title": str(signal.get("metadata", {}).get("General", {}).get("title", ""))})
    values = SignalArray(identity, tuple(data.shape), np.dtype(data.dtype)).variable(tuple(dims))
    return xr.Dataset({"values": values}, attrs={"source_header": header}).assign_coords(coords)


def _is_length(unit: str) -> bool:
    try:
        units.factor(unit, "angstrom")
    except units.UnitError:
        return False
    return True
