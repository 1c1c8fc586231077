"""Reconstruct with the Fourier methods, and print how well and how fast.

Run as ``python -m tests.benchmarks.accuracy_fourier [CASE ...]`` with cases

``peers``
    a ball of 1,401 atoms in 128 x 128 x 128 voxels and 21 tilts, clean and noisy: the case that other programs are
    measured on;
``vesicle``
    the phantom that GENFIRE-Python ships, 64 x 64 x 64 voxels, projected by `scipy.ndimage` to 60 tilts;
``particle``
    an fcc Pt particle at an experiment's dose, traced without any refinement: the raw errors of the literature;
``speed``
    seconds of one iteration by the size and the oversampling of the grid.

Seconds are those of the processor. The vesicle is looked for in the folder named by ``AETX_DATA``, else beside the
checkout.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import scipy.ndimage
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.bench import _phantom
from aetx.core import Registry
from aetx.core.tilts import centred_axis, pose_coords
from aetx.errors import AetxWarning

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data"))
STEP, SIZE, ATOMS, TILTS, MEAN = 0.358, 128, 1401, 21, 100.0
PUBLISHED: dict[str, Any] = {"momentum": False, "held_out": 0.0}
SIMULATION: dict[str, Any] = PUBLISHED | {"gridding": "fft", "iterations": 100, "oversampling": 2.0, "radius": 0.3}
EXPERIMENT: dict[str, Any] = PUBLISHED | {"gridding": "dft", "iterations": 1000, "oversampling": 5.0, "radius": 0.1}
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "genfire, defaults": ("genfire", {}),
    "genfire, as for simulations": ("genfire", SIMULATION),
    "genfire, as for experiments": ("genfire", EXPERIMENT),
    "est, 30 steps": ("est", {"iterations": 30}),
    "est, defaults": ("est", {}),
    "resire, defaults": ("resire", {}),
}


def stage(name: str) -> Callable[..., xr.Dataset]:
    """Return a stage by its name."""
    return Registry().stage(name)


def timed(act: Callable[[], xr.Dataset]) -> tuple[xr.Dataset, float]:
    """Return a result and the processor seconds that it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        before = time.process_time()
        made = act().compute()
        return made, time.process_time() - before


def series_of(image: NDArray[np.float32], theta: NDArray[np.float64], step: float, units: str) -> xr.Dataset:
    """Return images (tilts, y, x) about the y axis as a series."""
    angles = np.stack([np.zeros(theta.size), theta, np.zeros(theta.size)], axis=1)
    axes = {axis: centred_axis(axis, image.shape[2 if axis == "x" else 1], step) for axis in ("y", "x")}
    return xr.Dataset({"image": (("tilt", "y", "x"), image, {"units": units})}, {**pose_coords(angles), **axes})


def ball(noisy: bool) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return atoms, their volume and their series."""
    atoms = _phantom.ball(ATOMS, seed=0)
    volume = _phantom.volume(atoms, SIZE, noise=0.0, seed=0)
    shown = stage("simulate.images")(
        atoms, tilts=TILTS, pixels=SIZE, pixel_size=STEP, profile="gaussian", width=_phantom.WIDTH
    )
    mean = shown["image"].values * np.float32(MEAN / float(shown["image"].mean()))
    counts = np.random.default_rng(0).poisson(np.maximum(mean, 0)).astype(np.float32) if noisy else mean
    return atoms, volume, series_of(counts, shown["theta"].values, STEP, "count")


def traced(volume: xr.Dataset, truth: xr.Dataset, tracer: str, align: str) -> str:
    """Return the shares of atoms missed and false in percent, and the RMSD in picometre, in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        if tracer == "peaks":
            atoms = stage("trace.peaks")(volume[["density"]], separation=1.6).compute()
        else:
            found = stage("trace.polynomial")(volume[["density"]]).compute()
            atoms = stage("classify.atoms")(found, volume[["density"]])
        score = stage("measure.compare")(atoms, truth, radius=1.38, align=align)
    missed, false = (100 * float(score[name]) / truth.sizes["atom"] for name in ("missed", "false"))
    return f"missed {missed:5.2f} %  false {false:5.2f} %  {100 * float(score['rmsd']):5.1f} pm"


def correlation(one: xr.Dataset, other: xr.Dataset) -> float:
    """Return the correlation of two densities."""
    return float(np.corrcoef(one["density"].values.ravel(), other["density"].values.ravel())[0, 1])


def run(kind: str, series: xr.Dataset, params: dict[str, Any]) -> tuple[xr.Dataset, float]:
    """Return a reconstruction and the processor seconds that it took."""
    return timed(lambda: stage(f"reconstruct.{kind}")(series, **params))


def peak_memory() -> str:
    """Return the largest memory of this process so far, in words."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def peers() -> None:
    """Print the table of the case that other programs are measured on."""
    print("128 x 128 x 128, 21 tilts; SVMBIR noisy .854, 0 / .57 %, 13.2 pm, 5.55 s; GENFIRE-Python, 30 steps, 24.3 s:")
    print("clean .812, .3 / 4.4 %, 15.3 pm; noisy .794, .4 / 4.6 %, 16.5 pm")
    for noisy in (False, True):
        truth, volume, series = ball(noisy)
        for name, (kind, params) in METHODS.items():
            made, seconds = run(kind, series, params)
            found = traced(made, truth, "peaks", align="none")
            text = f"{'noisy' if noisy else 'clean'}  {name:28s} {seconds:7.2f} s  r {correlation(made, volume):.3f}"
            print(f"{text}  {found}  memory so far {peak_memory()}", flush=True)


def turned(density: NDArray[np.float32], theta: float) -> NDArray[np.float32]:
    """Return a volume (z, y, x) in the frame of the image at theta about y, by cubic splines: r = R p."""
    c, s = np.cos(theta), np.sin(theta)
    matrix = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    centre = np.array(density.shape) // 2
    found: NDArray[np.float32] = scipy.ndimage.affine_transform(density, matrix, centre - matrix @ centre, order=3)
    return found


def vesicle() -> None:
    """Print how well the phantom of GENFIRE-Python comes back from 60 tilts, and from as few as 21."""
    with mrcfile.open(DATA / "genfire_vesicle" / "vesicle.mrc", permissive=True) as file:
        density = np.asarray(file.data, np.float32)
    axes = {axis: centred_axis(axis, 64, 1.0) for axis in "zyx"}
    truth = xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, axes)
    for theta in (np.linspace(-88.5, 88.5, 60), np.linspace(-70, 70, 21)):
        images = [turned(density, angle).sum(0) for angle in np.deg2rad(theta)]
        series = series_of(np.array(images, np.float32), theta, 1.0, "1")
        for name, (kind, params) in METHODS.items():
            if params is EXPERIMENT:
                continue
            made, seconds = run(kind, series, params)
            fit = f"R Fourier {float(made['r_fourier'][-1]):.3f}" if kind == "genfire" else ""
            free = f"R free {float(made['r_free'][-1]):.3f}" if kind == "genfire" and not params else ""
            print(f"{theta.size} tilts  {name:28s} {seconds:6.2f} s  r {correlation(made, truth):.4f}  {fit}  {free}")


def particle() -> None:
    """Print what is traced in a particle at an experiment's dose, before any learned filter or refinement.

    The width is that of an atom beside its scattering factor: that of the other benchmarks, and a larger source.
    """
    print("literature, GENFIRE as for simulations, before the filter: 6.8 % wrong, 34.5 pm; after it .4 %, 19.7 pm")
    truth = stage("simulate.particle")(smallest=32.0, largest=34.4, seed=0)
    for width in (0.47, 0.6):
        expected = stage("simulate.images")(
            truth, tilts=21, tilt_error=0.4, pixels=144, pixel_size=STEP, profile="kirkland", width=width, seed=0
        )
        series = stage("simulate.acquisition")(expected, dose=7656.0, seed=1_000_000).compute()
        for name, (kind, params) in METHODS.items():
            if params is EXPERIMENT:
                continue
            made, seconds = run(kind, series, params)
            for tracer in ("peaks", "polynomial"):
                found = traced(made, truth, tracer, align="rigid")
                print(f"width {width:.2f} A  {name:28s} {seconds:6.2f} s  {tracer:10s}  {found}", flush=True)


def speed() -> None:
    """Print the processor seconds of one iteration, and of the rest."""
    for size, oversampling in ((128, 2.0), (128, 3.0), (128, 5.0), (256, 2.0)):
        images = np.random.default_rng(0).random((TILTS, size, size)).astype(np.float32)
        series = series_of(images, np.linspace(-65, 65, TILTS), STEP, "count")
        few, many = (
            min(run("genfire", series, {"iterations": steps, "oversampling": oversampling})[1] for _ in range(2))
            for steps in (10, 20)
        )
        padded = round(size * oversampling)
        text = f"box {size}, grid {padded}: {(many - few) / 10:.3f} s an iteration, {few - (many - few):.2f} s besides"
        print(f"{text}, memory so far {peak_memory()}", flush=True)


CASES = {"peers": peers, "vesicle": vesicle, "particle": particle, "speed": speed}


def main(cases: list[str]) -> None:
    """Run the cases."""
    torch.set_num_threads(1)
    for case in cases or CASES:
        print(f"\n{case}")
        CASES[case]()


if __name__ == "__main__":
    main(sys.argv[1:])
