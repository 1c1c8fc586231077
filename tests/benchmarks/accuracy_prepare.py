"""Register raw frames and mend their lines, and print what is left of shifts, of line errors, and of errors of images.

Run as ``python -m tests.benchmarks.accuracy_prepare [tilts]``. A platinum particle of 5 nm, its images by
`simulate.images`, three frames of 0.358 A a pixel for each tilt with 2552 e/A**2 each, a background of 0.5 %, a drift
of 5 pixels in the time of a frame, rows that jump by 0.3 pixels. Root mean squares in pixels over the specimen, less
the shift that all frames share: `shift`, the error of the places of frames to each other; `line`, of single lines along
themselves; `x` and `y`, of what is left in the mean of the frames. `image` is the deviation of that mean from the
undistorted image, squared, over that of the mean of as many undistorted frames with noise of their own; `variance` what
the stage tells of it, over what it is.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.stages.prepare.frames import frames as register
from aetx.stages.prepare.scan import scan
from aetx.stages.simulate.frames import frames as acquire
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle

F64 = NDArray[np.float64]
STEP, PIXELS, DOSE, BACKGROUND, RADIUS = 0.358, 224, 7656.0, 0.005, 23.0
DISTORTED: dict[str, Any] = {"drift": 5 * STEP, "jitter": 0.3 * STEP, "background": BACKGROUND, "dose": DOSE}
CASES: tuple[tuple[str, tuple[float, ...], dict[str, Any]], ...] = (
    ("one direction, even drift only", (0.0,), {"rounds": 0}),
    ("one direction", (0.0,), {}),
    ("two directions, even drift only", (0.0, 90.0), {"rounds": 0}),
    ("two directions", (0.0, 90.0), {}),
    ("two directions, waves along rows", (0.0, 90.0), {"combine": "fast"}),
    ("all three differ", (0.0, 90.0, 45.0), {}),
)


def left(raw: xr.Dataset, made: xr.Dataset, tilt: int) -> F64:
    """Return rms errors of a tilt in pixels: places of frames, lines along themselves, x and y of the mean."""
    grid = (np.arange(PIXELS) - PIXELS // 2) * STEP
    y, x = (one[np.hypot(*np.meshgrid(grid, grid)) < RADIUS] for one in np.meshgrid(grid, grid, indexing="ij"))
    away = []
    for k, turn in enumerate(np.deg2rad(raw["scan_direction"].values)):
        true = [raw[f"true_line_{axis}"].values[tilt, k] for axis in "xy"]
        found = [made[f"line_{axis}"].values[tilt, k] for axis in "xy"]
        height = grid - (true[1] * np.cos(turn) - true[0] * np.sin(turn))  # where in the specimen each row was
        row = np.clip(np.searchsorted(height, y * np.cos(turn) - x * np.sin(turn)), 0, PIXELS - 1)
        away.append([(found[axis] - true[axis])[row] for axis in range(2)])
    displaced = np.array(away) / STEP  # frames, axes, pixels
    displaced -= displaced.mean(axis=(0, 2), keepdims=True)
    turns = np.deg2rad(raw["scan_direction"].values)
    along = displaced[:, 0] * np.cos(turns)[:, None] + displaced[:, 1] * np.sin(turns)[:, None]
    places = displaced.mean(axis=2)
    return np.array([np.sqrt((places**2).mean()), along.std(), *displaced.mean(axis=0).std(axis=1)])


def main() -> None:
    tilts = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    still = images(particle(smallest=50.0, largest=54.0, seed=1), tilts=tilts, pixels=PIXELS, pixel_size=STEP).compute()
    truth = (still["image"].values + BACKGROUND) * DOSE / 3 * STEP**2
    y, x = still["y"].values[:, None], still["x"].values[None, :]
    inside = np.hypot(x, y) < RADIUS
    ideal = float(truth[:, inside].mean() / 3)
    heads = ("shift", "line", "x", "y", "image", "variance", "s/tilt")
    print(f"{'':<36}", *(f"{name:>8}" for name in heads))
    for name, turns, options in CASES:
        raw = acquire(still, scan_directions=turns, **DISTORTED).compute()
        began = time.process_time()
        made = scan(raw, **options).compute()
        seconds = (time.process_time() - began) / tilts
        errors = np.sqrt(np.mean([left(raw, made, i) ** 2 for i in range(tilts)], axis=0))
        row = [*errors, *_quality(made, truth, inside, ideal), seconds]
        print(f"{name:<36}", *(f"{one:8.3f}" for one in row), flush=True)
    raw = acquire(still, **DISTORTED).compute()
    began = time.process_time()
    made = register(raw).compute()
    seconds = (time.process_time() - began) / tilts
    quality = _quality(made, truth, inside, ideal)
    print(f"{'prepare.frames, one direction':<36}", " " * 35, *(f"{one:8.3f}" for one in [*quality, seconds]))


def _quality(made: xr.Dataset, truth: F64, inside: NDArray[np.bool_], ideal: float) -> tuple[float, float]:
    """Return the squared deviation over that of ideal frames, and the variance that is told over it."""
    square = float(((made["image"].values - truth)[:, inside] ** 2).mean())
    return square / ideal, float(made["variance"].values[:, inside].mean()) / square


if __name__ == "__main__":
    main()
