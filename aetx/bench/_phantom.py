"""A ball of fcc Pt of any number of atoms, and the noisy volume of its atoms: what tracing is timed on."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.atoms import atoms_dataset
from aetx.kernels import gaussian
from aetx.kernels.particle import fcc_sites, random_rotation
from aetx.model import positions

F64 = NDArray[np.float64]

STEP, WIDTH, NOISE = 0.358, 0.45, 0.05
"""Voxel and width of an atom in angstrom; noise of a voxel over the peak of an atom."""
LATTICE, RATTLE = 3.912, 0.05
"""Edge of the cubic cell, and the standard deviation of each coordinate of an atom, angstrom."""


def least_error() -> float:
    """Return the Cramer-Rao bound of a lone atom of known shape in that noise, in space, angstrom.

    Along each axis the variance is 2 noise**2 step**3 / (pi**(3/2) width).
    """
    return math.sqrt(3 * 2 * NOISE**2 * STEP**3 / (math.pi**1.5 * WIDTH))


def ball(count: int, seed: int, depth: float = 1.0) -> xr.Dataset:
    """Return the atoms of a ball of fcc Pt at a random orientation, rattled; `depth` is its length along z over x."""
    generator = np.random.default_rng(seed)
    reach = LATTICE * (depth * (3 * count / (16 * math.pi)) ** (1 / 3) + 1)
    site = fcc_sites(LATTICE, reach, random_rotation(generator), np.zeros(3))
    site = site[np.argsort(np.linalg.norm(site / [1.0, 1.0, depth], axis=1), kind="stable")[:count]]
    return atoms_dataset(site + RATTLE * generator.standard_normal(site.shape), 78)


def volume(atoms: xr.Dataset, size: int, noise: float, seed: int) -> xr.Dataset:
    """Return the volume of Gaussian atoms of height one, with white noise of that standard deviation."""
    density = noise * np.random.default_rng(seed).standard_normal((size,) * 3, np.float32)
    state = np.zeros((atoms.sizes["atom"], 5))
    state[:, :3] = positions(atoms)[:, ::-1] / STEP + size // 2
    state[:, 3] = -1.0
    gaussian.subtract(density, np.zeros(3, np.int64), state, np.full(3, WIDTH / STEP))
    axis = (np.arange(size) - size // 2) * STEP
    coords = {name: (name, axis, {"units": "angstrom"}) for name in "zyx"}
    return xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, coords)
