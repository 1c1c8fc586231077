"""`augment.gaussian` and `prepare.gaussian`: the whole and the parts agree bit for bit, and widths add in squares."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from aetx.stages.augment.gaussian import gaussian as smooth_volume
from aetx.stages.prepare.gaussian import gaussian as smooth_images

STEP = 0.4


def axis(name: str, size: int) -> tuple[str, NDArray[np.floating], dict[str, str]]:
    return name, (np.arange(size) - size // 2) * STEP, {"units": "angstrom"}


def volume_of(density: NDArray[np.float32]) -> xr.Dataset:
    coords = {name: axis(name, size) for name, size in zip("zyx", density.shape, strict=True)}
    return xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, coords=coords)


def series_of(image: NDArray[np.float32], **more: NDArray[np.generic]) -> xr.Dataset:
    tilts, height, width = image.shape
    angles = {name: ("tilt", np.zeros(tilts), {"units": "degree"}) for name in ("phi", "theta", "psi")}
    coords = {"tilt": ("tilt", np.arange(tilts), {"units": "1"}), "y": axis("y", height), "x": axis("x", width)}
    planes = {name: (("tilt", "y", "x"), plane, {"units": "1"}) for name, plane in more.items()}
    made = {"image": (("tilt", "y", "x"), image, {"units": "count"}), **planes}
    return xr.Dataset(made, coords=coords | angles)


def test_blocks_do_not_change_a_bit() -> None:
    density = np.random.default_rng(0).standard_normal((70, 133, 65)).astype(np.float32)
    made = smooth_volume(volume_of(density), width=0.5, memory=2 * 4 * 4 * 75**3)
    assert made["density"].data.numblocks == (2, 3, 2)
    whole = gaussian_filter(density, 0.5 / STEP, mode="reflect")
    np.testing.assert_array_equal(made["density"], whole)


def test_a_volume_is_smoothed_only_when_it_is_read() -> None:
    made = smooth_volume(volume_of(np.ones((9, 8, 7), np.float32)).chunk(4))
    assert made["density"].chunks is not None
    assert made["density"].attrs["units"] == "1/angstrom"


def test_the_sum_is_kept() -> None:
    density = np.random.default_rng(1).random((20, 3, 9)).astype(np.float32)
    assert smooth_volume(volume_of(density), width=1.5)["density"].sum() == pytest.approx(density.sum(), rel=1e-5)


def test_widths_add_in_squares() -> None:
    r2 = sum(np.meshgrid(*[((np.arange(41) - 20) * STEP) ** 2] * 3))
    made = smooth_volume(volume_of(np.exp(-0.5 * r2 / 0.8**2).astype(np.float32)), width=0.6)
    np.testing.assert_allclose(made["density"], 0.8**3 * np.exp(-0.5 * r2), atol=2e-4)


def test_a_volume_of_one_voxel_stays() -> None:
    assert smooth_volume(volume_of(np.full((1, 1, 1), 3, np.float32)))["density"].values == 3


def test_images_are_smoothed_one_by_one() -> None:
    image = np.random.default_rng(2).random((3, 30, 21)).astype(np.float32)
    made = smooth_images(series_of(image).chunk(tilt=2, y=7), width=0.5)["image"]
    for one, plain in zip(made, image, strict=True):
        np.testing.assert_allclose(one, gaussian_filter(plain, 0.5 / STEP, mode="reflect"), rtol=1e-5)


def test_pixels_that_are_not_trusted_have_no_say() -> None:
    image = np.full((1, 20, 20), 5, np.float32)
    mask = np.ones(image.shape, bool)
    mask[0, 5:9, 5:9] = False
    image[~mask] = np.nan
    np.testing.assert_allclose(smooth_images(series_of(image, mask=mask), width=0.8)["image"], 5, rtol=1e-5)


def test_the_variance_is_that_of_the_smoothed_noise() -> None:
    noise = np.random.default_rng(3).normal(0, 2, (400, 15, 15)).astype(np.float32)
    made = smooth_images(series_of(noise, variance=np.full(noise.shape, 4, np.float32)), width=0.6)
    measured = float(made["image"].isel(y=7, x=7).var())
    assert float(made["variance"][0, 7, 7]) == pytest.approx(measured, rel=0.2)
