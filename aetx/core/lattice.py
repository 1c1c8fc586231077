"""Grains as variables of a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.kernels.grains import Grain
from aetx.kernels.unit_cell import UnitCell

F64 = NDArray[np.float64]
Table = dict[str, tuple[Any, ...]]

ONE, ANGSTROM, SQUARE = {"units": "1"}, {"units": "angstrom"}, {"units": "angstrom**2"}
TURN, TURNS = {"units": "degree"}, {"units": "degree**2"}


def basis_of(lattice: xr.Dataset) -> F64:
    """Return the cell vectors of each grain of a lattice, shape (grains, vectors, 3), x, y, z in angstrom."""
    ordered = lattice["basis"].sel(axis=["x", "y", "z"]).transpose("grain_id", "vector", "axis")
    return np.asarray(ordered.values, np.float64)


def grain_table(
    found: list[Grain], cell: UnitCell, covariance: F64 | None, position: F64, frame: tuple[F64, F64]
) -> Table:
    """Return what the grains say about atoms and about themselves, as the variables of a lattice.

    Parameters
    ----------
    found
        The grains.
    cell
        Their crystal.
    covariance
        Of the positions, shape (atoms, 3, 3), None where not known.
    position
        Shape (atoms, 3), in the frame in which grains were sought.
    frame
        That frame: its axes in columns, and its origin.
    """
    axes, centre = frame
    atoms, vectors = len(position), len(cell.vectors)
    site, grain = np.full((atoms, vectors), np.nan), np.full(atoms, -1, np.int32)
    away, spread = np.full((atoms, 3), np.nan), np.full((atoms, 3, 3), np.nan)
    mismatch = np.zeros(atoms, np.int32)
    for number, one in enumerate(found):
        grain[one.member], site[one.member] = number, one.site
        away[one.member] = _lifted(one, position) @ axes.T
        spread[one.member] = axes @ _spread(one, covariance) @ axes.T
        mismatch += np.bincount(one.mismatch[:, 0], minlength=atoms).astype(np.int32)
    error = np.sqrt(np.einsum("nii->ni", spread))
    return {
        "site": (("atom", "vector"), site, ONE),
        "grain": ("atom", grain, ONE),
        "displacement": (("atom", "axis"), away, ANGSTROM),
        "displacement_error": (("atom", "axis"), error, ANGSTROM),
        "displacement_covariance": (("atom", "axis", "axis2"), spread, SQUARE),
        "mismatch": ("atom", mismatch, ONE),
        **_of_grains(found, cell, axes, centre),
    }


def _of_grains(grains: list[Grain], cell: UnitCell, axes: F64, centre: F64) -> Table:
    vectors = len(cell.vectors)
    flat = axes[:, :vectors]  # columns: where the axes of the fit point
    basis = [one.basis @ flat.T for one in grains]
    origin = [one.fit.origin @ flat.T + centre for one in grains]
    turn = [flat @ one.fit.turn_covariance @ flat.T if vectors == 3 else _about(axes[:, 2], one) for one in grains]
    per_grain = ("grain_id", "axis", "axis2")
    orientation = [axes @ _whole(one.fit.rotation) for one in grains]
    turned = np.rad2deg(np.rad2deg(np.array(turn).reshape(-1, 3, 3)))

    def column(values: list[float], units: dict[str, str]) -> tuple[Any, ...]:
        return "grain_id", np.array(values, np.float64), units

    return {
        "basis": (("grain_id", "vector", "axis"), np.array(basis).reshape(-1, vectors, 3), ANGSTROM),
        "basis_error": (
            ("grain_id", "vector", "axis"),
            np.array([_basis_error(one, flat) for one in grains]).reshape(-1, vectors, 3),
            ANGSTROM,
        ),
        "origin": (("grain_id", "axis"), np.array(origin).reshape(-1, 3), ANGSTROM),
        "origin_error": (
            ("grain_id", "axis"),
            np.array([_origin_error(one, flat) for one in grains]).reshape(-1, 3),
            ANGSTROM,
        ),
        "lattice_constant": column([one.fit.scale * cell.edge for one in grains], ANGSTROM),
        "lattice_constant_error": column([one.fit.scale_error * cell.edge for one in grains], ANGSTROM),
        "orientation": (per_grain, np.array(orientation).reshape(-1, 3, 3), ONE),
        "orientation_error": (("grain_id", "axis"), np.sqrt(np.einsum("nii->ni", turned)), TURN),
        "orientation_covariance": (per_grain, turned, TURNS),
        "rmsd": column([one.fit.rmsd for one in grains], ANGSTROM),
        "disorder": column([one.fit.disorder for one in grains], ANGSTROM),
        "grain_atoms": ("grain_id", np.array([one.member.size for one in grains], np.int64), ONE),
        "burgers": (("grain_id", "vector"), np.array([one.burgers for one in grains]).reshape(-1, vectors), ONE),
    }


def _lifted(grain: Grain, position: F64) -> F64:
    """Return displacements in three dimensions: those of a flat lattice have the height above its plane."""
    away = grain.fit.residual
    return away if away.shape[1] == 3 else np.column_stack([away, position[grain.member, 2]])


def _spread(grain: Grain, covariance: F64 | None) -> F64:
    """Return the covariance of displacements; across a flat lattice it is that of the atom."""
    spread = grain.fit.residual_covariance
    if spread.shape[1] == 3:
        return spread
    if covariance is None:
        return np.full((grain.member.size, 3, 3), np.nan)
    whole = covariance[grain.member].copy()
    whole[:, :2, :2] = spread
    return whole


def _whole(rotation: F64) -> F64:
    """Return a rotation in three dimensions: that of a flat lattice is about z."""
    whole = np.eye(3)
    whole[: len(rotation), : len(rotation)] = rotation
    return whole


def _about(normal: F64, grain: Grain) -> F64:
    return np.asarray(np.outer(normal, normal) * float(grain.fit.turn_covariance[0, 0]))


def _basis_error(grain: Grain, flat: F64) -> F64:
    """Return standard errors of the cell vectors along x, y, z, shape (vectors, 3)."""
    size = flat.shape[1]
    blocks = grain.fit.covariance[size:, size:].reshape(size, size, size, size)
    square = np.einsum("vk,vl,kdle,xd,xe->vx", grain.vectors, grain.vectors, blocks, flat, flat)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def _origin_error(grain: Grain, flat: F64) -> F64:
    size = flat.shape[1]
    square = np.einsum("de,xd,xe->x", grain.fit.covariance[:size, :size], flat, flat)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))
