"""Lattices whose sites and strain are known, made with plain numpy."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.atoms import atoms_dataset
from aetx.model import LATTICE

F64 = NDArray[np.float64]
EDGE = 3.912


def rotation(degrees: float, axis: tuple[float, float, float] = (1, 2, 3)) -> F64:
    """Return the rotation about an axis."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def fcc_ball(atoms: int) -> F64:
    """Return lattice coordinates, in edges of the cubic cell, of so many atoms around one, shape (atoms, 3)."""
    reach = int(np.ceil((atoms / 4) ** (1 / 3))) + 1
    corner = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    motif = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    site = (corner[:, None] + motif).reshape(-1, 3)
    return np.asarray(site[np.argsort((site**2).sum(1), kind="stable")[:atoms]])


def lattice_of(
    site: F64,
    displacement: F64,
    *,
    sigma: float | F64 | None = 0.05,
    turn: F64 | None = None,
    grain: NDArray[np.int64] | None = None,
    turns: F64 | None = None,
) -> xr.Dataset:
    """Return a dataset of atoms on fcc sites.

    Parameters
    ----------
    site
        Coordinates in the cubic cell, shape (atoms, 3).
    displacement
        Shape (atoms, 3), angstrom, in the lab.
    sigma
        Standard errors, of all or shape (atoms, 3); None where they are not known.
    turn
        Turn of the lattice of all grains, shape (3, 3).
    grain, turns
        Grain of each atom, and the turn of each grain's lattice, shape (grains, 3, 3).
    """
    every = (np.eye(3) if turn is None else turn)[None] if turns is None else turns
    basis = EDGE * every.transpose(0, 2, 1)
    own = np.zeros(len(site), np.int64) if grain is None else grain
    place = np.einsum("nv,nva->na", site, basis[own])
    atoms = atoms_dataset(place + displacement, 78)
    if sigma is not None:
        error = np.broadcast_to(np.asarray(sigma, float), (len(site), 3)).copy()
        atoms = atoms.assign(sigma=(("atom", "axis"), error, {"units": "angstrom"}))
    made = atoms.assign(
        site=(("atom", "vector"), site, {"units": "1"}),
        grain=("atom", own.astype(np.int32), {"units": "1"}),
        displacement=(("atom", "axis"), displacement, {"units": "angstrom"}),
        basis=(("grain_id", "vector", "axis"), basis, {"units": "angstrom"}),
        origin=(("grain_id", "axis"), np.zeros((len(basis), 3)), {"units": "angstrom"}),
    )
    return LATTICE.stamp(made.assign_attrs(lattice="fcc"))


def strained(site: F64, gradient: F64, **options: object) -> xr.Dataset:
    """Return atoms whose displacement is a gradient times their place, shape (3, 3)."""
    turn = options.get("turn")
    place = EDGE * site @ (np.eye(3) if turn is None else np.asarray(turn).T)
    return lattice_of(site, place @ gradient.T, **options)  # type: ignore[arg-type]  # passed through
