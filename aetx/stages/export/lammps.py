"""Atoms as a LAMMPS data file."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx import __version__
from aetx.core import Length, Params, stage
from aetx.errors import AetxWarning
from aetx.model import ATOMS, FILE
from aetx.stages.export._file import as_file, atoms_forecast, cell_around, columns, mass, symbols, table, warn_dropped


class LammpsParams(Params):
    """Parameters of `lammps`."""

    margin: Length = Field(5.0, gt=0, le=1000, description="empty space between the atoms and each face of the box")


@stage("export.lammps", takes={"atoms": ATOMS}, gives=FILE, params=LammpsParams, forecast=atoms_forecast)
def lammps(atoms: xr.Dataset, params: LammpsParams) -> xr.Dataset:
    """Atoms as a LAMMPS data file of atom style ``atomic``: id, type, x, y, z and the masses.

    Made for ``units metal``. Types count the species from 1 in order of atomic number; the section Masses names them.
    LAMMPS wants ids from 1: ids that start at 0 are written one higher, and the first line says so. An unknown
    species is a type of its own, with a mass of 1. Reference: https://docs.lammps.org/read_data.html.
    """
    position, species, ids = table(atoms)
    kept, dropped = columns(atoms)
    warn_dropped("LAMMPS data", dropped + [column.name for column in kept])
    kinds, types = np.unique(species, return_inverse=True)
    if 0 in kinds:
        warnings.warn("atoms of unknown species are LAMMPS type 1 with a mass of 1", AetxWarning, stacklevel=2)
    shift = 1 - int(ids.min()) if ids.size and ids.min() < 1 else 0
    low, edges = cell_around(position, params.margin)
    note = f"; ids are those of aetx plus {shift}" if shift else ""
    lines = [
        f"aetx {__version__}, units metal, angstrom from the rotation centre{note}",
        "",
        f"{len(species)} atoms",
        f"{len(kinds)} atom types",
        "",
        *(f"{a:.9f} {a + edge:.9f} {name}lo {name}hi" for a, edge, name in zip(low, edges, "xyz", strict=True)),
        "",
    ]
    if kinds.size:
        lines += ["Masses", ""]
        lines += [f"{i} {mass(int(z)):.6f}  # {symbols(np.array([z]))[0]}" for i, z in enumerate(kinds, 1)]
        lines += ["", "Atoms  # atomic", ""]
    lines += [
        f"{number + shift} {kind + 1} {x:.12g} {y:.12g} {z:.12g}"
        for number, kind, (x, y, z) in zip(ids.tolist(), types.tolist(), position.tolist(), strict=True)
    ]
    return as_file(("\n".join(lines) + "\n").encode(), ".lammps")
