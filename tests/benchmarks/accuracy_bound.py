"""Fit many noisy series by maximum likelihood, and print how far from the Cramer-Rao bound the fits end.

Run as ``python -m tests.benchmarks.accuracy_bound [--trials N] [--seed S] [--json]``. One atom, two atoms that
overlap in most images, both with known poses, and 50 atoms of a disordered cluster, where the angles and shifts of
all images are fitted too. Everything here but the bound itself is written with plain numpy: its own pictures of atoms,
its own derivatives, Poisson counts, and Fisher scoring from the true values until nothing moves. Errors are taken
after rigid alignment (Kabsch) where angles and shifts are fitted.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.stages.measure.bound import bound

F64 = NDArray[np.float64]
STEP, WIDTH, ELECTRONS, PLATINUM = 0.358, 0.45, 175.0, 0.0229191
MARGIN = 3.0
"""Angstrom beyond the atoms that the images show."""


@dataclass(frozen=True)
class Case:
    """Atoms, tilts and what is fitted beside positions."""

    name: str
    position: F64
    theta: F64
    poses: bool
    background: float


def lone() -> Case:
    """Return one atom that is not at the centre."""
    return Case("1 atom", np.array([[0.31, -0.17, 0.44]]), np.linspace(-70, 70, 21), False, 0.05)


def pair() -> Case:
    """Return two atoms 1.2 angstrom apart, which few images resolve."""
    place = np.array([[0.31, -0.17, 0.44], [0.71, 0.43, -0.52]])
    return Case("2 atoms", place, np.linspace(-70, 70, 21), False, 0.05)


def cluster(seed: int = 3) -> Case:
    """Return 50 atoms at least 2.2 angstrom apart, in a ball, with unknown angles and shifts."""
    generator = np.random.default_rng(seed)
    place: list[F64] = []
    while len(place) < 50:
        one = generator.uniform(-6.5, 6.5, 3)
        if np.linalg.norm(one) < 6.5 and all(np.linalg.norm(one - other) > 2.2 for other in place):
            place.append(one)
    return Case("50 atoms", np.array(place), np.linspace(-65, 65, 15), True, 0.05)


def model(case: Case, position: F64, turned: F64, shift: F64) -> tuple[F64, F64]:
    """Return expected counts and their derivatives by all unknowns, over all pixels of all images.

    The image of an atom is the product of two Gaussians at the centres of the pixels. Unknowns: x, y, z of each atom,
    then for each image three turns about the axes of the camera and two shifts, where poses are fitted.
    """
    reach = np.abs(case.position).max() * 1.5 + MARGIN
    axis = np.arange(-reach, reach, STEP)
    count, images, pixels = len(position), len(turned), axis.size**2
    unknowns = 3 * count + 5 * images * case.poses
    expected, slope = np.empty((images, pixels)), np.zeros((images, pixels, unknowns))
    for t in range(images):
        p = position @ turned[t]
        g = [np.exp(-0.5 * ((axis - p[:, i, None] - shift[t, i]) / WIDTH) ** 2) for i in (0, 1)]
        d = [(axis - p[:, i, None] - shift[t, i]) / WIDTH**2 * g[i] for i in (0, 1)]
        height = ELECTRONS * STEP**2 / (2 * np.pi * WIDTH**2)
        expected[t] = height * (g[1].T @ g[0]).ravel() + case.background
        by_x = height * np.einsum("ny,nx->yxn", g[1], d[0]).reshape(pixels, count)
        by_y = height * np.einsum("ny,nx->yxn", d[1], g[0]).reshape(pixels, count)
        for k in range(3):
            slope[t, :, k : 3 * count : 3] = by_x * turned[t, k, 0] + by_y * turned[t, k, 1]
        if case.poses:
            first = 3 * count + 5 * t
            slope[t, :, first] = by_y @ -p[:, 2]
            slope[t, :, first + 1] = by_x @ p[:, 2]
            slope[t, :, first + 2] = by_y @ p[:, 0] - by_x @ p[:, 1]
            slope[t, :, first + 3], slope[t, :, first + 4] = by_x.sum(1), by_y.sum(1)
    return expected.ravel(), slope.reshape(-1, unknowns)


def fitted(case: Case, counts: F64, turned: F64) -> F64:
    """Return the positions of greatest likelihood, by Fisher scoring from the truth."""
    position, shift = case.position.copy(), np.zeros((len(turned), 2))
    size = position.size
    for _ in range(30):
        expected, slope = model(case, position, turned, shift)
        weighed = slope / expected[:, None]
        matrix = weighed.T @ slope
        step = np.linalg.lstsq(matrix, weighed.T @ (counts - expected), rcond=1e-9)[0]
        position = position + step[:size].reshape(-1, 3)
        if case.poses:
            poses = step[size:].reshape(-1, 5)
            turned = np.stack(
                [one @ Rotation.from_rotvec(-turn).as_matrix() for one, turn in zip(turned, poses[:, :3], strict=True)]
            )
            shift = shift + poses[:, 3:]
        if np.abs(step[:size]).max() < 1e-5:
            break
    return position


def aligned(found: F64, true: F64) -> F64:
    """Return positions after the rotation and shift that bring them closest to the truth."""
    middle = found.mean(0), true.mean(0)
    turn = Rotation.align_vectors(true - middle[1], found - middle[0])[0]
    moved: F64 = turn.apply(found - middle[0]) + middle[1]
    return moved


def monte_carlo(case: Case, trials: int, seed: int) -> dict[str, Any]:
    """Return the root mean square error of many fits, pm, the bound, and their ratio; errors along the axes too."""
    began = time.process_time()
    turned = np.stack([Rotation.from_rotvec([0, angle, 0], degrees=True).as_matrix() for angle in case.theta])
    expected, _ = model(case, case.position, turned, np.zeros((len(turned), 2)))
    generator = np.random.default_rng(seed)
    square = np.zeros((trials, 3))
    for trial in range(trials):
        found = fitted(case, generator.poisson(expected).astype(float), turned)
        if case.poses:
            found = aligned(found, case.position)
        square[trial] = ((found - case.position) ** 2).mean(0)
    limit = bound(
        atoms_dataset(case.position, 78),
        theta=tuple(case.theta),
        dose=ELECTRONS / PLATINUM,
        background=case.background,
        pixel_size=STEP,
        width=WIDTH,
        angles=case.poses,
        shifts=case.poses,
    )
    reached = 100 * float(np.sqrt(square.sum(1).mean()))
    return {
        "case": case.name,
        "trials": trials,
        "electrons": float(limit["electrons"][0]),
        "rmsd_pm": reached,
        "rmsd_axis_pm": (100 * np.sqrt(square.mean(0))).tolist(),
        "bound_pm": 100 * float(limit["bound"]),
        "bound_axis_pm": (100 * limit["bound_axis"].values).tolist(),
        "ratio": reached / (100 * float(limit["bound"])),
        "ratio_error": float(square.sum(1).std() / square.sum(1).mean() / np.sqrt(trials) / 2),
        "cpu_seconds": time.process_time() - began,
    }


def main() -> None:
    """Print a table, or one JSON object for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="fits of one atom; fewer for more atoms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for case, share in ((lone(), 1), (pair(), 2), (cluster(), 50)):
        row = monte_carlo(case, max(2, options.trials // share), options.seed)
        if options.json:
            print(json.dumps(row))
        else:
            told = (
                f"{row['case']:9} {row['trials']:5d} fits  RMSD {row['rmsd_pm']:.3f} pm  bound {row['bound_pm']:.3f} pm"
            )
            print(f"{told}  ratio {row['ratio']:.3f} +- {row['ratio_error']:.3f}  {row['cpu_seconds']:.0f} s")


if __name__ == "__main__":
    main()
