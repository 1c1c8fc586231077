"""Atoms as extended XYZ."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx import __version__
from aetx.core import stage
from aetx.core.params import NoParams
from aetx.model import ATOMS, FILE
from aetx.stages.export._file import (
    Column,
    as_file,
    atoms_forecast,
    columns,
    numbers,
    safe_name,
    symbols,
    table,
    warn_dropped,
)

LETTERS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S", "T": "S", "O": "S"}


@stage("export.extxyz", takes={"atoms": ATOMS}, gives=FILE, forecast=atoms_forecast)
def extxyz(atoms: xr.Dataset, params: NoParams) -> xr.Dataset:  # noqa: ARG001 - every stage has it
    """Atoms with every per-atom column, vectors and tensors too, as extended XYZ.

    Read by ASE, OVITO and most programs of the field. Numbers are written so that they read back exactly. The
    comment line says the unit of each column in ``aetx_units``; positions are in angstrom from the rotation centre.
    An unknown species is written as ``X``. Reference: https://github.com/libAtoms/extxyz.
    """
    position, species, ids = table(atoms)
    kept, dropped = columns(atoms, text=True)
    warn_dropped("extXYZ", dropped)
    every = [Column("pos", position, "angstrom"), Column("id", ids[:, None], "1"), *kept]
    layout, cells = ["species:S:1"], [symbols(species)]
    for column in every:
        layout.append(f"{safe_name(column.name)}:{LETTERS[column.values.dtype.kind]}:{column.values.shape[1]}")
        cells += [numbers(np.ascontiguousarray(part)) for part in column.values.T]
    units = " ".join(f"{safe_name(column.name)}:{column.units}" for column in every)
    head = f'Properties={":".join(layout)} aetx_units="{units}" aetx_version={__version__} pbc="F F F"'
    rows = (" ".join(row) for row in zip(*cells, strict=True))
    return as_file(("\n".join([str(len(species)), head, *rows]) + "\n").encode(), ".extxyz")
