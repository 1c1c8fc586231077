"""Make a tilt series by multislice, with its truth, for benchmarks of accuracy.

Run as ``python -m tests.benchmarks.make_multislice_series FOLDER [--particle SEED]``. Every tilt is written to FOLDER
as soon as it is done, and is not made again when the command is; when all are there they become one compressed file,
``FOLDER/multislice_pt_SEED.npz``, of about 1 MB:

    image                         fractions of the incident electrons, (tilt, y, x), float32; no noise, no source blur
    phi, theta, psi               nominal angles, degree; true_phi, true_theta, true_psi those of the images
    position, species             the atoms, angstrom from the rotation centre
    x, y                          of the pixels, angstrom
    window_error                  (windows - whole box) / (largest intensity of these probes), at a few probes
    settings                      parameters of both stages, JSON

The specimen is a random-shaped Pt particle of about 700 atoms off its zone axes, with 22 pm displacements and
vacancies; 300 keV, 25 mrad, detector 40-90 mrad (the band limit of 0.073 angstrom), 2 angstrom slices, 8 configurations
of frozen phonons for every pixel, steps of 0.358 angstrom, 21 tilts -65..65 degree with errors of up to 0.4 degree on
all three angles. On one core that takes one to two hours.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from aetx.core.stem import box_for, near, vibrating
from aetx.kernels import rendering
from aetx.kernels.stem import scan_multislice
from aetx.stages.simulate.multislice import MultisliceParams, multislice
from aetx.stages.simulate.particle import ParticleParams, particle

SPECIMEN: dict[str, Any] = {"smallest": 27.5, "largest": 28.5, "displacement": 0.22, "vacancies": 0.005}
SCAN: dict[str, Any] = {
    "tilts": 21,
    "first": -65.0,
    "last": 65.0,
    "tilt_error": 0.4,
    "pixels": 116,
    "pixel_size": 0.358,
    "energy": 300.0,
    "semi_angle": 25.0,
    "inner": 40.0,
    "outer": 90.0,
    "thickness": 2.0,
    "oversampling": 2,
    "vibration": 0.075,
    "configurations": 8,
    "window": 11.6,
    "reach": 4.0,
}
CHECKED = 24
"""Probes that are computed in the whole box too."""


def check(atoms: xr.Dataset, series: xr.Dataset, params: MultisliceParams) -> np.ndarray:
    """Return what the window changes at random probes of the first configuration of the middle tilt."""
    index = params.tilts // 2
    angles = [np.deg2rad(float(series[f"true_{name}"][index])) for name in ("phi", "theta", "psi")]
    seen = rendering.to_camera(atoms["position"].values, *angles)
    box = box_for(seen, params, {"window": params.window})
    raster = near(seen, series["x"].values, series["y"].values, params.reach - 2)
    rows, columns = np.nonzero(raster.wanted)
    some = np.random.default_rng(0).permutation(len(rows))[:CHECKED]
    probes = np.column_stack([raster.x[columns[some]], raster.y[rows[some]]])
    moved = vibrating(seen, params, index)[0]
    species = atoms["species"].values
    windows, whole = (
        scan_multislice(box, moved, species, probes, params.optics, params.slicing, window, "cpu")
        for window in (params.window, 0.0)
    )
    return (windows - whole) / whole.max()


def main() -> None:
    """Make what is missing, then the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--particle", type=int, default=0, metavar="SEED")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    specimen = ParticleParams(seed=given.particle, **SPECIMEN)
    params = MultisliceParams(seed=given.particle, **SCAN)
    atoms = particle(params=specimen)
    series = multislice(atoms, params=params)
    print(
        f"{atoms.sizes['atom']} atoms, extent {np.ptp(atoms['position'].values, axis=0).round(1)} angstrom", flush=True
    )
    parts = [given.folder / f"particle_{given.particle}_tilt_{i:02d}.npy" for i in range(params.tilts)]
    for i, path in enumerate(parts):
        if path.exists():
            continue
        wall, used = time.time(), time.process_time()
        image = series["image"].isel(tilt=i).compute(scheduler="synchronous").values
        aside = path.with_suffix(".part")
        with aside.open("wb") as file:
            np.save(file, image)
        aside.replace(path)
        wall, used = time.time() - wall, time.process_time() - used
        print(f"tilt {i}: {wall:.0f} s, {used:.0f} CPU-s, sum {image.sum():.3f}, maximum {image.max():.4f}", flush=True)
    error = check(atoms, series, params)
    rms, worst = np.sqrt((error**2).mean()), np.abs(error).max()
    print(f"windows beside the whole box, of the maximum: rms {rms:.2%}, worst {worst:.2%}")
    names = ("phi", "theta", "psi", "true_phi", "true_theta", "true_psi", "x", "y")
    out = given.folder / f"multislice_pt_{given.particle}.npz"
    saved: dict[str, Any] = {
        "image": np.stack([np.load(path) for path in parts]),
        "position": atoms["position"].values,
        "species": atoms["species"].values,
        "window_error": error,
        "settings": json.dumps({"particle": specimen.model_dump(), "multislice": params.model_dump()}),
        **{name: series[name].values for name in names},
    }
    np.savez_compressed(out, **saved)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
