"""Atoms drawn as Gaussians into the images of a series, with whatever the atoms know of its poses."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.atoms import column_of, finite_positions
from aetx.core.tomography import origin, pixel_size, rotations
from aetx.kernels import rendering
from aetx.kernels.projection import rotation

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
POSES = ("phi", "theta", "psi")


def placed(stage: str, atoms: xr.Dataset, series: xr.Dataset) -> F64:
    """Return the positions from the rotation centre of the series, shape (atoms, 3), x, y, z in angstrom.

    Parameters
    ----------
    stage
        Who asks.
    atoms, series
        Of those kinds.
    """
    place = origin(series)
    return finite_positions(f"{stage}: atoms", atoms) - np.array([place[axis] for axis in "xyz"])


def widths(stage: str, atoms: xr.Dataset, width: float) -> F64:
    """Return the Gaussian width of each atom in angstrom: its own where it has one, else the one given."""
    if "width" in atoms:
        return column_of(stage, atoms, "width", above=0)
    return np.full(atoms.sizes["atom"], width)


def refined(atoms: xr.Dataset, series: xr.Dataset) -> tuple[F64, F64]:
    """Return R of each tilt, shape (tilts, 3, 3), and its shift in angstrom, shape (tilts, 2), x and y.

    They are those that a refinement has left with the atoms, matched by `tilt`; where it has left none, those of the
    series, and no shift.
    """
    turned, shift = rotations(series), np.zeros((series.sizes["tilt"], 2))
    if "tilt" not in atoms.coords:
        return turned, shift
    row = {int(number): i for i, number in enumerate(atoms["tilt"].values)}
    for i, number in enumerate(series["tilt"].values):
        j = row.get(int(number))
        if j is None:
            continue
        if all(name in atoms.coords for name in POSES):
            turned[i] = rotation(*(np.deg2rad(atoms[name].values[[j]].astype(float)) for name in POSES))[0]
        for k, name in enumerate(("shift_x", "shift_y")):
            if name in atoms:
                shift[i, k] = float(atoms[name].values[j])
    return turned, shift


def drawn(place: F64, height: F64, width: F64, series: xr.Dataset, turned: F64, shift: F64) -> F32:
    """Draw atoms at all tilts, shape (tilts, y, x).

    Parameters
    ----------
    place
        From the rotation centre, shape (atoms, 3), angstrom.
    height
        Integral of each atom over the image, image units times angstrom**2.
    width
        Gaussian standard deviation of each atom, angstrom.
    series
        Lends the grid of its images.
    turned, shift
        R of each tilt, shape (tilts, 3, 3), and where the rotation centre shows, shape (tilts, 2), angstrom.
    """
    step, shape = pixel_size(series), (series.sizes["y"], series.sizes["x"])
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    made = np.empty((len(turned), *shape), np.float32)
    for i, (turn, moved) in enumerate(zip(turned, shift, strict=True)):
        seen = np.ascontiguousarray(((place @ turn)[:, :2] + moved - corner).T / step)
        made[i] = rendering.render(seen[0], seen[1], height / step**2, width / step, *shape)
    return made
