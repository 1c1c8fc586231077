"""What the generators of specimens share: how atoms are displaced, how a specimen is turned and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.atoms import atoms_dataset, audit
from aetx.core.params import Angle, Length, Params
from aetx.kernels.rendering import rotation

F64 = NDArray[np.float64]
Column = tuple[NDArray[np.generic], str]
"""Values of each atom, shape (atoms,) or (atoms, 3), and their unit."""


class PoseParams(Params):
    """How a specimen lies: turned about its mean position by R = Rz(phi) Ry(theta) Rx(psi), r becomes R r."""

    phi: Angle = Field(0.0, ge=-360, le=360, description="last turn of the specimen, about z")
    theta: Angle = Field(0.0, ge=-360, le=360, description="second turn of the specimen, about y")
    psi: Angle = Field(0.0, ge=-360, le=360, description="first turn of the specimen, about x")


class DisplacementParams(Params):
    """How atoms are moved off their sites at random, and the seed of all that is random."""

    displacement: Length = Field(
        0.0, ge=0, le=2, description="root mean square distance of the atoms from their sites, in three dimensions"
    )
    distribution: Literal["cube", "gaussian"] = Field(
        "cube", description="how displacements are drawn: evenly in a cube, or normally distributed"
    )
    separation: Length = Field(2.0, ge=0, le=10, description="least distance between two atoms")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")


def finish(
    stage: str,
    params: Params,
    position: F64,
    species: NDArray[np.integer] | int,
    columns: Mapping[str, Column] | None = None,
    *,
    separation: float,
    fix: str,
    about: F64 | None = None,
) -> xr.Dataset:
    """Centre a specimen, turn it where `params` has a pose, audit it, and return it as a dataset.

    Parameters
    ----------
    stage
        Who made it.
    params
        Parameters of that stage; where they are `PoseParams`, the specimen is turned.
    position
        Shape (atoms, 3), columns x, y, z, angstrom.
    species
        Atomic number of each, or of all.
    columns
        What is known of each atom. Those of shape (atoms, 3) with fractions are vectors and are turned as well.
    separation
        Least distance of two atoms, angstrom.
    fix
        What the user can change when the atoms are too few or too close.
    about
        The point that becomes the origin, shape (3,); the mean position where it is not given.
    """
    audit(stage, position, separation, fix)
    placed = position - (position.mean(axis=0) if about is None else about)
    known = dict(columns or {})
    if isinstance(params, PoseParams) and (params.phi, params.theta, params.psi) != (0, 0, 0):
        turn = rotation(*np.deg2rad([params.phi, params.theta, params.psi])).T
        placed = placed @ turn
        for name, (values, unit) in known.items():
            if values.ndim == 2 and values.dtype.kind == "f":
                known[name] = (values.astype(np.float64) @ turn, unit)
    return atoms_dataset(placed, species, known)
