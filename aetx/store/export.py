"""Exported files: each whole or absent, with a note beside it of what made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr

from aetx.errors import Problem, RecipeError
from aetx.model import FILE
from aetx.store import disk
from aetx.store.checking import Expected, read_again

PIECE = 1 << 24


@dataclass(frozen=True)
class Note:
    """What is known of an exported file: what made it, and the sizes and digests that it may have.

    There are two while one file takes the place of another: the new one and the old one.
    """

    key: str
    record: Mapping[str, Any]
    files: tuple[tuple[int, str], ...]


def note_path(path: Path) -> Path:
    """Return where the note of an exported file is."""
    return path.with_name(f".{path.name}.aetx.json")


def read_note(path: Path) -> Note | None:
    """Return the note of an exported file; None where there is none."""
    try:
        found = json.loads(note_path(path).read_text(encoding="utf-8"))
        files = tuple((int(size), str(digest)) for size, digest in found["files"])
        return Note(str(found["key"]), dict(found["record"]), files)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_export(
    dataset: xr.Dataset,
    path: Path,
    *,
    key: str,
    record: Mapping[str, Any],
    scratch: Path,
    overwrite: bool = False,
    before: Callable[[], None] | None = None,
) -> Note:
    """Write the bytes of a dataset of kind `file` to a file that is, at every moment, the old one or the new one.

    Raises
    ------
    RecipeError
        If a file stands there that aetx did not write, or that was changed since; `overwrite` replaces the second.
    """
    FILE.check(dataset, str(path))
    old = _refuse_changed(path, overwrite)
    aside = scratch / disk.litter_name(path.name)
    size, digest = disk.write_atomically(aside, _pieces(dataset["content"].variable), scratch)
    if before is not None:
        before()
    note = Note(key, record, ((size, digest),))
    with disk.in_words(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        if old is not None:
            _write_note(path, Note("", {}, (*note.files, *old)), scratch)
        else:
            _write_note(path, note, scratch)
        aside.replace(path)
        disk.sync(path.parent)
        if old is not None:
            _write_note(path, note, scratch)
    return note


def check_export(path: Path, whole: bool = True) -> list[Problem]:
    """Return in what an exported file is not what was written; `whole` reads it, else its size is compared."""
    one = expected_export(path)
    if one is None:
        return [_export_problem(path, "no note of what made it")]
    if whole:
        return read_again([one]).problems
    found = "nothing" if not path.is_file() else f"{path.stat().st_size} bytes"
    return [] if found in {f"{size} bytes" for size, _ in one.written} else [one.problem(found, "")]


def expected_export(path: Path) -> Expected | None:
    """Return what an exported file was written as; None where there is no note of it."""
    note, told = read_note(path), _export_problem(path, "")
    return None if note is None else Expected(path, note.files, told.file, told.field, told.fix, told.wanted)


def _export_problem(path: Path, found: str) -> Problem:
    fix = "it was changed or damaged: remove it and run the recipe again"
    return Problem(str(path), "export", found, "the file as it was written", fix)


def _refuse_changed(path: Path, overwrite: bool) -> tuple[tuple[int, str], ...] | None:
    """Return what the file that stands there may be; None where nothing stands."""
    if not path.exists() and not path.is_symlink():
        return None
    note = read_note(path)
    if path.is_symlink() or not path.is_file() or note is None:
        problem = Problem(str(path), "export", "something that aetx did not write", "nothing", "move it away")
        raise RecipeError(problem, "aetx replaces only what it made")
    if check_export(path) and not overwrite:
        problem = Problem(
            str(path), "export", "a file changed since aetx wrote it", "its own bytes", "move it away, or --overwrite"
        )
        raise RecipeError(problem, "aetx replaces only what it made")
    return note.files


def _write_note(path: Path, note: Note, scratch: Path) -> None:
    text = json.dumps({"aetx": 1, "key": note.key, "record": note.record, "files": note.files}, indent=1)
    disk.write_atomically(note_path(path), text.encode(), scratch)


def _pieces(content: xr.Variable) -> Iterator[bytes]:
    """Yield the bytes in order, a block at a time."""
    if content.chunks is not None:
        for block in content.data.to_delayed().ravel():
            yield np.asarray(dask.compute(block)[0], np.uint8).tobytes()
        return
    for start in range(0, content.size, PIECE):
        yield np.asarray(content[start : start + PIECE].values, np.uint8).tobytes()
