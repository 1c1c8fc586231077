"""Fit many noisy series of a small particle, and print whether the error bars are as wide as the errors.

Run as ``python -m tests.benchmarks.accuracy_errors [--trials N] [--atoms N] [--seed S] [--json]``. The images are drawn
with plain numpy; positions, angles and shifts (and in other cases heights, widths, scales and backgrounds) are fitted
together, from 10 pm and 0.3 degree away. A pull is an error after rigid alignment over its standard error; pulls of
right error bars have a width of 1. In the last case each atom's signal varies from image to image by 15 %, which the
model does not know, and the error bars are shown without and with what the residuals say.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.kernels import model_error, uncertainty
from aetx.kernels.refinement import Free, Linear, Noise, Plan, Prior, Scene, State, fit

F64 = NDArray[np.float64]
STEP, WIDTH, ELECTRONS = 0.358, 0.45, 175.0
WEIGHT, SPREAD = np.ones((1, 1)), np.zeros((1, 1))


@dataclass(frozen=True)
class Case:
    """What is fitted, how much the signal of an atom varies between images, and the background, counts in a pixel."""

    name: str
    free: Free
    prior: Prior = field(default_factory=Prior)
    flicker: float = 0.0
    background: float = 0.5


POSES = Free(scale=False, background=False, heights="fixed", widths="fixed")
CASES = (
    Case("angles and shifts", POSES),
    Case("nearly no background", POSES, background=0.02),
    Case("shared height and width, scales, backgrounds", Free()),
    Case("height of each atom", Free(heights="each", widths="shared")),
    Case("height and width of each, held at 10 %", Free(heights="each", widths="each"), Prior(height=0.1, width=0.1)),
    Case("signals vary by 15 %", POSES, flicker=0.15),
)


def cluster(atoms: int, seed: int) -> F64:
    """Return atoms at least 2.3 angstrom apart in a ball."""
    generator = np.random.default_rng(seed)
    radius, place = 1.55 * atoms ** (1 / 3), np.zeros((0, 3))
    while len(place) < atoms:
        one = generator.uniform(-radius, radius, 3)
        if np.linalg.norm(one) < radius and (np.linalg.norm(place - one, axis=1) > 2.3).all():
            place = np.vstack([place, one])
    return place


def expected(position: F64, height: F64, turned: F64, axis: F64, background: float) -> F64:
    """Return mean counts of atoms as plain Gaussians at the centres of pixels; heights of shape (T, N)."""
    made = []
    for image, rotation in enumerate(turned):
        p = position @ rotation
        g = [np.exp(-0.5 * ((axis - p[:, i, None]) / WIDTH) ** 2) * STEP / np.sqrt(2 * np.pi) / WIDTH for i in (0, 1)]
        made.append(np.einsum("n,ny,nx->yx", height[image], g[1], g[0]) + background)
    return np.array(made)


def aligned(found: F64, true: F64) -> F64:
    """Return positions after the rotation and shift that bring them closest to the truth."""
    middle = found.mean(0), true.mean(0)
    turn = Rotation.align_vectors(true - middle[1], found - middle[0])[0]
    moved: F64 = turn.apply(found - middle[0]) + middle[1]
    return moved


def calibrated(case: Case, trials: int, atoms: int, seed: int, tilts: int = 15) -> dict[str, Any]:
    """Return widths of the pulls along the axes, of those with widened error bars, and the error over its bound."""
    began, generator = time.process_time(), np.random.default_rng(seed)
    position = cluster(atoms, seed)
    angles = np.stack([np.zeros(tilts), np.linspace(-65, 65, tilts), np.zeros(tilts)], axis=1)
    turned = Rotation.from_euler("ZYX", angles, degrees=True).as_matrix()
    half = int((np.linalg.norm(position, axis=1).max() + 3.0) / STEP)
    axis, size = STEP * np.arange(-half, half + 1), 2 * half + 1
    pulls, widened, square, bars, found = [], [], [], [], []
    for trial in range(trials):
        signal = ELECTRONS * np.maximum(1.0 + case.flicker * generator.standard_normal((tilts, atoms)), 0.0)
        counts = generator.poisson(expected(position, signal, turned, axis.astype(np.float64), case.background))
        scene = Scene(counts.astype(np.float32), STEP, np.full(2, axis[0]), [None], 0, (size, size), np.zeros(1))
        away = Rotation.from_rotvec(np.deg2rad(generator.normal(0, 0.3, (tilts, 3)))).as_matrix()
        start = State(
            position + generator.normal(0, 0.1, position.shape),
            np.full(atoms, ELECTRONS),
            np.full(atoms, WIDTH),
            np.zeros(atoms, np.int64),
            np.arange(atoms),
            turned @ away,
            np.zeros((tilts, 2)),
            np.ones(tilts),
            np.full(tilts, case.background),
            np.zeros((tilts, 3)),
        )
        noise = Noise(offset=1e-3)
        ended = fit(scene, start, case.free, noise, Plan(rounds=20, inner=60, tolerance=1e-4), case.prior)
        weight = np.stack([noise.weight(i, one, None) for i, one in enumerate(ended.models)])
        linear = Linear(scene, ended.state, case.free, weight, case.prior)
        exact = uncertainty.exact(linear, WEIGHT, SPREAD).atoms
        sigma = np.sqrt(np.diagonal(exact, axis1=1, axis2=2)[:, :3])
        drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 3, trial)
        told = model_error.excess(linear, scene.images - ended.models, drawn)
        error = aligned(ended.state.position, position) - position
        pulls.append(error / sigma)
        widened.append(error / sigma / np.sqrt(told.atoms)[:, None])
        square.append((error**2).sum(1).mean())
        bars.append((sigma**2).sum(1).mean())
        found.append(told.atoms.mean())
    every = np.concatenate(pulls)
    return {
        "case": case.name,
        "trials": trials,
        "pull_width": np.sqrt((every**2).mean(0)).tolist(),
        "pull_width_error": float(1 / np.sqrt(2 * len(every))),
        "beyond_two": float((np.abs(every) > 2).mean()),
        "widened_pull_width": np.sqrt((np.concatenate(widened) ** 2).mean(0)).tolist(),
        "excess": float(np.mean(found)),
        "rmsd_pm": 100 * float(np.sqrt(np.mean(square))),
        "ratio": float(np.sqrt(np.mean(square) / np.mean(bars))),
        "cpu_seconds": time.process_time() - began,
    }


def main() -> None:
    """Print a table, or one JSON object for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for case in CASES:
        row = calibrated(case, options.trials, options.atoms, options.seed)
        if options.json:
            print(json.dumps(row))
            continue
        x, y, z = row["pull_width"]
        print(f"{row['case']}: pulls {x:.3f} {y:.3f} {z:.3f} +- {row['pull_width_error']:.3f}", end="")
        x, y, z = row["widened_pull_width"]
        print(f"; with the residuals {x:.3f} {y:.3f} {z:.3f} (excess {row['excess']:.3f})", end="")
        print(f"; RMSD {row['rmsd_pm']:.2f} pm, {row['ratio']:.3f} x bound; {row['cpu_seconds']:.0f} s")


if __name__ == "__main__":
    main()
