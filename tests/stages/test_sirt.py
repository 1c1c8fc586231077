"""SIRT: a spot comes back, and its residual falls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr

from aetx.stages.reconstruct.sirt import sirt

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    """Images of one Gaussian at (1, -2, 3) angstrom under a general rotation, placed by transpose(R) r."""
    rng, tilts, size = np.random.default_rng(5), 21, 24
    phi, theta, psi = rng.uniform(-4, 4, tilts), np.linspace(-70, 70, tilts), rng.uniform(-4, 4, tilts)
    axis = np.arange(size) - size // 2
    image = np.zeros((tilts, size, size))
    for tilt in range(tilts):
        a, b, c = np.deg2rad([phi[tilt], theta[tilt], psi[tilt]])
        rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        rx = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
        u, v, _ = (rz @ ry @ rx).T @ [1, -2, 3]
        image[tilt] = np.exp(-((axis - u) ** 2 + (axis[:, None] - v) ** 2) / 4)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), NONE)},
        {
            "tilt": ("tilt", np.arange(tilts), NONE),
            "y": ("y", axis.astype(float), LENGTH),
            "x": ("x", axis.astype(float), LENGTH),
            "phi": ("tilt", phi, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", psi, ANGLE),
        },
    )


def test_a_spot_comes_back_where_it_is_at_euler_angles(series: xr.Dataset) -> None:
    volume = sirt(series, iterations=60)
    density = volume["density"].where(volume["density"] > 0.2 * volume["density"].max(), 0).astype(float)
    found = [float((density * volume[axis]).sum() / density.sum()) for axis in "xyz"]
    assert found == pytest.approx([1, -2, 3], abs=0.06)
    assert volume["density"].attrs["units"] == "1/angstrom"


def test_the_residual_falls_with_every_step(series: xr.Dataset) -> None:
    volume = sirt(series, iterations=40)
    assert volume["r1_history"].sizes == {"iteration": 41}
    assert (np.diff(volume["r1_history"][1:]) < 0).all()


def test_a_tolerance_stops_it_early(series: xr.Dataset) -> None:
    assert sirt(series, iterations=400, tolerance=0.2).sizes["iteration"] < 400


def test_a_constant_series_gives_a_finite_volume(series: xr.Dataset) -> None:
    flat = xr.full_like(series["image"], 3.0)
    volume = sirt(series.assign(image=flat), iterations=5)
    assert bool(np.isfinite(volume["density"]).all())


def test_the_input_is_left_alone(series: xr.Dataset) -> None:
    before = series.copy(deep=True)
    sirt(series, iterations=2)
    xr.testing.assert_identical(series, before)
