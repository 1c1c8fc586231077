from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import xarray as xr

from aetx.core import Registry
from aetx.errors import InputError
from aetx.io import Stated, check_pixels, describe_files, open_input
from aetx.model import FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)


def test_the_same_length_in_file_and_recipe_is_taken_and_a_factor_of_ten_is_not(
    tmp_path: Path, stack: Any, mrc_bytes: Any, refused: Any
) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack))
    open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES, "pixel_size": "0.034 nm"})
    text = refused(path, stated={"angles": ANGLES, "pixel_size": "0.34 nm"})
    assert "the file says 0.34 angstrom" in text
    assert "the recipe 3.4 angstrom" in text
    assert "factor of 10" in text
    found = open_input(
        [path], kind=TILT_SERIES, stated={"angles": ANGLES, "pixel_size": "0.37 angstrom", "override": ["pixel_size"]}
    )
    assert float(found["x"][5]) == pytest.approx(0.37)
    assert json.loads(found.attrs["stated"])["pixel_size"] == "0.37 angstrom"


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (None, "state pixel_size"),
        ("34 nm", "0.001 to 1 nm"),
        ("0.0005 nm", "0.001 to 1 nm"),
        ("3 furlong", "0.001 to 1 nm"),
        ("0 nm", "greater than 0"),
        ("-0.34 angstrom", "greater than 0"),
        ("0.34 A", "ampere"),
        ("0.34", "not a number with a unit"),
        ("0.34 smoots", "not a unit"),
        ({"x": 0.34}, "for y"),
        ({"x": 0.34, "y": 0.34, "w": 1.0}, "'w'"),
        (float("nan"), "finite"),
    ],
)
def test_a_pixel_size_that_is_missing_or_wrong_is_refused(
    tmp_path: Path, stack: Any, refused: Any, size: Any, says: str
) -> None:
    path = tmp_path / "s.npy"
    np.save(path, stack)
    stated = {"angles": ANGLES, "axes": ["tilt", "y", "x"]} | ({} if size is None else {"pixel_size": size})
    assert says in refused(path, stated=stated)


def test_what_the_recipe_adds_is_recorded(tmp_path: Path, stack: Any) -> None:
    np.save(tmp_path / "s.npy", stack)
    np.save(tmp_path / "angles.npy", np.array(ANGLES))
    stated = {
        "angles": str(tmp_path / "angles.npy"),
        "axes": ["tilt", "y", "x"],
        "pixel_size": "0.34 angstrom",
        "dose": "1e4 e/angstrom**2",
    }
    found = open_input([tmp_path / "s.npy"], kind=TILT_SERIES, stated=stated)
    record = json.loads(found.attrs["stated"])
    assert record["pixel_size"] == "0.34 angstrom"
    assert record["angles"] == "angles.npy"
    assert found.attrs["source"] == "s.npy"
    assert found.attrs["reader"] == "numpy"
    np.testing.assert_array_equal(found["dose"].values, [1e4] * 5)
    assert found["dose"].attrs["units"] == "e/angstrom**2"
    assert found["image"].attrs["units"] == "1"
    assert describe_files([tmp_path / "s.npy"], stated) == [tmp_path / "s.npy", tmp_path / "angles.npy"]


def test_the_centre_is_index_half_of_odd_and_even_sizes(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6))
    stated = {"pixel_size": 0.5, "axes": ["x", "y", "z"], "units": "count/nm"}
    found = open_input([tmp_path / "v.npy"], kind=VOLUME, stated=stated)
    assert found["density"].dims == ("z", "y", "x")
    assert float(found["x"][2]) == float(found["y"][2]) == float(found["z"][3]) == 0.0
    assert found["density"].attrs["units"] == "count/angstrom"
    assert float(found["density"].sel(x=0.0, y=0.0, z=0.0)) == pytest.approx((2 * 30 + 2 * 6 + 3) / 10)
    moved = open_input([tmp_path / "v.npy"], kind=VOLUME, stated=stated | {"origin": (1.0, 2.0, 3.0)})
    assert (float(moved["x"][2]), float(moved["y"][2]), float(moved["z"][3])) == (1.0, 2.0, 3.0)


def test_the_origin_of_a_member_is_looked_up_in_a_table_of_small_integers(
    tmp_path: Path, stack: Any, refused: Any
) -> None:
    path = tmp_path / "area2.npy"
    np.save(path, stack)
    table = tmp_path / "places.mat"
    scipy.io.savemat(table, {"centres": np.array([[1, 2, 3], [10, 250, 7]], np.uint16), "other": np.ones((2, 2))})
    origin = {"path": str(table), "variable": "centres", "zero": (11, 50, 8)}
    stated = {"pixel_size": 0.5, "angles": ANGLES, "axes": ["tilt", "y", "x"], "origin": origin}
    found = open_input([path], kind=TILT_SERIES, stated=stated, member="2")
    np.testing.assert_allclose(found["origin"].sel(axis=["x", "y", "z"]).values, [-0.5, 100.0, -0.5])
    assert found["origin"].attrs["units"] == "angstrom"
    by_row = open_input([path], kind=TILT_SERIES, stated=stated | {"origin": origin | {"row": 2}})
    np.testing.assert_array_equal(by_row["origin"].values, found["origin"].values)
    assert "no list" in refused(path, stated=stated)
    assert "row 3" in refused(path, stated=stated, member="3")
    assert "row 0" in refused(path, stated=stated, member=0)
    assert "'left'" in refused(path, stated=stated, member="left")
    assert "(2, 2)" in refused(path, stated=stated | {"origin": origin | {"variable": "other"}}, member="1")


def test_opening_reads_no_pixels_and_gives_one_image_a_chunk(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack))
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    assert found["image"].chunks == ((1,) * 5, (6,), (8,))
    again = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    assert found["image"].data.name == again["image"].data.name
    path.write_bytes(mrc_bytes(stack + 1))
    changed = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    assert changed["image"].data.name != found["image"].data.name


def test_frames_focal_and_scanned_series_are_opened(tmp_path: Path, stack: Any, refused: Any) -> None:
    np.save(tmp_path / "s.npy", stack)
    frames = open_input([tmp_path / "s.npy"], kind=FRAMES, stated={"pixel_size": 0.2, "axes": ["frame", "y", "x"]})
    assert frames["image"].dims == ("frame", "y", "x")
    stated = {"pixel_size": 0.2, "axes": ["focus", "y", "x"], "defocus": tuple(f"{10 * i} nm" for i in range(5))}
    focal = open_input([tmp_path / "s.npy"], kind=FOCAL_SERIES, stated=stated)
    np.testing.assert_array_equal(focal["image"].values[0], stack)
    np.testing.assert_allclose(focal["defocus"].values, [[0, 100, 200, 300, 400]])
    assert "defocus" in refused(tmp_path / "s.npy", kind=FOCAL_SERIES, stated=stated | {"defocus": ("1 nm",)})
    patterns = np.random.default_rng(0).random((2, 3, 4, 5, 6), np.float32)
    np.save(tmp_path / "d.npy", patterns)
    stated = {"axes": ["tilt", "scan_y", "scan_x", "ky", "kx"], "pixel_size": 2.0, "angles": (-20.0, 20.0)}
    scan = open_input([tmp_path / "d.npy"], kind=SCAN_SERIES, stated=stated | {"frequency_step": "0.05 1/angstrom"})
    np.testing.assert_array_equal(scan["pattern"].values, patterns)
    assert float(scan["kx"][4] - scan["kx"][3]) == pytest.approx(0.05)
    assert "frequency_step" in refused(tmp_path / "d.npy", kind=SCAN_SERIES, stated=stated)


def test_raw_frames_are_opened_from_one_stack_from_a_stack_for_each_tilt_and_from_single_images(
    tmp_path: Path, refused: Any
) -> None:
    frames = np.random.default_rng(0).random((4, 3, 6, 8), np.float32)
    whole = tmp_path / "whole.npy"
    np.save(whole, frames.reshape(12, 6, 8))
    stacks = [tmp_path / f"tilt{i}.npy" for i in range(4)]
    for path, one in zip(stacks, frames, strict=True):
        np.save(path, one)
    stated = {"pixel_size": 0.2, "angles": ANGLES[:4], "axes": ["frame", "y", "x"]}
    found = open_input([whole], kind=RAW_SERIES, stated=stated | {"frames": 3, "scan_directions": (0.0, 90.0, 0.0)})
    assert found["image"].dims == ("tilt", "frame", "y", "x")
    assert found["image"].chunks == ((1,) * 4, (1,) * 3, (6,), (8,))
    np.testing.assert_array_equal(found["image"].values, frames)
    np.testing.assert_array_equal(found["image"][1:3, 2, ::2].values, frames[1:3, 2, ::2])
    np.testing.assert_array_equal(found["scan_direction"].values, [0, 90, 0])
    np.testing.assert_array_equal(open_input(stacks, kind=RAW_SERIES, stated=stated)["image"].values, frames)
    singles = [tmp_path / f"image{i:02}.npy" for i in range(12)]
    for path, one in zip(singles, frames.reshape(12, 6, 8), strict=True):
        np.save(path, one)
    flat = stated | {"axes": ["y", "x"], "frames": 3}
    np.testing.assert_array_equal(open_input(singles, kind=RAW_SERIES, stated=flat)["image"].values, frames)
    np.save(tmp_path / "deep.npy", frames)
    deep = stated | {"axes": ["tilt", "frame", "y", "x"]}
    np.testing.assert_array_equal(open_input([tmp_path / "deep.npy"], kind=RAW_SERIES, stated=deep)["image"], frames)
    assert "state frames" in refused(whole, kind=RAW_SERIES, stated=stated)
    assert "12 images in 1 files, 5 frames a tilt" in refused(whole, kind=RAW_SERIES, stated=stated | {"frames": 5})
    turned = stated | {"frames": 3, "scan_directions": (0.0, 90.0)}
    assert "scan_directions" in refused(whole, kind=RAW_SERIES, stated=turned)


@pytest.mark.parametrize(
    "text", ["http://169.254.169.254/s.mrc", "s3://bucket/s.mrc", "simplecache::s.mrc", "file:///etc/s.mrc"]
)
def test_nothing_is_read_from_a_network(refused: Any, text: str) -> None:
    assert "off" in refused(Path(text))


def test_missing_folders_and_unknown_files_are_refused(tmp_path: Path, refused: Any) -> None:
    assert "no such file" in refused(tmp_path / "none.mrc")
    (tmp_path / "dir.mrc").mkdir()
    assert "a folder" in refused(tmp_path / "dir.mrc")
    (tmp_path / "s.foo").write_text("x")
    assert "state reader" in refused(tmp_path / "s.foo")
    (tmp_path / "a.xyz").write_text("1\n\nPt 1 2 3\n")
    assert "which xyz gives" in refused(tmp_path / "a.xyz")


def test_odd_names_are_only_names(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    for name in ("a b.mrc", "µ.mrc", "日本.mrc", "new\nline.mrc", "$(touch x).mrc"):
        path = tmp_path / name
        path.write_bytes(mrc_bytes(stack))
        np.testing.assert_array_equal(
            open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})["image"].values, stack
        )


def test_unknown_statements_name_the_nearest_known() -> None:
    with pytest.raises(InputError, match="did you mean 'pixel_size'"):
        Stated.of({"pixelsize": 1.0})
    with pytest.raises(InputError, match=r"has no unit; write for example '0\.34 angstrom'"):
        Stated.of({"pixel_size": 0.34}, recipe=True)


def test_every_field_is_described() -> None:
    assert all(field.description for field in Stated.model_fields.values())


def test_every_reader_is_found_and_summed_up() -> None:
    registry = Registry()
    for name in registry.reader_names():
        found = registry.reader(name)
        assert found.name == name
        assert found.summary.endswith(".") or len(found.summary) > 30
        assert all(glob == glob.lower() for glob in found.patterns)


def test_faulty_pixels_are_refused_by_image(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.npy"
    stated = {"pixel_size": 0.34, "angles": ANGLES, "axes": ["tilt", "y", "x"]}
    for value, says in ((np.nan, "image[3]: found 1 pixels of 48"), (np.inf, "image[3]"), (-np.inf, "image[3]")):
        bad = stack.copy()
        bad[3, 2, 2] = value
        np.save(path, bad)
        assert says in refused(path, stated=stated, pixels=True)
    for fill, says in ((np.nan, "NaN in every pixel"), (7, "constant image"), (0, "blank image")):
        bad = stack.copy()
        bad[1] = fill
        bad[4] = fill
        np.save(path, bad)
        text = refused(path, stated=stated, pixels=True)
        assert says in text
        assert "image[1]" in text
        assert "image[4]" in text


def test_saturated_images_and_negative_counts_are_told_and_kept(stack: Any) -> None:
    coords = {name: ("tilt", np.zeros(5), {"units": "degree"}) for name in ("phi", "theta", "psi")}
    full = stack.copy()
    full[2, :3] = 65535
    series = xr.Dataset({"image": (("tilt", "y", "x"), full, {"units": "count"})}, coords)
    with pytest.warns(UserWarning, match=r"image 2: 50.0%"):
        check_pixels(series)
    low = stack - 10
    series = series.assign(image=(("tilt", "y", "x"), low, {"units": "count"}))
    with pytest.warns(UserWarning, match="9 negative counts"):
        check_pixels(series)
    check_pixels(series.assign(image=(("tilt", "y", "x"), low, {"units": "1"})))


def test_a_volume_may_be_empty_outside_but_not_everywhere(stack: Any) -> None:
    volume = xr.Dataset({"density": (("z", "y", "x"), stack * (np.arange(5) == 2)[:, None, None])})
    check_pixels(volume)
    with pytest.raises(InputError, match="every voxel"):
        check_pixels(volume * 0)
