"""prepare.normalise"""

from __future__ import annotations

import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose, assert_array_equal

from aetx.stages.prepare.normalise import normalise


def scaled(series: xr.Dataset, factors: object) -> xr.Dataset:
    factor = xr.DataArray(np.asarray(factors, np.float32), dims="tilt")
    return series.assign(image=(series["image"] * factor).assign_attrs(series["image"].attrs))


def test_every_image_gets_the_mean_total(small_series: xr.Dataset) -> None:
    uneven = scaled(small_series, np.linspace(0.7, 1.4, 9))
    made = normalise(uneven)
    totals = made["image"].sum(["y", "x"])
    assert_allclose(totals, uneven["image"].sum(["y", "x"]).mean(), rtol=1e-5)
    assert_allclose(made["total"], uneven["image"].sum(["y", "x"]), rtol=1e-5)


@given(factor=some.floats(0.01, 100))
def test_the_scale_of_the_counts_scales_the_result(factor: float) -> None:
    series = _uneven()
    one, other = normalise(series)["image"], normalise(scaled(series, np.full(5, factor)))["image"]
    assert_allclose(other, one * factor, rtol=1e-5)


def _uneven() -> xr.Dataset:
    axis = np.arange(4.0)
    length, angle, none = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
    image = np.random.default_rng(0).uniform(0.5, 2, (5, 4, 4)).astype(np.float32)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image, {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(5), none),
            **{name: ("tilt", np.zeros(5), angle) for name in ("phi", "theta", "psi")},
            "y": ("y", axis, length),
            "x": ("x", axis, length),
        },
    )


def test_empty_negative_and_broken_images_stay_as_they_are_and_say_so(small_series: xr.Dataset) -> None:
    image = small_series["image"].values.copy()
    image[0], image[1], image[2] = 0, -1, 3
    image[3, 5, 5] = np.nan
    series = small_series.assign(image=(("tilt", "y", "x"), image, {"units": "count"}))
    made = normalise(series)
    assert_array_equal(made["image"][[0, 1, 3]], image[[0, 1, 3]])
    assert_array_equal(np.isnan(made["scale"]), [True, True, False, True] + [False] * 5)
    assert np.isfinite(made["image"].values[[0, 1, 2, 4, 5, 6, 7, 8]]).all()


def test_a_series_without_any_signal_is_left_alone(small_series: xr.Dataset) -> None:
    made = normalise(scaled(small_series, np.zeros(9)))
    assert_array_equal(made["image"], 0)
    assert np.isnan(made["scale"]).all()


def test_whole_numbers_become_real_ones(small_series: xr.Dataset) -> None:
    counts = small_series["image"].values.round().astype(np.uint16)
    made = normalise(small_series.assign(image=(("tilt", "y", "x"), counts, {"units": "count"})))
    assert made["image"].dtype == np.float32
    assert_allclose(made["image"].sum(["y", "x"]), counts.sum(axis=(1, 2)).mean(), rtol=1e-5)


def test_only_trusted_pixels_count_and_variances_follow(small_series: xr.Dataset) -> None:
    image = small_series["image"].values.copy()
    mask = np.ones(image.shape, np.int8)
    image[4, 0, 0], mask[4, 0, 0] = 1e6, 0
    dims = ("tilt", "y", "x")
    variance = np.full(image.shape, 2.0, np.float32)
    series = scaled(small_series.assign(image=(dims, image, {"units": "count"})), np.linspace(0.5, 2, 9)).assign(
        mask=(dims, mask, {"units": "1"}), variance=(dims, variance, {"units": "count**2"})
    )
    made = normalise(series)
    total = (made["image"] * mask).sum(["y", "x"])
    assert_allclose(total, total.mean(), rtol=1e-5)
    assert_allclose(made["variance"][:, 0, 0], 2 * made["scale"] ** 2, rtol=1e-5)


def test_a_series_in_blocks_goes_on_to_the_next_stage(small_series: xr.Dataset) -> None:
    in_blocks = normalise(small_series.chunk(tilt=2))
    assert_allclose(normalise(in_blocks)["image"], normalise(normalise(small_series))["image"], rtol=1e-5)
