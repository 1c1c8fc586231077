from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetx.errors import AetxError, InputError
from aetx.io import check_pixels, open_input
from aetx.model import TILT_SERIES

IMAGES, HEIGHT, WIDTH = 5, 6, 8
TILTS = (-70.0, -35.0, 0.0, 35.0, 61.5)

Refused = Callable[..., str]
MrcBytes = Callable[..., bytes]


@pytest.fixture
def stack() -> np.ndarray[Any, Any]:
    """Return five images of 6 x 8 whose pixels are all different."""
    size = IMAGES * HEIGHT * WIDTH
    return np.arange(1, size + 1, dtype=np.float32).reshape(IMAGES, HEIGHT, WIDTH)


@pytest.fixture
def refused() -> Refused:
    """Return a function that opens an input, wants it refused in words, and returns the words."""

    def refuse(path: Path, *more: Path, pixels: bool = False, **options: Any) -> str:
        options = {"kind": TILT_SERIES, "stated": {"pixel_size": 0.34, "angles": TILTS}} | options
        with pytest.raises(AetxError) as caught:
            _read([path, *more], pixels, options)
        assert isinstance(caught.value, InputError)
        assert caught.value.problems
        for problem in caught.value.problems:
            assert problem.file
            assert problem.field
            assert problem.found
            assert problem.wanted
            assert problem.fix
        return str(caught.value)

    return refuse


def _read(paths: list[Path], pixels: bool, options: dict[str, Any]) -> None:
    opened = open_input(paths, **options)
    opened.load()
    if pixels:
        check_pixels(opened, str(paths[0]))


@pytest.fixture
def mrc_bytes() -> MrcBytes:
    """Return a function that writes an MRC file by hand; any word of the header can be set by its byte."""

    def write(
        pixels: np.ndarray[Any, Any],
        *,
        mode: int = 2,
        step: float = 0.34,
        order: str = "<",
        axes: tuple[int, int, int] = (1, 2, 3),
        extended: bytes = b"",
        words: dict[int, tuple[str, Any]] | None = None,
    ) -> bytes:
        header = bytearray(1024)
        sizes = pixels.shape[::-1]
        by_axis = dict(zip(axes, sizes, strict=True))
        intervals = [by_axis[axis] for axis in (1, 2, 3)]
        struct.pack_into(f"{order}10i", header, 0, *sizes, mode, 0, 0, 0, *intervals)
        struct.pack_into(f"{order}6f", header, 40, *[size * step for size in intervals], 90, 90, 90)
        struct.pack_into(f"{order}3i", header, 64, *axes)
        struct.pack_into(f"{order}2i", header, 88, 0, len(extended))
        header[208:216] = b"MAP DD\0\0" if order == "<" else b"MAP \x11\x11\0\0"
        for place, (kind, value) in (words or {}).items():
            struct.pack_into(order + kind, header, place, value)
        return bytes(header) + extended + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()

    return write
