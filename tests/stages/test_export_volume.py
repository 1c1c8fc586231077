"""Volumes to the files of other programs, read back by programs that are not aetx."""

import pickle
import struct
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import dask.array as da
import mrcfile
import numpy as np
import pytest
import xarray as xr

from aetx.core import Stage
from aetx.errors import AetxWarning
from aetx.model import VOLUME
from aetx.stages.export.mrc import mrc
from aetx.stages.export.vti import vti


def volume(shape: tuple[int, int, int] = (6, 5, 4), chunks: tuple[int, int, int] | None = None) -> xr.Dataset:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    data = da.from_array(values, chunks=chunks) if chunks else values
    axes = {
        axis: (axis, (np.arange(n) - n // 2) * 0.35, {"units": "angstrom"})
        for axis, n in zip("zyx", shape, strict=True)
    }
    return VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), data, {"units": "1/angstrom"})}, axes))


def vtk_arrays(file: xr.Dataset) -> tuple[ET.Element, dict[str, np.ndarray]]:
    """Read a VTK XML file with appended raw data by its specification."""
    head, blob = file["content"].values.tobytes().split(b'<AppendedData encoding="raw">\n_', 1)
    tree = ET.fromstring(head + b"</VTKFile>")
    kinds = {"Float64": "<f8", "Float32": "<f4", "Int64": "<i8", "Int32": "<i4", "UInt8": "u1"}
    found = {}
    for one in tree.iter("DataArray"):
        start = int(one.attrib["offset"])
        (size,) = struct.unpack_from("<Q", blob, start)
        flat = np.frombuffer(blob[start + 8 : start + 8 + size], kinds[one.attrib["type"]])
        found[one.attrib["Name"]] = flat.reshape(-1, int(one.attrib["NumberOfComponents"]))
    return tree, found


def test_mrc_comes_back_through_mrcfile_with_voxel_size_origin_and_labels(tmp_path: Path) -> None:
    given = volume()
    path = tmp_path / "volume.mrc"
    path.write_bytes(mrc(given)["content"].values.tobytes())
    assert mrcfile.validate(path)
    with mrcfile.open(path) as back:
        np.testing.assert_array_equal(back.data, given["density"])
        assert back.header.mode == 2
        assert back.is_volume()
        assert [float(back.voxel_size[axis]) for axis in "xyz"] == pytest.approx([0.35] * 3)
        assert [float(back.header.origin[axis]) for axis in "xyz"] == pytest.approx([-0.7, -0.7, -1.05])
        assert b"density in 1/angstrom" in back.header.label[0]
        assert back.header.dmax < back.header.dmin


@pytest.mark.parametrize("chunks", [(6, 5, 4), (2, 3, 3), (1, 5, 4)])
@pytest.mark.parametrize("export", [mrc, vti])
def test_the_bytes_do_not_depend_on_chunks_or_memory(export: Stage, chunks: tuple[int, int, int]) -> None:
    whole = export(volume())["content"].values
    np.testing.assert_array_equal(whole, export(volume(chunks=chunks))["content"].values)
    np.testing.assert_array_equal(whole, export(volume(chunks=chunks), memory=16 * 5 * 4 * 4)["content"].values)


@pytest.mark.parametrize("export", [mrc, vti])
def test_a_large_volume_is_streamed_in_small_pieces(export: Stage) -> None:
    shape = (1024, 1024, 1024)
    data = da.zeros(shape, chunks=64, dtype=np.float32)
    axes = {axis: (axis, np.arange(1024.0) - 512, {"units": "angstrom"}) for axis in "zyx"}
    given = VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), data, {"units": "1"})}, axes))
    content = export(given, memory=10**9)["content"]
    assert 2**32 < content.size < 2**32 + 10_000
    assert max(content.data.chunks[0]) <= 10**9 // 16
    assert len(pickle.dumps(content.data)) < 10**7
    assert content[-1].values == (ord("\n") if export is vti else 0)


def test_a_stored_volume_is_not_read_before_its_bytes_are_wanted(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume().to_zarr(tmp_path / "v.zarr", consolidated=False)
        stored = xr.open_zarr(tmp_path / "v.zarr", consolidated=False, chunks=None)
    lazy = mrc(stored)["content"]
    assert isinstance(lazy.data, da.Array)
    assert not stored["density"].variable._in_memory
    np.testing.assert_array_equal(lazy.values, mrc(volume())["content"].values)


def test_vtk_image_data_holds_density_and_support_bit_for_bit() -> None:
    given = volume().assign(support=(("z", "y", "x"), np.arange(120).reshape(6, 5, 4) % 3 == 0, {"units": "1"}))
    tree, arrays = vtk_arrays(vti(given))
    image = tree.findall("ImageData")[0].attrib
    assert image["WholeExtent"] == "0 3 0 4 0 5"
    assert [float(word) for word in image["Origin"].split()] == pytest.approx([-0.7, -0.7, -1.05])
    assert [float(word) for word in image["Spacing"].split()] == pytest.approx([0.35] * 3)
    for name in ("density", "support"):
        np.testing.assert_array_equal(arrays[name].reshape(6, 5, 4), given[name])


def test_what_mrc_has_no_place_for_is_named_in_a_warning() -> None:
    given = volume().assign(support=(("z", "y", "x"), np.ones((6, 5, 4), bool), {"units": "1"}))
    with pytest.warns(AetxWarning, match="MRC has no place for support"):
        mrc(given)


def test_what_is_not_on_the_grid_is_not_missed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mrc(volume().assign(r1_history=("iteration", np.ones(3), {"units": "1"})))
