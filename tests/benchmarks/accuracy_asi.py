"""Trace the published simulation of 208 silicon atoms at both doses, refine the atoms, and print how well.

Run as ``python -m tests.benchmarks.accuracy_asi``. Counts without any denoising but a Gaussian, all parameters the
defaults but the margin of the background, as the images leave little room around the particle. The refinement starts
from what was traced and sees the raw counts; the shape of its atoms is the one with the lower R-free, never the one
nearer to the truth. The data are looked for in the folder named by ``AETX_DATA``, else beside the checkout. Published:
4.2 pm at 1.6e5, 17.3 pm at 1.6e4, every atom matched to the nearest within 0.9 angstrom; here one to one.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.io
import torch
import xarray as xr
from scipy.spatial import cKDTree

from aetx.errors import AetxWarning
from aetx.stages.classify.element import element
from aetx.stages.measure.compare import compare
from aetx.stages.prepare.background import background
from aetx.stages.prepare.gaussian import gaussian
from aetx.stages.reconstruct.resire import resire
from aetx.stages.refine.images import images
from aetx.stages.trace.peaks import peaks
from aetx.stages.trace.polynomial import polynomial

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "paet_asi208"
PIXEL = 0.195
DOSES = ("1p6e5", "1p6e4")
RADIUS, THREADS = 0.9, 2


def counts(dose: str) -> xr.Dataset:
    """Return the counts at a dose."""
    path = DATA / f"aSi_2nmFosCetr_Dose{dose}_cov35pm_ForBM3D.mat"
    values = scipy.io.loadmat(path)["Trunc_projections_forBM3D"].transpose(2, 1, 0).astype(np.float32)
    angles = scipy.io.loadmat(DATA / "Si_Angle.mat")["Angle"].astype(float)
    tilts, height, width = values.shape
    length, angle = {"units": "angstrom"}, {"units": "degree"}
    poses = {name: ("tilt", angles[:, i], angle) for i, name in enumerate(("phi", "theta", "psi"))}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), values, {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(tilts), {"units": "1"}),
            "y": ("y", (np.arange(height) - height // 2) * PIXEL, length),
            "x": ("x", (np.arange(width) - width // 2) * PIXEL, length),
            **poses,
        },
    )


def truth() -> xr.Dataset:
    """Return the true atoms in the frame of the images: x and y of the file change places."""
    position = np.loadtxt(DATA / "aSi_208atoms_GT.txt", comments="%")[:, [2, 1, 3]]
    position -= position.mean(0)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), position, {"units": "angstrom"}),
            "species": ("atom", np.full(len(position), 14, np.int32), {"units": "1"}),
        },
        {"atom": ("atom", np.arange(len(position)), {"units": "1"}), "axis": ["x", "y", "z"]},
    )


def volume_at(dose: str, width: float = 0.3) -> xr.Dataset:
    """Return the reconstruction of the counts at a dose."""
    return resire(gaussian(background(counts(dose), margin=2.5), width=width))


def line(name: str, found: xr.Dataset, true: xr.Dataset) -> str:
    """Return how well atoms agree with the true ones, each matched to one."""
    score = compare(found, true, align="translation", radius=RADIUS)
    x, y, z = 100 * score["rmsd_axis"].values
    return (
        f"{name:16s}: {int(score['common'])} of {int(score['true'])} atoms, {int(score['missed'])} missed, "
        f"{int(score['false'])} false, RMSD {100 * float(score['rmsd']):.2f} pm (x {x:.2f}, y {y:.2f}, z {z:.2f})"
    )


def nearest(found: xr.Dataset, true: xr.Dataset) -> float:
    """Return the root mean square distance of every true atom from the nearest found one, pm, as is published."""
    position = found["position"].values - found["position"].values.mean(0)
    away = np.asarray(cKDTree(position).query(true["position"].values)[0])
    return 100 * float(np.sqrt((away[away < RADIUS] ** 2).mean()))


def main() -> None:
    """Print one line for each dose and way of tracing, and for the refinement with each shape of an atom."""
    warnings.simplefilter("ignore", AetxWarning)
    torch.set_num_threads(THREADS)
    true = truth()
    for dose in DOSES:
        began = time.process_time()
        volume = volume_at(dose)
        traced = {"peaks": peaks(volume), "polynomial": polynomial(volume, threshold=0.3)}
        for name, found in traced.items():
            print(f"{dose} {line(name, found, true)}")
        print(f"{dose} {time.process_time() - began:.1f} CPU-s so far", flush=True)
        for profile in ("kirkland", "gaussian"):
            start = time.perf_counter()
            found = images(element(traced["peaks"], element="Si"), counts(dose), profile=profile)
            print(
                f"{dose} {line(f'refined {profile}', found, true)}; nearest {nearest(found, true):.2f} pm; "
                f"R-free {float(found['r_free'].mean()):.5f}, R1 {float(found['r1'].mean()):.5f}, gain "
                f"{float(found['gain']):.3f}; {time.perf_counter() - start:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
