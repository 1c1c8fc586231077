"""Denoise images of which the truth is known, and print how well, how fast and how biased.

Run as ``python -m tests.benchmarks.accuracy_denoise [--peers PYTHON] [--parts images flat crystal atoms]``, with the
interpreter of an environment made by ``python -m venv peers; peers/bin/pip install bm3d``, which is run beside.

images: 512 x 512 pixels from 0 to 1, white noise of 0.1 (20.0 dB): parts of fcc Pt film of 300 angstrom and a particle
of 166 angstrom, a = 3.912 A, each atom displaced by 5 pm along each axis, at random orientations, Gaussian atoms of
0.45 A, pixels of 0.358 A; and the photograph that scikit-image brings along.
flat: Poisson noise on one level; the mean of what is found over the mean of the counts.
crystal: a random particle of some 1,600 Pt atoms, 21 tilts to 65 degrees, linear images with Poisson noise on a faint
background; smoothed or denoised, reconstructed and traced with the defaults, one to one within 1.38 angstrom.
atoms: the published simulation of 208 silicon atoms; smoothed or denoised, then as in `accuracy_asi`, with its data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from skimage.data import camera
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from aetx.errors import AetxWarning
from aetx.kernels.bm3d import PROFILES
from aetx.kernels.bm3d import denoise as collaborate
from aetx.kernels.rendering import render
from aetx.stages.measure.compare import compare
from aetx.stages.prepare.background import background
from aetx.stages.prepare.bm3d import bm3d
from aetx.stages.prepare.denoise import denoise
from aetx.stages.prepare.gaussian import gaussian
from aetx.stages.prepare.noise import noise
from aetx.stages.reconstruct.resire import resire
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images as images_of
from aetx.stages.simulate.particle import particle
from aetx.stages.trace.peaks import peaks
from tests.benchmarks import accuracy_asi

F32 = NDArray[np.float32]
SIDE, STEP, WIDTH, SPACING, RATTLE = 512, 0.358, 0.45, 3.912, 0.05
NOISE = 0.1
FILMS = (1, 4, 2)
PARTS = ("images", "flat", "crystal", "atoms")
CRYSTAL_DOSES = (7656.0, 800.0)
LEVELS = (1.0, 2.0, 5.0, 20.0)

PEERS = """
import json, sys, time
import numpy as np, bm3d
found = {}
for name, image in np.load(sys.argv[1]).items():
    began = time.process_time()
    made = bm3d.bm3d(image, float(sys.argv[2]))
    found[name] = time.process_time() - began
    np.save(f"{sys.argv[3]}/{name}.npy", made)
json.dump(found, open(f"{sys.argv[3]}/seconds.json", "w"))
"""


def platinum(radius: float, seed: int) -> F32:
    """Return the image of a ball of fcc Pt at a random orientation, from 0 to 1; a large one fills it as a film."""
    cells = int(radius / SPACING) + 2
    corner = np.indices((2 * cells + 1,) * 3).reshape(3, -1).T - cells
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    position = np.concatenate([corner + one for one in basis]) * SPACING
    position = position[np.linalg.norm(position, axis=1) < radius]
    position = Rotation.random(random_state=seed).apply(position)
    position += np.random.default_rng(seed).normal(0, RATTLE, position.shape)
    x, y = position[:, 0] / STEP + SIDE // 2, position[:, 1] / STEP + SIDE // 2
    image = render(x, y, np.ones(len(x)), np.full(len(x), WIDTH / STEP), SIDE, SIDE)
    return np.asarray((image - image.min()) / (image.max() - image.min()), np.float32)


def truths() -> dict[str, F32]:
    """Return the images that are denoised."""
    photograph = camera().astype(np.float32)
    films = {f"film {seed}": platinum(150.0, seed) for seed in FILMS}
    return films | {"particle": platinum(83.0, 1), "photograph": (photograph - photograph.min()) / np.ptp(photograph)}


def decibel(found: NDArray[np.floating], true: F32) -> float:
    """Return the ratio of the range, 1, to the mean squared error."""
    return float(-10 * np.log10(np.mean((found.astype(float) - true) ** 2)))


def images(peers: str | None) -> None:
    """Print the decibel and the processor seconds of each filter for each image."""
    true = truths()
    generator = np.random.default_rng(0)
    noisy = {name: (one + generator.normal(0, NOISE, one.shape)).astype(np.float32) for name, one in true.items()}
    filters: dict[str, Callable[[F32], NDArray[np.floating]]] = {
        "noisy": lambda image: image,
        "gaussian": lambda image: gaussian_filter(image, 1.0),
        "means": lambda image: denoise_nl_means(image, 5, 6, 0.8 * NOISE, fast_mode=True, sigma=NOISE),
        "variation": lambda image: denoise_tv_chambolle(image, NOISE),
        **{name: partial(collaborate, noise=NOISE, profile=one) for name, one in PROFILES.items()},
    }
    peer = run_peers(peers, noisy) if peers else {}
    print("dB (CPU-s)".ljust(12) + "".join(name.rjust(16) for name in (*filters, *(["bm3d"] if peer else []))))
    for name, image in noisy.items():
        cells = []
        for act in filters.values():
            act(image[:64, :64])
            began = time.process_time()
            cells.append((decibel(act(image), true[name]), time.process_time() - began))
        if peer:
            cells.append((decibel(peer[name][0], true[name]), peer[name][1]))
        print(name.ljust(12) + "".join(f"{level:8.2f} ({spent:5.2f})" for level, spent in cells), flush=True)


def run_peers(python: str, noisy: dict[str, F32]) -> dict[str, tuple[NDArray[np.floating], float]]:
    """Return what bm3d makes of each image, and its processor seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "noisy.npz"
        arrays: dict[str, Any] = {name: image.astype(float) for name, image in noisy.items()}
        np.savez(source, **arrays)
        subprocess.run([python, "-c", PEERS, str(source), str(NOISE), folder], check=True)
        spent = json.loads((Path(folder) / "seconds.json").read_text(encoding="utf-8"))
        return {name: (np.load(Path(folder) / f"{name}.npy"), spent[name]) for name in noisy}


def flat() -> None:
    """Print the bias of each filter on flat fields, per cent of the level, and what is left of the noise."""
    options: dict[str, Any] = {"gain": 1.0, "rescaled": False}
    filters: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
        "general": lambda series: bm3d(series, profile="general", **options),
        "atomic": lambda series: bm3d(series, **options),
        "means": lambda series: denoise(series, **options),
        "variation": lambda series: denoise(series, method="total_variation", strength=1.0, **options),
    }
    print("bias, % (noise left, %)".ljust(26) + "".join(name.rjust(16) for name in filters))
    for level in LEVELS:
        counts = np.random.default_rng(0).poisson(level, (4, 256, 256)).astype(np.float32)
        row = []
        for act in filters.values():
            found = act(series_of(counts))["image"].values.astype(float)
            row.append((100 * (found.mean() / counts.mean() - 1), 100 * found.std() / counts.std()))
        print(f"{level:g} counts".ljust(26) + "".join(f"{bias:8.2f} ({left:5.1f})" for bias, left in row), flush=True)


def series_of(counts: F32) -> xr.Dataset:
    """Return images as a series."""
    length, angle = {"units": "angstrom"}, {"units": "degree"}
    tilts, rows, columns = counts.shape
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), counts, {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(tilts), {"units": "1"}),
            **{name: ("tilt", np.zeros(tilts), angle) for name in ("phi", "theta", "psi")},
            "y": ("y", (np.arange(rows) - rows // 2) * STEP, length),
            "x": ("x", (np.arange(columns) - columns // 2) * STEP, length),
        },
    )


def crystal() -> None:
    """Print how well the atoms of a crystal are traced after each filter, at a full and a low dose."""
    true = particle(smallest=36.0, largest=38.0)
    ideal = images_of(true)
    filters: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
        "as counted": lambda series: series,
        **{f"gaussian {width}": partial(gaussian, width=width) for width in (0.1, 0.2, 0.3, 0.4)},
        "bm3d general": lambda series: bm3d(series, profile="general"),
        "bm3d atomic": bm3d,
    }
    for dose in CRYSTAL_DOSES:
        counts = acquisition(ideal, dose=dose, background=0.004).isel(y=slice(64, 192), x=slice(64, 192))
        measured = noise(counts)
        for name, act in filters.items():
            found = peaks(resire(background(act(measured))))
            score = compare(found, true, align="translation", radius=1.38)
            print(
                f"{dose:g} e/A^2 {name:14s}: {int(score['missed'])} missed, {int(score['false'])} false of "
                f"{int(score['true'])}, RMSD {100 * float(score['rmsd']):.2f} pm",
                flush=True,
            )


def atoms() -> None:
    """Print how well atoms are traced after each filter, at both doses."""
    torch.set_num_threads(accuracy_asi.THREADS)
    true = accuracy_asi.truth()
    filters: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
        **{f"gaussian {width}": partial(gaussian, width=width) for width in (0.2, 0.3, 0.45)},
        "bm3d general": lambda series: bm3d(series, profile="general"),
        "bm3d atomic": bm3d,
        "bm3d half": lambda series: gaussian(bm3d(series, profile="general", deviation=0.5), width=0.2),
        "means": denoise,
        "variation": lambda series: denoise(series, method="total_variation", strength=0.5),
    }
    for dose in accuracy_asi.DOSES:
        measured = noise(accuracy_asi.counts(dose))
        numbers = [float(measured[name][0]) for name in ("gain", "gain_error", "offset", "read_noise")]
        print("{} gain {:.3f} +- {:.3f}, offset {:.2f}, read noise {:.2f}".format(dose, *numbers))
        for name, act in filters.items():
            found = peaks(resire(background(act(measured), margin=2.5)))
            print(f"{dose} {accuracy_asi.line(name, found, true)}", flush=True)


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    for part in chosen.parts:
        if part == "images":
            images(chosen.peers)
        else:
            {"flat": flat, "crystal": crystal, "atoms": atoms}[part]()


if __name__ == "__main__":
    main()
