"""Reconstruct a volume eight times larger than the memory with every algorithm, and print the peak.

Run as ``python -m tests.benchmarks.memory_reconstruction [--memory 640000000] [--times 8] [--method NAME ...]``. A
column of Gaussian balls with noise, 64 voxels wide, in a box 256 deep (for `est` 64), and as many rows high as make
the volume `times` larger than the limit, is written as a tilt series; then a recipe reconstructs it under the limit,
without a report, each algorithm in a process of its own whose peak resident memory is measured. Those that need the
whole volume must refuse before work, with a forecast; they then reconstruct a column that they refuse as a whole in
overlapping sub-areas (`prepare.crop`, `reconstruct.stitch`) under the same limit. One slab of each result must equal,
bit for bit, what the stage gives for those rows in memory. A few steps of each iteration are enough for that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core import Registry
from aetx.core.slabs import ROWS
from aetx.kernels.projection import rotation
from aetx.model import TILT_SERIES
from aetx.recipe import load
from aetx.run import run_plan
from aetx.store import open_store, write

EDGE, TILTS, LAST, STEP, DEEP = 64, 5, 60.0, 0.5, 4
PERIOD, BALLS, WIDTH, NOISE = 64, 60, 1.3, 0.05
BAND = 4096
AREA, OVERLAP, AREAS_ROWS = 64, 16, 2048
"""Rows of a sub-area, rows that neighbours share, and rows of the column that is cut into them."""
METHODS: dict[str, dict[str, Any]] = {
    "wbp": {},
    "art": {"iterations": 1},
    "sart": {"iterations": 1},
    "sirt": {"iterations": 2},
    "cgls": {"iterations": 2},
    "resire": {"iterations": 2, "tolerance": 0.0},
    "est": {"iterations": 2, "slopes": 64},
    "tv": {"iterations": 2},
    "mbir": {"iterations": 2},
    "genfire": {"iterations": 4},
}
"""What is run, in few steps."""
TIED = ("tv", "mbir", "genfire")
"""Algorithms whose rows depend on each other."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, peak of resident memory in bytes, seconds on the clock, and what it said."""

    code: int
    peak: int
    seconds: float
    said: str


def column(rows: int) -> xr.Dataset:
    """Return the tilt series of a column of balls, not yet made: sums of Gaussians that repeat along y, and noise."""
    x, y, z = np.random.default_rng(3).uniform(-0.4, 0.4, (3, BALLS)) * EDGE
    theta, across = np.linspace(-LAST, LAST, TILTS), np.arange(EDGE) - EDGE // 2
    ahead = (np.arange(PERIOD)[:, None] - y + PERIOD / 2) % PERIOD - PERIOD / 2
    up, zero = np.exp(-0.5 * (ahead / WIDTH) ** 2), np.zeros(TILTS)
    turned = rotation(zero, np.deg2rad(theta), zero)
    seen = [np.exp(-0.5 * ((across[:, None] - (r[0, 0] * x + r[2, 0] * z)) / WIDTH) ** 2) for r in turned]
    once = np.stack([up @ one.T for one in seen]).astype(np.float32)

    def band(block_info: Any = None) -> NDArray[np.float32]:
        (tilt, _), (low, high), _ = block_info[None]["array-location"]
        noise = np.random.default_rng([tilt, low]).standard_normal((1, high - low, EDGE), np.float32)
        return once[tilt : tilt + 1, np.arange(low, high) % PERIOD] + np.float32(NOISE) * noise

    chunks = da.core.normalize_chunks((1, min(BAND, rows), EDGE), (TILTS, rows, EDGE))
    image = da.map_blocks(band, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    angle, length = {"units": "degree"}, {"units": "angstrom"}
    return TILT_SERIES.stamp(
        xr.Dataset(
            {"image": (("tilt", "y", "x"), image, {"units": "1"})},
            {
                "tilt": ("tilt", np.arange(TILTS), {"units": "1"}),
                **{name: ("tilt", theta if name == "theta" else zero, angle) for name in ("phi", "theta", "psi")},
                "y": ("y", STEP * (np.arange(rows) - rows // 2), length),
                "x": ("x", STEP * across, length),
            },
        )
    )


def run(folder: Path, steps: list[dict[str, Any]], memory: int) -> Ended:
    """Run a recipe on the series of a folder under a limit."""
    recipe = {
        "aetx": 1,
        "title": "A volume larger than the memory",
        "inputs": {"series": {"path": str(folder / "series.zarr"), "kind": "tilt_series"}},
        "steps": steps,
        "report": [],
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "tests.benchmarks.memory_reconstruction", "--run", str(folder)]
    began = time.monotonic()
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        started = subprocess.Popen([*command, "--memory", str(memory)], stdout=said, stderr=said)
        _, status, used = os.wait4(started.pid, 0)
    text = (folder / "said.txt").read_text(encoding="utf-8")
    return Ended(os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024, time.monotonic() - began, text)


def refused(name: str, series: xr.Dataset, memory: int) -> str:
    """Run a method that needs the whole, and return what it said."""
    with tempfile.TemporaryDirectory() as folder:
        write(series, Path(folder) / "series.zarr", key="0" * 64, record={})
        ended = run(Path(folder), [step(name, "series")], memory)
        made = list((Path(folder) / "out").glob("results/*"))
    if ended.code == 0 or made:
        raise SystemExit(f"{name} was not refused")
    line = next(one.strip() for one in ended.said.splitlines() if "memory" in one and "needed" in one)
    return f"{name:8} refused after {ended.seconds:.0f} s: {line}"


def step(name: str, source: str, **more: Any) -> dict[str, Any]:
    """Return the step of a recipe that reconstructs."""
    return {"name": name, "stage": f"reconstruct.{name}", "from": source, "params": METHODS[name]} | more


def whole(name: str, times: float, memory: int) -> str:
    """Reconstruct a column so large, compare a slab with the same in memory, and return the line to print."""
    deep = 1 if name == "est" else DEEP
    rows = int(np.ceil(times * memory / (4 * EDGE * EDGE * deep) / ROWS)) * ROWS
    long: dict[str, Any] = {} if deep == 1 else {"thickness": EDGE * deep * STEP}
    params = METHODS[name] | {axis: f"{length} angstrom" for axis, length in long.items()}
    with tempfile.TemporaryDirectory() as folder:
        write(column(rows), Path(folder) / "series.zarr", key="0" * 64, record={})
        ended = run(Path(folder), [step(name, "series", params=params)], memory)
        if ended.code:
            raise SystemExit(f"{name}: {ended.said}")
        found, some = open_store(Path(folder) / "out" / "results" / f"{name}.zarr"), slice(3 * ROWS, 4 * ROWS)
        series = open_store(Path(folder) / "series.zarr").isel(y=some).load()
        same = Registry().stage(f"reconstruct.{name}")(series, **METHODS[name], **long)
        np.testing.assert_array_equal(found["density"].isel(y=some), same["density"])
    return told(name, deep * EDGE * EDGE * rows * 4, ended, memory)


def told(name: str, size: int, ended: Ended, memory: int) -> str:
    """Return the line to print, and leave where the limit was not kept."""
    if ended.peak > memory:
        raise SystemExit(f"{name}: peak {ended.peak / 1e6:.0f} MB of {memory / 1e6:.0f} MB")
    return (
        f"{name:8} volume {size / 1e6:6.0f} MB, {size / memory:4.1f} times the limit: peak {ended.peak / 1e6:4.0f} MB "
        f"of {memory / 1e6:.0f} MB, {ended.seconds:4.0f} s"
    )


def in_areas(name: str, memory: int) -> str:
    """Reconstruct a column in overlapping sub-areas, and return the line to print."""
    rows = AREAS_ROWS
    first = np.arange(0, rows - OVERLAP, AREA - OVERLAP)
    steps: list[dict[str, Any]] = []
    for number, low in enumerate(first):
        count = min(AREA, rows - int(low))
        centre = f"{STEP * (low + count // 2 - rows // 2)} angstrom"
        cut = {"rows": count, "centre_y": centre}
        steps.append({"name": f"part_{number}", "stage": "prepare.crop", "from": "series", "params": cut})
        steps.append({**step(name, f"part_{number}"), "name": f"tile_{number}"})
    tiles = [f"tile_{number}" for number in range(len(first))]
    steps.append({"name": "whole", "stage": "reconstruct.stitch", "from": {"tiles": tiles}})
    with tempfile.TemporaryDirectory() as folder:
        write(column(rows), Path(folder) / "series.zarr", key="0" * 64, record={})
        ended = run(Path(folder), steps, memory)
        if ended.code:
            raise SystemExit(f"{name} in sub-areas: {ended.said}")
        found = open_store(Path(folder) / "out" / "results" / "whole.zarr")
        assert found.sizes["y"] == rows
    return told(name, EDGE * EDGE * rows * 4, ended, memory) + f", in {len(first)} sub-areas"


def main() -> None:
    """Print a line for each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=int, default=640_000_000)
    parser.add_argument("--times", type=float, default=8.0)
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--run", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        plan = load(given.run / "recipe.yaml")
        run_plan(plan, output=given.run / "out", memory=given.memory, reporter=None, quiet=True)
        return
    for name in given.method:
        if name not in TIED:
            print(whole(name, given.times, given.memory), flush=True)
            continue
        print(refused(name, column(AREAS_ROWS), given.memory), flush=True)
        print(in_areas(name, given.memory), flush=True)


if __name__ == "__main__":
    main()
