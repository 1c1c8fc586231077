"""MATLAB 5 files (``save -v6`` and ``-v7``): the list of variables and the numbers of one, without running code."""

from __future__ import annotations

import functools
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aetx.io.lazy import Identity, Key, LazyArray, check_bomb, pread, reading, wrong

CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
    16: "function",
    17: "opaque",
}
NUMBERS = {"double": "f8", "single": "f4"} | {
    f"{sign}int{bits}": f"{sign[:1] or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
COMPRESSED, MATRIX = 15, 14
HEAD = 4096
"""Bytes of a variable in which its name and shape must stand."""


@dataclass(frozen=True)
class Variable:
    """One variable of a file: its class and shape, and where its numbers are."""

    name: str
    kind: str
    shape: tuple[int, ...]
    complex: bool
    start: int
    size: int
    compressed: bool
    stored: str
    offset: int
    bytes: int

    @property
    def numeric(self) -> bool:
        """Whether it is an array of real numbers."""
        return self.kind in NUMBERS and not self.complex


def variables(identity: Identity) -> tuple[Literal["<", ">"], dict[str, Variable]]:
    """Return the byte order and the variables of a file. Reads the head of each only.

    Raises
    ------
    InputError
        If the file is cut short or no MATLAB 5 file.
    """
    path = identity.path
    head = pread(path, 0, min(128, identity.size))
    if len(head) < 128 or head[126:128] not in (b"IM", b"MI"):
        raise wrong(path, "header", repr(head[:16]), "a MATLAB 5 file", "save it with `save -v7` or `-v7.3`")
    order: Literal["<", ">"] = "<" if head[126:128] == b"IM" else ">"
    found: dict[str, Variable] = {}
    place = 128
    while place < identity.size:
        if identity.size - place < 8:
            raise wrong(path, "size", f"{identity.size - place} bytes left over", "a whole variable", "copy it again")
        code, size = (int(one) for one in np.frombuffer(pread(path, place, 8), order + "u4"))
        if place + 8 + size > identity.size:
            raise wrong(
                path,
                "size",
                f"{identity.size} bytes",
                f"{place + 8 + size} bytes, as the variable at byte {place} says",
                "the file is cut short; copy it again",
            )
        if code in (COMPRESSED, MATRIX):
            with reading(path, f"variable at byte {place}", "a MATLAB variable"):
                one = _described(path, order, place + 8, size, code == COMPRESSED)
            found[one.name] = one
        elif code not in STORED:
            raise wrong(path, f"variable at byte {place}", f"type {code}", "a MATLAB variable", "copy the file again")
        place += 8 + size
    return order, found


def _inflated(path: Path, start: int, size: int, most: int) -> bytes:
    machine = zlib.decompressobj()
    parts, have, place = [], 0, start
    while have < most and place < start + size:
        block = pread(path, place, min(1 << 20, start + size - place))
        place += len(block)
        while block and have < most:
            part = machine.decompress(block, most - have)
            parts.append(part)
            have += len(part)
            block = machine.unconsumed_tail
            if not part:
                break
    return b"".join(parts)


def _described(path: Path, order: str, start: int, size: int, compressed: bool) -> Variable:
    head = _inflated(path, start, size, HEAD) if compressed else pread(path, start, min(size, HEAD))
    place = 0
    inner = size
    if compressed:
        code, inner = (int(one) for one in np.frombuffer(head[:8], order + "u4"))
        if code != MATRIX:
            raise ValueError(f"a compressed element of type {code}")
        place = 8

    def element(place: int) -> tuple[int, int, int, int]:
        code, count = (int(one) for one in np.frombuffer(head[place : place + 8], order + "u4"))
        if code >> 16:  # four bytes or fewer stand within the tag itself
            return code & 0xFFFF, code >> 16, place + 4, place + 8
        return code, count, place + 8, place + 8 + -(-count // 8) * 8

    _, _, at, place = element(place)
    flags = int(np.frombuffer(head[at : at + 4], order + "u4")[0])
    kind = CLASSES.get(flags & 0xFF, "unknown")
    if kind == "opaque":
        return Variable("(object)", kind, (), False, start, size, compressed, "", 0, 0)
    _, count, at, place = element(place)
    shape = tuple(int(one) for one in np.frombuffer(head[at : at + count], order + "i4"))
    code, count, at, place = element(place)
    name = head[at : at + count].decode("ascii")
    if kind not in NUMBERS:
        return Variable(name, kind, shape, False, start, size, compressed, "", 0, 0)
    code, count, at, _ = element(place)
    if code not in STORED or min(shape, default=0) < 0 or len(shape) > 8:
        raise ValueError(f"{name!r} of shape {shape} is stored as type {code}")
    wanted = math.prod(shape) * np.dtype(STORED[code]).itemsize
    if count != wanted or at + count > inner + 8:
        raise ValueError(f"{name!r} of shape {shape} needs {wanted} bytes, has {count}")
    return Variable(name, kind, shape, bool(flags & 0x800), start, size, compressed, STORED[code], start + at, count)


class Mat5Array(LazyArray):
    """One numeric variable. Uncompressed ones are read in place; a compressed one is unpacked once and kept."""

    def __init__(self, identity: Identity, order: str, one: Variable) -> None:
        self.identity = identity
        self.one = one
        self.order = order
        self.shape = one.shape
        self.dtype = np.dtype(NUMBERS[one.kind])
        check_bomb(identity.path, one.name, one.bytes, one.size)

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        self.identity.confirm()
        return np.asarray(_unpacked(self.identity, self.order, self.one)[key]).astype(self.dtype)


@functools.lru_cache(maxsize=2)
def _unpacked(identity: Identity, order: str, one: Variable) -> np.ndarray[Any, Any]:
    before = one.offset - one.start
    with reading(identity.path, one.name, f"{one.bytes} bytes of numbers"):
        block = _inflated(identity.path, one.start, one.size, before + one.bytes)
        if len(block) != before + one.bytes:
            raise ValueError(f"{len(block) - before} bytes are there")
        return np.frombuffer(block, order + one.stored, offset=before).reshape(one.shape, order="F")
