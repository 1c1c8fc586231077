"""Open, check and verify finished stores; refuse the unfinished and the foreign in words."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aetx.errors import AetxError, InputError, Problem
from aetx.store import disk
from aetx.store.checking import Expected, read_again

MANIFEST = "aetx-manifest.json"
RERUN = "run the recipe again"


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself: the key and record of what made it, size and digest of each of its files."""

    schema: str
    key: str
    record: Mapping[str, Any]
    files: Mapping[str, tuple[int, str]]

    @property
    def bytes(self) -> int:
        """Bytes of all files of the store."""
        return sum(size for size, _ in self.files.values())

    @property
    def digest(self) -> str:
        """One digest of every byte of data and labels, whatever the time and the machine that made them."""
        text = json.dumps({name: digest for name, (_, digest) in sorted(self.files.items())})
        return hashlib.sha256(text.encode()).hexdigest()

    def text(self) -> str:
        """Return the file that `manifest` reads."""
        made = {
            "aetx": 1,
            "schema": self.schema,
            "key": self.key,
            "record": self.record,
            "files": {name: {"bytes": size, "sha256": digest} for name, (size, digest) in self.files.items()},
        }
        return json.dumps(made | {"sha256": _own_digest(made)}, indent=1, ensure_ascii=False)


def _own_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of a manifest, but for the place where it stands itself."""
    plain = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def manifest(path: Path) -> Manifest:
    """Return the manifest of a finished store.

    Raises
    ------
    InputError
        If there is no store, or one that is unfinished, foreign or damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(Problem(str(path), "store", "nothing", "a finished store", RERUN))
    if path.is_symlink():
        raise InputError(Problem(str(path), "store", "a symbolic link", "a finished store", "name the store itself"))
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(
            Problem(
                str(path),
                MANIFEST,
                "no manifest",
                "a store finished by aetx",
                f"it is unfinished or was made by another program: {RERUN}, or read it as an input",
            )
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        files = {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in found["files"].items()}
        made = Manifest(str(found["schema"]), str(found["key"]), dict(found["record"]), files)
        version = found["aetx"]
        if found.keys() - {"aetx", "schema", "key", "record", "files", "sha256"}:
            raise ValueError("keys that no manifest has")
        if version == 1 and found.get("sha256", _own_digest(found)) != _own_digest(found):
            raise ValueError("other bytes than were written")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(Problem(str(file), "manifest", repr(error), "a whole manifest", RERUN)) from error
    if version != 1:
        raise InputError(Problem(str(file), "aetx", repr(version), "1", "use the version of aetx that wrote it"))
    return made


def check_sizes(path: Path) -> list[Problem]:
    """Return the files of a finished store that are missing or have another size. Reads no file but the manifest."""
    problems = []
    for name, (size, _) in manifest(path).files.items():
        file = Path(path) / name
        if not file.is_file():
            problems.append(_chunk(path, name, "nothing", f"{size} bytes"))
        elif file.stat().st_size != size:
            problems.append(_chunk(path, name, f"{file.stat().st_size} bytes", f"{size} bytes"))
    return problems


def verify(path: Path) -> list[Problem]:
    """Return everything in which a store is not what was published: each file read again, missing, extra, linked.

    A store that is no finished store at all is one problem.
    """
    problems, expected = expected_files(path)
    return problems + read_again(expected).problems


def expected_files(path: Path) -> tuple[list[Problem], list[Expected]]:
    """Return what is wrong with a store by the names in it, and the files that are left to be read.

    Nothing is expected of what lies behind a symbolic link: the link is the problem, and it is not followed.
    """
    path = Path(path)
    try:
        made = manifest(path)
    except InputError as error:
        return list(error.problems), []
    present = set(disk.files_below(path)) - {MANIFEST}
    links = sorted(name for name in present if (path / name).is_symlink())
    problems = [_chunk(path, name, "a symbolic link", "a file") for name in links]
    extra = sorted(present - set(made.files) - set(links))
    problems += [_chunk(path, name, "a file", "none", "remove it: no run of aetx wrote it") for name in extra]
    behind = tuple(f"{name}/" for name in links)
    fix = _chunk(path, "", "", "").fix
    expected = [
        Expected(path / name, (written,), str(path), name, fix)
        for name, written in made.files.items()
        if name not in links and not name.startswith(behind)
    ]
    return problems, expected


def _chunk(path: Path, name: str, found: str, wanted: str, fix: str = "") -> Problem:
    return Problem(str(path), name, found, wanted, fix or f"the store is damaged: remove it and {RERUN}")


def open_store(path: Path) -> xr.Dataset:
    """Open a finished store lazily, without dask; the dataset pickles, and reads each block only when it is asked to.

    Raises
    ------
    InputError
        If there is no store, or one that is unfinished, foreign or damaged.
    """
    path = Path(path)
    problems = check_sizes(path)
    if problems:
        raise InputError(problems, f"{path} is damaged")
    with damage_in_words(lambda: [path]):
        found = xr.open_dataset(path, engine="zarr", chunks=None, consolidated=True, cache=False, mask_and_scale=False)
        words = {name: _words(one) for name, one in found.variables.items() if one.dtype.kind in "TO"}
    return (
        found.assign_coords({name: word for name, word in words.items() if name in found.coords})
        .assign({name: word for name, word in words.items() if name in found.data_vars})
        .drop_encoding()
    )


@contextlib.contextmanager
def damage_in_words(stores: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Turn an error of reading into the damage that is its cause, if any of the stores that were read is damaged."""
    try:
        yield
    except AetxError:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        problems = [problem for path in stores() for problem in verify(path)]
        if problems:
            raise InputError(problems, "a result is damaged") from error
        raise


def _words(variable: xr.Variable) -> xr.Variable:
    return xr.Variable(variable.dims, np.asarray(variable.values).astype(object).astype(str), variable.attrs)
