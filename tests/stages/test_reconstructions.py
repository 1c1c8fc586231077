"""What all reconstructions do alike: places, units, masks, supports, and the choice by held-out tilts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from aetx.core import Registry
from aetx.errors import AetxWarning, EnvironmentFault

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
SPOT, STEP = (1.5, -2.0, 3.0), 0.5
METHODS: dict[str, dict[str, Any]] = {
    "wbp": {},
    "art": {"iterations": 6},
    "sart": {"iterations": 6},
    "sirt": {"iterations": 60},
    "cgls": {"iterations": 12},
    "resire": {"iterations": 40},
    "tv": {"iterations": 60},
    "mbir": {"iterations": 12},
}
NOISY = pytest.mark.filterwarnings("ignore:.*intensity is negative:aetx.errors.AetxWarning")
ITERATIVE = [name for name in METHODS if name != "wbp"]
Make = Callable[..., xr.Dataset]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def call(name: str, *datasets: xr.Dataset, **params: Any) -> xr.Dataset:
    found: xr.Dataset = Registry().stage(f"reconstruct.{name}")(*datasets, **{**METHODS[name], **params})
    return found


def spots(noise: float = 0.0, wobble: float = 4.0, tilts: int = 17, width: int = 21) -> xr.Dataset:
    """Return images of a Gaussian at `SPOT` under general rotations, placed by transpose(R) r."""
    rng = np.random.default_rng(5)
    phi, theta, psi = (
        rng.uniform(-wobble, wobble, tilts),
        np.linspace(-72, 72, tilts),
        rng.uniform(-wobble, wobble, tilts),
    )
    y, x = (np.arange(20) - 10) * STEP, (np.arange(width) - width // 2) * STEP
    image = np.zeros((tilts, 20, width))
    for tilt in range(tilts):
        a, b, c = np.deg2rad([phi[tilt], theta[tilt], psi[tilt]])
        rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        rx = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
        u, v, _ = (rz @ ry @ rx).T @ SPOT
        image[tilt] = np.exp(-((x - u) ** 2 + (y[:, None] - v) ** 2) / (2 * 0.8**2))
    image += noise * rng.standard_normal(image.shape)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(tilts), NONE),
            "y": ("y", y, LENGTH),
            "x": ("x", x, LENGTH),
            "phi": ("tilt", phi, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", psi, ANGLE),
        },
    )


def centre(volume: xr.Dataset) -> list[float]:
    density = volume["density"].where(volume["density"] > 0.3 * volume["density"].max(), 0).astype(float)
    return [float((density * volume[axis]).sum() / density.sum()) for axis in "xyz"]


@pytest.mark.parametrize("name", METHODS)
def test_a_spot_comes_back_where_it_is_at_euler_angles(name: str) -> None:
    volume = call(name, spots())
    assert centre(volume) == pytest.approx(SPOT, abs=0.06)
    assert volume["density"].attrs["units"] == "count/angstrom"
    assert volume["density"].dtype == np.float32


@pytest.mark.parametrize("name", METHODS)
def test_the_sign_of_theta_decides_the_hand(name: str) -> None:
    series = spots(wobble=0.0)
    mirrored = series.assign_coords(theta=("tilt", -series["theta"].values, ANGLE))
    assert centre(call(name, mirrored)) == pytest.approx((1.5, -2.0, -3.0), abs=0.06)


@pytest.mark.parametrize("name", ITERATIVE)
def test_step_times_sum_of_density_is_the_image(name: str) -> None:
    series = spots()
    volume = call(name, series)
    totals = series["image"].sum(["y", "x"]).values
    within = {"tv": 0.12, "mbir": 0.12, "art": 0.03}.get(name, 0.02)
    assert float(volume["density"].sum()) * STEP == pytest.approx(float(totals.mean()), rel=within)
    assert float(volume["r1"].mean()) == pytest.approx(float(volume["r1_history"][-1]))
    assert float(volume["r1_history"][0]) > float(volume["r1_history"][-1])


@pytest.mark.parametrize("name", ITERATIVE)
def test_masked_pixels_do_not_matter(name: str) -> None:
    series = spots()
    mask = xr.ones_like(series["image"], bool).assign_attrs(NONE)
    mask[4, 3:9, 6:12] = False
    spoiled = series["image"].where(mask, 1e3).assign_attrs(series["image"].attrs)
    once = call(name, series.assign(mask=mask))
    again = call(name, series.assign(mask=mask, image=spoiled))
    np.testing.assert_allclose(again["density"], once["density"], atol=1e-6)


@pytest.mark.parametrize("name", ITERATIVE)
def test_nothing_lies_outside_the_support(name: str) -> None:
    series = spots()
    near = call("wbp", series)
    x, y, z = (near[axis] - place for axis, place in zip("xyz", SPOT, strict=True))
    support = near.assign(support=(z**2 + y**2 + x**2 < 2.5**2).assign_attrs(NONE))
    volume = call(name, series, support)
    assert float(abs(volume["density"].where(~support["support"], 0)).max()) == 0
    assert float(volume["density"].max()) > 0.2
    assert centre(volume) == pytest.approx(SPOT, abs=0.06)


@NOISY
@pytest.mark.parametrize("name", [name for name in ITERATIVE if name != "cgls"])
def test_density_falls_below_zero_only_where_that_is_allowed(name: str) -> None:
    series = spots(noise=0.05)
    assert float(call(name, series)["density"].min()) >= 0
    assert float(call(name, series, positive=False)["density"].min()) < 0


@NOISY
@pytest.mark.parametrize("name", ITERATIVE)
def test_held_out_tilts_choose_the_iterations(name: str) -> None:
    noisy = spots(noise=0.2)
    chosen = call(name, noisy, iterations="auto", held_out=3)
    steps = int(chosen["best_iterations"])
    free = chosen["r_free"].isel(trial=0).values
    assert steps == int(np.nanargmin(free[1:])) + 1
    assert chosen.sizes["iteration"] == steps + 1
    assert float(chosen["mean_r_free"]) == pytest.approx(float(free[steps]))
    assert "strength" not in chosen.variables
    fixed = call(name, noisy, iterations=steps, tolerance=0.0)
    np.testing.assert_array_equal(fixed["density"], chosen["density"])
    assert "r_free" not in fixed


@NOISY
@pytest.mark.parametrize("name", ["tv", "mbir"])
def test_held_out_tilts_choose_a_stronger_prior_for_noisier_images(name: str) -> None:
    strengths = []
    for noise in (0.02, 0.3):
        series = spots(noise=noise)
        if name == "mbir":  # the same variance for both, so that the noise is in the strength
            variance = xr.full_like(series["image"], 0.1**2).assign_attrs(units="count**2")
            series = series.assign(variance=variance)
        chosen = call(name, series, strength="auto")
        strengths.append(float(chosen["best_strength"]))
        assert float(chosen["best_strength"]) in chosen["strength"].values
        assert chosen.sizes["iteration"] == METHODS[name]["iterations"] + 1
        best = chosen["r_free"].values[:, -1]
        assert chosen["strength"].values[best.argmin()] == strengths[-1]
    assert strengths[1] > strengths[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_film_that_fills_the_view_keeps_the_field_of_view(name: str) -> None:
    series = spots(width=31)
    volume = call(name, series, extended=True, thickness=12.0)
    assert volume["density"].shape == (24, 20, 31)
    assert centre(volume) == pytest.approx(SPOT, abs=0.12)


@pytest.mark.parametrize("name", METHODS)
def test_too_little_memory_is_refused_before_work_starts(name: str) -> None:
    stage, series = Registry().stage(f"reconstruct.{name}"), spots()
    given = [series] if name == "wbp" else [series, None]
    arguments = {"device": "cpu"} if "device" in stage.resources else {}
    with pytest.raises(EnvironmentFault, match="memory"):
        stage.function(*given, stage.params(), **arguments, memory=1000)


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_series_gives_an_empty_volume(name: str) -> None:
    series = spots()
    empty = series.assign(image=xr.zeros_like(series["image"]).assign_attrs(units="count"))
    with pytest.warns(AetxWarning, match="zero everywhere"):
        volume = call(name, empty)
    assert float(abs(volume["density"]).max()) == 0
