"""prepare.crop, prepare.bin, prepare.mask, prepare.isolate: where pixels come to lie, and which are trusted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aetx.errors import AetxWarning, InputError
from aetx.stages.prepare.bin import bin as binned
from aetx.stages.prepare.crop import crop
from aetx.stages.prepare.isolate import isolate
from aetx.stages.prepare.mask import mask
from tests.conftest import STEP, make_series


def with_variance(series: xr.Dataset) -> xr.Dataset:
    return series.assign(variance=(series["image"].dims, series["image"].values + 1, {"units": "count**2"}))


@given(rows=st.integers(1, 24), columns=st.integers(1, 24))
def test_a_crop_keeps_pixels_where_they_are(rows: int, columns: int) -> None:
    series = make_series(2)
    made = crop(series, rows=rows, columns=columns)
    assert made.sizes == {"tilt": 2, "y": rows, "x": columns}
    assert made["y"].values[rows // 2] == made["x"].values[columns // 2] == 0
    xr.testing.assert_identical(made["image"], series["image"].sel(y=made["y"], x=made["x"]))


def test_a_crop_beside_the_axis_says_where_it_is(small_series: xr.Dataset) -> None:
    made = crop(small_series, columns=6, centre_x=3.3)
    assert_allclose(made["x"].values, (np.arange(6) - 3) * STEP + 3.2)
    with pytest.raises(InputError, match="beyond the images"):
        crop(small_series, columns=6, centre_x=8.0)
    with pytest.raises(InputError, match="a part of"):
        crop(small_series, columns=6, centre_x=80.0, padded=True)


def test_padding_is_zero_and_not_trusted(small_series: xr.Dataset) -> None:
    made = crop(with_variance(small_series), rows=30, columns=24, padded=True)
    assert made.sizes["y"] == 30
    assert made["y"].values[15] == 0
    assert_array_equal(made["image"].values[:, 3:27], small_series["image"].values)
    assert not made["image"].values[:, :3].any()
    assert_array_equal(made["mask"].values.any(axis=(0, 2)), [False] * 3 + [True] * 24 + [False] * 3)
    assert np.isnan(made["variance"].values[:, :3]).all()
    assert np.isfinite(made["variance"].values[:, 3:27]).all()


@given(factor=st.integers(1, 7))
def test_bins_are_means_at_the_mean_of_their_places(factor: int) -> None:
    grid = (np.arange(24) - 12) * STEP
    ramp = np.broadcast_to(10 + grid[:, None] + 2 * grid[None, :], (2, 24, 24)).astype(np.float32)
    series = make_series(2)
    series = series.assign(image=series["image"].copy(data=ramp))
    made = binned(series, factor=factor)
    assert_allclose(np.diff(made["x"]), factor * STEP)
    expected = 10 + made["y"].values[:, None] + 2 * made["x"].values[None, :]
    assert_allclose(made["image"].values[0], expected, rtol=1e-5, atol=1e-4)
    if factor % 2:
        assert np.abs(made["x"].values).min() < 1e-9, "a block lies about the centre"


def test_the_variance_of_a_mean_is_the_sum_over_the_square_of_the_number(small_series: xr.Dataset) -> None:
    series = with_variance(small_series)
    made = binned(series, factor=3)
    expected = series["variance"].values[:, 2:23, 2:23].reshape(9, 7, 3, 7, 3).sum(axis=(2, 4)) / 81
    assert_allclose(made["variance"].values, expected, rtol=1e-5)


def test_only_trusted_pixels_are_averaged(small_series: xr.Dataset) -> None:
    trusted = np.ones((9, 24, 24), bool)
    trusted[:, 0, 0] = trusted[:, 4:6, 4:6] = False
    image = np.where(trusted, 2.0, 900.0).astype(np.float32)
    series = small_series.assign(image=small_series["image"].copy(data=image))
    made = binned(series.assign(mask=(series["image"].dims, trusted, {"units": "1"})), factor=2)
    assert_array_equal(made["mask"].values.sum(axis=(1, 2)), np.full(9, 143))
    assert_allclose(made["image"].values[made["mask"].values], 2)
    assert made["mask"].dtype == bool
    with pytest.raises(InputError, match="at least one block"):
        binned(series, factor=30)


def test_a_mask_is_what_lies_within_border_and_disc_and_was_trusted(small_series: xr.Dataset) -> None:
    before = np.ones((9, 24, 24), bool)
    before[:, 12, 12] = False
    series = small_series.assign(mask=(small_series["image"].dims, before, {"units": "1"}))
    made = mask(series, border=1.6, radius=4.1, centre_x=6.4)
    x, y = small_series["x"].values[None, :], small_series["y"].values[:, None]
    expected = before[0] & (np.hypot(x - 6.4, y) <= 4.1) & (np.abs(y) <= 8.0) & (x <= 8.8 - 1.6 + 1e-9)
    assert_array_equal(made["mask"].values[4], expected)
    assert mask(small_series, border=0.0)["mask"].values.all()
    xr.testing.assert_identical(made["image"], series["image"])


def scene() -> xr.Dataset:
    """A large disc in the middle, a small one beside it, and noise, 0.8 angstrom a pixel."""
    series = make_series(2)
    grid = (np.arange(96) - 48) * STEP
    x, y = grid[None, :], grid[:, None]
    level = 50.0 * (np.hypot(x, y) < 12) + 50.0 * (np.hypot(x - 28, y) < 5)
    image = level + np.random.default_rng(0).normal(0, 3, (2, 96, 96))
    coords = {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")}
    coords |= {name: xr.Variable(name, grid, {"units": "angstrom"}) for name in "yx"}
    data = {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})}
    return xr.Dataset(data, coords, {"aetx_schema": "tilt_series/1"})


def test_a_specimen_is_isolated_from_its_neighbour_and_the_noise() -> None:
    series = with_variance(scene())
    made = isolate(series)
    away = np.hypot(series["x"].values[None, :], series["y"].values[:, None])
    near, far = away < 16, away > 12 + 5 + 2 + 2
    assert_array_equal(made["image"].values[:, near], series["image"].values[:, near])
    assert not made["image"].values[:, far].any()
    assert not made["variance"].values[:, far].any()
    both = isolate(series, largest=False)["image"].values
    assert_allclose(both[:, 48, 83], series["image"].values[:, 48, 83])
    assert isolate(scene(), edge=0.0)["image"].values[0, 48].astype(bool).sum() < 2 * 18.5 / STEP


def test_images_without_a_specimen_are_left_alone() -> None:
    noise = scene()
    noise = noise.assign(
        image=noise["image"].copy(data=np.random.default_rng(1).normal(5, 1, (2, 96, 96)).astype("f4"))
    )
    with pytest.warns(AetxWarning, match="no surroundings"):
        made = isolate(noise)
    assert_array_equal(made["image"], noise["image"])
