from __future__ import annotations

import struct
import sys
import types
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from aetx.errors import AetxWarning, EnvironmentFault
from aetx.io import open_input
from aetx.model import TILT_SERIES

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, stack: Any) -> Any:
    """Stand in for the package: a reader of .dm4 and .ser whose axes a test may set."""

    def install(data: Any = stack, unit: str = "nm", scale: float = 0.034, several: int = 1) -> None:
        axes = [
            {"name": "alpha", "size": 5, "offset": -70.0, "scale": 30.0, "units": "deg", "navigate": True},
            {"name": "y", "size": 6, "offset": 0.0, "scale": scale, "units": unit, "navigate": False},
            {"name": "x", "size": 8, "offset": 0.0, "scale": scale, "units": unit, "navigate": False},
        ]
        for place, axis in enumerate(axes):
            axis["index_in_array"] = place
        signal = {"data": da.from_array(data), "axes": axes, "metadata": {"General": {"title": "one"}}}
        made = types.ModuleType("rsciio.digitalmicrograph")
        made.file_reader = lambda path, lazy: [signal] * several  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "rsciio", types.ModuleType("rsciio"))
        monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", made)
        monkeypatch.setitem(sys.modules, "rsciio.tia", made)

    return install


def _file(tmp_path: Path) -> Path:
    path = tmp_path / "s.dm4"
    path.write_bytes(bytes(2000))
    return path


def test_pixels_and_steps_are_taken_and_tilts_are_not(tmp_path: Path, stack: Any, plugin: Any, refused: Any) -> None:
    plugin()
    path = _file(tmp_path)
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    np.testing.assert_array_equal(found["image"].values, stack)
    np.testing.assert_array_equal(found["theta"].values, ANGLES)
    assert float(found["x"][5]) == pytest.approx(0.34)
    assert "no tilt angles" in refused(path, stated={})


def test_a_step_that_is_no_length_is_told_and_not_used(tmp_path: Path, plugin: Any, refused: Any) -> None:
    plugin(unit="keV")
    with pytest.warns(AetxWarning, match="keV"):
        assert "state pixel_size" in refused(_file(tmp_path), stated={"angles": ANGLES})
    plugin(unit="cm", scale=1.0)
    assert "outside" in refused(_file(tmp_path), stated={"angles": ANGLES})


def test_what_cannot_be_right_is_refused(tmp_path: Path, stack: Any, plugin: Any, refused: Any) -> None:
    plugin(several=2)
    assert "2 datasets" in refused(_file(tmp_path))
    plugin(data=stack.astype(np.complex64))
    assert "complex64" in refused(_file(tmp_path))
    (tmp_path / "t.dm4").write_bytes(b"x")
    plugin(data=np.zeros((5, 60, 80)))
    assert "hold" in refused(tmp_path / "t.dm4")


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rsciio", None)
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'aetx\[formats\]'"):
        open_input([_file(tmp_path)], kind=TILT_SERIES)


@pytest.mark.parametrize(
    ("total", "valid", "table"),
    [(2**31 - 1, 2**31 - 1, 30), (0, 0, 30), (5, 6, 30), (5, -1, 30), (5, 5, 10**6), (5, 5, 0)],
)
def test_counts_that_the_file_cannot_hold_are_refused(
    tmp_path: Path, plugin: Any, refused: Any, total: int, valid: int, table: int
) -> None:
    plugin()
    path = tmp_path / "s.ser"
    path.write_bytes(b"II\x97\x01" + struct.pack("<HiiiiI", 0x210, 0, 0, total, valid, table) + bytes(1000))
    assert "images" in refused(path)


def test_a_series_that_was_stopped_is_told(tmp_path: Path, plugin: Any) -> None:
    plugin()
    path = tmp_path / "s.ser"
    path.write_bytes(b"II\x97\x01" + struct.pack("<HiiiiI", 0x210, 0, 0, 999, 5, 30) + bytes(1000))
    with pytest.warns(AetxWarning, match="5 of 999"):
        open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
