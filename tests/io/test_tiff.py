from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from aetx.io import open_input
from aetx.model import FRAMES, TILT_SERIES

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)
STATED = {"pixel_size": 0.34, "angles": ANGLES}


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "f4", "f8"])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"rowsperstrip": 2}, {"bigtiff": True}, {"byteorder": ">"}]
)
def test_pages_come_back_as_written(tmp_path: Path, stack: Any, kind: str, options: Any) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack.astype(kind), photometric="minisblack", **options)
    found = open_input([path], kind=TILT_SERIES, stated=STATED)
    np.testing.assert_array_equal(found["image"].values, stack.astype(kind))
    np.testing.assert_array_equal(found["image"][3, 1:4, 2].values, stack.astype(kind)[3, 1:4, 2])


def test_imagej_stacks_bring_their_pixel_size(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.tif"
    step = 0.034
    tifffile.imwrite(path, stack, imagej=True, resolution=(1 / step, 1 / step), metadata={"unit": "nm", "axes": "ZYX"})
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    np.testing.assert_array_equal(found["image"].values, stack)
    assert float(found["x"][1] - found["x"][0]) == pytest.approx(0.34, rel=1e-4)


def test_ome_files_bring_their_pixel_size(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.ome.tif"
    size = {"PhysicalSizeX": 34.0, "PhysicalSizeXUnit": "pm", "PhysicalSizeY": 34.0, "PhysicalSizeYUnit": "pm"}
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "ZYX", **size})
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    np.testing.assert_array_equal(found["image"].values, stack)
    assert float(found["y"][1] - found["y"][0]) == pytest.approx(0.34)


def test_print_resolution_is_no_pixel_size(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", resolution=(72, 72), resolutionunit="INCH")
    assert "state pixel_size" in refused(path, stated={"angles": ANGLES})


def test_one_page_a_file_is_joined(tmp_path: Path, stack: Any) -> None:
    paths = [tmp_path / f"{place}.tif" for place in range(5)]
    for path, image in zip(paths, stack, strict=True):
        tifffile.imwrite(path, image)
    found = open_input(paths, kind=TILT_SERIES, stated=STATED)
    np.testing.assert_array_equal(found["image"].values, stack)
    frames = open_input(paths, kind=FRAMES, stated={"pixel_size": 0.34})
    np.testing.assert_array_equal(frames["image"].values, stack)


def test_a_file_cut_short_is_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, stack, photometric="minisblack")
    content = whole.read_bytes()
    path = tmp_path / "s.tif"
    for size in (0, 4, 8, 12, 100, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:size])
        refused(path)


def test_a_loop_of_pages_is_refused_at_once(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "s.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8) + bytes(50))
    start = time.perf_counter()
    assert "loop" in refused(path)
    assert time.perf_counter() - start < 1


def _set(path: Path, name: str, value: int, page: int = 0) -> None:
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[page].tags[name]
        tag.overwrite(value)


@pytest.mark.parametrize(
    ("tag", "value"), [("ImageWidth", 2**31 - 1), ("ImageWidth", 0), ("StripOffsets", 10**8), ("StripByteCounts", 3)]
)
def test_a_damaged_page_is_refused_by_number(tmp_path: Path, stack: Any, refused: Any, tag: str, value: int) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack[0], photometric="minisblack", metadata=None, rowsperstrip=100)
    _set(path, tag, value)
    text = refused(path)
    assert "page" in text


def test_pages_of_different_shape_are_refused_by_number(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(stack[0], metadata=None)
        writer.write(stack[1, :4], metadata=None)
    assert "page 1" in refused(path)
    with tifffile.TiffWriter(path) as writer:
        writer.write(stack[0], metadata=None)
        writer.write(stack[1].astype("u2"), metadata=None)
    assert "page 1" in refused(path)


def test_colour_and_complex_pages_are_refused(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((6, 8, 3), np.uint8), photometric="rgb")
    assert "grey" in refused(path)
    tifffile.imwrite(path, np.ones((6, 8), np.complex64))
    assert "complex" in refused(path)


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ('<?xml version="1.0"?><OME><TiffData><UUID FileName="../private/p.ome.tif"/></TiffData></OME>', "outside"),
        ('<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">]><OME>&lol;</OME>', "entities"),
        ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><OME>&e;</OME>', "entities"),
        ('<?xml version="1.0"?><OME><Pixels PhysicalSizeX="many"/></OME>', "PhysicalSizeX"),
        ('<?xml version="1.0"?><OME><Pixels PhysicalSizeX="34" PhysicalSizeY="34"/></OME>', "outside"),
    ],
)
def test_hostile_metadata_is_refused(tmp_path: Path, stack: Any, refused: Any, xml: str, says: str) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", description=xml, metadata=None)
    assert says in refused(path, stated={"angles": ANGLES})


def test_a_tag_that_cannot_be_read_is_refused_and_not_guessed(
    tmp_path: Path, stack: Any, refused: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, stack[0], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["SampleFormat"].offset
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 4] = b"\x7f\x7f"
    path.write_bytes(bytes(content))
    assert "SampleFormat" in refused(path) or "TiffTag 339" in refused(path)
    assert capfd.readouterr().err == ""
