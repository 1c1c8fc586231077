"""Open an input: choose the reader, check what it gives, add what the recipe states, and keep it lazy."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core import Reader, Registry
from aetx.errors import AetxWarning, InputError, Problem
from aetx.io import angles
from aetx.io.atoms import AtomDresser
from aetx.io.dress import AGREE, MAIN, Dresser
from aetx.io.lazy import LIBRARY_ERRORS
from aetx.io.stated import AngleFile, Stated
from aetx.model import ATOMS, SCAN_SERIES, TILT_SERIES, VOLUME, Kind, spacing, units

BLOCK = 2**26
"""Bytes of a volume in one chunk, at most, unless one section is larger."""
OF_TILTS = {"angles", "convention", "axis_azimuth", "allow_duplicates", "full_range", "dose"}
OF_GRIDS = {"pixel_size", "axes", "variable", "units", "override"}
SPEAKS = {
    "tilt_series": OF_GRIDS | OF_TILTS | {"origin"},
    "scan_series": OF_GRIDS | OF_TILTS | {"frequency_step"},
    "focal_series": OF_GRIDS | OF_TILTS | {"defocus"},
    "raw_series": OF_GRIDS | OF_TILTS | {"frames", "scan_directions"},
    "frames": OF_GRIDS,
    "volume": OF_GRIDS | {"origin"},
    "atoms": OF_GRIDS | {"origin", "zero", "columns", "species"},
}
"""What may be stated of a bare file, by the kind that it shall be."""
OF_THE_FILE = {"variable", "columns"}
"""What is stated for the reader, and may be stated of a finished dataset too."""


def open_input(
    paths: Sequence[Path],
    *,
    kind: Kind,
    reader: str | None = None,
    stated: Stated | Mapping[str, object] | None = None,
    registry: Registry | None = None,
    member: str | int | None = None,
) -> xr.Dataset:
    """Return an input as a dataset of its kind, lazy, one image a chunk. Reads headers and side files only.

    Parameters
    ----------
    paths
        The file or store; several only where one series lies in many files, in their order.
    kind
        What it shall be.
    reader
        Name of the reader; without it the file's name decides.
    stated
        What the recipe says of it.
    registry
        Where readers are found.
    member
        Number or name of this member, where the input is one of a list; tables are looked up with it.

    Raises
    ------
    InputError
        If a file is missing, damaged, of another kind, contradicts the recipe, or says too little.
    """
    found = open_lazily(paths, kind, reader, _stated(stated, paths), registry or Registry(), member)
    return _chunked(found, kind, paths)


def describe_files(paths: Sequence[Path], stated: Stated | Mapping[str, object] | None = None) -> list[Path]:
    """Return every file that opening an input reads: the data, all files of a store, side files stated or beside."""
    made = _stated(stated, paths)
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
        else:
            found.append(path)
            if made.angles is None:
                found += angles.beside(path)
    return list(dict.fromkeys([*found, *made.side_files()]))


def _stated(stated: Stated | Mapping[str, object] | None, paths: Sequence[Path]) -> Stated:
    if isinstance(stated, Stated):
        return stated
    return Stated.of(stated or {}, source=str(paths[0]) if paths else "input")


def open_lazily(
    paths: Sequence[Path], kind: Kind, reader: str | None, stated: Stated, registry: Registry, member: str | int | None
) -> xr.Dataset:
    """Return an input as `open_input` does, but without dask: arrays that are read from their files when indexed."""
    if not paths:
        raise InputError(Problem("input", "path", "no file", "at least one", "mend the path"))
    _check_names(paths)
    first = paths[0]
    chosen = registry.reader(reader) if reader is not None else choose(first, registry)
    if kind not in chosen.gives:
        kinds = ", ".join(one.name for one in chosen.gives)
        fix = "state another kind, or another reader"
        raise InputError(Problem(str(first), "kind", kind.name, f"one of {kinds}, which {chosen.name} gives", fix))
    gone = next((path for path in paths if not path.exists()), None)
    if gone is not None:
        raise InputError(Problem(str(gone), "path", "no such file", "a file", "mend the path"))
    raws = [_read(chosen, path, stated) for path in paths]
    whole = raws[0] if len(raws) == 1 else None
    if whole is not None and ("aetx_schema" in whole.attrs or not kind.problems(whole)):
        found = _finished(whole, kind, stated, str(first))
    elif (idle := sorted(stated.model_fields_set - SPEAKS.get(kind.name, stated.model_fields_set))) != []:
        what = f"stated of a {kind.name}"
        raise InputError(Problem(str(first), idle[0], what, "what such a file has", f"leave {', '.join(idle)} out"))
    elif kind is ATOMS:
        if whole is None:
            raise InputError(Problem(str(first), "path", f"{len(paths)} files", "one table of atoms", "name one file"))
        found = AtomDresser(stated, str(first), registry).dress(whole)
    elif kind.name in MAIN:
        beside = _beside(first, chosen, kind, stated, registry) if len(paths) == 1 else None
        found = Dresser(kind, stated, str(first), registry, member).dress(raws, beside)
    else:
        fix = "give a Zarr store of that kind"
        raise InputError(Problem(str(first), "kind", kind.name, "a kind that a bare array can be", fix))
    attrs = {"source": ", ".join(path.name for path in paths[:10]), "reader": chosen.name}
    record = stated.record()
    if record:
        attrs["stated"] = json.dumps(record, ensure_ascii=False)
    found = kind.stamp(found.assign_attrs(attrs))
    kind.check(found, str(first))
    return found


def _check_names(paths: Sequence[Path]) -> None:
    for path in paths:
        text = str(path)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) or "::" in text:
            fix = "network inputs and chained URLs are off; copy the file here"
            raise InputError(Problem(text, "path", repr(text), "a file on this machine", fix))


def choose(path: Path, registry: Registry) -> Reader:
    """Return the one reader that the name of a file calls for, or raise `InputError`."""
    found = registry.readers_for(path)
    if len(found) == 1:
        return found[0]
    names = [one.name for one in found]
    if found:
        fix = f"state reader: one of {', '.join(names)}"
        raise InputError(Problem(str(path), "reader", f"several readers: {', '.join(names)}", "one", fix))
    fix = f"state reader: one of {', '.join(registry.reader_names())}"
    raise InputError(Problem(str(path), "reader", f"the suffix {path.suffix!r}", "a suffix that a reader knows", fix))


def _read(chosen: Reader, path: Path, stated: Stated) -> xr.Dataset:
    asked = chosen.params.model_fields
    idle = sorted(OF_THE_FILE & stated.model_fields_set - set(asked))
    if idle and getattr(stated, idle[0]) is not None:
        fix = f"leave {idle[0]} out, or state another reader"
        raise InputError(Problem(str(path), idle[0], f"reader {chosen.name}", f"a reader of {idle[0]}", fix))
    options = {name: getattr(stated, name) for name in asked if name in stated.model_fields_set}
    try:
        return chosen(path, **{name: one for name, one in options.items() if one is not None})
    except LIBRARY_ERRORS as error:
        if chosen.function.__module__.startswith("aetx."):
            raise
        problem = Problem(str(path), "content", f"{type(error).__name__}: {error}", "a file it can read", "mend it")
        raise InputError(problem, f"reader {chosen.name} failed") from error


def _beside(
    path: Path, chosen: Reader, kind: Kind, stated: Stated, registry: Registry
) -> tuple[np.ndarray, str] | None:
    """Return the angles that lie beside an MRC stack, where the recipe states none; several files must agree."""
    if stated.angles is not None or kind is not TILT_SERIES or chosen.name != "mrc":
        return None
    read = [(one, angles.rows_in(one, AngleFile(path=str(one)), registry)) for one in angles.beside(path)]
    if not read:
        return None
    for other, rows in read[1:]:
        same = rows.shape == read[0][1].shape and np.abs(rows - read[0][1]).max() < 0.01
        if not same:
            found = f"{read[0][0].name} and {other.name}, which differ"
            raise InputError(Problem(str(path), "angles", found, "one list", f"state angles: {other.name}, say"))
    text = f"{path}: the tilt angles are those of {read[0][0].name}, found beside it"
    warnings.warn(text, AetxWarning, stacklevel=5)
    return read[0][1], str(read[0][0])


def _finished(found: xr.Dataset, kind: Kind, stated: Stated, source: str) -> xr.Dataset:
    """Return a dataset that is already of its kind; the recipe may repeat its pixel size, and state nothing else."""
    schema = str(found.attrs.get("aetx_schema", kind.schema))
    if schema != kind.schema:
        raise InputError(Problem(source, "kind", schema, kind.schema, "state the kind that the store has"))
    kind.check(found, source)
    free = OF_THE_FILE | {"pixel_size", "allow_duplicates", "full_range"}
    extra = sorted(stated.model_fields_set - free)
    if extra:
        fix = f"leave {', '.join(extra)} out; to change it, add a step"
        raise InputError(Problem(source, extra[0], "stated in the recipe", "nothing: the store says it", fix))
    size = stated.pixel_size
    for axis in kind.grid:
        said = size.get(axis) if isinstance(size, Mapping) else size
        if said is None or found.sizes[axis] < 2:
            continue
        own = spacing(found, axis) * units.factor(found[axis].attrs["units"], "angstrom")
        if abs(own / said - 1) > AGREE:
            what = f"the store says {own:g} angstrom along {axis}, the recipe {said:g} angstrom"
            what += f": a factor of {max(own / said, said / own):.4g}"
            raise InputError(Problem(source, "pixel_size", what, "the same in both", "leave pixel_size out"))
    if kind is TILT_SERIES:
        phi, theta, psi = (np.asarray(found[name].values, float) for name in angles.NAMES)
        angles.check(source, source, found.sizes["tilt"], (phi, theta, psi), stated, unit_stated=True)
    return found


def _chunked(found: xr.Dataset, kind: Kind, paths: Sequence[Path]) -> xr.Dataset:
    name = MAIN.get(kind.name)
    if name is None or name not in found:
        return found
    token = f"{[str(path) for path in paths]}"
    seen = [path.stat() for path in paths]
    token += str([(one.st_size, one.st_mtime_ns, one.st_ino) for one in seen]) + repr(found[name])
    layout = preferred(found, kind)
    pieces = {
        str(label): one.chunk({axis: layout.get(str(axis), -1) for axis in one.dims}, token=f"{token}{label}")
        for label, one in found.data_vars.items()
        if {"y", "x"} <= set(one.dims) or label == name
    }
    return found.assign(pieces)


def preferred(found: xr.Dataset, kind: Kind) -> dict[str, int]:
    """Return the chunks of the main variable: one image each; of a volume its own, or the sections that 64 MiB hold."""
    one = found[MAIN[kind.name]]
    own = one.encoding.get("preferred_chunks")
    if own and kind is VOLUME:
        return {str(axis): int(size) for axis, size in own.items()}
    if kind is VOLUME:
        section = max(1, one.sizes["y"] * one.sizes["x"] * one.dtype.itemsize)
        return {"z": max(1, min(one.sizes["z"], BLOCK // section)), "y": one.sizes["y"], "x": one.sizes["x"]}
    whole = one.dims[-3:] if kind is SCAN_SERIES else one.dims[-2:]
    return {str(axis): one.sizes[axis] if axis in whole else 1 for axis in one.dims}
