"""Arrays that stay in their files: opened anew for each read, checked, picklable, never memory-mapped."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import struct
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from aetx.errors import AetxError, EnvironmentFault, InputError, Problem

LIBRARY_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    UnboundLocalError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What libraries raise on files that are not what they should be."""

Key = tuple[int | slice, ...]


def wrong(path: Path, field: str, found: str, wanted: str, fix: str) -> InputError:
    """Return the error for one fault of one file."""
    return InputError(Problem(str(path), field, found, wanted, fix))


@contextlib.contextmanager
def reading(path: Path, field: str, wanted: str) -> Iterator[None]:
    """Turn what a library raises while it reads `field` of a file into an error that names both."""
    try:
        yield
    except AetxError:
        raise
    except LIBRARY_ERRORS as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE):
            problem = Problem(str(path), field, str(error), "a file that can be read", "mend its permissions or disk")
            raise EnvironmentFault(problem) from error
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise wrong(path, field, text, wanted, "the file is damaged or of another format; copy it again") from error


@dataclass(frozen=True)
class Identity:
    """What tells whether a file is still the one that was opened."""

    path: Path
    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        """Look at a file.

        Raises
        ------
        InputError
            If there is none, or it is empty.
        """
        try:
            seen = path.stat()
        except FileNotFoundError as error:
            raise wrong(path, "path", "no such file", "a file", "mend the path") from error
        except OSError as error:
            text = error.strerror or type(error).__name__
            raise wrong(path, "path", text, "a file that can be read", "mend the path or its permissions") from error
        if path.is_dir():
            raise wrong(path, "path", "a folder", "a file", "name the file in it")
        if seen.st_size == 0:
            raise wrong(path, "size", "0 bytes", "a file with content", "the file is empty; copy it again")
        return cls(path, seen.st_size, seen.st_mtime_ns, seen.st_ino)

    def confirm(self) -> None:
        """Raise `InputError` if the file is no longer the one that was opened."""
        try:
            seen = self.path.stat()
        except OSError as error:
            raise wrong(self.path, "path", "it is gone", "the file that was opened", "leave inputs alone") from error
        if (seen.st_size, seen.st_mtime_ns, seen.st_ino) != (self.size, self.modified, self.inode):
            raise wrong(
                self.path,
                "content",
                f"{seen.st_size} bytes, changed since it was opened",
                f"the {self.size} bytes that were opened",
                "the input changed during the run; leave it alone and run again",
            )


class LazyArray(BackendArray, ABC):
    """Base of arrays in files. A subclass has `shape` and `dtype` and reads integers and slices in `read`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._basic)

    def _basic(self, key: Key) -> np.ndarray:
        return np.asarray(self.read(key), self.dtype)

    @abstractmethod
    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""

    def variable(self, dims: tuple[str, ...], attrs: dict[str, Any] | None = None) -> xr.Variable:
        """Return the array as a lazy xarray variable."""
        return xr.Variable(dims, indexing.LazilyIndexedArray(self), attrs)


class RawArray(LazyArray):
    """An uncompressed array at one place of a file, read with `pread`, one section of its slowest axis at a time."""

    def __init__(
        self,
        identity: Identity,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        order: Literal["C", "F"] = "C",
    ) -> None:
        self.identity = identity
        self.offset = offset
        self.shape = shape
        self.stored = np.dtype(dtype)
        self.dtype = self.stored.newbyteorder("=")
        self.order = order
        wanted = offset + math.prod(shape) * self.stored.itemsize
        if wanted > identity.size:
            raise wrong(
                identity.path,
                "size",
                f"{identity.size} bytes",
                f"at least {wanted} bytes for shape {shape} of {self.stored}",
                "the file is cut short; copy it again",
            )

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        if self.order == "F":
            return self._read(key[::-1], self.shape[::-1]).T
        return self._read(key, self.shape)

    def _read(self, key: Key, shape: tuple[int, ...]) -> np.ndarray:
        if not shape:
            return self._section(0, ()).reshape(())[key]
        first, rest = key[0], key[1:]
        if isinstance(first, int | np.integer):
            return self._section(int(first), shape[1:])[rest]
        chosen = range(*first.indices(shape[0]))
        if chosen and chosen.step == 1 and all(_is_whole(one, size) for one, size in zip(rest, shape[1:], strict=True)):
            return self._section(chosen.start, shape[1:], len(chosen))
        parts = [self._section(one, shape[1:])[rest] for one in chosen]
        if parts:
            return np.stack(parts)
        return np.empty((0, *np.broadcast_to(np.empty((), self.dtype), shape[1:])[rest].shape), self.dtype)

    def _section(self, number: int, shape: tuple[int, ...], several: int = 0) -> np.ndarray:
        size = math.prod(shape) * self.stored.itemsize
        self.identity.confirm()
        block = pread(self.identity.path, self.offset + number * size, size * max(several, 1))
        made = np.frombuffer(block, self.stored).reshape((several, *shape) if several else shape)
        return made.astype(self.dtype)


def _is_whole(key: int | slice, size: int) -> bool:
    return isinstance(key, slice) and key.indices(size) == (0, size, 1)


def pread(path: Path, offset: int, size: int) -> bytes:
    """Return bytes of a file.

    Raises
    ------
    InputError
        If the file ends before.
    """
    with reading(path, "content", f"{size} bytes at {offset}"):
        handle = os.open(path, os.O_RDONLY)
        try:
            parts = []
            while size > 0:
                part = os.pread(handle, min(size, 1 << 30), offset)
                if not part:
                    raise wrong(path, "size", f"the file ends at {offset}", f"{size} bytes more", "copy it again")
                parts.append(part)
                offset += len(part)
                size -= len(part)
        finally:
            os.close(handle)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class View(LazyArray):
    """Another array with its axes in another order, its values times a factor, or its type changed.

    `place` is the file and the name to blame where the other array cannot be read.
    """

    def __init__(
        self,
        inner: xr.Variable,
        order: tuple[int, ...],
        factor: float = 1.0,
        dtype: np.dtype[Any] | None = None,
        place: tuple[Path, str] | None = None,
    ) -> None:
        self.place = place
        self.inner = inner
        self.order = order
        self.factor = factor
        self.shape = tuple(inner.shape[axis] for axis in order)
        own = inner.dtype if factor == 1.0 else np.result_type(inner.dtype, np.float32)
        self.dtype = np.dtype(dtype if dtype is not None else own).newbyteorder("=")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        back = np.argsort(self.order)
        inner = tuple(key[place] for place in back)
        if self.place is None:
            found = np.asarray(self.inner[inner].values)
        else:
            with reading(self.place[0], f"{self.place[1]}[{_spelled(inner)}]", "readable pixels"):
                found = np.asarray(self.inner[inner].values)
        kept = [axis for place, axis in enumerate(self.order) if not isinstance(key[place], int | np.integer)]
        ranks = {axis: place for place, axis in enumerate(sorted(kept))}
        turned = found.transpose([ranks[axis] for axis in kept])
        return turned if self.factor == 1.0 else turned.astype(self.dtype, copy=False) * self.dtype.type(self.factor)


def _spelled(key: Key) -> str:
    return ", ".join(f"{one.start or 0}:{one.stop}" if isinstance(one, slice) else str(one) for one in key)


def check_bomb(path: Path, field: str, claimed: int, packed: int) -> None:
    """Refuse a compressed block that would fill memory and is far too small to mean it.

    Raises
    ------
    InputError
        If more than 1 GiB comes out of one block that is 500 times smaller.
    """
    if claimed > 2**30 and claimed > 500 * max(packed, 1):
        raise wrong(
            path,
            field,
            f"{packed} bytes that claim to unpack to {claimed}",
            "a believable size",
            "the file is damaged or hostile",
        )
