"""Peak memory and time of the main stages against size, beside what was forecast; and an input larger than the memory.

``python -m tests.benchmarks.scale [--sizes 64 96 144] [--memory 4GB] [--large 8]``. A particle is simulated, imaged,
reconstructed, smoothed, traced, refined, put on a lattice, strained and exported, at each size in a process of its
own. Every step must stay below what was forecast for it and below the memory; the forecast should be no more than 2.5
times what was measured. What each step would take for 2048^3 voxels and ten million atoms is told from fits of the
table. With ``--large`` a volume of so many GB, with a film of atoms across it, is smoothed and
traced in an eighth of its size.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

STEP = 0.358
EDGE, ATOMS = 2048, 1e7
"""Voxels to the edge, and atoms, of the table on paper."""
OF_ATOMS = ("truth", "sites", "atoms", "lattice", "strain", "atoms.extxyz")
"""Steps whose work is that of atoms, not of voxels."""
GENEROUS = 2.5
"""A forecast may be so many times what is measured."""
SIGMA, SPACING, FILM = 1.2, 8, 0.1
"""Of an atom in voxels, between atoms in voxels, of a volume that holds atoms: a table of them has to fit as well."""


def recipe(pixels: int) -> dict[str, Any]:
    """Return the whole chain on a particle that fills two thirds of so many pixels."""
    diameter = 0.55 * pixels * STEP
    steps: list[dict[str, Any]] = [
        {
            "name": "truth",
            "stage": "simulate.particle",
            "params": {"smallest": f"{diameter} angstrom", "largest": f"{1.05 * diameter} angstrom"},
        },
        {
            "name": "expected",
            "stage": "simulate.images",
            "from": "truth",
            "params": {"tilts": 21, "pixels": pixels, "pixel_size": f"{STEP} angstrom", "profile": "kirkland"},
        },
        {"name": "series", "stage": "simulate.acquisition", "from": "expected", "params": {"dose": "1e4 e/angstrom^2"}},
        {"name": "volume", "stage": "reconstruct.resire", "from": "series", "params": {"iterations": 30}},
        {"name": "smooth", "stage": "augment.gaussian", "from": "volume", "params": {"width": "0.3 angstrom"}},
        {"name": "traced", "stage": "trace.peaks", "from": "smooth", "params": {"separation": "1.6 angstrom"}},
        {"name": "sites", "stage": "classify.element", "from": "traced", "params": {"element": "Pt"}},
        {"name": "atoms", "stage": "refine.images", "from": {"atoms": "sites", "series": "series"}},
        {"name": "lattice", "stage": "lattice.fit", "from": "atoms", "params": {"type": "fcc"}},
        {"name": "strain", "stage": "strain.atoms", "from": "lattice"},
    ]
    return {"aetx": 1, "steps": steps, "export": {"atoms": ["extxyz"], "volume": ["mrc", "vti"]}, "report": []}


def run(folder: Path, whole: dict[str, Any], memory: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run a recipe in a process of its own; return its exit code, what each step cost, and its last words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(json.dumps(whole), encoding="utf-8")
    command = [sys.executable, "-m", "aetx", "run", str(folder / "recipe.yaml"), "--output", str(folder / "out")]
    done = subprocess.run([*command, "--memory", memory], capture_output=True, text=True, check=False)
    record = folder / "out" / "aetx-run.json"
    steps = json.loads(record.read_text(encoding="utf-8"))["steps"] if record.exists() else []
    return done.returncode, [one for one in steps if one["state"] == "computed"], done.stderr[-500:]


def on_paper(table: Mapping[int, Sequence[Mapping[str, Any]]], atoms: int, folder: Path) -> list[str]:
    """Return what each step would take at `EDGE` voxels to the edge, or `ATOMS` atoms, by the table.

    Processor time and memory are fitted by a constant, a part that grows as the images and one that grows as the volume
    and its atoms; the forecast is that of ``aetx plan``. What is held whole while it is small grows in the fit and not
    in the forecast. `atoms` are those at the largest size of the table.
    """
    (folder / "large.yaml").write_text(json.dumps(recipe(EDGE)), encoding="utf-8")
    command = [sys.executable, "-m", "aetx", "plan", str(folder / "large.yaml"), "--output", str(folder / "out")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    plan = json.loads(done.stdout)["plan"][0]
    edges = np.array(list(table), float)
    lines = [f"{'on paper':24} {'at':>12} {'core hours':>11} {'GB':>7} {'GB forecast':>12} {'fit off by':>11}"]
    hours, most = 0.0, 0.0
    for step in plan["steps"]:
        rows = [next(one for one in steps if one["name"] == step["name"]) for steps in table.values()]
        of_atoms = step["name"] in OF_ATOMS
        edge = max(table) * (ATOMS / atoms) ** (1 / 3) if of_atoms else EDGE
        seconds, off = _grown(edges, [one["cpu_seconds"] for one in rows], edge)
        memory, _ = _grown(edges, [one["peak_bytes"] / 1e9 for one in rows], edge)
        hours, most = hours + seconds / 3600, max(most, step["memory"] / 1e9)
        at = f"{ATOMS:.0e} atoms" if of_atoms else f"{EDGE}^3"
        told = f"{seconds / 3600:11.2f} {memory:7.1f} {step['memory'] / 1e9:12.1f} {100 * off:9.0f} %"
        lines.append(f"{step['name']:24} {at:>12} {told}")
    disk = plan["disk"] / 1e9
    return [*lines, f"a machine for it: {most:.0f} GB of memory, {disk:.0f} GB of disk, {hours:.0f} hours of one core"]


def _grown(edges: NDArray[np.float64], values: Sequence[float], edge: float) -> tuple[float, float]:
    """Fit a constant, a square and a cube of the edge, each value by its share; return it at `edge`, and the misfit."""
    measured = np.maximum(np.array(values), 1e-3)
    powers = edges[:, None] ** np.array([0, 2, 3]) / edges.max() ** np.array([0, 2, 3])
    shares = nnls(powers / measured[:, None], np.ones_like(edges))[0]
    grown = shares @ (edge / edges.max()) ** np.array([0, 2, 3])
    return float(grown), float(np.abs(powers @ shares / measured - 1).max())


def film_in_noise(path: Path, gigabytes: float) -> int:
    """Write a volume of noise with a film of Gaussian atoms across its middle, section by section; return its edge."""
    edge = round((gigabytes * 1e9 / 4) ** (1 / 3) / SPACING) * SPACING
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, edge, edge, edge, 2, 0, 0, 0, edge, edge, edge)
    struct.pack_into("<6f", header, 40, *[edge * STEP] * 3, 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    header[208:216] = b"MAP DD\0\0"
    profile = np.exp(-(((np.arange(edge) % SPACING) - SPACING // 2) ** 2) / (2 * SIGMA**2)).astype(np.float32)
    plane = np.outer(profile, profile)
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(header)
        for section, height in enumerate(profile):
            inside = abs(section - edge // 2) < FILM * edge / 2
            noise = rng.standard_normal((edge, edge), np.float32) * np.float32(0.02)
            file.write((inside * height * plane + noise).tobytes())
    return edge


def large(folder: Path, gigabytes: float) -> tuple[int, list[dict[str, Any]], str]:
    """Smooth and trace a volume in an eighth of its size."""
    folder.mkdir(parents=True, exist_ok=True)
    edge = film_in_noise(folder / "v.mrc", gigabytes)
    whole = {
        "aetx": 1,
        "inputs": {"v": {"path": "v.mrc", "kind": "volume", "units": "1/angstrom"}},
        "steps": [
            {"name": "smooth", "stage": "augment.gaussian", "from": "v", "params": {"width": "0.3 angstrom"}},
            {"name": "traced", "stage": "trace.peaks", "from": "smooth", "params": {"separation": "1.6 angstrom"}},
        ],
        "report": [],
    }
    print(f"a volume of {edge} voxels to the edge, {gigabytes:g} GB, in {gigabytes / 8:g} GB")
    return run(folder, whole, f"{gigabytes / 8 * 1000:.0f}MB")


def main() -> int:
    """Run at every size and print the table; return 0 if every step kept its forecast and the memory."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", nargs="*", type=int, default=[64, 96, 144], help="pixels of an edge")
    arguments.add_argument("--memory", default="4GB")
    arguments.add_argument("--large", type=float, default=0.0, help="GB of a volume that goes through an eighth of it")
    given = arguments.parse_args()
    wrong, ratios, table, atoms = [], [], dict[int, list[dict[str, Any]]](), 0
    print(f"{'pixels':>7} {'step':18} {'s':>8} {'core s':>8} {'peak MB':>8} {'forecast MB':>12} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="aetx-scale-") as place:
        for size in [*given.sizes, *([0] if given.large else [])]:
            begin, folder = time.monotonic(), Path(place, str(size))
            code, steps, words = run(folder, recipe(size), given.memory) if size else large(folder, given.large)
            for step in steps:
                ratio = step["forecast_bytes"] / max(step["peak_bytes"], 1)
                ratios.append(ratio)
                peak, told = step["peak_bytes"] / 1e6, step["forecast_bytes"] / 1e6
                spent = f"{step['seconds']:8.2f} {step['cpu_seconds']:8.2f}"
                print(f"{size:7} {step['name']:18} {spent} {peak:8.0f} {told:12.0f} {ratio:6.2f}")
                if ratio < 1:
                    wrong.append(f"{size}: {step['name']} took {peak:.0f} MB, forecast were {told:.0f} MB")
            print(f"{size:7} ended with {code} after {time.monotonic() - begin:.0f} s {words * bool(code)}", flush=True)
            if size and not code:
                told = json.loads((folder / "out" / "aetx-run.json").read_text(encoding="utf-8"))
                table[size], atoms = steps, int(told["numbers"]["atoms"])
            if code not in (0, 4):
                wrong.append(f"{size}: ended with {code}: {words}")
        if len(table) > 1:
            print("\n".join(on_paper(table, atoms, Path(place))))
    if not ratios:
        print("no step ran: what does not fit the memory is refused before it starts")
        return int(bool(wrong))
    print(f"forecast over measured: {min(ratios):.2f} to {max(ratios):.2f}, median {median(ratios):.2f}")
    if median(ratios) > GENEROUS:
        wrong.append(f"forecasts are {median(ratios):.2f} times what is measured, in the median")
    print("\n".join(wrong) or "every step kept its forecast")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
