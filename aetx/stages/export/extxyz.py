"""Atoms as extended XYZ."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx import __version__
from aetx.core import Forecast, InputSizes, stage
from aetx.core.params import NoParams
from aetx.model import ATOMS, FILE
from aetx.stages.export._file import (
    Column,
    as_file,
    columns,
    numbers,
    safe_name,
    symbols,
    table,
    warn_dropped,
)

SLAB = 10_000
"""Atoms that are turned into text at a time: a word takes many times the bytes of its number."""
ROW, WORDS = 330, 3000
"""Bytes of text of one atom, and of the words that it is made of."""
LETTERS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S", "T": "S", "O": "S"}


def _forecast(inputs: InputSizes, _: object) -> Forecast:
    """Return the forecast for atoms with all that is known of them: positions, widths, errors and their covariance."""
    size = ROW * inputs["atoms"][0].get("atom", 0) + 4096
    return Forecast({"byte": size}, memory=3 * size + SLAB * WORDS, seconds=size * 5e-8)


@stage("export.extxyz", takes={"atoms": ATOMS}, gives=FILE, forecast=_forecast)
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
    layout = ["species:S:1"]
    layout += [f"{safe_name(one.name)}:{LETTERS[one.values.dtype.kind]}:{one.values.shape[1]}" for one in every]
    units = " ".join(f"{safe_name(column.name)}:{column.units}" for column in every)
    head = f'Properties={":".join(layout)} aetx_units="{units}" aetx_version={__version__} pbc="F F F"'
    pieces = [f"{len(species)}\n{head}\n".encode()]
    for start in range(0, len(species), SLAB):
        some = slice(start, start + SLAB)
        cells = [symbols(species[some])]
        cells += [numbers(np.ascontiguousarray(part)) for one in every for part in one.values[some].T]
        pieces.append("".join(" ".join(row) + "\n" for row in zip(*cells, strict=True)).encode())
    return as_file(b"".join(pieces), ".extxyz")
