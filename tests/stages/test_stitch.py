"""Stitching: each voxel from the tile in which it lies deepest."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.stages.reconstruct.stitch import stitch

LENGTH, STEP = {"units": "angstrom"}, 0.5


def tile(x: int, y: int, value: float | None = None, shape: tuple[int, int, int] = (3, 5, 9)) -> xr.Dataset:
    """Return a tile whose corner is voxel (x, y), of one value, or cut from one wide random specimen."""
    depth, height, width = shape
    whole = np.random.default_rng(0).random((depth, 40, 80)).astype(np.float32)
    values = whole[:, y : y + height, x : x + width] if value is None else np.full(shape, value, np.float32)
    return xr.Dataset(
        {
            "density": (("z", "y", "x"), values, {"units": "count/angstrom"}),
            "r1": ("tilt", np.full(4, x / 100), {"units": "1"}),
        },
        {
            "z": ("z", (np.arange(depth) - 1) * STEP, LENGTH),
            "y": ("y", (y + np.arange(height)) * STEP, LENGTH),
            "x": ("x", (x + np.arange(width)) * STEP, LENGTH),
            "tilt": ("tilt", np.arange(4), {"units": "1"}),
        },
    )


def test_tiles_of_one_specimen_give_that_specimen() -> None:
    for feather in (0.0, 1.5):
        found = stitch((tile(0, 0), tile(5, 0), tile(11, 0), tile(5, 3), tile(0, 3), tile(11, 3)), feather=feather)
        wanted = tile(0, 0, shape=(3, 8, 20))
        np.testing.assert_allclose(found["density"], wanted["density"], rtol=1e-6)
        for axis in "zyx":
            np.testing.assert_allclose(found[axis], wanted[axis], atol=1e-12)
        assert found["density"].attrs["units"] == "count/angstrom"


@pytest.mark.parametrize("feather", [0.0, 1.5])
def test_small_blocks_give_the_same_bits(feather: float, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = tile(0, 0), tile(5, 0, shape=(2, 7, 9)).chunk(y=2), tile(11, 3), tile(0, 3).chunk(z=1)
    with pytest.warns(AetxWarning, match="lies in no tile"):
        whole = stitch(tiles, feather=feather)
    monkeypatch.setattr("aetx.stages.reconstruct.stitch.PATCH", 4)
    with pytest.warns(AetxWarning, match="lies in no tile"):
        cut = stitch(tiles, feather=feather)
    assert cut["density"].data.numblocks == (1, 2, 5)
    np.testing.assert_array_equal(cut["density"], whole["density"])


def test_the_seam_lies_half_way_between_two_tiles() -> None:
    found = stitch((tile(0, 0, 1.0), tile(6, 0, 2.0)))
    # tiles 0-8 and 6-14: the overlap is 6-8, and its middle, 7, is equally deep in both: the first wins
    assert found["density"].isel(z=0, y=2).values.tolist() == [1] * 8 + [2] * 7
    assert found["tile"].isel(y=2).values.tolist() == [0] * 8 + [1] * 7


def test_the_order_of_the_tiles_changes_ties_only() -> None:
    first, second = stitch((tile(0, 0), tile(5, 0))), stitch((tile(5, 0), tile(0, 0)))
    np.testing.assert_array_equal(first["density"], second["density"])


def test_a_feather_blends_across_the_seam() -> None:
    found = stitch((tile(0, 0, 1.0), tile(4, 0, 2.0)), feather=1.0)["density"].isel(z=0, y=2).values
    assert found[0] == 1
    assert found[-1] == 2
    assert (np.diff(found) >= 0).all()
    assert found[6] == pytest.approx(1.5)


def test_corners_in_no_tile_are_nan_and_told() -> None:
    with pytest.warns(AetxWarning, match="lies in no tile and is NaN"):
        found = stitch((tile(0, 0, 1.0), tile(9, 5, 2.0)))
    assert bool(found["density"].isel(y=0, x=-1).isnull().all())
    assert found["tile"].isel(y=0, x=-1) == -1


def test_r1_of_each_tile_is_kept() -> None:
    found = stitch((tile(0, 0), tile(5, 0)))
    assert found["r1"].dims == ("part", "tilt")
    np.testing.assert_allclose(found["r1"].mean("tilt"), [0, 0.05])


def test_one_tile_alone_is_itself() -> None:
    np.testing.assert_array_equal(stitch((tile(3, 2),))["density"], tile(3, 2)["density"])


def test_tiles_between_the_voxels_of_each_other_are_refused() -> None:
    off = tile(5, 0).assign_coords(x=("x", (5.4 + np.arange(9)) * STEP, LENGTH))
    with pytest.raises(InputError, match=r"tiles\[1\]: x: found a shift of 5\.400 voxels"):
        stitch((tile(0, 0), off))


def test_above_and_below_a_thinner_tile_there_is_nothing() -> None:
    thin = tile(5, 0, 2.0).isel(z=slice(1, 2))
    found = stitch((tile(0, 0, 1.0), thin))
    assert found["z"].values.tolist() == [-STEP, 0, STEP]
    assert found["density"].isel(y=2, x=-1).values.tolist() == [0, 2, 0]
    assert found["density"].isel(y=2, x=0).values.tolist() == [1, 1, 1]
    turned = stitch((thin, tile(0, 0, 1.0)))
    np.testing.assert_array_equal(turned["density"], found["density"])


def test_tiles_of_another_step_or_unit_are_refused_together() -> None:
    coarse = tile(5, 0).assign_coords(y=("y", np.arange(5) * 0.6, LENGTH))
    between = tile(5, 0).assign_coords(z=("z", (np.arange(3) - 0.5) * STEP, LENGTH))
    other = tile(5, 0)
    other["density"].attrs["units"] = "1/angstrom"
    with pytest.raises(InputError) as caught:
        stitch((tile(0, 0), coarse, between, other))
    assert [problem.file for problem in caught.value.problems] == ["tiles[1]", "tiles[2]", "tiles[3]"]


def test_nothing_to_stitch_is_refused() -> None:
    with pytest.raises(InputError, match="at least one volume"):
        stitch(())
