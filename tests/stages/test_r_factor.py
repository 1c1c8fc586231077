"""R factors from the volume alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.stages.measure.r_factor import r_factor

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
STEP = 0.5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def volume() -> xr.Dataset:
    values = np.random.default_rng(0).random((7, 9, 8)).astype(np.float32)
    return xr.Dataset(
        {"density": (("z", "y", "x"), values, {"units": "count/angstrom"})},
        {
            axis: (axis, (np.arange(size) - size // 2) * STEP, LENGTH)
            for axis, size in zip("zyx", (7, 9, 8), strict=True)
        },
    )


@pytest.fixture
def series(volume: xr.Dataset) -> xr.Dataset:
    """Images at 0 and 180 degrees, which are plain sums: at 180 x runs backwards about the centre."""
    top = volume["density"].values.sum(0) * STEP
    back = np.zeros_like(top)
    back[:, 1:] = top[:, :0:-1]
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), np.stack([top, back]), {"units": "count"})},
        {
            "tilt": ("tilt", [0, 1], NONE),
            "phi": ("tilt", [0.0, 0.0], ANGLE),
            "theta": ("tilt", [0.0, 180.0], ANGLE),
            "psi": ("tilt", [0.0, 0.0], ANGLE),
            "y": volume["y"],
            "x": volume["x"],
        },
    )


def test_a_volume_explains_its_own_images(series: xr.Dataset, volume: xr.Dataset) -> None:
    found = r_factor(series, volume)
    assert float(found["mean_r1"]) < 1e-5
    assert float(found["global_r1"]) < 1e-5
    assert found["pixels"].values.tolist() == [72, 72]


def test_r_factors_are_what_their_definitions_say(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[0] *= 1.25
    found = r_factor(series.assign(image=image), volume)
    np.testing.assert_allclose(found["r1"], [0.2, 0], atol=1e-5)
    np.testing.assert_allclose(found["r2"], [0.2, 0], atol=1e-5)
    first, second = (float(abs(image[i]).sum()) for i in (0, 1))
    assert float(found["mean_r1"]) == pytest.approx(0.1, abs=1e-5)
    assert float(found["global_r1"]) == pytest.approx(0.2 * first / (first + second), abs=1e-5)


def test_scaling_takes_a_common_factor_out(series: xr.Dataset, volume: xr.Dataset) -> None:
    bright = series.assign(image=(series["image"] * 3).assign_attrs(units="count"))
    assert float(r_factor(bright, volume)["mean_r1"]) == pytest.approx(2 / 3, abs=1e-5)
    found = r_factor(bright, volume, scaled=True)
    assert float(found["mean_r1"]) < 1e-5
    np.testing.assert_allclose(found["scale"], 3, rtol=1e-5)


def test_the_coordinates_say_where_the_volume_lies(series: xr.Dataset, volume: xr.Dataset) -> None:
    place = dict(zip("xyz", (40.0, -30.0, 7.0), strict=True))
    moved = volume.assign_coords({a: (a, volume[a].values + place[a], LENGTH) for a in "xyz"})
    placed = series.assign_coords(axis=["x", "y", "z"]).assign(origin=("axis", list(place.values()), LENGTH))
    assert float(r_factor(placed, moved)["mean_r1"]) < 1e-4
    shifted = volume.assign_coords(x=("x", volume["x"].values + STEP, LENGTH))
    assert float(r_factor(series, shifted)["mean_r1"]) > 0.1


def test_masked_pixels_are_not_counted(series: xr.Dataset, volume: xr.Dataset) -> None:
    image, mask = series["image"].copy(deep=True), np.ones(series["image"].shape, np.int8)
    image[0, 2, 3], mask[0, 2, 3] = np.nan, 0
    found = r_factor(series.assign(image=image, mask=(("tilt", "y", "x"), mask, NONE)), volume)
    assert float(found["mean_r1"]) < 1e-5
    assert found["pixels"].values.tolist() == [71, 72]


def test_a_film_is_compared_where_whole_rays_lie_in_it(series: xr.Dataset, volume: xr.Dataset) -> None:
    tilted = series.assign_coords(theta=("tilt", [0.0, 80.0], ANGLE))
    with pytest.warns(AetxWarning, match="1 of 2 tilts have no pixel"):
        found = r_factor(tilted, volume, extended=True)
    assert np.isnan(found["r1"][1])
    assert float(found["mean_r1"]) == pytest.approx(float(found["r1"][0]))


def test_a_volume_of_another_step_is_refused(series: xr.Dataset, volume: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"the pixel size 0\.5 angstrom"):
        r_factor(series, volume.assign_coords(z=("z", volume["z"].values * 1.1, LENGTH)))


def test_a_volume_with_holes_is_refused(series: xr.Dataset, volume: xr.Dataset) -> None:
    holed = volume["density"].copy(deep=True)
    holed[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 voxels that are not finite"):
        r_factor(series, volume.assign(density=holed))


def test_an_empty_image_has_no_r(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[1] = 0
    found = r_factor(series.assign(image=image), volume)
    assert np.isnan(found["r1"][1])
    assert np.isfinite(found["mean_r1"])
