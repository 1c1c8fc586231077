"""Refine a particle of many atoms, and print time, memory, and how near the errors come to the least possible.

Run as ``python -m tests.benchmarks.refine_scale [--atoms 25000] [--threads 2] [--spoiled 0.01] [--optimum]``. A random
fcc Pt particle, 21 linear images at the dose of an experiment, all angles off by up to 0.4 degree. The fit starts with
every atom 15 pm off (root mean square) and one part in a hundred of the sites wrong, half of them empty and half of
them false. With ``--optimum`` the same images are also fitted from the truth: where that ends is what the likelihood
can give.
"""

from __future__ import annotations

import argparse
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.stages.measure.compare import compare
from aetx.stages.refine.images import images as refine
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images as simulate
from aetx.stages.simulate.particle import particle

F64 = NDArray[np.float64]

CELL, ELEMENT, STEP, WIDTH = 3.912, 78, 0.358, 0.47
"""Edge of the fcc cell of Pt in angstrom, its atomic number, the pixel and the width of an atom in angstrom."""
OFF, SEPARATION = 0.15, 1.6
"""How far atoms start from their places, root mean square, and how far false ones are from others, angstrom."""
RADIUS = 1.38
"""Farthest distance of a matched atom, angstrom."""
MEGABYTE = 2**20


class Peak:
    """The greatest resident memory of this process while it is open, bytes above what it was."""

    def __enter__(self) -> Peak:
        self.before = self.most = resident()
        self.done = threading.Event()
        self.watch = threading.Thread(target=self._look)
        self.watch.start()
        return self

    def _look(self) -> None:
        while not self.done.wait(0.02):
            self.most = max(self.most, resident())

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.watch.join()


def resident() -> int:
    """Return the resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def specimen(atoms: int, seed: int) -> xr.Dataset:
    """Return a particle of about so many atoms."""
    diameter = CELL * (atoms / 4 * 6 / np.pi) ** (1 / 3)
    return particle(smallest=diameter * 0.998, largest=diameter * 1.002, seed=seed)


def series_of(truth: xr.Dataset, seed: int) -> xr.Dataset:
    """Return counts."""
    reach = float(np.linalg.norm(truth["position"].values, axis=1).max()) + 6.0
    pixels = 2 * int(np.ceil(reach / STEP))
    drawn = simulate(truth, pixels=pixels, tilt_error=0.4, profile="kirkland", width=WIDTH, seed=seed)
    return acquisition(drawn, seed=seed + 1).compute()


def spoiled(true: F64, part: float, generator: np.random.Generator) -> F64:
    """Return positions to start from: all a little off, a part of the sites empty or false."""
    count = round(len(true) * part / 2)
    kept = np.delete(true, generator.choice(len(true), count, replace=False), axis=0)
    near, extra = cKDTree(true), np.zeros((0, 3))
    while len(extra) < count:
        place = true[generator.integers(len(true))] + generator.normal(0, 1.5, 3)
        others = np.linalg.norm(extra - place, axis=1).min(initial=np.inf)
        if near.query(place)[0] > SEPARATION and others > SEPARATION:
            extra = np.concatenate([extra, place[None]])
    start = np.concatenate([kept, extra])
    return start + generator.normal(0, OFF / np.sqrt(3), start.shape)


def scored(found: xr.Dataset, truth: xr.Dataset) -> str:
    """Return how many atoms are wrong and how far the others are off."""
    score = compare(found, truth, align="rigid", radius=RADIUS)
    wrong = int(score["missed"]) + int(score["false"])
    return f"{wrong} wrong of {int(score['true'])}, RMSD {100 * float(score['rmsd']):.3f} pm"


def main() -> None:
    """Simulate, spoil, refine, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, default=25_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spoiled", type=float, default=0.01)
    parser.add_argument("--optimum", action="store_true")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    torch.set_num_threads(chosen.threads)
    small = specimen(200, chosen.seed)
    refine(small, series_of(small, chosen.seed))  # compiles
    truth = specimen(chosen.atoms, chosen.seed)
    series = series_of(truth, chosen.seed)
    generator = np.random.default_rng(chosen.seed)
    start = atoms_dataset(spoiled(truth["position"].values, chosen.spoiled, generator), ELEMENT)
    print(f"{truth.sizes['atom']} atoms, {dict(series.sizes)}; start: {scored(start, truth)}", flush=True)
    for name, begin in (("refined", start), ("from the truth", truth)):
        if name == "refined" or chosen.optimum:
            began, spent = time.perf_counter(), time.process_time()
            with Peak() as peak:
                found = refine(begin, series)
            wall, cpu = time.perf_counter() - began, time.process_time() - spent
            changes = found.sizes.get("entry", 0)
            print(
                f"{name}: {scored(found, truth)}; {wall:.1f} s, {cpu:.1f} CPU-s; "
                f"{(peak.most - peak.before) / MEGABYTE:.0f} MB more at most; {changes} changes; "
                f"heights {found.attrs['heights']}, widths {found.attrs['widths']}; R1 {float(found['r1'].mean()):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
