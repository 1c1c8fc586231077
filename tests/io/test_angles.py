from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from aetx.io import open_input
from aetx.io.angles import convert
from aetx.model import TILT_SERIES


def _rotation(row: Any, last: str = "x") -> Any:
    a, b, c = np.deg2rad(np.asarray(row, float))
    rz = lambda t: np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])  # noqa: E731
    ry = lambda t: np.array([[np.cos(t), 0, np.sin(t)], [0, 1, 0], [-np.sin(t), 0, np.cos(t)]])  # noqa: E731
    rx = lambda t: np.array([[1, 0, 0], [0, np.cos(t), -np.sin(t)], [0, np.sin(t), np.cos(t)]])  # noqa: E731
    return rz(a) @ ry(b) @ (rx(c) if last == "x" else rz(c))


@pytest.fixture
def series(tmp_path: Path, stack: Any) -> Any:
    path = tmp_path / "s.npy"
    np.save(path, stack)

    def write(angles: Any, **stated: Any) -> tuple[Path, dict[str, Any]]:
        return path, {"pixel_size": 0.34, "axes": ["tilt", "y", "x"], "angles": angles} | stated

    return write


def test_conventions_turn_into_one_rotation() -> None:
    rng = np.random.default_rng(1)
    rows = rng.uniform(-180, 180, (200, 3))
    found = np.stack(convert(rows, "genfire_zyz", 90.0), 1)
    for row, turned in zip(rows, found, strict=True):
        np.testing.assert_allclose(_rotation(turned), _rotation(row, last="z"), atol=1e-12)
    same = np.stack(convert(rows, "aet_zyx", 90.0), 1)
    np.testing.assert_array_equal(same, rows)


def test_zyz_of_the_worked_cases_is_a_turn_about_x() -> None:
    found = np.stack(convert(np.array([[90.0, 30.0, -90.0], [-90.0, 30.0, 90.0]]), "genfire_zyz", 90.0), 1)
    np.testing.assert_allclose(found, [[0, 0, -30], [0, 0, 30]], atol=1e-12)


def test_an_axis_along_y_is_a_plain_tilt_and_one_along_x_a_turn_about_x() -> None:
    tilts = np.array([[-70.0], [10.0], [170.0]])
    np.testing.assert_array_equal(np.stack(convert(tilts, "axis_angle", 90.0), 1)[:, 1], tilts[:, 0])
    turned = np.stack(convert(tilts, "axis_angle", 0.0), 1)
    for tilt, row in zip(tilts[:, 0], turned, strict=True):
        np.testing.assert_allclose(_rotation(row), _rotation([0, 0, tilt]), atol=1e-12)


def test_a_point_above_the_centre_moves_to_minus_x(series: Any) -> None:
    path, stated = series((0.0, 10.0, 20.0, 30.0, 40.0))
    found = open_input([path], kind=TILT_SERIES, stated=stated)
    pose = [float(found[name][3]) for name in ("phi", "theta", "psi")]
    np.testing.assert_allclose(_rotation(pose).T @ np.array([0, 0, 10]), np.array([-5, 0, 8.660254]), atol=1e-6)


def test_the_original_angles_are_kept_beside_the_converted(series: Any) -> None:
    path, stated = series(tuple((90.0, float(tilt), -90.0) for tilt in (-40, -20, 0, 20, 40)), convention="genfire_zyz")
    found = open_input([path], kind=TILT_SERIES, stated=stated)
    np.testing.assert_allclose(found["psi"].values, [40, 20, 0, -20, -40], atol=1e-9)
    assert "genfire_zyz" in found.attrs["source_angles"]
    assert "-90.0" in found.attrs["source_angles"]


@pytest.mark.parametrize(
    ("angles", "says"),
    [
        ((-70.0, -35.0, 0.0, 35.0), "4 angles, wanted 5"),
        ((-70.0, -35.0, 0.0, 35.0, 50.0, 70.0), "6 angles, wanted 5"),
        ((-70.0, -35.0, float("nan"), 35.0, 70.0), r"angles\[2\].*finite"),
        ((-70.0, -35.0, float("inf"), 35.0, 70.0), r"angles\[2\].*finite"),
        ((-1.22, -0.61, 0.0, 0.61, 1.22), "2.44.*radians"),
        ((-30.0, -30.0, 0.0, 30.0, 60.0), "images 0 and 1"),
        ((10.0,) * 5, "all 5 angles are 10"),
        ((-70.0, -35.0, 0.0, 35.0, 170.0), "170 degree at index 4"),
        ((-70.0, -170.0, 0.0, 35.0, 70.0), "-170 degree at index 1"),
        ((-70.0, -35.0, 0.0, 35.0, 700.0), "700 degree at index 4"),
    ],
)
def test_angles_that_cannot_be_right_are_refused(series: Any, refused: Any, angles: Any, says: str) -> None:
    path, stated = series(angles)
    assert re.search(says, refused(path, stated=stated))


def test_what_is_stated_to_be_meant_is_taken(series: Any, tmp_path: Path) -> None:
    for angles, meant in (
        ((-30.0, -30.0, 0.0, 30.0, 60.0), {"allow_duplicates": True}),
        ((-70.0, -35.0, 0.0, 35.0, 170.0), {"full_range": True}),
        ((0.0, 40.0, 80.0, 120.0, 160.0), {}),
        ((35.0, -70.0, 0.0, 70.0, -35.0), {}),
    ):
        path, stated = series(angles, **meant)
        found = open_input([path], kind=TILT_SERIES, stated=stated)
        np.testing.assert_array_equal(found["theta"].values, angles)
    small = tmp_path / "small.txt"
    small.write_text("-1.2\n-0.6\n0\n0.6\n1.2\n")
    for unit, factor in (("degree", 1.0), ("radian", 180 / np.pi)):
        path, stated = series({"path": str(small), "units": unit})
        found = open_input([path], kind=TILT_SERIES, stated=stated)
        np.testing.assert_allclose(found["theta"].values, np.array([-1.2, -0.6, 0, 0.6, 1.2]) * factor)


def test_one_image_is_no_series(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.npy"
    np.save(path, stack[:1])
    stated = {"pixel_size": 0.34, "axes": ["tilt", "y", "x"], "angles": (0.0,)}
    assert "at least 2 images" in refused(path, stated=stated)


def test_side_files_of_every_kind_are_read(series: Any, tmp_path: Path) -> None:
    rows = np.array([[0.2, -70, 0.1], [0, -35, 0], [0, 0, 0], [0, 35, 0], [-0.2, 61.5, 0.4]])
    np.savetxt(tmp_path / "a.txt", rows, header="phi theta psi")
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",")
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", rows=rows, other=rows)
    scipy.io.savemat(tmp_path / "a.mat", {"angle": rows.astype(np.float32)})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["angle"] = rows
    for name, more in (("txt", {}), ("csv", {}), ("npy", {}), ("npz", {"variable": "rows"}), ("mat", {}), ("h5", {})):
        path, stated = series({"path": str(tmp_path / f"a.{name}")} | more)
        found = open_input([path], kind=TILT_SERIES, stated=stated)
        np.testing.assert_allclose(found["theta"].values, rows[:, 1])
        np.testing.assert_allclose(found["phi"].values, rows[:, 0], rtol=1e-6)
    np.savetxt(tmp_path / "b.txt", np.stack([np.arange(5), rows[:, 1]], 1))
    path, stated = series({"path": str(tmp_path / "b.txt"), "columns": ["_", "theta"]})
    np.testing.assert_allclose(open_input([path], kind=TILT_SERIES, stated=stated)["theta"].values, rows[:, 1])


def test_side_files_that_are_not_tables_are_refused(series: Any, tmp_path: Path, refused: Any) -> None:
    bad = tmp_path / "bad.txt"
    for content in (
        b"",
        b"# only a comment\n",
        b"1\n2\nthree\n4\n5\n",
        b"1 2\n3\n",
        b"1 2\n3 4\n",
        b"\xb5\n",
        b"\x00\x01\x02",
    ):
        bad.write_bytes(content)
        path, stated = series(str(bad))
        assert "bad.txt" in refused(path, stated=stated)
    path, stated = series(str(tmp_path / "none.tlt"))
    assert "no such file" in refused(path, stated=stated)
    (tmp_path / "a.xyz").write_text("1\n\nPt 0 0 0\n")
    path, stated = series(str(tmp_path / "a.xyz"))
    assert "suffix" in refused(path, stated=stated)
    (tmp_path / "s.mdoc").write_text("[ZValue = 0]\nTiltAngle = 1\n[ZValue = 2]\nTiltAngle = 2\n")
    path, stated = series(str(tmp_path / "s.mdoc"))
    assert "every section" in refused(path, stated=stated)


def test_a_side_file_with_an_angle_that_is_no_number_is_refused_by_index(
    series: Any, tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "a.tlt").write_text("-70\n-35\nnan\n35\n70\n")
    path, stated = series(str(tmp_path / "a.tlt"))
    text = refused(path, stated=stated)
    assert "index 2" in text
    assert "a.tlt" in text
