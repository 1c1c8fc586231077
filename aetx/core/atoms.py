"""Atoms as a dataset: how they are made and audited, and what stages take from them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.errors import InputError, Problem
from aetx.kernels.scattering import ELEMENTS, adf_cross_section
from aetx.model import positions, units

F64 = NDArray[np.float64]

PLATINUM = 78
"""Atomic number of the element whose signal all atoms have where contrast is equal."""


def atoms_dataset(
    position: F64,
    species: NDArray[np.integer] | int,
    columns: Mapping[str, tuple[NDArray[np.generic], str]] | None = None,
) -> xr.Dataset:
    """Return atoms numbered from 0, in memory.

    Parameters
    ----------
    position
        Shape (atoms, 3), columns x, y, z, angstrom.
    species
        Atomic number of each, or of all.
    columns
        Further variables: values, of shape (atoms,) or (atoms, 3), with their unit.
    """
    count = len(position)
    numbers = np.broadcast_to(np.asarray(species, np.int32), (count,)).copy()
    further = {
        name: (("atom", "axis")[: values.ndim], values, {"units": units.canonical(unit)})
        for name, (values, unit) in (columns or {}).items()
    }
    return xr.Dataset(
        {
            "position": (("atom", "axis"), np.asarray(position, np.float64), {"units": "angstrom"}),
            "species": ("atom", numbers, {"units": "1"}),
            **further,
        },
        coords={"atom": ("atom", np.arange(count), {"units": "1"}), "axis": ["x", "y", "z"]},
    )


def audit(stage: str, position: F64, separation: float, fix: str) -> None:
    """Refuse a specimen without atoms, with one that is nowhere, or with two that are too close.

    Parameters
    ----------
    stage
        Who made it.
    position
        Shape (atoms, 3), angstrom.
    separation
        Least distance of two atoms, angstrom.
    fix
        What the user can change.
    """
    if not len(position):
        raise InputError(Problem(stage, "atom", "0", "at least one atom", fix))
    if not np.isfinite(position).all():
        raise InputError(Problem(stage, "position", "values that are not finite", "finite positions", fix))
    close = cKDTree(position).query_pairs(separation * (1 - 1e-9), output_type="ndarray")
    if len(close):
        found = f"{len(np.unique(close))} atoms closer than {separation:g} angstrom"
        raise InputError(Problem(stage, "position", found, "none", fix))


def elements_of(stage: str, atoms: xr.Dataset) -> NDArray[np.int32]:
    """Return the atomic number of each atom; refuse none at all, and elements that no table of scattering factors has.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        Of the kind atoms.
    """
    numbers = np.asarray(atoms["species"].values, np.int32)
    if numbers.size == 0:
        raise InputError(Problem(f"{stage}: atoms", "atom", "0", "at least one atom", "state what is to be imaged"))
    require_elements(stage, numbers)
    return numbers


def require_elements(stage: str, numbers: NDArray[np.integer], otherwise: str = "") -> None:
    """Refuse atomic numbers that no table of scattering factors has.

    Parameters
    ----------
    stage
        Who asks.
    numbers
        Shape (atoms,).
    otherwise
        What else than naming the elements would help.
    """
    unknown = int(((numbers < 1) | (numbers > ELEMENTS)).sum())
    if unknown:
        found, wanted = f"{unknown} atoms of unknown element", f"atomic numbers from 1 to {ELEMENTS}"
        fix = "name the elements with classify.element" + (f", or {otherwise}" if otherwise else "")
        raise InputError(Problem(f"{stage}: atoms", "species", found, wanted, fix))


def cross_sections(
    stage: str, species: NDArray[np.integer], contrast: str, energy: float, inner: float, outer: float
) -> F64:
    """Return the cross-section of each atom for scattering onto an annular detector, angstrom**2, shape (atoms,).

    Parameters
    ----------
    stage
        Who asks.
    species
        Atomic number of each atom, shape (atoms,).
    contrast
        ``element``, or ``equal`` for that of Pt for all.
    energy, inner, outer
        keV; edges of the detector, mrad.
    """
    if contrast == "equal":
        species = np.full(species.size, PLATINUM)
    require_elements(stage, species, "set contrast: equal")
    return adf_cross_section(species, energy, inner, outer)


def column_of(stage: str, atoms: xr.Dataset, name: str, above: float = -math.inf) -> F64:
    """Return a column of atoms, shape (atoms,); refuse one that is not there, is not finite, or not above a limit.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        Of the kind atoms.
    name
        One of the columns that the parameter ``columns`` of the stage names.
    above
        What all values must exceed.
    """
    where, fix = f"{stage}: atoms", f"leave {name} out of 'columns'"
    if name not in atoms:
        have = ", ".join(map(str, atoms.data_vars))
        raise InputError(Problem(where, name, have, f"a column {name!r}", fix))
    values = np.asarray(atoms[name].values, np.float64)
    wrong = int((~(np.isfinite(values) & (values > above))).sum())
    if wrong:
        limit = f" above {above:g}" if math.isfinite(above) else ""
        found, wanted = f"{wrong} atoms without one{limit}", f"a finite {name}{limit} of each atom"
        raise InputError(Problem(where, name, found, wanted, fix))
    return values


def finite_positions(where: str, atoms: xr.Dataset) -> F64:
    """Return the positions of atoms, shape (atoms, 3), x, y, z in angstrom; refuse atoms that are nowhere.

    Parameters
    ----------
    where
        Who asks, and which input: ``measure.compare: truth``.
    atoms
        Of the kind atoms.
    """
    found: F64 = positions(atoms)
    nowhere = int((~np.isfinite(found)).any(axis=1).sum())
    if nowhere:
        problem = Problem(where, "position", f"{nowhere} atoms that are not finite", "finite positions", "drop them")
        raise InputError(problem)
    return found


def covariances(atoms: xr.Dataset) -> F64:
    """Return the covariance of each position, shape (atoms, 3, 3), angstrom**2; NaN where atoms do not know it.

    It is `covariance` where that is there, else the squares of `sigma` on the diagonal.

    Parameters
    ----------
    atoms
        Of the kind atoms or lattice.
    """
    if "covariance" in atoms:
        ordered = atoms["covariance"].sel(axis=["x", "y", "z"], axis2=["x", "y", "z"])
        return np.asarray(ordered.transpose("atom", "axis", "axis2").values, np.float64)
    if "sigma" in atoms:
        sigma = atoms["sigma"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values.astype(np.float64)
        return np.einsum("ni,ij->nij", sigma**2, np.eye(3))
    return np.full((atoms.sizes["atom"], 3, 3), np.nan)
