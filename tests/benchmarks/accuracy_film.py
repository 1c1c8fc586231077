"""Run the recipe of the Ta film and compare its atoms with the published ones.

Run as ``python -m tests.benchmarks.accuracy_film [--areas 20-24] [--output OUT]``. The truth are the published sites
before their refinement, those inside the tiles that the authors cut from these sub-areas; a site is found if it has
an atom of its own within 0.8 angstrom. An atom inside the tiles that is no site's counts as false, though some may be
true: the published list was cleaned by hand. The data are looked for in the folder named by ``AETX_DATA``, else
beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.io
import xarray as xr
from numpy.typing import NDArray

from aetx.core.record import RunRecord
from aetx.stages.measure.compare import compare
from aetx.store import open_store

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("AETX_DATA", ROOT.parent / "shared" / "data")) / "ta_film_saet"
PIXEL, CENTRE, TRIM, RADIUS = 0.3216, np.array([201, 176, 171]), 4, 0.8

F64 = NDArray[np.float64]


def numbers(text: str) -> list[int]:
    """Return the areas that ``20-24`` or ``9,10,18,19`` names."""
    ends = [part.partition("-")[::2] for part in text.split(",")]
    return [number for first, last in ends for number in range(int(first), int(last or first) + 1)]


def tiles(areas: list[int]) -> list[tuple[F64, F64]]:
    """Return the corners (x, y) of the authors' tiles of the areas, angstrom from the film centre."""
    found = scipy.io.loadmat(DATA / "alignPara.mat")
    centre, half = found["CropCen"].astype(int), found["CropHalf"].astype(int)
    boxes = []
    for area in areas:
        place, size = centre[area - 1], half[area - 1]
        row = np.flatnonzero(centre[:, 1] == place[1])
        pitch = np.diff(np.sort(centre[row, 0]))[0]
        across = size[0] - (round(size[0] - pitch / 2) - 2)
        low = np.array([place[0] - across, place[1] - size[1] + TRIM * (place[1] > centre[:, 1].min())])
        high = np.array([place[0] + across, place[1] + size[1] - TRIM * (place[1] < centre[:, 1].max())])
        boxes.append(((low - CENTRE[:2] - 0.5) * PIXEL, (high - CENTRE[:2] + 0.5) * PIXEL))
    return boxes


def inside(positions: F64, boxes: list[tuple[F64, F64]], margin: float = 0.0) -> NDArray[np.bool_]:
    """Tell which positions lie in a tile, or nearer to one than the margin."""
    flat = positions[:, None, :2]
    low, high = (np.array(corner) for corner in zip(*boxes, strict=True))
    held = ((flat >= low - margin) & (flat <= high + margin)).all(axis=2)
    return np.asarray(held.sum(axis=1) > 0, dtype=np.bool_)


def sites(positions: F64) -> xr.Dataset:
    """Return positions (atom, xyz) as atoms."""
    one = {"units": "1"}
    return xr.Dataset(
        {
            "position": (("atom", "axis"), positions, {"units": "angstrom"}),
            "species": ("atom", np.full(len(positions), 73, np.int32), one),
        },
        {"atom": ("atom", np.arange(len(positions)), one), "axis": ["x", "y", "z"]},
    )


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--areas", default="20-24")
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    boxes = tiles(numbers(chosen.areas))
    with tempfile.TemporaryDirectory() as scratch:
        output = chosen.output or Path(scratch) / "ta"
        sets = ("--set", f"folder={DATA}", "--set", f"areas={chosen.areas}", "--output", str(output))
        command = [sys.executable, "-m", "aetx", "run", str(ROOT / "recipes" / "ta_film.yaml"), *sets]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        record = RunRecord.model_validate_json((output / "aetx-run.json").read_text(encoding="utf-8"))
        atoms = open_store(output / "results" / "atoms.zarr").load()
    positions = atoms["position"].sel(axis=["x", "y", "z"]).values
    published = scipy.io.loadmat(DATA / "atoms_rows1-3.mat")["prerefine_A"].T.astype(float)
    truth = sites(published[inside(published, boxes)])
    near = inside(positions, boxes, RADIUS)
    score = compare(atoms.isel(atom=np.flatnonzero(near)), truth, radius=RADIUS)
    within = inside(positions, boxes)
    false = int(within[np.flatnonzero(near)][np.isin(atoms["atom"].values[near], score["false_atom"].values)].sum())
    true, common = int(score["true"]), int(score["common"])
    print(f"areas {chosen.areas}: {len(positions)} atoms in the film, {int(within.sum())} in the tiles")
    print(f"  {common} of {true} published sites matched one to one within {RADIUS} A: {100 * common / true:.1f} %")
    print(f"  median distance {100 * float(np.median(score['distance'])):.1f} pm; {false / true:.2f} others per site")
    print(f"  {sum(step.cpu_seconds for step in record.steps):.0f} CPU-s in the steps")


if __name__ == "__main__":
    main()
