"""What a bad input is: a maker of files, the exit code that it must end with, and words that it must say."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

ANGLES = (-70.0, -35.0, 0.0, 35.0, 70.0)
IMAGES, EDGE = 5, 32
Maker = Callable[[Path], Sequence[str] | None]
RUN = ("run", "recipe.yaml", "--output", "out", "--json")


@dataclass(frozen=True)
class Case:
    """One bad input. Its name begins with its row where a table has it; `code` 0 means that it must be read."""

    name: str
    code: int
    words: tuple[str, ...]
    make: Maker
    seconds: int = 10
    """Seconds in which it must be answered."""
    limit: int = 1 << 30
    """Bytes that answering it may take."""
    started: bool = False
    """Whether it can only be found by a stage that runs, when the output has been begun."""


@dataclass(frozen=True)
class Table:
    """Collects cases."""

    cases: dict[str, Case]

    def add(self, name: str, code: int, words: str | Sequence[str], make: Maker, **options: Any) -> None:
        """Add one case."""
        assert name not in self.cases, name
        wanted = (words,) if isinstance(words, str) else tuple(words)
        self.cases[name] = Case(name, code, wanted, make, **options)

    def case(self, name: str, code: int, *words: str, **options: Any) -> Callable[[Maker], Maker]:
        """Add the function below as a case."""

        def keep(make: Maker) -> Maker:
            self.add(name, code, words, make, **options)
            return make

        return keep


def stack(kind: str = "f4") -> np.ndarray:
    """Return the images of every base file: values 1 to 120, few of them the highest."""
    size = IMAGES * EDGE * EDGE
    return (1 + (np.arange(size) * 7919 % 997) // 9 + np.arange(size) % 10).reshape(IMAGES, EDGE, EDGE).astype(kind)


def recipe(folder: Path, stated: Mapping[str, Any], stage: str = "prepare.normalise", **more: Any) -> None:
    """Write a recipe of one input and one step."""
    whole = {"aetx": 1, "inputs": {"s": dict(stated)}, "steps": [{"name": "a", "stage": stage, "from": "s"}]}
    (folder / "recipe.yaml").write_text(json.dumps(whole | {"report": []} | more), encoding="utf-8")


def series(folder: Path, name: str, **stated: Any) -> None:
    """Write a recipe that reads a tilt series; its angles and pixel size are stated unless a value is None."""
    usual: dict[str, Any] = {"path": name, "kind": "tilt_series", "angles": list(ANGLES), "pixel_size": "0.34 angstrom"}
    recipe(folder, {key: value for key, value in (usual | stated).items() if value is not None})


def volume(folder: Path, name: str, **stated: Any) -> None:
    """Write a recipe that reads a volume."""
    usual: dict[str, Any] = {"path": name, "kind": "volume", "pixel_size": "0.34 angstrom"}
    given = {key: value for key, value in (usual | stated).items() if value is not None}
    recipe(folder, given, "augment.gaussian")


def atoms(folder: Path, name: str, **stated: Any) -> None:
    """Write a recipe that reads atoms."""
    recipe(folder, {"path": name, "kind": "atoms"} | stated, "export.extxyz")


def mrc(
    pixels: np.ndarray | None = None,
    *,
    mode: int = 2,
    order: Literal["<", ">"] = "<",
    step: float = 0.34,
    words: Mapping[int, tuple[str, Any]] | None = None,
    extended: bytes = b"",
) -> bytes:
    """Return an MRC file, written by hand; any word of the header can be set by its byte."""
    pixels = stack() if pixels is None else pixels
    header = bytearray(1024)
    sizes = pixels.shape[::-1]
    struct.pack_into(f"{order}10i", header, 0, *sizes, mode, 0, 0, 0, *sizes)
    struct.pack_into(f"{order}6f", header, 40, *[size * step for size in sizes], 90, 90, 90)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}2i", header, 88, 0, len(extended))
    header[208:216] = b"MAP DD\0\0" if order == "<" else b"MAP \x11\x11\0\0"
    for place, (kind, value) in (words or {}).items():
        struct.pack_into(order + kind, header, place, value)
    return bytes(header) + extended + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()


def written(name: str, content: Callable[[], bytes] | bytes, use: Callable[..., None] = series, **stated: Any) -> Maker:
    """Return a maker that writes one file and a recipe that reads it."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content() if callable(content) else content)
        use(folder, name, **stated)

    return make


def in_turn(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return the function that does one thing after the other to a path."""

    def change(path: Path) -> None:
        for one in changes:
            one(path)

    return change


def said(path: Callable[[Path], object], name: str, use: Callable[..., None] = series, **stated: Any) -> Maker:
    """Return a maker that calls a writer with the path of the file, and writes a recipe that reads it."""

    def make(folder: Path) -> None:
        path(folder / name)
        use(folder, name, **stated)

    return make
