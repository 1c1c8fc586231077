"""simulate.frames: every row of every frame shows the atoms where the record of its motion says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError

from aetx.errors import InputError
from aetx.stages.simulate.frames import frames

STEP, SIZE = 0.4, 64
CENTRES = np.array([[-4.0, 1.0], [2.5, -3.0], [0.0, 0.0], [3.0, 4.5]])
WIDTH = 0.9


def gaussians(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Atoms of a known place, width and height, wherever they are asked for."""
    away = [(x - u) ** 2 + (y - v) ** 2 for u, v in CENTRES]
    return 1e-3 * np.sum([np.exp(-one / (2 * WIDTH**2)) for one in away], axis=0)


def scene(tilts: int = 2) -> xr.Dataset:
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    image = np.broadcast_to(gaussians(grid[None, :], grid[:, None]), (tilts, SIZE, SIZE)).astype(np.float32)
    angle, length = {"units": "degree"}, {"units": "angstrom"}
    poses = {name: ("tilt", np.linspace(0, 5, tilts), angle) for name in ("phi", "theta", "psi")}
    coords = {"tilt": ("tilt", np.arange(tilts), {"units": "1"}), **poses}
    coords |= {"y": ("y", grid, length), "x": ("x", grid, length)}
    return xr.Dataset({"image": (("tilt", "y", "x"), image, {"units": "1"})}, coords, {"aetx_schema": "tilt_series/1"})


MOVING: dict[str, Any] = {"drift": 2.0, "wander": 0.4, "jitter": 0.12, "slow_jitter": 0.08, "shift": 0.5, "pause": 0.1}


@pytest.mark.parametrize("directions", [(0.0,), (0.0, 90.0), (30.0, -90.0, 180.0)])
def test_every_pixel_shows_the_atoms_where_the_scan_was_at_that_time(directions: tuple[float, ...]) -> None:
    made = frames(scene(), frames=3, scan_directions=directions, dose=1e6, noise="none", **MOVING)
    grid = made["x"].values
    for tilt in range(2):
        for frame, turn in enumerate(np.deg2rad(made["scan_direction"].values)):
            u, v = grid[None, :], grid[:, None]
            x = u * np.cos(turn) - v * np.sin(turn) - made["true_line_x"].values[tilt, frame][:, None]
            y = u * np.sin(turn) + v * np.cos(turn) - made["true_line_y"].values[tilt, frame][:, None]
            expected = gaussians(x, y) * 1e6 / 3 * STEP**2
            seen = (np.abs(x) < -grid[0]) & (np.abs(y) < -grid[0])
            assert_allclose(made["image"].values[tilt, frame][seen], expected[seen], atol=2e-3 * expected.max())


def test_the_drift_goes_on_from_frame_to_frame_and_the_truth_is_its_mean() -> None:
    made = frames(scene(), frames=4, drift=2.0, drift_direction=30.0, pause=0.5, noise="none")
    step = np.diff(made["true_frame_x"].values, axis=1), np.diff(made["true_frame_y"].values, axis=1)
    assert_allclose(step[0], 3 * np.cos(np.pi / 6))
    assert_allclose(step[1], 3 * np.sin(np.pi / 6))
    lines = made["true_line_x"].values
    assert_allclose(lines[:, :, -1] - lines[:, :, 0], 2 * np.cos(np.pi / 6) * (SIZE - 1) / SIZE, rtol=1e-5)
    assert_allclose(made["true_drift_y"], 1.0)


def test_rows_tremble_along_the_scan_and_independently() -> None:
    made = frames(scene(20), frames=2, scan_directions=(0.0, 90.0), jitter=0.3, noise="none")
    x, y = made["true_line_x"].values, made["true_line_y"].values
    assert_allclose([x[:, 0].std(), y[:, 1].std()], 0.3, rtol=0.05)
    assert_allclose([y[:, 0].std(), x[:, 1].std()], 0, atol=1e-7)
    assert abs((x[:, 0, 1:] * x[:, 0, :-1]).mean()) < 0.1 * 0.09


def test_frames_share_the_dose_and_their_noise_is_their_own() -> None:
    flat = scene()
    flat = flat.assign(image=(flat["image"] * 0).assign_attrs(units="1"))
    made = frames(flat, frames=2, dose=5e3, background=0.1)["image"].values
    assert_allclose(made.mean(), 5e3 / 2 * STEP**2 * 0.1, rtol=0.02)
    assert_allclose(made.var(), made.mean(), rtol=0.05)
    assert abs(np.corrcoef(made[0, 0].ravel(), made[0, 1].ravel())[0, 1]) < 0.05


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="3 scan_directions for 2 frames"):
        frames(scene(), frames=2, scan_directions=(0.0, 90.0, 0.0))
    counted = scene()
    counted["image"].attrs["units"] = "count"
    with pytest.raises(InputError, match="fractions of the incident electrons"):
        frames(counted)
