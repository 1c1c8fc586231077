"""prepare.bm3d and prepare.denoise"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from aetx.core import Params, Stage
from aetx.errors import AetxWarning, InputError
from aetx.stages.prepare.bm3d import bm3d
from aetx.stages.prepare.denoise import DenoiseParams, denoise
from aetx.stages.prepare.noise import noise

STEP = 0.4
Filter = Callable[[xr.Dataset], xr.Dataset]


def general(series: xr.Dataset, **options: Any) -> xr.Dataset:
    return bm3d(series, **{"profile": "general", "gain": 1.0, **options})


def means(series: xr.Dataset) -> xr.Dataset:
    return denoise(series, gain=1.0, rescaled=False)


def variation(series: xr.Dataset) -> xr.Dataset:
    return denoise(series, gain=1.0, method="total_variation", strength=1.5, rescaled=False)


def blocks(series: xr.Dataset) -> xr.Dataset:
    return general(series, rescaled=False)


def series_of(image: np.ndarray, **more: np.ndarray) -> xr.Dataset:
    length, angle, none = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
    tilts, rows, columns = image.shape
    planes = {name: (("tilt", "y", "x"), plane, none) for name, plane in more.items()}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"}), **planes},
        coords={
            "tilt": ("tilt", np.arange(tilts), none),
            **{name: ("tilt", np.zeros(tilts), angle) for name in ("phi", "theta", "psi")},
            "y": ("y", (np.arange(rows) - rows // 2) * STEP, length),
            "x": ("x", (np.arange(columns) - columns // 2) * STEP, length),
        },
        attrs={"aetx_schema": "tilt_series/1"},
    )


def platinum(peak: float = 50.0, side: int = 144) -> np.ndarray:
    """Return the expected counts of a ball of fcc Pt along [110], on one count of background."""
    a, width = 3.92, 0.55
    sites = np.indices((13,) * 3).reshape(3, -1).T - 6.0
    sites = np.concatenate([sites + b for b in ([0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0])]) * a
    sites = sites[np.linalg.norm(sites, axis=1) < 20]
    across = sites @ np.array([1, -1, 0]) / np.sqrt(2)
    up = sites[:, 2]
    grid = (np.arange(side) - side // 2) * STEP
    image = (
        np.exp(-((grid[:, None] - up) ** 2) / (2 * width**2))
        @ np.exp(-((grid[:, None] - across) ** 2) / (2 * width**2)).T
    )
    return np.asarray(1 + peak * image / image.max())


def poisson(expected: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(expected).astype(np.float32)


def decibel(found: np.ndarray, true: np.ndarray) -> float:
    return float(10 * np.log10(true.max() ** 2 / np.mean((found - true) ** 2)))


@pytest.mark.parametrize("smooth", [blocks, means, variation])
@pytest.mark.parametrize("level", [2.0, 5.0, 20.0])
def test_a_flat_field_becomes_flat_and_keeps_its_level(smooth: Filter, level: float) -> None:
    image = poisson(np.full((1, 160, 160), level))
    made = smooth(series_of(image))["image"].values
    assert_allclose(made.mean(), image.mean(), rtol=0.01)
    assert made.std() < 0.3 * image.std()


def test_the_total_is_kept_when_it_is_asked_for() -> None:
    image = poisson(platinum(20.0))[None]
    assert_allclose(general(series_of(image))["image"].sum(), image.sum(), rtol=1e-5)
    assert abs(float(blocks(series_of(image))["image"].sum()) / image.sum() - 1) > 1e-5


def test_noise_of_platinum_falls_by_more_than_five_decibel_and_its_mean_stays() -> None:
    true = platinum()
    image = poisson(true)[None]
    made = blocks(series_of(image))["image"].values
    assert decibel(made[0], true) > decibel(image[0], true) + 5
    best = max(decibel(gaussian_filter(image[0], width), true) for width in (0.5, 0.7, 0.9, 1.1, 1.4))
    assert decibel(made[0], true) > best + 1
    assert_allclose(made.mean(), image.mean(), rtol=5e-3)


def test_what_is_removed_is_the_noise() -> None:
    series = series_of(poisson(np.stack([platinum(), platinum(200.0)]) + 9))
    made = general(series)
    assert_allclose(made["removed"], 0.96, atol=0.1)
    assert np.all(denoise(series, gain=1.0, method="total_variation", strength=8.0)["removed"] > 1.1)
    assert made["removed"].attrs["units"] == "1"


def test_offset_and_gain_change_nothing_but_the_scale() -> None:
    image = poisson(platinum())[None]
    plain = general(series_of(image))["image"].values
    scaled = general(series_of(2 * image + 100), gain=2.0, offset=100.0)["image"].values
    assert_allclose(scaled, 2 * plain + 100, rtol=2e-3)


def test_the_noise_of_the_series_is_used_and_then_dropped() -> None:
    image = 3 * poisson(np.stack([platinum()] * 3)) + 20
    series = noise(series_of(image), offset=20.0)
    made = bm3d(series, profile="general")
    assert {"gain", "offset", "read_noise", "gain_error", "variance", "bin_level"}.isdisjoint(made.variables)
    numbers = {name: float(series[name][0]) for name in ("gain", "offset", "read_noise")}
    assert_array_equal(made["image"], general(series_of(image), **numbers)["image"])


def test_stages_follow_each_other_without_computing() -> None:
    image = 3 * poisson(np.stack([platinum()] * 3)) + 20
    whole = bm3d(noise(series_of(image)), profile="general")
    lazy = bm3d(noise(series_of(image).chunk(tilt=2, y=50)), profile="general")
    assert lazy["image"].chunks is not None
    assert_array_equal(lazy["image"], whole["image"])


def test_a_series_that_does_not_tell_its_noise_is_taken_for_counts_and_says_so() -> None:
    series = series_of(poisson(platinum())[None])
    with pytest.warns(AetxWarning, match="does not tell its noise"):
        made = bm3d(series, profile="general")
    assert_array_equal(made["image"], general(series)["image"])


def test_pixels_that_are_not_trusted_keep_their_values_and_spoil_no_others() -> None:
    image = poisson(platinum())[None]
    mask = np.ones(image.shape, bool)
    mask[0, 60:64, 50:53] = False
    spoilt = np.where(mask, image, 1e6).astype(np.float32)
    made = general(series_of(spoilt, mask=mask))["image"].values
    assert_array_equal(made[~mask], 1e6)
    assert decibel(made[mask], platinum()[mask[0]]) > decibel(image[mask], platinum()[mask[0]]) + 5
    unknown = general(series_of(np.where(mask, image, np.nan)))["image"].values
    assert_array_equal(np.isnan(unknown), ~mask)
    assert_array_equal(unknown[mask], made[mask])


def test_the_settings_for_atoms_need_larger_blocks() -> None:
    with pytest.raises(InputError, match="at least 16"):
        bm3d(series_of(np.ones((1, 12, 20))), profile="atomic", gain=1.0)
    assert general(series_of(np.ones((1, 12, 20))))["image"].shape == (1, 12, 20)


def test_an_image_without_noise_that_is_known_is_left_with_a_warning() -> None:
    series = series_of(poisson(platinum())[None]).assign(
        {name: ("tilt", [np.nan], {"units": "count"}) for name in ("gain", "offset", "read_noise")}
    )
    with pytest.warns(AetxWarning, match="no noise that is known"):
        made = bm3d(series, profile="general")
    assert_array_equal(made["image"], series["image"])
    assert np.isnan(made["removed"]).all()


def test_parameters_of_means_do_not_go_with_total_variation() -> None:
    with pytest.raises(ValueError, match="patch and reach belong to non_local_means"):
        DenoiseParams(method="total_variation", patch=7, reach=3)


@pytest.mark.parametrize("one", [bm3d, denoise])
def test_the_forecast_grows_with_the_work(one: Stage) -> None:
    small, large = ({"series": ({"tilt": 2, "y": side, "x": side},)} for side in (128, 256))
    params: Params = one.params()
    assert one.forecast(large, params).seconds == pytest.approx(4 * one.forecast(small, params).seconds, rel=0.01)
