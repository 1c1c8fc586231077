from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from aetx.errors import AetxWarning
from aetx.io import describe_files, open_input
from aetx.model import TILT_SERIES, VOLUME

STATED = {"angles": (-70.0, -35.0, 0.0, 35.0, 61.5), "units": "count"}


def test_every_mode_and_byte_order_comes_back_as_written(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    for order in "<>":
        for mode, kind in {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}.items():
            path = tmp_path / "s.mrc"
            written = ((stack - 120) if kind == "i1" else stack).astype(kind)
            path.write_bytes(mrc_bytes(written, mode=mode, order=order))
            found = open_input([path], kind=TILT_SERIES, stated=STATED)
            np.testing.assert_array_equal(found["image"].values, written)
            assert found["image"].dtype == np.dtype(kind)
            assert found["image"].attrs["units"] == "count"


def test_a_file_of_the_mrcfile_package_is_read(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.mrc"
    with mrcfile.new(path) as file:
        file.set_data(stack)
        file.voxel_size = 0.34
    found = open_input([path], kind=VOLUME)
    np.testing.assert_array_equal(found["density"].values, stack)
    assert float(found["x"][0]) == pytest.approx(-4 * 0.34)
    assert float(found["z"][0]) == pytest.approx(-2 * 0.34)
    assert float(found["y"][3]) == 0.0


def test_bytes_are_signed_unless_imod_says_otherwise(tmp_path: Path, mrc_bytes: Any) -> None:
    written = np.arange(5 * 6 * 8).reshape(5, 6, 8).astype(np.uint8)
    path = tmp_path / "s.st"
    for flags, kind in ((0, np.uint8), (1, np.int8)):
        words = {152: ("i", 1146047817), 156: ("i", flags)}
        path.write_bytes(mrc_bytes(written, mode=0, words=words))
        found = open_input([path], kind=TILT_SERIES, stated=STATED)
        np.testing.assert_array_equal(found["image"].values, written.view(kind))


def test_any_order_of_axes_is_turned_to_z_y_x(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "v.mrc"
    path.write_bytes(mrc_bytes(stack.transpose(2, 1, 0).copy(), axes=(3, 2, 1)))
    found = open_input([path], kind=VOLUME)
    np.testing.assert_array_equal(found["density"].values, stack)
    np.testing.assert_array_equal(found["density"][1, 2:4, ::2].values, stack[1, 2:4, ::2])


def test_an_extended_header_is_skipped(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack, extended=b"\x07" * 800))
    found = open_input([path], kind=TILT_SERIES, stated=STATED)
    np.testing.assert_array_equal(found["image"].values, stack)


def test_bytes_after_the_last_pixel_are_told(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack) + bytes(1000))
    with pytest.warns(AetxWarning, match="1000 unexplained bytes"):
        open_input([path], kind=TILT_SERIES, stated=STATED)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({0: ("i", 0)}, "header.nx"),
        ({8: ("i", 0)}, "header.nz"),
        ({0: ("i", -32)}, "header.nx"),
        ({0: ("i", 16384), 4: ("i", 16384), 8: ("i", 10000)}, "pixel bytes"),
        ({0: ("i", 2**31 - 1), 4: ("i", 2**31 - 1), 8: ("i", 2**31 - 1)}, "pixel bytes"),
        ({12: ("i", 99)}, "0, 1, 2, 6, 12"),
        ({12: ("i", 101)}, "4-bit"),
        ({12: ("i", 4)}, "complex"),
        ({28: ("i", 0), 32: ("i", 0), 36: ("i", 0)}, "no pixel size"),
        ({40: ("f", 0.0), 44: ("f", 0.0)}, "no pixel size"),
        ({40: ("f", float("nan"))}, "header.xlen"),
        ({40: ("f", -10.0)}, "header.xlen"),
        ({40: ("f", float("inf"))}, "header.xlen"),
        ({92: ("i", 2**31 - 1)}, "extended header"),
        ({92: ("i", -5)}, "extended header"),
        ({64: ("i", 1), 68: ("i", 1), 72: ("i", 1)}, "header.mapc"),
        ({40: ("f", 8 * 0.35)}, "square pixels"),
    ],
)
def test_a_damaged_header_is_refused(
    tmp_path: Path, stack: Any, mrc_bytes: Any, refused: Any, words: Any, says: str
) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack, words=words))
    text = refused(path, stated={"angles": STATED["angles"]})
    assert says in text
    assert str(path) in text


@pytest.mark.parametrize("size", [0, 1, 512, 1023, 1024, 1500, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, stack: Any, mrc_bytes: Any, refused: Any, size: int) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack)[:size])
    assert "bytes" in refused(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"this is a text file, not images\n" * 100, "text"),
        (b"<!DOCTYPE html><html><body>404 not found</body></html>" * 50, "HTML"),
        (b"<html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n" + bytes(3000), "PNG"),
        (b"\x1f\x8b" + bytes(3000), "gzip"),
        (bytes(4096), "size"),
        (b"\xff" * 4096, "not an MRC file"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, refused: Any, content: bytes, says: str) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(content)
    assert says in refused(path)


def test_pixels_that_are_not_square_are_taken_when_the_recipe_says_so(
    tmp_path: Path, stack: Any, mrc_bytes: Any
) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack, words={40: ("f", 8 * 0.35)}))
    stated = {"angles": STATED["angles"], "pixel_size": {"x": 0.35, "y": 0.34}}
    found = open_input([path], kind=TILT_SERIES, stated=stated)
    assert float(found["x"][1] - found["x"][0]) == pytest.approx(0.35)
    assert float(found["y"][1] - found["y"][0]) == pytest.approx(0.34)


MDOC = "PixelSpacing = 0.34\n\n" + "\n".join(
    f"[ZValue = {place}]\nTiltAngle = {angle}\nExposureDose = 3\n" for place, angle in enumerate(STATED["angles"])
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.rawtlt", "\n".join(map(str, STATED["angles"]))),
        ("s.tlt", "\n".join(map(str, STATED["angles"]))),
        ("s.mdoc", MDOC),
        ("s.st.mdoc", MDOC),
    ],
)
def test_angles_beside_the_stack_are_used_and_told(
    tmp_path: Path, stack: Any, mrc_bytes: Any, name: str, text: str
) -> None:
    path = tmp_path / "s.st"
    path.write_bytes(mrc_bytes(stack))
    (tmp_path / name).write_text(text)
    with pytest.warns(AetxWarning, match=f"those of {name}"):
        found = open_input([path], kind=TILT_SERIES)
    np.testing.assert_array_equal(found["theta"].values, STATED["angles"])
    assert describe_files([path]) == [path, tmp_path / name]
    assert describe_files([path], {"angles": "other.tlt"}) == [path, Path("other.tlt")]


def test_two_lists_of_angles_that_differ_are_refused(tmp_path: Path, stack: Any, mrc_bytes: Any, refused: Any) -> None:
    path = tmp_path / "s.st"
    path.write_bytes(mrc_bytes(stack))
    (tmp_path / "s.tlt").write_text("1\n2\n3\n4\n5\n")
    (tmp_path / "s.rawtlt").write_text("-70\n-35\n0\n35\n61.5\n")
    assert "which differ" in refused(path, stated={})


def test_stated_angles_win_over_files_beside(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.st"
    path.write_bytes(mrc_bytes(stack))
    (tmp_path / "s.tlt").write_text("1\n2\n3\n4\n5\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_input([path], kind=TILT_SERIES, stated=STATED)
    assert found["theta"].values[-1] == 61.5


def test_a_stack_without_angles_is_refused(tmp_path: Path, stack: Any, mrc_bytes: Any, refused: Any) -> None:
    path = tmp_path / "s.st"
    path.write_bytes(mrc_bytes(stack))
    assert "state angles" in refused(path, stated={})
