"""RESIRE: signs, units, places, films, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr

from aetx.errors import AetxWarning, EnvironmentFault, InputError
from aetx.stages.reconstruct.resire import resire

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
STEP = 0.5
SPOT = (2.0, -1.5, 3.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def series_of(
    spots: list[tuple[float, float, float]] | None = None,
    *,
    height: int = 20,
    width: int = 25,
    tilts: int = 15,
    step: float = STEP,
    sigma: float = 0.8,
) -> xr.Dataset:
    """Return images of Gaussian spots (x, y, z) at analytic places: p_x = x cos(theta) - z sin(theta), p_y = y."""
    theta = np.linspace(-70, 70, tilts)
    y, x = (np.arange(height) - height // 2) * step, (np.arange(width) - width // 2) * step
    image = np.zeros((tilts, height, width))
    for sx, sy, sz in [SPOT] if spots is None else spots:
        u = sx * np.cos(np.deg2rad(theta)) - sz * np.sin(np.deg2rad(theta))
        square = (x - u[:, None, None]) ** 2 + (y[:, None] - sy) ** 2
        image += np.exp(-square / (2 * sigma**2))
    zero = np.zeros(tilts)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(tilts), NONE),
            "y": ("y", y, LENGTH),
            "x": ("x", x, LENGTH),
            "phi": ("tilt", zero, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", zero, ANGLE),
        },
    )


def centre_of_mass(volume: xr.Dataset) -> dict[str, float]:
    density = volume["density"].where(volume["density"] > 0.2 * volume["density"].max(), 0).astype(float)
    return {axis: float((density * volume[axis]).sum() / density.sum()) for axis in "xyz"}


def test_a_spot_comes_back_where_it_is() -> None:
    volume = resire(series_of(), iterations=60)
    assert centre_of_mass(volume) == pytest.approx(dict(zip("xyz", SPOT, strict=True)), abs=0.05)


def test_the_sign_of_theta_decides_the_hand() -> None:
    series = series_of()
    mirrored = series.assign_coords(theta=("tilt", -series["theta"].values, ANGLE))
    found = centre_of_mass(resire(mirrored, iterations=60))
    assert found["z"] == pytest.approx(-SPOT[2], abs=0.05)


def test_step_times_sum_of_density_is_the_image() -> None:
    series = series_of()
    volume = resire(series, iterations=60)
    assert float(volume["density"].sum()) * STEP == pytest.approx(
        float(series["image"].sum(["y", "x"]).mean()), rel=0.01
    )
    assert volume["density"].attrs["units"] == "count/angstrom"
    assert volume["density"].dtype == np.float32
    assert (volume["density"].values >= 0).all()


def test_the_result_lies_on_the_grid_of_the_images_with_its_zero_at_half_the_size() -> None:
    volume = resire(series_of(height=20, width=25), iterations=2, thickness=6.0)
    assert dict(volume["density"].sizes) == {"z": 12, "y": 20, "x": 25}
    assert float(volume["z"][6]) == float(volume["y"][10]) == float(volume["x"][12]) == 0.0


def test_r1_and_its_history_come_along() -> None:
    series = series_of()
    volume = resire(series, iterations=30, tolerance=0.0)
    assert volume["r1"].dims == ("tilt",)
    assert volume["r1_history"].sizes == {"iteration": 31}
    assert float(volume["r1_history"][-1]) == pytest.approx(float(volume["r1"].mean()))
    assert float(volume["r1"].max()) < 0.05
    np.testing.assert_array_equal(volume["theta"], series["theta"])


def test_the_origin_of_a_sub_area_moves_the_coordinates_only() -> None:
    series = series_of()
    placed = series.assign_coords(axis=["x", "y", "z"]).assign(origin=("axis", [100.0, -20.0, 5.0], LENGTH))
    here, there = resire(series, iterations=5), resire(placed, iterations=5)
    np.testing.assert_array_equal(here["density"], there["density"])
    for axis, shift in zip("xyz", (100.0, -20.0, 5.0), strict=True):
        np.testing.assert_allclose(there[axis] - shift, here[axis], atol=1e-9)


def test_a_crop_of_the_images_gives_that_part_of_the_volume() -> None:
    series = series_of(height=24, width=25)
    part = series.isel(y=slice(5, 20))
    whole, cut = resire(series, iterations=40), resire(part, iterations=40)
    np.testing.assert_allclose(cut["y"], part["y"])
    assert centre_of_mass(cut) == pytest.approx(centre_of_mass(whole), abs=0.05)


def test_a_film_beyond_the_field_of_view_needs_the_longer_box() -> None:
    rng = np.random.default_rng(0)
    spots = [tuple(p) for p in rng.uniform([-30, -4, -2], [30, 4, 2], (150, 3))]
    series = series_of(spots, width=24, height=16)
    film = resire(series, extended=True, thickness=6.0, iterations=60)
    alone = resire(series, thickness=6.0, iterations=60)
    assert film["density"].sizes == alone["density"].sizes
    assert float(film["r1"].mean()) < 0.02
    assert float(alone["r1"].mean()) > 5 * float(film["r1"].mean())


def test_a_support_keeps_the_density_inside() -> None:
    series = series_of()
    free = resire(series, iterations=20)
    mask = (abs(free["z"] - SPOT[2]) < 2.0) & (abs(free["x"] - SPOT[0]) < 2.5) & (free["y"] < 10)
    mask = mask.transpose("z", "y", "x").astype(np.int8).assign_attrs(units="1")
    support = free[["density"]].assign(support=mask)
    held = resire(series, support, iterations=20)
    assert float(abs(held["density"].where(support["support"] == 0)).max()) == 0
    assert float(free["density"].where(support["support"] == 0).max()) > 0


def test_a_support_on_another_grid_is_refused() -> None:
    series = series_of()
    other = resire(series, iterations=1, thickness=4.0)
    with pytest.raises(InputError, match="support: z"):
        resire(series, other)


def test_masked_pixels_do_not_matter() -> None:
    series = series_of()
    trusted = np.ones(series["image"].shape, np.int8)
    trusted[4, 2:9, 3:8] = 0
    series = series.assign(mask=(("tilt", "y", "x"), trusted, NONE))
    spoiled = series.assign(image=series["image"].where(series["mask"] > 0, np.nan).assign_attrs(units="count"))
    first, second = resire(series, iterations=10), resire(spoiled, iterations=10)
    np.testing.assert_allclose(first["density"], second["density"], atol=1e-6)


def test_values_that_are_not_finite_are_refused_with_their_tilt() -> None:
    series = series_of()
    image = series["image"].copy(deep=True)
    image[3, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite in tilt 3"):
        resire(series.assign(image=image))


def test_empty_images_are_told_and_give_no_nan() -> None:
    series = series_of([])
    with pytest.warns(AetxWarning, match="15 images are zero everywhere"):
        volume = resire(series, iterations=3)
    assert float(abs(volume["density"]).max()) == 0
    assert volume["r1"].isnull().all()


def test_much_negative_intensity_is_told() -> None:
    series = series_of()
    image = (series["image"] - 0.1).assign_attrs(units="count")
    with pytest.warns(AetxWarning, match="of the intensity is negative"):
        resire(series.assign(image=image), iterations=1)


def test_pixels_that_are_not_square_are_refused() -> None:
    series = series_of()
    with pytest.raises(InputError, match="square pixels"):
        resire(series.assign_coords(y=("y", series["y"].values * 1.1, LENGTH)))


def test_a_film_seen_edge_on_is_refused() -> None:
    series = series_of()
    flat = series.assign_coords(theta=("tilt", np.linspace(0, 90, 15), ANGLE))
    with pytest.raises(InputError, match=r"tilt 14: 90\.0 degrees"):
        resire(flat, extended=True)


def test_too_little_memory_is_told_with_what_it_takes() -> None:
    with pytest.raises(EnvironmentFault, match=r"give --memory \d+MB"):
        resire(series_of(), iterations=1, memory=1000)


def test_the_forecast_gives_the_sizes_and_covers_the_memory() -> None:
    sizes = {"tilt": 15, "y": 20, "x": 25}
    told = resire.forecast({"series": (sizes,), "support": ()}, resire.params())
    assert dict(told.sizes) == {"z": 25, "y": 20, "x": 25}
    resire(series_of(), iterations=1, memory=told.memory)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_volume() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    first, second = (resire(series_of(), iterations=20, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(first["density"], second["density"], atol=1e-3 * float(first["density"].max()))


def test_the_published_metallic_glass_comes_back_better_than_published(real_data: Callable[[str], Path]) -> None:
    folder = real_data("metallic_glass/sample")
    images = scipy.io.loadmat(folder / "sample_projections_amorphous.mat")["Projs"].transpose(2, 1, 0)
    truth = scipy.io.loadmat(folder / "ground_truth_amorphous_vol.mat")["Vol"].transpose(2, 1, 0)
    phi, theta, psi = scipy.io.loadmat(folder / "sample_angles_amorphous.mat")["angles"].T
    axis, angles = np.arange(64) - 32.0, {"phi": phi, "theta": theta, "psi": psi}
    series = xr.Dataset(
        {"image": (("tilt", "y", "x"), images.astype(np.float32), {"units": "count"})},
        {"tilt": ("tilt", np.arange(41), NONE), "y": ("y", axis, LENGTH), "x": ("x", axis, LENGTH)}
        | {name: ("tilt", values, ANGLE) for name, values in angles.items()},
    )
    volume = resire(series, iterations=130)
    assert np.corrcoef(volume["density"].values.ravel(), truth.ravel())[0, 1] >= 0.982
    assert float(volume["r1"].mean()) <= 0.011
