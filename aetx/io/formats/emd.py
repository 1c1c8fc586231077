"""EMD as tomviz and the Berkeley layout write it (.emd, .tvh5), and plain HDF5 arrays."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, reader
from aetx.io.hdf5 import LONGEST_AXIS, Hdf5Array, attribute, datasets, entry, link_type, objects, opened, text_of
from aetx.io.lazy import Identity, pread, reading, wrong
from aetx.model import FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME, units

NAMES = {
    "angles": "tilt",
    "angle": "tilt",
    "tilt": "tilt",
    "tilt_angle": "tilt",
    "alpha": "tilt",
    "x": "x",
    "y": "y",
    "z": "z",
}


class EmdParams(Params):
    """Parameters of `emd`."""

    variable: str | None = Field(
        None, description="group or dataset inside the file, as in data/tomography; not needed where there is only one"
    )


@reader(
    "emd",
    patterns=("*.emd", "*.tvh5", "*.h5", "*.hdf5"),
    gives=(TILT_SERIES, VOLUME, SCAN_SERIES, FOCAL_SERIES, FRAMES, RAW_SERIES),
    params=EmdParams,
)
def emd(path: Path, params: EmdParams) -> xr.Dataset:
    """Open an array of an EMD or HDF5 file; names, steps and tilts of its axes where ``dim1``, ``dim2``, … give them.

    Tilts are taken one by one as they stand, never as start and step. Arrays in other files (external links,
    external or virtual storage) are refused, and so is an array that was declared but never written. A Velox file has
    another layout: its reader is `vendor`.
    """
    identity = Identity.of(path)
    if not pread(path, 0, min(8, identity.size)).startswith(b"\x89HDF"):
        raise wrong(path, "header", repr(pread(path, 0, min(8, identity.size))), "an HDF5 file", "name its reader")
    with opened(path) as file:
        name = params.variable if params.variable is not None else _only(path, file)
        one = entry(path, file, name)
        group = one if isinstance(one, h5py.Group) else one.parent
        if isinstance(one, h5py.Group):
            if link_type(one, "data") is None:
                known = ", ".join(datasets(path, file)[:20]) or "none"
                fix = f"state variable: one of {known}"
                raise wrong(path, one.name, f"a group without 'data': {', '.join(one)}", "a dataset 'data'", fix)
            name = f"{name.rstrip('/')}/data"
        lazy = Hdf5Array(identity, file, name)
        dims, coords = _axes(path, group, lazy.shape)
        with reading(path, f"attributes of {group.name}", "readable attributes"):
            attrs = {str(key): text_of(attribute(path, group, key))[:200] for key in list(group.attrs)[:50]}
    found = xr.Dataset({"values": lazy.variable(tuple(dims))}, attrs={"source_header": json.dumps(attrs)})
    return found.assign_coords(coords)


def _only(path: Path, file: h5py.File) -> str:
    if link_type(file, "data") == "hard":
        data = file["data"]
        if isinstance(data, h5py.Group) and link_type(data, "tomography") is not None:
            return "data/tomography"
    groups = [name.rpartition("/")[0] for name in datasets(path, file) if name.endswith("/data")]
    marked = [name for name in groups if text_of(attribute(path, file[name], "emd_group_type")) == "1"]
    found = marked or groups
    if len(found) == 1:
        return found[0]
    known = datasets(path, file)
    if not found and len(known) == 1:
        return known[0]
    declared = [name for name, one in objects(path, file) if "emd_group_type" in one.attrs]
    what = f"{len(found)} groups with 'data'" + (f", group {declared[0]} without" if declared and not found else "")
    raise wrong(path, "data", what, "one", "state variable: one of " + (", ".join(known[:20]) or "none: it is empty"))


def _axes(
    path: Path, group: h5py.Group, shape: tuple[int, ...]
) -> tuple[list[str], dict[str, tuple[str, np.ndarray, dict[str, str]]]]:
    dims, coords = [], {}
    for axis, size in enumerate(shape):
        label = f"dim{axis + 1}"
        if link_type(group, label) != "hard" or not isinstance(group[label], h5py.Dataset):
            dims.append(f"dim_{axis}")
            continue
        one = group[label]
        with reading(path, label, "numbers"):
            if one.external or one.is_virtual:
                raise wrong(path, label, "external storage", "data in this file", "copy the data in")
            if one.size is None or one.size > LONGEST_AXIS:
                raise wrong(path, label, f"{one.size} values", f"{size}, as the data has", "the file is damaged")
            values = np.ravel(np.asarray(one[()], float))
            name = NAMES.get(text_of(attribute(path, one, "name")).strip("_ ").lower(), f"dim_{axis}")
            unit = text_of(attribute(path, one, "units")).strip().strip("[]").strip()
        if values.size == 2 and size != 2:  # two values stand for first and second
            values = values[0] + np.arange(size) * (values[1] - values[0])
        if values.size != size:
            fix = "the axis does not belong to the array; mend the file"
            raise wrong(path, label, f"{values.size} values", f"{size}, as the data has along this axis", fix)
        if not np.isfinite(values).all():
            raise wrong(
                path, label, f"{int((~np.isfinite(values)).sum())} values that are not finite", "numbers", "mend it"
            )
        name = name if name not in dims else f"dim_{axis}"
        dims.append(name)
        if name == "tilt":
            coords["theta"] = ("tilt", _degrees(path, label, values, unit), {"units": "degree"})
        elif unit.replace("n_m", "nm") not in ("", "px", "pixel", "pixels", "n_px", "unitless", "dimensionless", "1"):
            coords[name] = (name, values, {"units": unit.replace("_", "")})
    return dims, coords


def _degrees(path: Path, label: str, values: np.ndarray, unit: str) -> np.ndarray:
    try:
        return values * units.factor(unit or "none", "degree")
    except units.UnitError as error:
        raise wrong(path, label, f"units {unit!r}", "[deg] or [rad]", "mend the unit of the tilts") from error
