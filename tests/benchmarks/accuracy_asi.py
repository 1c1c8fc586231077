"""Trace the published simulation of 208 silicon atoms at both doses, and print how well.

Run as ``python -m tests.benchmarks.accuracy_asi``. Counts without any denoising but a Gaussian, all parameters the
defaults but the margin of the background, as the images leave little room around the particle. The data are looked
for in the folder named by ``AETX_DATA``, else beside the checkout. Published: 4.2 pm at 1.6e5, 17.3 pm at 1.6e4.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.io
import xarray as xr

from aetx.errors import AetxWarning
from aetx.stages.measure.compare import compare
from aetx.stages.prepare.background import background
from aetx.stages.prepare.gaussian import gaussian
from aetx.stages.reconstruct.resire import resire
from aetx.stages.trace.peaks import peaks
from aetx.stages.trace.polynomial import polynomial

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "paet_asi208"
PIXEL = 0.195
DOSES = ("1p6e5", "1p6e4")


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


def main() -> None:
    """Print one line for each dose and way of tracing."""
    warnings.simplefilter("ignore", AetxWarning)
    true = truth()
    for dose in DOSES:
        began = time.process_time()
        volume = volume_at(dose)
        for name, trace in (("peaks", peaks), ("polynomial", polynomial)):
            found = trace(volume) if name == "peaks" else trace(volume, threshold=0.3)
            score = compare(found, true, align="translation", radius=0.9)
            x, y, z = 100 * score["rmsd_axis"].values
            told = 100 * float(np.sqrt((found["sigma"] ** 2).sum("axis").mean())) if "sigma" in found else np.nan
            print(
                f"{dose} {name:10s}: {int(score['common'])} of {int(score['true'])} atoms, {int(score['missed'])} "
                f"missed, {int(score['false'])} false, RMSD {100 * float(score['rmsd']):.2f} pm (x {x:.2f}, y {y:.2f}, "
                f"z {z:.2f}; the fit says {told:.2f}); {time.process_time() - began:.1f} CPU-s so far",
                flush=True,
            )


if __name__ == "__main__":
    main()
