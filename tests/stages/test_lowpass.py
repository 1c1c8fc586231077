"""prepare.lowpass: waves within the circle pass, waves beyond do not."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError

from aetx.errors import AetxWarning
from aetx.stages.prepare.lowpass import LowpassParams, lowpass

STEP, SIZE = 0.358, 160


def series_of(image: np.ndarray, **more: np.ndarray) -> xr.Dataset:
    count = len(image)
    grid = (np.arange(image.shape[-1]) - image.shape[-1] // 2) * STEP
    poses = {name: ("tilt", np.zeros(count), {"units": "degree"}) for name in ("phi", "theta", "psi")}
    axes = {name: (name, grid, {"units": "angstrom"}) for name in "yx"}
    planes = {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})}
    planes |= {name: (("tilt", "y", "x"), one.astype(np.float32), {"units": "count**2"}) for name, one in more.items()}
    coords = {"tilt": ("tilt", np.arange(count), {"units": "1"}), **poses, **axes}
    return xr.Dataset(planes, coords, {"aetx_schema": "tilt_series/1"})


def left(frequency: float, angle: float) -> float:
    """Return what the filter leaves of the amplitude of a wave, far from the edges."""
    grid = np.arange(SIZE) * STEP
    phase = 2 * np.pi * frequency * (np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None])
    made = lowpass(series_of(np.cos(phase)[None]))["image"].values[0]
    inner = slice(40, -40)
    return float(made[inner, inner].std() / np.cos(phase)[inner, inner].std())


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2])
def test_the_edge_is_a_raised_cosine_at_half_the_diameter(angle: float) -> None:
    assert_allclose(left(0.9, angle), 1, atol=5e-3)
    assert_allclose(left(1.04, angle), 0.5, atol=0.03)
    assert_allclose(left(1.0525, angle), 0.5 - 0.5 * np.sin(np.pi * 0.25), atol=0.03)
    assert left(1.15, angle) < 0.02


def test_noise_has_the_variance_told() -> None:
    rng = np.random.default_rng(0)
    variance = np.ones((60, 64, 64)) * np.linspace(1, 3, 64)
    made = lowpass(series_of(rng.standard_normal((60, 64, 64)) * np.sqrt(variance), variance=variance), diameter=1.4)
    share = np.pi * 0.7**2 * STEP**2
    told = made["variance"].values[0]
    assert_allclose(told[16:-16, 16:-16].mean(), share * 2, rtol=0.03)
    found = made["image"].values.var(axis=0)
    assert_allclose(found[16:-16, 16:32].mean() / told[16:-16, 16:32].mean(), 1, rtol=0.05)
    assert_allclose(found[16:-16, 32:48].mean() / told[16:-16, 32:48].mean(), 1, rtol=0.05)


def test_the_mean_stays_and_edges_do_not_ring() -> None:
    ramp = np.tile(np.linspace(10, 50, 64), (1, 64, 1))
    made = lowpass(series_of(ramp), diameter=1.0)["image"].values
    assert_allclose(made.mean(), ramp.mean(), rtol=1e-6)
    assert np.abs(made - ramp).max() < 0.5


def test_a_circle_that_holds_everything_is_told_of_and_an_edge_wider_than_it_refused() -> None:
    series = series_of(np.random.default_rng(1).random((1, 32, 32)))
    with pytest.warns(AetxWarning, match="nothing is filtered"):
        made = lowpass(series, diameter=5.0)
    assert_allclose(made["image"], series["image"], atol=1e-6)
    with pytest.raises(ValidationError, match="wider than the circle"):
        LowpassParams(diameter=0.1, edge=0.2)
