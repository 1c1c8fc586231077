"""Trace a particle of which all is known, and print processor seconds and errors.

Run as ``python -m tests.benchmarks.accuracy_trace [--peers PYTHON]``, with the interpreter of an environment made by
``python -m venv peers; peers/bin/pip install trackpy numba scikit-image``. The particle: fcc Pt, a = 3.912 A, each
atom displaced by 5 pm along each axis, at a random orientation, Gaussian atoms of 0.45 A, voxels of 0.358 A, white
noise of 5 % of a peak. The Cramer-Rao bound of an isolated atom is 1.66 pm.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

F64 = NDArray[np.float64]
STEP, WIDTH, NOISE, SPACING, RATTLE = 0.358, 0.45, 0.05, 3.912, 0.05
SIZES = {128: 1401, 256: 20154}

PEERS = """
import json, sys, time
import numpy as np
density, step = np.load(sys.argv[1]), float(sys.argv[2])
found = {}
def clock(name, act):
    act(density[:64, :64, :64])
    began = time.process_time()
    places = act(density)
    np.save(f"{sys.argv[3]}/{len(found)}.npy", (places - np.array(density.shape) // 2)[:, ::-1] * step)
    found[name] = time.process_time() - began
from skimage.feature import peak_local_max
from scipy.optimize import least_squares
def maxima(v):
    return peak_local_max(v, min_distance=3, threshold_abs=0.5, exclude_border=False)
grid = np.indices((7, 7, 7)).reshape(3, -1).T - 3
def gauss(v):
    out = []
    for top in maxima(v):
        low, high = np.maximum(top - 3, 0), np.minimum(top + 4, v.shape)
        axes = [np.arange(a, b) for a, b in zip(low, high)]
        box = v[low[0]:high[0], low[1]:high[1], low[2]:high[2]]
        def residual(p):
            e = [np.exp(-0.5 * ((axis - c) / p[4]) ** 2) for axis, c in zip(axes, p)]
            return (p[3] * e[0][:, None, None] * e[1][:, None] * e[2] + p[5] - box).ravel()
        out.append(least_squares(residual, [*top, box.max(), 1.2, 0.0]).x[:3])
    return np.array(out)
def crocker(v):
    import trackpy
    trackpy.quiet()
    table = trackpy.locate(v, diameter=7, separation=4, minmass=5)
    return table[["z", "y", "x"]].to_numpy()
clock("skimage", maxima)
try:
    clock("trackpy", crocker)
except ImportError:
    pass
if len(density) <= 128:
    clock("skimage + scipy fit", gauss)
print(json.dumps(found))
"""


def particle(count: int, seed: int = 0) -> F64:
    """Return the places of the atoms of a ball of fcc Pt, (x, y, z) in angstrom."""
    rng = np.random.default_rng(seed)
    cells = int((count / 4) ** (1 / 3)) + 3
    corner = np.stack(np.meshgrid(*[np.arange(-cells, cells + 1)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    place = (corner + basis).reshape(-1, 3) @ Rotation.random(random_state=seed).as_matrix().T * SPACING
    place = place[np.argsort(np.linalg.norm(place, axis=1))[:count]]
    found: F64 = place + RATTLE * rng.standard_normal(place.shape)
    return found


def phantom(place: F64, size: int, seed: int = 1) -> xr.Dataset:
    """Return the noisy volume of atoms."""
    density = NOISE * np.random.default_rng(seed).standard_normal((size,) * 3, np.float32)
    sigma = WIDTH / STEP
    half = int(6 * sigma) + 1
    for centre in place[:, ::-1] / STEP + size // 2:
        low = np.maximum(np.rint(centre).astype(int) - half, 0)
        high = np.minimum(np.rint(centre).astype(int) + half + 1, size)
        axes = [np.exp(-0.5 * ((np.arange(a, b) - c) / sigma) ** 2) for a, b, c in zip(low, high, centre, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        density[box] += (axes[0][:, None, None] * axes[1][:, None] * axes[2]).astype(np.float32)
    axis = (np.arange(size) - size // 2) * STEP
    coords = {name: (name, axis, {"units": "angstrom"}) for name in "zyx"}
    return xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, coords)


def score(true: F64, found: F64) -> str:
    """Return missed and false atoms and the error in space after removing a common shift."""
    apart, nearest = (np.atleast_1d(part) for part in cKDTree(found).query(true))
    near = apart < 1.0
    residual = found[nearest[near]] - true[near]
    residual -= residual.mean(0)
    error = 100 * np.sqrt((residual**2).sum(1).mean())
    return f"{(~near).sum()} missed, {len(found) - len(set(nearest[near]))} false, {error:.2f} pm"


def ours(volume: xr.Dataset, true: F64, repeats: int = 3) -> tuple[float, str]:
    """Return the least processor seconds of several runs, and the score."""
    from aetx.stages.trace.peaks import peaks

    found = peaks(volume)
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        found = peaks(volume)
        spent.append(time.process_time() - began)
    told = 100 * float(np.sqrt((found["sigma"] ** 2).sum("axis").mean()))
    return min(spent), f"{score(true, found['position'].values)} (the fit says {told:.2f})"


def main() -> None:
    """Print one line for each size and program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has trackpy and scikit-image")
    peers = parser.parse_args().peers
    for size, count in SIZES.items():
        true = particle(count)
        volume = phantom(true, size)
        spent, text = ours(volume, true)
        print(f"{size}^3, {count} atoms, aetx trace.peaks: {spent:.3f} CPU-s, {text}", flush=True)
        if peers is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/density.npy", volume["density"].values)
            command = [peers, "-c", PEERS, f"{folder}/density.npy", str(STEP), folder]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            for number, (name, seconds) in enumerate(json.loads(output).items()):
                places = np.load(Path(folder) / f"{number}.npy")
                print(f"{size}^3, {count} atoms, {name}: {seconds:.3f} CPU-s, {score(true, places)}", flush=True)


if __name__ == "__main__":
    main()
