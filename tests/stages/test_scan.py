"""prepare.scan: lines that were moved by known amounts, in frames that plain formulas made, go back."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.errors import AetxWarning
from aetx.stages.prepare.scan import scan

STEP, SIZE, WIDTH = 0.4, 96, 0.7
generator = np.random.default_rng(3)
CENTRES = generator.uniform(-13, 13, (220, 2))
CENTRES = CENTRES[np.hypot(*CENTRES.T) < 13]
ANGLE, LENGTH, NONE = {"units": "degree"}, {"units": "angstrom"}, {"units": "1"}
INNER = slice(SIZE // 2 - 28, SIZE // 2 + 28)


def atoms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 10 + 200 * np.sum([np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * WIDTH**2)) for u, v in CENTRES], axis=0)


Lines = tuple[tuple[str, ...], np.ndarray, dict[str, str]]


def raw(turns: tuple[float, ...], drift: tuple[float, float], jitter: float, seed: int = 0) -> xr.Dataset:
    """Counted scans: row i of frame k sees the atoms moved by drift * time and by its own jitter along the row."""
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    rng = np.random.default_rng(seed)
    made, line_x, line_y = [], [], []
    for k, degrees in enumerate(turns):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        time = k - (len(turns) - 1) / 2 + (np.arange(SIZE) - SIZE // 2) / SIZE
        own = rng.normal(0, jitter, SIZE)
        x, y = drift[0] * time + own * c, drift[1] * time + own * s
        u, v = grid[None, :], grid[:, None]
        made.append(rng.poisson(atoms(u * c - v * s - x[:, None], u * s + v * c - y[:, None])))
        line_x.append(x)
        line_y.append(y)
    poses = {name: ("tilt", np.zeros(1), ANGLE) for name in ("phi", "theta", "psi")}
    coords = {"tilt": ("tilt", np.arange(1), NONE), **poses, "y": ("y", grid, LENGTH), "x": ("x", grid, LENGTH)}
    coords |= {"scan_direction": ("frame", np.array(turns), ANGLE)}
    dims = ("tilt", "frame", "y", "x")
    data: dict[str, Lines] = {"image": (dims, np.array([made], np.float32), {"units": "count"})}
    data |= {"true_x": (dims[:3], np.array([line_x]), LENGTH), "true_y": (dims[:3], np.array([line_y]), LENGTH)}
    return xr.Dataset(data, coords, {"aetx_schema": "raw_series/1"})


def left(made: xr.Dataset, given: xr.Dataset) -> np.ndarray:
    """Return found less true places of the lines that cross the atoms, less the shift of all, in pixels."""
    away = np.stack([made[f"line_{axis}"].values - given[f"true_{axis}"].values for axis in "xy"])[:, 0, :, INNER]
    found: np.ndarray = (away - away.mean(axis=(1, 2), keepdims=True)) / STEP
    return found


@pytest.mark.parametrize("turns", [(0.0, 90.0), (0.0, 83.0), (0.0, 90.0, 0.0)])
def test_scans_that_cross_tell_drift_and_jitter(turns: tuple[float, ...]) -> None:
    given = raw(turns, (1.6, -1.2), 0.12)
    made = scan(given)
    assert np.sqrt((left(made, given) ** 2).mean()) < 0.05
    assert_allclose(made["jitter"], 0.12, rtol=0.2)
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    still = atoms(grid[None, :], grid[:, None])
    away = (made["image"].values[0] - still)[INNER, INNER]
    assert np.sqrt((away**2).mean()) < 0.04 * still.max()
    drifted = (scan(given, rounds=0)["image"].values[0] - still)[INNER, INNER]
    assert (away**2).mean() < 0.5 * (drifted**2).mean()


def test_scans_of_one_direction_are_mended_too() -> None:
    given = raw((0.0, 0.0, 0.0), (1.6, -1.2), 0.12)
    away = left(scan(given), given)
    assert np.sqrt((away[0] ** 2).mean()) < 0.13
    assert np.abs(away[1]).max() < 0.06
    before = left(scan(given, rounds=0), given)
    assert np.sqrt((before[0] ** 2).mean()) > 0.25
    assert away[0].mean(axis=0).std() < 0.75 * before[0].mean(axis=0).std(), "of what the scans share, the fast part"
    again = left(scan(given, rounds=40), given)
    assert np.sqrt((again[0] ** 2).mean()) < 0.13, "more rounds do no harm"


def test_of_a_single_scan_the_fast_part_of_the_jitter_is_found() -> None:
    given = raw((0.0,), (0.0, 0.0), 0.12)
    away = left(scan(given), given)[0, 0]
    true = given["true_x"].values[0, 0, INNER] / STEP
    assert away.std() < 0.65 * true.std()
    assert np.diff(away).std() < 0.35 * np.diff(true).std()


def test_scans_without_jitter_are_left_alone() -> None:
    given = raw((0.0, 90.0), (1.6, -1.2), 0.0)
    assert np.sqrt((left(scan(given), given) ** 2).mean()) < 0.02


def test_waves_of_the_scans_along_them_make_up_the_image() -> None:
    given = raw((0.0, 90.0), (0.0, 0.0), 0.0)
    wave = 50 + 10 * np.cos(2 * np.pi * np.arange(SIZE) / 8)
    first, second = np.tile(wave, (SIZE, 1)), np.full((SIZE, SIZE), 50.0)
    image = given["image"].copy(data=np.array([[first, second]], np.float32))
    with pytest.warns(AetxWarning, match="nothing in common"):
        made = {how: scan(given.assign(image=image), rounds=0, combine=how) for how in ("mean", "fast")}
    amplitude = {how: float(np.ptp(one["image"].values[0, INNER, INNER])) for how, one in made.items()}
    assert_allclose(amplitude["fast"], 20, rtol=1e-2)
    assert_allclose(amplitude["mean"], 10, rtol=1e-2)
    rise = float((made["fast"]["variance"] / made["mean"]["variance"]).median())
    assert_allclose(rise, 1.435, rtol=0.01)
