"""Inputs: opened lazily, hashed byte by byte, and watched for change while they are in use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core.record import FileRecord, InputRecord
from aetx.core.registry import Registry
from aetx.errors import InputError, Problem
from aetx.io import check_pixels, describe_files, open_input
from aetx.model import spacing
from aetx.recipe.plan import Input
from aetx.run.keys import digest
from aetx.store import disk

Mark = tuple[int, int, int]
Opener = Callable[[Input, Registry], xr.Dataset]


def open_declared(one: Input, registry: Registry) -> xr.Dataset:
    """Open an input of a recipe lazily."""
    return open_input(
        one.paths, kind=one.kind, reader=one.reader, stated=one.stated, registry=registry, member=_member(one)
    )


def check_declared(dataset: xr.Dataset, one: Input) -> None:
    """Look at every pixel once, so that what no stage can use is refused before anything is written."""
    check_pixels(dataset, str(one.paths[0]) if one.paths else one.name)


@dataclass(frozen=True)
class Opened:
    """An input, opened and hashed: its dataset, its key, its record, and marks of its files to see a change by."""

    dataset: xr.Dataset
    key: str
    record: InputRecord
    marks: Mapping[Path, Mark]

    def check_unchanged(self) -> None:
        """Raise `InputError` if a file is no longer the one that was hashed."""
        problems = []
        for path, mark in self.marks.items():
            now = _mark(path) if path.exists() else None
            if now != mark:
                found = "nothing" if now is None else f"another file or other bytes ({now[1]} bytes, was {mark[1]})"
                problems.append(
                    Problem(
                        str(path), f"inputs.{self.record.name}", found, "the file as it was", "run again when it rests"
                    )
                )
        if problems:
            raise InputError(problems, "an input changed during the run")


def hash_input(one: Input, dataset: xr.Dataset) -> Opened:
    """Return an input with the digest of every byte of its files, read as a stream; nothing is remembered."""
    files, marks = [], {}
    for path in describe_files(one.paths, one.stated):
        marks[path] = _mark(path)
        files.append(FileRecord(path=str(path), bytes=marks[path][1], sha256=disk.sha256(path)))
    stated = {name: _told(value) for name, value in sorted(one.stated.items())}
    reader = one.reader or ""
    key = digest(
        {
            "files": [file.sha256 for file in files],
            "stated": stated,
            "member": _member(one),  # what is stated may be a table with a row for each member
            "reader": reader,
            "kind": one.kind.name,
        }
    )
    record = InputRecord(
        name=one.name, kind=one.kind.name, reader=reader, files=files, stated=stated, facts=_facts(dataset)
    )
    made = Opened(dataset, key, record, marks)
    made.check_unchanged()
    return made


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _member(one: Input) -> str | None:
    return one.name.partition("/")[2] or None


def _mark(path: Path) -> Mark:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _facts(dataset: xr.Dataset) -> dict[str, str]:
    """Return what a person wants to know of a dataset at a glance; reads no pixel."""
    facts = {"sizes": ", ".join(f"{axis} {size}" for axis, size in dataset.sizes.items())}
    for name, variable in dataset.data_vars.items():
        facts[str(name)] = f"{variable.dtype}, {variable.attrs.get('units', 'text')}"
    for axis in ("x", "y", "z"):
        if axis in dataset.coords and dataset.sizes.get(axis, 0) > 1:
            facts[f"step {axis}"] = f"{spacing(dataset, axis):.6g} {dataset[axis].attrs.get('units', '')}"
    if "theta" in dataset.coords and dataset.sizes.get("tilt", 0):
        theta = np.asarray(dataset["theta"].values)
        facts["theta"] = f"{theta.min():.4g} to {theta.max():.4g} degree"
    return facts
