"""prepare.frames: known drift comes out of frames that plain formulas made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.errors import AetxWarning, InputError
from aetx.stages.prepare.frames import frames

STEP, SIZE, WIDTH = 0.4, 80, 0.8
CENTRES = np.random.default_rng(3).uniform(-9, 9, (45, 2))
ANGLE, LENGTH, NONE = {"units": "degree"}, {"units": "angstrom"}, {"units": "1"}


def atoms(x: np.ndarray, y: np.ndarray, height: float = 30.0) -> np.ndarray:
    return 3 + height * np.sum([np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * WIDTH**2)) for u, v in CENTRES], axis=0)


def raw(drift: Any, count: int = 3, turn: float = 0.0, noisy: bool = False, pause: float = 0.0) -> xr.Dataset:
    """Frames of atoms that drift evenly, `drift` (x, y) angstrom in the time of a frame; each row at its own time."""
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    made = np.empty((2, count, SIZE, SIZE))
    generator = np.random.default_rng(7)
    for k in range(count):
        time = (k - (count - 1) / 2) * (1 + pause) + (np.arange(SIZE) + 0.5) / SIZE - 0.5
        u, v = grid[None, :], grid[:, None]
        x, y = u * c - v * s - drift[0] * time[:, None], u * s + v * c - drift[1] * time[:, None]
        made[:, k] = atoms(x, y)
    image = (generator.poisson(made) if noisy else made).astype(np.float32)
    poses = {name: ("tilt", np.zeros(2), ANGLE) for name in ("phi", "theta", "psi")}
    coords = {"tilt": ("tilt", np.arange(2), NONE), **poses, "y": ("y", grid, LENGTH), "x": ("x", grid, LENGTH)}
    coords |= {"scan_direction": ("frame", np.full(count, turn), ANGLE)}
    dims = ("tilt", "frame", "y", "x")
    return xr.Dataset({"image": (dims, image, {"units": "count"})}, coords, {"aetx_schema": "raw_series/1"})


def still() -> np.ndarray:
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    return atoms(grid[None, :], grid[:, None])


@pytest.mark.parametrize("turn", [0.0, 90.0, 25.0])
def test_the_drift_is_found_and_undone_within_frames_too(turn: float) -> None:
    made = frames(raw((1.9, -0.8), turn=turn))
    slow = -0.8 * np.cos(np.deg2rad(turn)) - 1.9 * np.sin(np.deg2rad(turn))
    later = 1 / (1 - slow / (SIZE * STEP))  # the scan meets what drifts along with it again after this time
    for name, drift in (("frame_x", 1.9 * later), ("frame_y", -0.8 * later)):
        assert_allclose(made[name].values, np.tile([-drift, 0, drift], (2, 1)), atol=1e-4)
    inner = made["image"].values[0, 12:-12, 12:-12] - still()[12:-12, 12:-12]
    assert np.abs(inner).max() < 0.02 * still().max()
    left = frames(raw((1.9, -0.8), turn=turn), within=False)["image"].values[0, 12:-12, 12:-12]
    assert np.abs(left - still()[12:-12, 12:-12]).max() > 0.1 * still().max()


def test_a_pause_between_frames_is_reckoned_with() -> None:
    made = frames(raw((1.2, 0.8), pause=0.5), pause=0.5)
    met = 1.8 / (1 - 0.8 / (SIZE * STEP))
    assert_allclose(made["frame_x"][0], [-met, 0, met], atol=1e-4)
    assert np.abs(made["image"].values[0, 12:-12, 12:-12] - still()[12:-12, 12:-12]).max() < 0.02 * still().max()


def test_noise_is_averaged_and_its_variance_told() -> None:
    made = frames(raw((1.0, 1.4), noisy=True))
    away = made["image"].values - still()
    inner = (slice(None), slice(12, -12), slice(12, -12))
    told = made["variance"].values[inner]
    assert_allclose((away[inner] ** 2).mean(), told.mean(), rtol=0.1)
    assert 0.7 < told.mean() / (still()[12:-12, 12:-12].mean() / 3) < 1, "that of counts, less what a spline smooths"
    assert np.corrcoef(told[0].ravel(), still()[12:-12, 12:-12].ravel())[0, 1] > 0.8
    later = np.array([-1, 0, 1]) / (1 - 1.4 / (SIZE * STEP))
    error = np.hypot(made["frame_x"] - later, made["frame_y"] - 1.4 * later)
    expected = np.hypot(made["frame_x_error"], made["frame_y_error"])
    assert 0.4 < float(np.sqrt((error**2).mean()) / np.sqrt((expected**2).mean())) < 2
    assert made["variance"].attrs["units"] == "count**2"


def test_a_single_frame_stays_and_has_no_variance() -> None:
    one = raw((0.0, 0.0), count=1, noisy=True)
    made = frames(one)
    assert_allclose(made["image"], one["image"][:, 0])
    assert "variance" not in made
    assert made["mask"].values.all()


def test_what_no_frame_saw_is_masked() -> None:
    made = frames(raw((3.0, 0.0), count=3))
    assert made["mask"].values[:, :, 8:-8].all()
    far = frames(raw((0.0, 0.0), count=2).assign(image=raw((0.0, 0.0), count=2)["image"].shift(x=6, fill_value=3.0)))
    assert far["mask"].values.all()


def test_frames_that_share_nothing_are_told_of() -> None:
    empty = raw((0.0, 0.0))
    empty = empty.assign(image=(empty["image"] * 0 + 1).astype(np.float32).assign_attrs(units="count"))
    with pytest.warns(AetxWarning, match="nothing in common"):
        frames(empty)


def test_scans_of_other_directions_are_for_another_stage() -> None:
    two = raw((0.0, 0.0), count=2).assign_coords(scan_direction=("frame", [0.0, 90.0], ANGLE))
    with pytest.raises(InputError, match=r"prepare\.scan"):
        frames(two)
