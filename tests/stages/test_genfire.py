"""GENFIRE: places, signs, scale, any Euler angles, held-out points, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.errors import EnvironmentFault, InputError
from aetx.kernels.rendering import to_camera
from aetx.stages.reconstruct.genfire import genfire

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
STEP, SIGMA = 0.5, 0.8
SPOT = (2.0, -1.5, 3.0)
"""Positions are x, y, z in angstrom."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def series_of(
    *spots: tuple[float, float, float], height: int = 24, width: int = 25, angles: NDArray[np.floating] | None = None
) -> xr.Dataset:
    """Return images of Gaussian spots at places found by rotating them; angles are phi, theta, psi in degree."""
    if angles is None:
        theta = np.linspace(-70, 70, 21)
        angles = np.stack([0 * theta, theta, 0 * theta], axis=1)
    y, x = (np.arange(height) - height // 2) * STEP, (np.arange(width) - width // 2) * STEP
    image = np.zeros((len(angles), height, width))
    for i, pose in enumerate(np.deg2rad(angles)):
        for u, v, _ in to_camera(np.array(spots or [SPOT]), *pose):
            image[i] += np.exp(-((x - u) ** 2 + (y[:, None] - v) ** 2) / (2 * SIGMA**2))
    poses = {name: ("tilt", angles[:, i].astype(float), ANGLE) for i, name in enumerate(("phi", "theta", "psi"))}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {"tilt": ("tilt", np.arange(len(angles)), NONE), "y": ("y", y, LENGTH), "x": ("x", x, LENGTH), **poses},
    )


def peak(volume: xr.Dataset) -> NDArray[np.float64]:
    """Return x, y, z of the highest voxel, moved by the parabola through the logarithms of its neighbours."""
    density = volume["density"].values.astype(float)
    place = np.unravel_index(density.argmax(), density.shape)
    found = []
    for axis, name in enumerate("zyx"):
        line = np.log(
            np.maximum([density[tuple(np.add(place, d * np.eye(3, dtype=int)[axis]))] for d in (-1, 0, 1)], 1e-9)
        )
        offset = 0.5 * (line[0] - line[2]) / (line[0] - 2 * line[1] + line[2])
        found.append(float(volume[name][place[axis]]) + offset * STEP)
    return np.array(found[::-1])


@pytest.mark.parametrize(("height", "width"), [(24, 25), (25, 24)])
@pytest.mark.parametrize("params", [{}, {"gridding": "fft"}, {"oversampling": 3.0, "radius": 0.1}])
def test_a_spot_comes_back_within_2_pm_along_the_image_and_5_pm_along_the_beam(
    height: int, width: int, params: dict[str, Any]
) -> None:
    volume = genfire(series_of(height=height, width=width), iterations=60, **params)
    away = np.abs(peak(volume) - SPOT)
    assert away[:2].max() < 0.02
    assert away[2] < 0.05
    assert float(volume["r_fourier"][-1]) < 0.1


def test_the_sign_of_theta_decides_the_hand() -> None:
    series = series_of()
    mirrored = series.assign_coords(theta=("tilt", -series["theta"].values, ANGLE))
    assert peak(genfire(mirrored))[2] == pytest.approx(-SPOT[2], abs=0.05)


def test_any_euler_angles_serve() -> None:
    generator = np.random.default_rng(0)
    angles = generator.uniform(-1, 1, (30, 3)) * [180, 60, 40]
    spots = [SPOT, (-3.0, 2.0, -1.0), (0.5, 3.0, 1.5)]
    series = series_of(*spots, angles=angles)
    volume = genfire(series, iterations=40)
    grid = np.stack(np.meshgrid(*(volume[axis] for axis in "zyx"), indexing="ij"))
    truth = sum(
        np.exp(-((grid - np.array(spot[::-1])[:, None, None, None]) ** 2).sum(0) / (2 * SIGMA**2)) for spot in spots
    )
    assert np.corrcoef(volume["density"].values.ravel(), np.asarray(truth).ravel())[0, 1] > 0.99
    np.testing.assert_allclose(peak(genfire(series_of(angles=angles))), SPOT, atol=0.02)


def test_tilts_all_around_give_the_volume_back() -> None:
    theta = np.arange(0, 180, 3.0)
    spots = [SPOT, (-3.0, 2.0, -1.0), (0.5, 3.0, 1.5)]
    volume = genfire(series_of(*spots, angles=np.stack([0 * theta, theta, 0 * theta], axis=1)))
    grid = np.stack(np.meshgrid(*(volume[axis] for axis in "zyx"), indexing="ij"))
    truth = sum(
        np.exp(-((grid - np.array(spot[::-1])[:, None, None, None]) ** 2).sum(0) / (2 * SIGMA**2)) for spot in spots
    )
    assert np.corrcoef(volume["density"].values.ravel(), np.asarray(truth).ravel())[0, 1] > 0.998


def test_step_times_sum_of_density_is_the_image() -> None:
    series = series_of()
    total = float(series["image"].sum(["y", "x"]).mean())
    fine = genfire(series, oversampling=3.0, radius=0.1)
    assert float(fine["density"].sum()) * STEP == pytest.approx(total, rel=0.02)
    volume = genfire(series)
    assert float(volume["density"].sum()) * STEP == pytest.approx(total, rel=0.1)
    assert volume["density"].attrs["units"] == "count/angstrom"
    assert (volume["density"].values >= 0).all()
    assert float(fine["r1"].mean()) < 0.06


def test_the_published_iteration_converges_and_momentum_gets_there_sooner() -> None:
    series = series_of()
    plain = genfire(series, momentum=False, iterations=40)
    assert (np.diff(plain["r_fourier"]) < 0).all()
    assert float(genfire(series, iterations=40)["r_fourier"][-1]) < float(plain["r_fourier"][-1])


@pytest.mark.filterwarnings("ignore:.*is negative:aetx.errors.AetxWarning")
def test_held_out_points_see_noise_that_is_fitted() -> None:
    series = series_of()
    noise = np.random.default_rng(0).normal(0, 0.3, series["image"].shape).astype(np.float32)
    noisy = series.assign(image=series["image"] + xr.DataArray(noise, dims=series["image"].dims))
    noisy["image"].attrs["units"] = "count"
    volume = genfire(noisy, iterations=100, shells=5)
    assert float(volume["r_free"][-1]) > 1.1 * float(volume["r_work"][-1])
    assert volume["r_free_shell"].sizes == {"shell": 5}
    assert float(volume["r_free_shell"][0]) < float(volume["r_free_shell"][-1])
    least = int(volume["iteration"].values[volume["r_free"].values.argmin()])
    assert least < 100
    best = genfire(noisy, iterations=100, shells=5, keep="best")
    np.testing.assert_array_equal(best["density"], genfire(noisy, iterations=least, shells=5)["density"])


def test_without_held_out_points_there_is_no_r_free() -> None:
    volume = genfire(series_of(), iterations=3, held_out=0.0)
    assert np.isnan(volume["r_free"]).all()
    assert np.isnan(volume["r_free_shell"]).all()


def test_a_lower_resolution_uses_no_higher_frequency() -> None:
    series = series_of()
    volume = genfire(series, iterations=10, resolution=2.0)
    assert float(volume["frequency"].max()) < 0.5
    with pytest.raises(InputError, match="at least 1 angstrom"):
        genfire(series, resolution=0.9)


def test_most_of_the_low_and_few_of_the_high_frequencies_are_measured() -> None:
    share = genfire(series_of(), iterations=2, shells=8)["measured_shell"].values
    # Twenty-one slabs of 0.6 about planes through the origin, where they do not overlap: 21 * 0.6 / (2 |k|).
    np.testing.assert_allclose(share[3:], 21 * 0.6 / (2 * (np.arange(3, 8) + 0.5) * 25 / 8), rtol=0.15)
    assert share[0] > 0.5


def test_a_support_keeps_the_density_inside() -> None:
    series = series_of()
    free = genfire(series, iterations=10)
    inside = ((free["z"] - 3) ** 2 + (free["y"] + 1.5) ** 2 + (free["x"] - 2) ** 2 < 9).transpose("z", "y", "x")
    support = free[["density"]].assign(support=inside.assign_attrs(NONE))
    volume = genfire(series, support, iterations=10)
    assert float(volume["density"].where(~inside).max()) == 0.0
    assert float(volume["density"].where(inside).max()) > 0.0
    with pytest.raises(InputError, match="on the grid of the reconstruction"):
        genfire(series, support.isel(z=slice(2, None)), iterations=1)


def test_a_thickness_sets_the_depth() -> None:
    volume = genfire(series_of(), iterations=20, thickness=10.0)
    assert dict(volume["density"].sizes) == {"z": 20, "y": 24, "x": 25}
    np.testing.assert_allclose(peak(volume), SPOT, atol=0.05)


def test_hidden_pixels_are_refused() -> None:
    series = series_of()
    mask = np.ones(series["image"].shape, bool)
    whole = series.assign(mask=(series["image"].dims, mask, NONE))
    np.testing.assert_array_equal(genfire(whole, iterations=2)["density"], genfire(series, iterations=2)["density"])
    mask[3, 4, 5] = False
    with pytest.raises(InputError, match="1 pixels hidden by the mask"):
        genfire(series.assign(mask=(series["image"].dims, mask, NONE)))


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    with pytest.raises(EnvironmentFault, match=r"give --memory \d+MB"):
        genfire(series_of(), memory=10**5)
