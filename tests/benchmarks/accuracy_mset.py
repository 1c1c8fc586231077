"""Compare our patterns of a true potential with published 4D-STEM data at eight tilts, and print the errors.

Run as ``python -m tests.benchmarks.accuracy_mset``. The data are the demonstration of multislice electron tomography
(J. Lee et al., Phys. Rev. Applied 19, 054062 (2023), doi:10.1103/PhysRevApplied.19.054062): 11 atoms, 24 by 24 probe
positions, patterns of 24 by 24 pixels. They are looked for in the folder named by ``AETX_DATA``, else beside the
checkout. The error is mean((sqrt(measured) - sqrt(calculated))**2), which the authors minimise.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

import h5py
import numpy as np
import torch

from aetx.kernels.diffraction import binned, patterns_of_volume
from aetx.kernels.multislice import WaveGrid
from aetx.kernels.optics import Aberrations, probe
from aetx.kernels.rendering import rotation
from aetx.kernels.turning import spline_coefficients

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mset_cuau"
THETA = (-70.0, -52.5, -35.0, -17.5, 0.0, 17.5, 35.0, 52.5)
SIZE, VOXEL = 24, 0.4
GRID = WaveGrid(SIZE, SIZE, VOXEL, 300.0, band=1.5)  # the published calculation cuts nothing off


@functools.lru_cache(maxsize=1)
def measured(folder: Path, number: int) -> np.ndarray:
    """Return the patterns of one tilt, counted from 0: shape (scan_y * scan_x, ky, kx), zero frequency at index 12."""
    found = np.empty((SIZE, SIZE, SIZE, SIZE), np.float32)
    with h5py.File(folder / f"CuAu_s24_p72_Np_8_4DSTEM_data_{number + 1}.mat") as file:
        cells = file["Full_4D_STEM_data"][()]
        for place in np.ndindex(cells.shape):
            found[place] = file[cells[place]][()]
    return found.reshape(-1, SIZE, SIZE)


def volume(folder: Path, name: str) -> torch.Tensor:
    """Return the ``true`` or the published ``reconstructed`` potential in V, axes z, y, x."""
    path, field = {
        "true": ("CuAu_s24_p72_Np_8_STEM_data_info.mat", "pot3D"),
        "reconstructed": ("MSET_recon.mat", "rec"),
    }[name]
    with h5py.File(folder / path) as file:
        return torch.from_numpy(file[f"STEM_data/{field}"][()].astype(np.float32))


def calculated(potential: torch.Tensor, theta: float, electrons: float) -> np.ndarray:
    """Return our patterns of a potential at a tilt, in the layout of `measured`."""
    qy, qx = GRID.frequencies()
    spectrum = probe(qy, qx, GRID.wavelength, 21.0, 0.0, Aberrations(c10=200.0)).to(torch.complex64)
    place = VOXEL * torch.arange(SIZE, dtype=torch.float64)
    y, x = torch.meshgrid(place, place, indexing="ij")
    matrix = torch.from_numpy(rotation(0.0, float(np.deg2rad(theta)), 0.0))
    with torch.no_grad():
        found = patterns_of_volume(
            spline_coefficients(potential),
            matrix,
            (SIZE, SIZE, SIZE),
            torch.stack([x.ravel(), y.ravel()], dim=1),
            spectrum * electrons**0.5,
            GRID,
        )
    return binned(found, SIZE, 1).numpy()


def errors(folder: Path, name: str, number: int) -> tuple[float, float]:
    """Return the error at a tilt, and the error were it turned the other way."""
    data, potential = measured(folder, number), volume(folder, name)
    electrons = float(data.sum((1, 2), dtype=float).mean())
    both = (np.sqrt(calculated(potential, sign * THETA[number], electrons)) for sign in (1, -1))
    ours, other = (float(np.mean((np.sqrt(data) - one) ** 2, dtype=float)) for one in both)
    return ours, other


def main() -> None:
    """Print a table."""
    start = time.perf_counter()
    print("theta / degree | true potential | turned the other way | published reconstruction")
    for number, theta in enumerate(THETA):
        true, other = errors(DATA, "true", number)
        found, _ = errors(DATA, "reconstructed", number)
        print(f"{theta:14.1f} | {true:14.6f} | {other:20.6f} | {found:24.6f}")
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
