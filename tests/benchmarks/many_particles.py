"""Run one recipe over thirty simulated particles of which two are broken: what finishes, what is told, what it costs.

Run as ``python -m tests.benchmarks.many_particles [--particles 30] [--output DIR]``. Each particle is fcc Pt of some
hundred atoms, seen in fifteen noisy images; of one a chunk is missing, of another an image is not a number. Prints the
table of the run and, over the particles, time, peak memory at the first and the last, and how far the atoms are off.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from aetx.core import Registry
from aetx.store import write

RECIPE = """aetx: 1
title: Atoms of many particles
inputs:
  series: {path: "pt_*.zarr", kind: tilt_series}
  truth: {path: "truth/${each.name}.zarr", kind: atoms}
for_each: series
steps:
  - {name: volume, stage: reconstruct.resire, from: series, params: {iterations: 60}}
  - {name: smooth, stage: augment.gaussian, from: volume, params: {width: 0.3 angstrom}}
  - {name: traced, stage: trace.peaks, from: smooth, params: {separation: 1.6 angstrom}}
  - {name: sites, stage: classify.element, from: traced, params: {element: Pt}}
  - {name: atoms, stage: refine.images, from: {atoms: sites, series: series}}
  - {name: score, stage: measure.compare, from: {atoms: atoms, truth: truth}, params: {align: rigid}}
export: {atoms: [extxyz]}
report: [atoms, score]
"""
IMAGES = {"tilts": 15, "first": -70.0, "last": 70.0, "pixels": 64, "pixel_size": 0.4, "profile": "gaussian"}


def simulate(folder: Path, number: int) -> None:
    """Write a particle and its images, each by a seed of its own."""
    particle, images, acquisition = (
        Registry().stage(f"simulate.{name}") for name in ("particle", "images", "acquisition")
    )
    truth = particle(params=particle.params.model_validate({"smallest": 14.0, "largest": 15.0, "seed": number}))
    expected = images(truth, params=images.params.model_validate({**IMAGES, "seed": number}))
    noisy = acquisition(expected, params=acquisition.params.model_validate({"dose": 7656.0, "seed": number})).compute()
    if number == 19:
        noisy["image"].values[3] = np.nan
    path = folder / f"pt_{number:02}.zarr"
    write(noisy, path, key="", record={})
    write(truth, folder / "truth" / path.name, key="", record={})
    if number == 7:
        max(path.joinpath("image", "c").rglob("*"), key=lambda one: one.is_file()).unlink()


def main(particles: int, folder: Path) -> int:
    """Simulate, run in a process of its own, and print what became of it; return the exit code of the run."""
    (folder / "lot.yaml").write_text(RECIPE, encoding="utf-8")
    for number in range(particles):
        simulate(folder, number)
    start = time.perf_counter()
    command = [sys.executable, "-m", "aetx", "run", "lot.yaml", "-o", "out"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    wall = time.perf_counter() - start
    print(done.stdout, done.stderr, sep="\n")
    with (folder / "out" / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    good = [row for row in rows if row["status"] == "finished"]
    peaks = [peak_of(folder / "out" / row["job"]) for row in good]
    spent = [float(row["seconds"]) for row in good]
    off = [100 * float(row["rmsd_angstrom"]) for row in good]
    print(f"exit code {done.returncode}; {len(good)} of {len(rows)} finished in {wall:.0f} s")
    print(f"seconds each: median {statistics.median(spent):.1f}, first {spent[0]:.1f}, last {spent[-1]:.1f}")
    print(f"peak memory, MB: first {peaks[0] / 1e6:.0f}, last {peaks[-1] / 1e6:.0f}")
    print(f"RMSD, pm: median {statistics.median(off):.1f}, worst {max(off):.1f}")
    return done.returncode


def peak_of(folder: Path) -> int:
    """Return the most memory that any step of a run took."""
    record = json.loads((folder / "aetx-run.json").read_text(encoding="utf-8"))
    return max(int(step["peak_bytes"]) for step in record["steps"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--particles", type=int, default=30)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.output is not None:
        given.output.mkdir(parents=True)
        main(given.particles, given.output)
    else:
        with tempfile.TemporaryDirectory() as name:
            main(given.particles, Path(name))
