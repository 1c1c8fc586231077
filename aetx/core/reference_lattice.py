"""The lattice that strain is counted from: where each atom would be without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.atoms import covariances
from aetx.core.params import Length, Params
from aetx.errors import InputError, Problem
from aetx.kernels.bonds import polar
from aetx.model import positions

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

CUBIC = ("fcc", "bcc", "sc", "diamond", "perovskite")
"""Lattices whose conventional cell has one edge."""


class ReferenceParams(Params):
    """Which lattice strain is counted from."""

    lattice_constant: Length | None = Field(
        None, gt=1, le=50, description="edge of the unstrained cubic cell; none for the lattice fitted to each grain"
    )


@dataclass(frozen=True)
class Reference:
    """Atoms that have a site: which they are, their sites, displacements, covariances, grains and the grains' axes."""

    atom: I64
    site: F64
    displacement: F64
    covariance: F64
    grain: I64
    basis: F64
    name: str

    @property
    def middle(self) -> F64:
        """Mean site, shape (3,), angstrom."""
        return np.asarray(self.site.mean(axis=0))


def reference_of(stage: str, lattice: xr.Dataset, params: ReferenceParams, cubes: bool = False) -> Reference:
    """Return the atoms of a lattice with the places that they have without strain; refuse one without such atoms.

    With a stated edge, the cell of each grain becomes a cube of it, turned as the fitted cell is by the polar
    decomposition, and the sites move about their mean in the grain.

    Parameters
    ----------
    stage
        Who asks.
    lattice
        Of the kind lattice.
    params
        The edge, if one is stated.
    cubes
        Whether cells of cubic lattices become cubes of the same volume where no edge is stated.
    """
    basis = lattice["basis"].sel(axis=["x", "y", "z"]).transpose("grain_id", "vector", "axis").values.astype(float)
    where = f"{stage}: lattice"
    if basis.shape[1] != 3:
        found, fix = f"{basis.shape[1]} lattice vectors", "fit a lattice of three dimensions"
        raise InputError(Problem(where, "basis", found, "three, as strain in space needs", fix))
    place = positions(lattice)
    moved = lattice["displacement"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values.astype(float)
    grain = lattice["grain"].values.astype(np.int64)
    names = lattice["grain_id"].values if "grain_id" in lattice.coords else np.arange(len(basis))
    row = np.full(len(grain), -1)
    for k, name in enumerate(names):
        row[grain == name] = k
    atom = np.flatnonzero((row >= 0) & np.isfinite(place).all(axis=1) & np.isfinite(moved).all(axis=1))
    if not atom.size:
        fix = "fit a lattice that atoms belong to"
        raise InputError(Problem(where, "grain", "no atom with a site", "atoms on sites of a lattice", fix))
    row, place, moved = row[atom], place[atom], moved[atom]
    site, name = place - moved, "the lattice fitted to each grain"
    cubic = str(lattice.attrs.get("lattice")) in CUBIC
    if params.lattice_constant is None and cubes and cubic:
        site, basis = _restated(site, row, basis, np.abs(np.linalg.det(basis)) ** (1 / 3))
    if params.lattice_constant is not None:
        if not cubic:
            found, wanted = str(lattice.attrs.get("lattice")), f"one of {', '.join(CUBIC)}"
            raise InputError(Problem(where, "attrs['lattice']", found, wanted, "leave out 'lattice_constant'"))
        site, basis = _restated(site, row, basis, np.full(len(basis), params.lattice_constant))
        name = f"a cubic lattice of {params.lattice_constant:g} angstrom, turned as each grain is"
    return Reference(atom, site, place - site, covariances(lattice)[atom], row, basis, name)


def _restated(site: F64, row: I64, basis: F64, edge: F64) -> tuple[F64, F64]:
    """Return sites and cells of cubic lattices with other edges."""
    site, basis = site.copy(), basis.copy()
    for k in np.unique(row):
        own = row == k
        cube = edge[k] * polar(basis[k])[1]
        middle = site[own].mean(axis=0)
        site[own] = middle + (site[own] - middle) @ np.linalg.inv(basis[k]) @ cube
        basis[k] = cube
    return site, basis
