"""Neighbourhoods as stages take them, the errors of what is measured in them, and the columns that result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.atoms import covariances, finite_positions
from aetx.core.params import Length, Params
from aetx.core.shells import ShellParams, cutoff_of
from aetx.errors import InputError, Problem
from aetx.kernels.neighbours import Adjacency, arranged
from aetx.kernels.propagation import drawn_error
from aetx.kernels.voronoi import Cells, cells

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Column = tuple[tuple[str, ...], NDArray[np.generic], dict[str, Any]]

STRUCTURES = ("other", "fcc", "hcp", "bcc", "ico", "sc", "diamond")
"""What the codes of `structure` mean, from 0."""


class NeighbourhoodParams(ShellParams):
    """Parameters of stages that look at neighbours, whoever found these."""

    shell: Literal["cutoff", "listed"] = Field(
        "cutoff", description="neighbours within the cutoff, or those that structure.neighbours has listed"
    )

    @model_validator(mode="after")
    def _one_shell(self) -> Self:
        if self.shell == "listed" and self.cutoff is not None:
            raise ValueError("without cutoff, which shell: listed does not use")
        return self


class FaceParams(Params):
    """Parameters of stages that look at Voronoi cells."""

    reach: Length | None = Field(
        None,
        gt=0,
        le=50,
        description="how far the corners of a closed cell may be from its atom; by default the first minimum of g(r)",
    )
    least: float = Field(
        0.01, ge=0, lt=1, description="faces with less than this part of the area of a cell are left out"
    )


class DrawParams(Params):
    """Parameters of stages whose errors come from drawn positions."""

    draws: int = Field(
        30, ge=2, le=10_000, description="positions drawn from their covariance, behind the standard errors"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the drawn positions")


@dataclass(frozen=True)
class Neighbourhoods:
    """Neighbours of atoms: `near` are those of ``position[order]``, `attrs` say which they are."""

    position: F64
    order: I64
    near: Adjacency
    attrs: Mapping[str, float]

    def restored(self, values: Mapping[str, F64]) -> dict[str, F64]:
        """Return values of ``position[order]`` in the order of the atoms."""
        found = {name: np.empty_like(one) for name, one in values.items()}
        for name, one in values.items():
            found[name][self.order] = one
        return found


def neighbourhoods(stage: str, atoms: xr.Dataset, params: NeighbourhoodParams) -> Neighbourhoods:
    """Return who is a neighbour of whom.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        Of the kind atoms or lattice.
    params
        Which neighbours.
    """
    position = finite_positions(f"{stage}: atoms", atoms)
    if params.shell == "listed":
        return Neighbourhoods(position, np.arange(len(position)), _listed(stage, atoms), {})
    cutoff = cutoff_of(stage, position, params.cutoff)
    return Neighbourhoods(position, *arranged(position, cutoff), {"cutoff": cutoff})


def _listed(stage: str, atoms: xr.Dataset) -> Adjacency:
    """Return the neighbours that atoms keep by the ids of these."""
    if "neighbour" not in atoms:
        found, fix = "no list of neighbours", "put structure.neighbours before"
        raise InputError(Problem(f"{stage}: atoms", "neighbour", found, "neighbours of each atom", fix))
    listed = atoms["neighbour"].transpose("atom", "rank").values
    ids = atoms["atom"].values
    order = np.argsort(ids, kind="stable")
    there = listed >= 0
    index = order[np.minimum(np.searchsorted(ids[order], listed[there]), len(ids) - 1)]
    missing = int((ids[index] != listed[there]).sum())
    if missing:
        found, fix = f"{missing} neighbours that are no longer there", "list them again with structure.neighbours"
        raise InputError(Problem(f"{stage}: atoms", "neighbour", found, "ids of atoms of this dataset", fix))
    start = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
    return Adjacency(start, index.astype(np.int32))


def cells_of(stage: str, position: F64, params: FaceParams) -> tuple[Cells, float]:
    """Return the Voronoi cells of atoms and the reach of the closed ones, angstrom.

    Parameters
    ----------
    stage
        Who asks.
    position
        Shape (atoms, 3), angstrom.
    params
        Which faces count.
    """
    reach = cutoff_of(stage, position, params.reach, "reach")
    return cells(position, reach, params.least), reach


def known(atoms: xr.Dataset) -> bool:
    """Tell whether atoms know errors of their positions."""
    return bool({"covariance", "sigma"} & set(atoms.data_vars))


def errors_by_drawing(
    atoms: xr.Dataset,
    position: F64,
    measure: Callable[[F64], Mapping[str, F64]],
    values: Mapping[str, F64],
    params: DrawParams,
) -> dict[str, F64]:
    """Return the standard error of each quantity as ``NAME_error``; NaN where no atom knows its covariance.

    Parameters
    ----------
    atoms
        Of the kind atoms or lattice.
    position
        Their positions, shape (atoms, 3).
    measure
        From positions to quantities by name, of one value for each atom.
    values
        What it gives for these positions.
    params
        How many draws.
    """
    unknown = {f"{name}_error": np.full(one.shape, np.nan) for name, one in values.items()}
    if not known(atoms):
        return unknown
    covariance = covariances(atoms)
    if not np.isfinite(covariance).all(axis=(1, 2)).any():
        return unknown
    error = drawn_error(lambda moved: list(measure(moved).values()), position, covariance, params.draws, params.seed)
    return {f"{name}_error": one for name, one in zip(values, error, strict=True)}


def per_atom(values: NDArray[np.generic], unit: str, attrs: Mapping[str, Any] | None = None) -> Column:
    """Return a column of atoms, of shape (atoms,), (atoms, 3) or (atoms, 3, 3), as a dataset takes it."""
    return ("atom", "axis", "axis2")[: values.ndim], values, {**(attrs or {}), "units": unit}


def structure_column(code: NDArray[np.integer], attrs: Mapping[str, Any]) -> Column:
    """Return the column `structure` of codes, shape (atoms,), as a dataset takes it."""
    flags = {"flag_values": list(range(len(STRUCTURES))), "flag_meanings": " ".join(STRUCTURES)}
    return ("atom",), code.astype(np.int32), {**attrs, **flags, "units": "1"}
