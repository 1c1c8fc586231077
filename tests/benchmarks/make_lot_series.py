"""Make the tilt series of a Pt decahedron by multislice, noise-free, with its truth, for local-orbital tomography.

Run as ``python -m tests.benchmarks.make_lot_series FOLDER``. Every tilt is written to FOLDER as soon as it is done,
and is not made again when the command is; when all are there they become one compressed file,
``FOLDER/lot_pt_decahedron.npz``, of some 3 MB:

    image                         fractions of the incident electrons, (tilt, y, x), float32; no noise, no source blur
    phi, theta, psi               angles, degree; those of the images, without error
    true_phi, true_theta, true_psi    the same
    position, species             the atoms, angstrom from the rotation centre
    x, y                          of the pixels, angstrom
    window_error                  (windows - whole box) / (largest intensity of these probes), at a few probes
    settings                      parameters of both stages, JSON

The specimen is a five-fold twinned decahedron of 2,100 Pt atoms off its zone axes, each 10 pm (root mean square,
normal) off its site. As in the published test: 300 keV, 25 mrad, no aberrations, focus at the rotation centre, slices
of 2 angstrom, detector from 30 mrad, 72 tilts -72..70 degree, atoms at rest. Unlike it: the detector ends at 55 mrad,
the band limit of the waves at 0.119 angstrom (published: 0.1 angstrom, which reaches 66 mrad), and a window of 12
angstrom follows each probe. Steps of the scan 0.4 angstrom. On one core that takes about 26 minutes; even tilts first,
so that a series of half of them is there early.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aetx.stages.simulate.decahedron import DecahedronParams, decahedron
from aetx.stages.simulate.multislice import MultisliceParams, multislice
from tests.benchmarks.make_multislice_series import check

SPECIMEN: dict[str, Any] = {"atoms": 2100, "displacement": 0.1, "distribution": "gaussian"}
SCAN: dict[str, Any] = {
    "tilts": 72,
    "first": -72.0,
    "last": 70.0,
    "pixels": 134,
    "pixel_size": 0.4,
    "energy": 300.0,
    "semi_angle": 25.0,
    "inner": 30.0,
    "outer": 55.0,
    "thickness": 2.0,
    "oversampling": 2,
    "vibration": 0.0,
    "window": 12.0,
    "reach": 3.0,
}


def main() -> None:
    """Make what is missing, then the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    specimen, params = DecahedronParams(**SPECIMEN), MultisliceParams(**SCAN)
    atoms = decahedron(params=specimen)
    series = multislice(atoms, params=params)
    extent = np.ptp(atoms["position"].values, axis=0).round(1)
    print(f"{atoms.sizes['atom']} atoms, extent {extent} angstrom", flush=True)
    parts = [given.folder / f"decahedron_tilt_{i:02d}.npy" for i in range(params.tilts)]
    for i in (*range(0, params.tilts, 2), *range(1, params.tilts, 2)):
        if parts[i].exists():
            continue
        wall, used = time.time(), time.process_time()
        image = series["image"].isel(tilt=i).compute(scheduler="synchronous").values
        aside = parts[i].with_suffix(".part")
        with aside.open("wb") as file:
            np.save(file, image)
        aside.replace(parts[i])
        wall, used = time.time() - wall, time.process_time() - used
        print(f"tilt {i}: {wall:.0f} s, {used:.0f} CPU-s, sum {image.sum():.3f}, maximum {image.max():.4f}", flush=True)
    error = check(atoms, series, params)
    rms, worst = np.sqrt((error**2).mean()), np.abs(error).max()
    print(f"windows beside the whole box, of the maximum: rms {rms:.2%}, worst {worst:.2%}")
    names = ("phi", "theta", "psi", "true_phi", "true_theta", "true_psi", "x", "y")
    out = given.folder / "lot_pt_decahedron.npz"
    saved: dict[str, Any] = {
        "image": np.stack([np.load(path) for path in parts]),
        "position": atoms["position"].values,
        "species": atoms["species"].values,
        "window_error": error,
        "settings": json.dumps({"decahedron": specimen.model_dump(), "multislice": params.model_dump()}),
        **{name: series[name].values for name in names},
    }
    np.savez_compressed(out, **saved)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
