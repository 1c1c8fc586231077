"""HDF5 files, opened so that they cannot read other files, fill in what was never written, or run code."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aetx.io.lazy import Identity, Key, LazyArray, check_bomb, reading, wrong

FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Filters that h5py brings along; others would load a plugin from disk."""

LARGEST_ATTRIBUTE = 65536
"""Bytes of an attribute."""
LONGEST_AXIS = 10_000_000
"""Values of an axis."""
DEEPEST = 32
"""Groups within groups that are searched."""
MOST = 10_000
"""Groups and datasets that are searched."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, and close it."""
    with reading(path, "HDF5 structure", "a whole HDF5 file"), _unlocked(path) as file:
        yield file


def _unlocked(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)  # a file system without locks, or a writer that has gone


def datasets(path: Path, file: h5py.File) -> list[str]:
    """Return the names of all numeric datasets in a file; follows no soft or external link, opens no loop twice."""
    found = [
        name
        for name, one in objects(path, file)
        if isinstance(one, h5py.Dataset) and one.dtype.kind in "iuf" and one.ndim
    ]
    return [name for name in found if not name.startswith(("#refs#", "#subsystem#"))]


def objects(path: Path, file: h5py.File) -> list[tuple[str, h5py.Group | h5py.Dataset]]:
    """Return the groups and datasets of a file with their names, as far as links in the file itself lead.

    Raises
    ------
    InputError
        If there are more than a file for people has.
    """
    found: list[tuple[str, h5py.Group | h5py.Dataset]] = []
    seen: set[Any] = set()
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    with reading(path, "HDF5 structure", "a whole HDF5 file"):
        while waiting:
            prefix, group, depth = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or depth > DEEPEST:
                continue
            seen.add(address)
            inner = []
            for name in group:
                if len(found) >= MOST:
                    what = f"more than {MOST} groups and datasets"
                    raise wrong(path, "HDF5 structure", what, "fewer", "state variable: the name of the dataset")
                link = group.id.links.get_info(name.encode()).type
                if link != h5py.h5l.TYPE_HARD:
                    continue
                one = group[name]
                if isinstance(one, h5py.Group):
                    inner.append((f"{prefix}{name}/", one, depth + 1))
                if isinstance(one, h5py.Group | h5py.Dataset):
                    found.append((prefix + name, one))
            waiting += inner[::-1]
    return found


def link_type(group: h5py.Group, name: str) -> str | None:
    """Return 'hard', 'soft' or 'external' of a link, None where there is none. Follows nothing, unlike ``in``."""
    if name.encode() not in set(group.id):
        return None
    return {h5py.h5l.TYPE_HARD: "hard", h5py.h5l.TYPE_SOFT: "soft"}.get(
        group.id.links.get_info(name.encode()).type, "external"
    )


def attribute(path: Path, one: h5py.Group | h5py.Dataset, name: str) -> object:
    """Return an attribute, None where there is none; one that claims to be huge is refused before it is read."""
    if name not in one.attrs:
        return None
    size = h5py.h5a.open(one.id, name.encode()).get_storage_size()
    if size > LARGEST_ATTRIBUTE:
        raise wrong(path, f"attribute {name}", f"{size} bytes", f"at most {LARGEST_ATTRIBUTE}", "the file is damaged")
    return one.attrs[name]


def text_of(value: object) -> str:
    """Return an attribute as text, empty for None."""
    first = np.ravel(np.asarray("" if value is None else value, dtype=object))
    one = first[0] if first.size else ""
    return one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)


def entry(path: Path, file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """Return a group or dataset; every part of its name must lie in this file.

    Raises
    ------
    InputError
        If it is missing, dangling, or in another file.
    """
    here: h5py.Group | h5py.Dataset = file
    done = ""
    for part in (part for part in name.split("/") if part):
        done = f"{done}/{part}"
        if not isinstance(here, h5py.Group):
            raise wrong(path, done, "no group above it", "a path of groups", "name another variable")
        link = link_type(here, part)
        if link is None:
            known = ", ".join(datasets(path, file)[:20]) or "none"
            raise wrong(path, done, "nothing of that name", "a dataset", f"state variable: one of {known}")
        if link == "external":
            raise wrong(path, done, "an external link to another file", "data in this file", "copy the data in")
        if link == "soft":
            target = here.id.links.get_val(part.encode()).decode("utf-8", "replace")
            inside = target if target.startswith("/") else f"{done.rpartition('/')[0]}/{target}"
            here = _followed(path, file, done, inside)
            continue
        with reading(path, done, "a readable object"):
            here = here[part]
    return here


def _followed(path: Path, file: h5py.File, name: str, target: str) -> h5py.Group | h5py.Dataset:
    here: h5py.Group | h5py.Dataset = file
    for part in (part for part in target.split("/") if part):
        if not isinstance(here, h5py.Group) or link_type(here, part) != "hard":
            raise wrong(path, name, f"a soft link to {target!r}", "data in this file", "the link leads nowhere")
        here = here[part]
    return here


class Hdf5Array(LazyArray):
    """A dataset of an HDF5 file, opened anew for each read."""

    def __init__(self, identity: Identity, file: h5py.File, name: str) -> None:
        one = entry(identity.path, file, name)
        if not isinstance(one, h5py.Dataset):
            known = ", ".join(datasets(identity.path, file)[:20]) or "none"
            raise wrong(identity.path, name, "a group", "a dataset", f"state variable: one of {known}")
        check_dataset(identity, name, one)
        self.identity = identity
        self.name = name
        self.shape = tuple(int(size) for size in one.shape)
        self.dtype = np.dtype(one.dtype).newbyteorder("=")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        self.identity.confirm()
        with opened(self.identity.path) as file, reading(self.identity.path, self.name, "readable chunks"):
            return np.asarray(entry(self.identity.path, file, self.name)[key])


def check_dataset(identity: Identity, name: str, one: h5py.Dataset) -> None:
    """Refuse a dataset that is not whole, not numeric, or not in this file. Reads no pixel.

    Raises
    ------
    InputError
        With the reason.
    """
    path = identity.path
    with reading(path, name, "a readable dataset"):
        if one.dtype.kind not in "iufb":
            what = "complex numbers" if one.dtype.kind in "cV" else f"dtype {one.dtype}"
            raise wrong(path, name, what, "real numbers", "name another variable, or write it as real numbers")
        if one.is_virtual:
            raise wrong(path, name, "a virtual dataset", "data in this file", "copy the data into one file")
        if one.external:
            raise wrong(path, name, f"external storage in {one.external[0][0]!r}", "data in this file", "copy it in")
        if one.shape is None or 0 in one.shape:
            raise wrong(path, name, f"shape {one.shape}", "an array with values", "name another variable")
        plist = one.id.get_create_plist()
        for number in range(plist.get_nfilters()):
            code = plist.get_filter(number)[0]
            if code not in FILTERS:
                raise wrong(path, name, f"filter {code}", f"one of {FILTERS}", "write it with gzip or none")
        claimed = math.prod(one.shape) * one.dtype.itemsize
        stored = one.id.get_storage_size()
        if plist.get_layout() == h5py.h5d.CHUNKED:
            _check_chunks(path, name, one, stored)
        elif stored < claimed:
            what = "declared but never written" if stored == 0 else f"{stored} bytes written"
            raise wrong(path, name, what, f"{claimed} bytes", "the file is not finished; copy or write it again")


def _check_chunks(path: Path, name: str, one: h5py.Dataset, stored: int) -> None:
    wanted = math.prod(-(-size // step) for size, step in zip(one.shape, one.chunks, strict=True))
    have = one.id.get_num_chunks() if stored else 0
    if have < wanted:
        what = "declared but never written" if not have else f"{have} of {wanted} chunks written"
        raise wrong(path, name, what, f"{wanted} chunks", "the file is not finished; copy or write it again")
    check_bomb(path, name, math.prod(one.chunks) * one.dtype.itemsize, max(stored // have, 1))
