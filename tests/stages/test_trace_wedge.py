"""Tracing where tilts are missing: a reconstruction-like volume, whose atoms are long along the beam and have lobes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.stages.measure.compare import compare
from aetx.stages.trace.peaks import peaks
from aetx.stages.trace.polynomial import polynomial

SIZE, STEP = 64, 0.4


def wedged(place: NDArray[np.float64]) -> xr.Dataset:
    """Return atoms without the waves that tilts beyond 65 degrees would have seen, with noise, not below zero."""
    r = (np.arange(SIZE) - SIZE // 2) * STEP
    density = np.zeros((SIZE,) * 3)
    for atom in place:
        axes = [np.exp(-0.5 * ((r - c) / 0.5) ** 2) for c in atom[::-1]]
        density += axes[0][:, None, None] * axes[1][:, None] * axes[2]
    k = np.fft.fftfreq(SIZE)
    seen = np.abs(k[:, None, None]) <= np.tan(np.deg2rad(65)) * np.abs(k[None, None, :]) + 1e-9
    density = np.fft.ifftn(np.fft.fftn(density) * seen).real + 0.03 * np.random.default_rng(1).standard_normal(
        density.shape
    )
    coords = {name: (name, r, {"units": "angstrom"}) for name in "zyx"}
    return xr.Dataset(
        {"density": (("z", "y", "x"), np.maximum(density, 0).astype(np.float32), {"units": "1/angstrom"})}, coords
    )


def test_atoms_with_a_missing_wedge_are_all_found_and_better_than_by_polynomials() -> None:
    rng = np.random.default_rng(0)
    cells = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    place = 3.912 * (cells + basis - 0.25).reshape(-1, 3) @ turn + 0.05 * rng.standard_normal((108, 3))
    volume = wedged(place)
    found = peaks(volume)
    truth = found.isel(atom=np.zeros(108, int)).assign(position=(("atom", "axis"), place, {"units": "angstrom"}))
    truth = truth.assign_coords(atom=("atom", np.arange(108), {"units": "1"}))
    joint, plain = compare(found, truth), compare(polynomial(volume, threshold=0.4), truth)
    assert float(joint["missed"] + joint["false"]) == 0
    assert joint["rmsd"] < 0.06
    assert float(joint["rmsd"]) < 0.8 * float(plain["rmsd"])
