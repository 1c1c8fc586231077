"""Fit lattices to many noisy repeats of a particle, and print whether error bars are as wide as errors; then the time.

Run as ``python -m tests.benchmarks.accuracy_lattice [--trials N] [--radius R] [--seed S] [--json]``. The particle is an
fcc ball made with plain numpy, turned at random; each atom has an error ellipsoid of its own, up to 30 pm long. A pull
is the difference from what the same fit gives without noise, over its standard error; pulls of right error bars have a
width of 1 about their mean, known to 5 % from 200 repeats, and a mean of 0. Where atoms are really displaced, the
weights of the fit without noise are others than with it, and so is, by a part of the standard error, the lattice. Then:
how many atoms have a site, and how good the lattice constant is, from 10 to 50 pm; and seconds for up to 200,000 atoms.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.stages.lattice.boundaries import boundaries
from aetx.stages.lattice.fit import fit
from aetx.stages.lattice.layers import layers
from aetx.stages.simulate.dumbbell import dumbbell

F64 = NDArray[np.float64]
EDGE = 3.912


@dataclass(frozen=True)
class Case:
    """A name, the displacement that atoms really have (angstrom along each axis), the fit, and what is known."""

    name: str
    disorder: float = 0.0
    shape: str = "rigid"
    known: bool = True


CASES = (
    Case("perfect crystal"),
    Case("perfect crystal, affine", shape="affine"),
    Case("atoms really displaced by 17 pm", disorder=0.1),
    Case("the same, affine", disorder=0.1, shape="affine"),
    Case("errors of atoms not known", known=False),
)


def ball(radius: float, seed: int, vacancies: float = 0.0) -> F64:
    """Return the sites of an fcc crystal within a ball, turned at random."""
    generator = np.random.default_rng(seed)
    count = int(radius / EDGE) + 2
    cells = np.stack(np.meshgrid(*[np.arange(-count, count + 1)] * 3), axis=-1).reshape(-1, 1, 3)
    faces = np.array([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
    site = (cells + faces).reshape(-1, 3) * EDGE + generator.uniform(-1, 1, 3)
    site = site[np.linalg.norm(site, axis=1) < radius]
    site = site[generator.uniform(size=len(site)) >= vacancies]
    return np.asarray(Rotation.random(random_state=seed).apply(site))


def ellipsoids(atoms: int, generator: np.random.Generator) -> F64:
    """Return a square root of the covariance of each atom, shape (atoms, 3, 3)."""
    axes = Rotation.random(atoms, random_state=generator.integers(2**31)).as_matrix()
    return np.asarray(axes * generator.uniform(0.05, 0.3, (atoms, 1, 3)) / math.sqrt(3))


def dataset(position: F64, root: F64 | None) -> xr.Dataset:
    """Return atoms, with their covariance where it is to be known."""
    made = atoms_dataset(position, 78)
    if root is None:
        return made
    spread = root @ root.transpose(0, 2, 1)
    axis2 = {"axis2": ["x", "y", "z"]}
    return made.assign(covariance=(("atom", "axis", "axis2"), spread, {"units": "angstrom**2"})).assign_coords(axis2)


def aligned(basis: F64, other: F64) -> F64:
    """Return the vectors of a cubic basis, or their opposites, nearest to those of another one."""
    both = np.concatenate([basis, -basis])
    return np.asarray(both[(both @ other.T).argmax(axis=0)])


def pulls(case: Case, trials: int, radius: float, seed: int) -> dict[str, Any]:
    """Return the widths of the pulls of one case, and the root mean square of their means."""
    generator = np.random.default_rng(seed)
    true = ball(radius, seed)
    true = true + generator.normal(0, case.disorder, true.shape)
    root = ellipsoids(len(true), generator)
    if not case.known:
        root[:] = 0.15 / math.sqrt(3) * np.eye(3)
    given = root if case.known else None
    exact = fit(dataset(true, root * 1e-3 if case.known else None), type="fcc", shape=case.shape)
    basis = exact["basis"].values[0]
    found: dict[str, list[F64]] = {"lattice constant": [], "orientation": [], "displacement": []}
    for _ in range(trials):
        noisy = true + np.einsum("nij,nj->ni", root, generator.normal(size=true.shape))
        made = fit(dataset(noisy, given), type="fcc", shape=case.shape)
        away = made["lattice_constant"] - exact["lattice_constant"]
        found["lattice constant"].append((away / made["lattice_constant_error"]).values)
        turn = Rotation.align_vectors(aligned(made["basis"].values[0], basis), basis)[0].as_rotvec(degrees=True)
        found["orientation"].append(turn / made["orientation_error"].values[0])
        found["displacement"].append(
            ((made["displacement"] - exact["displacement"]) / made["displacement_error"]).values
        )
    row: dict[str, Any] = {"case": case.name, "atoms": len(true)}
    for name, values in found.items():
        stacked = np.array(values).reshape(trials, -1)
        stacked = stacked[:, np.isfinite(stacked).all(axis=0)]
        known = stacked.size > 0
        row[name] = math.sqrt(float(stacked.var(axis=0, ddof=1).mean())) if known else math.nan
        row[f"{name}, offset"] = math.sqrt(float((stacked.mean(axis=0) ** 2).mean())) if known else math.nan
    return row


def twist(trials: int, seed: int) -> dict[str, Any]:
    """Return the pulls of the twist of the dumbbell: repeats of the noise of its atoms."""
    generator = np.random.default_rng(seed)
    truth = dumbbell(displacement=0.0, protrusion=0.0)
    true = truth["position"].values
    root = ellipsoids(len(true), generator)
    found, values = [], []
    for _ in range(trials):
        noisy = true + np.einsum("nij,nj->ni", root, generator.normal(size=true.shape))
        made = boundaries(fit(dataset(noisy, root), type="fcc"))
        values.append(float(made["twist"][0, 1]))
        found.append((values[-1] - 1.59) / float(made["twist_error"][0, 1]))
    return {
        "width": float(np.std(found)),
        "mean": float(np.mean(found)),
        "spread": float(np.std(values)),
        "trials": trials,
    }


def robust(noise: float, radius: float, trials: int, seed: int) -> dict[str, Any]:
    """Return what is left of a particle with 5 % vacancies under noise, r.m.s. in three dimensions."""
    share, wrong, ratio, grains = [], [], [], []
    for trial in range(trials):
        true = ball(radius, seed + trial, 0.05)
        noisy = true + np.random.default_rng(seed + trial).normal(0, noise / math.sqrt(3), true.shape)
        made = fit(dataset(noisy, None), type="fcc")
        inside = made["grain"].values == 0
        share.append(inside.mean())
        wrong.append(float(made["lattice_constant"][0]) - EDGE)
        ratio.append(float(made["rmsd"][0]) / (noise * math.sqrt(1 - 7 / (3 * inside.sum()))))
        grains.append(made.sizes["grain_id"])
    return {
        "noise": noise,
        "on site": float(np.mean(share)),
        "worst constant": float(np.abs(wrong).max()),
        "rmsd over expected": float(np.mean(ratio)),
        "grains": float(np.mean(grains)),
    }


def seconds(radius: float, seed: int) -> dict[str, Any]:
    """Return the processor time of a fit, and of boundaries and layers, after compilation."""
    table = dataset(ball(radius, seed) + np.random.default_rng(seed).normal(0, 0.1, ball(radius, seed).shape), None)
    begin = time.process_time()
    made = fit(table, type="fcc")
    fitted = time.process_time()
    bounded = boundaries(made)
    between = time.process_time()
    layers(bounded, normal=(1, 1, 1))
    end = time.process_time()
    return {
        "atoms": table.sizes["atom"],
        "fit": fitted - begin,
        "boundaries": between - fitted,
        "layers": end - between,
    }


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--radius", type=float, default=14.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = [pulls(case, asked.trials, asked.radius, asked.seed) for case in CASES]
    turned = twist(max(asked.trials, 2), asked.seed)
    noises = [
        robust(noise, 2 * asked.radius, max(asked.trials // 20, 2), asked.seed) for noise in (0.1, 0.2, 0.3, 0.4, 0.5)
    ]
    seconds(10.0, 0)
    times = [seconds(radius, asked.seed) for radius in (23.2, 45.0, 90.0)]
    if asked.json:
        print(json.dumps({"pulls": rows, "twist": turned, "robust": noises, "seconds": times}, indent=2))
        return
    print(f"widths of pulls over {asked.trials} repeats (how far means are from 0, by chance {asked.trials**-0.5:.2f})")
    for row in rows:
        parts = [
            f"{name} {row[name]:.2f} ({row[f'{name}, offset']:.2f})"
            for name in ("lattice constant", "orientation", "displacement")
        ]
        print(f"  {row['case']:34s} {row['atoms']} atoms: {', '.join(parts)}")
    told = f"{turned['width']:.2f} ({turned['mean']:+.2f}), {turned['spread']:.4f} degree"
    print(f"  twist of the dumbbell, {turned['trials']} repeats: {told}")
    print(
        "noise, 5 % vacancies: atoms on sites, worst error of the lattice constant, rmsd over that of the noise, grains"
    )
    for row in noises:
        print(
            f"  {100 * row['noise']:3.0f} pm  {100 * row['on site']:6.2f} %  {row['worst constant']:.5f} angstrom  "
            f"{row['rmsd over expected']:.3f}  {row['grains']:.1f}"
        )
    print("processor seconds: fit, boundaries, layers")
    for row in times:
        print(f"  {row['atoms']:7d} atoms  {row['fit']:.2f}  {row['boundaries']:.2f}  {row['layers']:.2f}")


if __name__ == "__main__":
    main()
