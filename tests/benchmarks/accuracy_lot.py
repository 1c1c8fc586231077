"""Measure local orbitals on particles that are too large for multislice here: error of the three modes, and time.

Run as ``python -m tests.benchmarks.accuracy_lot [--specimen decahedron|amorphous] [--atoms N] [--tilts T] [--dose D]
[--modes direct,rigid,adaptive]``. Images are those of the rigid model, not of multislice: an atom is a Gaussian under
the intensity of the probe at its depth, 300 keV, 25 mrad, focus at the rotation centre, in slices of 1 angstrom (the
fit takes 4), pixels of 0.4 angstrom; with a dose, with counting noise. So they know no channelling, and rigid errors
show how well the fit converges, direct errors what the depth costs. Fits start 10 pm off along each axis.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import centred_axis, pose_coords
from aetx.kernels.optics import Aberrations
from aetx.kernels.orbitals import Model, Unknowns, View, basis_of, fine_shape, nominal_probes
from aetx.kernels.projection import rotation
from aetx.model import ATOMS, TILT_SERIES, positions
from aetx.stages.measure.compare import compare
from aetx.stages.refine.orbitals import OrbitalsParams, orbitals
from aetx.stages.simulate.amorphous import amorphous
from aetx.stages.simulate.decahedron import decahedron

STEP, WIDTH, CROSS_SECTION, VOLUME = 0.4, 0.15, 0.0229, 20.0
"""Pixel and width, angstrom; integral of an atom, angstrom**2; volume of an atom of amorphous Si, angstrom**3."""


def specimen(kind: str, atoms: int) -> xr.Dataset:
    """Return a decahedron of Pt off its zone axes with 10 pm displacements, or an amorphous ball of Si."""
    if kind == "decahedron":
        return decahedron(atoms=atoms, displacement=0.1, distribution="gaussian")
    edge = 2 * (atoms * VOLUME * 3 / (4 * math.pi)) ** (1 / 3)
    cell = (4 * VOLUME) ** (1 / 3)
    return amorphous(element="Si", lattice_constant=cell, separation=2.32, smallest=edge, largest=1.02 * edge)


def series_of(position: NDArray[np.float64], tilts: int, dose: float) -> xr.Dataset:
    """Return the images by the rigid model, noisy for a dose in electrons per angstrom**2 above 0."""
    theta = np.linspace(-72.0, 70.0, tilts)
    deep = float(np.linalg.norm(position, axis=1).max()) + 1.0
    pixels = 2 * math.ceil((deep + 3.0) / STEP)
    margin = math.ceil((4.0 + 0.025 * deep) * 2 / STEP)
    depth = np.arange(-math.ceil(deep), math.ceil(deep) + 1.0)
    shape = fine_shape(pixels, pixels, 2, margin)
    nominal = nominal_probes(shape, STEP / 2, 300.0, 25.0, Aberrations(), depth)
    turn = rotation(np.zeros(tilts), np.deg2rad(theta), np.zeros(tilts))
    corner = (-STEP * (pixels // 2),) * 2
    count = len(position)
    model = Model(
        pixels, pixels, STEP, corner, 2, margin, turn, np.zeros(count, np.int64), None, nominal, float(depth[0]), 1.0,
        basis_of(nominal, 1e-5),
    )  # fmt: skip
    tilt = np.tile([0, 0, 0, 0, 0, 1.0, 0.0], (tilts, 1))
    none = np.zeros((0, len(depth), 1, 1), np.float32)
    now = Unknowns(position, np.full(count, CROSS_SECTION), np.full(count, WIDTH), tilt, none)
    image = np.stack([View(model, now, index, None).image() for index in range(tilts)])
    if dose > 0:
        expected = np.maximum(image, 0) * dose * STEP**2
        image = (np.random.default_rng(0).poisson(expected) / (dose * STEP**2)).astype(np.float32)
    angles = np.stack([np.zeros(tilts), theta, np.zeros(tilts)], axis=1)
    axes = {name: centred_axis(name, pixels, STEP) for name in ("y", "x")}
    return TILT_SERIES.stamp(
        xr.Dataset({"image": (("tilt", "y", "x"), image, {"units": "1"})}, {**pose_coords(angles), **axes})
    )


def main() -> None:
    """Print one line for each mode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specimen", choices=("decahedron", "amorphous"), default="decahedron")
    parser.add_argument("--atoms", type=int, default=25_790)
    parser.add_argument("--tilts", type=int, default=72)
    parser.add_argument("--dose", type=float, default=0.0)
    parser.add_argument("--modes", default="direct,rigid,adaptive")
    given = parser.parse_args()
    torch.set_num_threads(1)
    truth = specimen(given.specimen, given.atoms)
    position = positions(truth)
    used = time.process_time()
    series = series_of(position, given.tilts, given.dose)
    size = f"{len(position)} atoms {np.ptp(position, axis=0).round(0)} angstrom, {dict(series.sizes)}"
    print(f"{size}, images in {time.process_time() - used:.0f} CPU-s", flush=True)
    off = np.random.default_rng(1).normal(0, 0.1, position.shape)
    start = ATOMS.stamp(atoms_dataset(position + off, truth["species"].values))
    for mode in given.modes.split(","):
        used = time.process_time()
        found = orbitals(series, start, params=OrbitalsParams.model_validate({"mode": mode}))
        used = time.process_time() - used
        score = compare(found, truth, radius=1.0, align="rigid")
        print(
            f"{mode}: RMSD {float(score['rmsd']) * 100:.2f} pm, R1 {float(found['r1'].mean()):.4f}, {used:.0f} CPU-s",
            flush=True,
        )


if __name__ == "__main__":
    main()
