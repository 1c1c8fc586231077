"""Equal-slope tomography: places, signs, scale, lines, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.errors import AetxWarning, InputError
from aetx.stages.reconstruct.est import est

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
STEP, SIGMA = 0.5, 0.8
SPOT = (2.0, -1.5, 3.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def equal_slopes(lines: int) -> NDArray[np.float64]:
    """Return the tilts of every line with an even number, degree."""
    slope = 2 * np.arange(-lines // 2, lines // 2, 2) / lines
    return np.sort(np.rad2deg(np.concatenate([np.arctan(slope), np.arctan(slope) + np.pi / 2])))


def series_of(theta: NDArray[np.float64], height: int = 12, width: int = 24) -> xr.Dataset:
    """Return images of a Gaussian spot about y: p_x = x cos(theta) - z sin(theta), p_y = y."""
    y, x = (np.arange(height) - height // 2) * STEP, (np.arange(width) - width // 2) * STEP
    u = SPOT[0] * np.cos(np.deg2rad(theta)) - SPOT[2] * np.sin(np.deg2rad(theta))
    image = np.exp(-((x - u[:, None, None]) ** 2 + (y[:, None] - SPOT[1]) ** 2) / (2 * SIGMA**2))
    zero = np.zeros(theta.size)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(theta.size), NONE),
            "y": ("y", y, LENGTH),
            "x": ("x", x, LENGTH),
            "phi": ("tilt", zero, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", zero, ANGLE),
        },
    )


def truth(volume: xr.Dataset) -> NDArray[np.float64]:
    square = sum((volume[axis] - place) ** 2 for axis, place in zip("xyz", SPOT, strict=True))
    density = np.exp(-square / (2 * SIGMA**2)) / (np.sqrt(2 * np.pi) * SIGMA)
    return np.asarray(density.transpose("z", "y", "x"))


def centre_of_mass(volume: xr.Dataset) -> dict[str, float]:
    density = volume["density"].where(volume["density"] > 0.2 * volume["density"].max(), 0).astype(float)
    return {axis: float((density * volume[axis]).sum() / density.sum()) for axis in "xyz"}


@pytest.mark.parametrize("width", [24, 25])
def test_tilts_all_around_give_the_density_back(width: int) -> None:
    volume = est(series_of(equal_slopes(24), width=width), iterations=60)
    wanted = truth(volume)
    assert np.abs(volume["density"] - wanted).max() < 0.02 * wanted.max()
    assert float(volume["r_fourier"].max()) < 0.02
    assert volume["density"].attrs["units"] == "count/angstrom"


def test_a_spot_comes_back_where_it_is_from_a_limited_range() -> None:
    volume = est(series_of(np.linspace(-70, 70, 15)), iterations=200)
    assert centre_of_mass(volume) == pytest.approx(dict(zip("xyz", SPOT, strict=True)), abs=0.05)
    total = float(volume["density"].sum()) * STEP
    assert total == pytest.approx(2 * np.pi * SIGMA**2 / STEP**2, rel=0.02)


def test_the_sign_of_theta_decides_the_hand() -> None:
    series = series_of(np.linspace(-70, 70, 15))
    mirrored = series.assign_coords(theta=("tilt", -series["theta"].values, ANGLE))
    assert centre_of_mass(est(mirrored))["z"] == pytest.approx(-SPOT[2], abs=0.05)


def test_tilts_of_equal_slope_keep_their_angles_and_others_move_by_little() -> None:
    exact = equal_slopes(24)
    np.testing.assert_allclose(est(series_of(exact), iterations=1)["line_theta"], exact, atol=1e-9)
    theta = np.linspace(-65, 65, 21)
    moved = np.deg2rad(est(series_of(theta), iterations=1)["line_theta"].values - theta)
    assert 0 < np.abs(moved).max() * 12 <= 0.125


def test_an_image_too_many_on_a_line_is_averaged() -> None:
    theta = equal_slopes(24)
    series = series_of(theta)
    twice = xr.concat([series, series.isel(tilt=[3])], dim="tilt").assign_coords(tilt=np.arange(theta.size + 1))
    twice["tilt"].attrs["units"] = "1"
    np.testing.assert_allclose(est(twice)["density"], est(series)["density"], atol=1e-5)


def test_few_lines_draw_a_warning() -> None:
    with pytest.warns(AetxWarning, match="give more slopes"):
        est(series_of(np.linspace(-65, 65, 21)), iterations=1, slopes=8)
    with pytest.raises(InputError, match="an even number"):
        est(series_of(np.linspace(-65, 65, 21)), slopes=9)


@pytest.mark.parametrize("name", ["phi", "psi"])
def test_tilts_about_several_axes_are_refused(name: str) -> None:
    series = series_of(np.linspace(-65, 65, 5))
    turned = series.assign_coords({name: ("tilt", np.full(5, 0.5), ANGLE)})
    with pytest.raises(InputError, match="0, tilts about y alone"):
        est(turned)


def test_hidden_pixels_are_refused() -> None:
    series = series_of(np.linspace(-65, 65, 5))
    mask = np.ones(series["image"].shape, bool)
    mask[3, 4, 5] = False
    with pytest.raises(InputError, match="pixels that are hidden"):
        est(series.assign(mask=(series["image"].dims, mask, NONE))).compute()


def test_a_support_keeps_the_density_inside() -> None:
    series = series_of(np.linspace(-65, 65, 21))
    free = est(series, iterations=2)
    inside = ((free["z"] - 3) ** 2 + (free["x"] - 2) ** 2 + 0 * free["y"] < 9).transpose("z", "y", "x")
    support = free[["density"]].assign(support=inside.assign_attrs(NONE))
    volume = est(series, support, iterations=10)
    assert float(volume["density"].where(~inside).max()) == 0.0
    assert float(volume["density"].where(inside).max()) > 0.0


def test_momentum_gets_there_sooner() -> None:
    series = series_of(np.linspace(-65, 65, 21))
    plain, fast = (est(series, momentum=momentum, iterations=30) for momentum in (False, True))
    assert float(fast["r_fourier"].mean()) < 0.7 * float(plain["r_fourier"].mean())
