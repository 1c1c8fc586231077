"""Atoms as a crystallographic information file."""

from __future__ import annotations

from collections import Counter

import xarray as xr
from pydantic import Field

from aetx import __version__
from aetx.core import Length, Params, stage
from aetx.model import ATOMS, FILE
from aetx.stages.export._file import as_file, atoms_forecast, cell_around, columns, symbols, table, warn_dropped


class CifParams(Params):
    """Parameters of `cif`."""

    margin: Length = Field(5.0, gt=0, le=1000, description="empty space between the atoms and each face of the cell")


@stage("export.cif", takes={"atoms": ATOMS}, gives=FILE, params=CifParams, forecast=atoms_forecast)
def cif(atoms: xr.Dataset, params: CifParams) -> xr.Dataset:
    """Atoms in a P1 cell around them, as CIF.

    The cell is a box without meaning: a comment gives the position of its corner, so that positions from the rotation
    centre can be had back. Only positions and species have a place; an unknown species is written as ``X``.
    Reference: Hall, Allen and Brown, Acta Cryst. A47, 655 (1991), doi:10.1107/S010876739101067X.
    """
    position, species, _ = table(atoms)
    kept, dropped = columns(atoms)
    warn_dropped("CIF", dropped + [column.name for column in kept])
    low, edges = cell_around(position, params.margin)
    fraction = (position - low) / edges
    count: Counter[str] = Counter()
    rows = []
    for symbol, (x, y, z) in zip(symbols(species), fraction.tolist(), strict=True):
        count[symbol] += 1
        rows.append(f"{symbol}{count[symbol]} {symbol} {x:.12f} {y:.12f} {z:.12f} 1.0")
    lines = [
        "data_aetx",
        f"_audit_creation_method 'aetx {__version__}'",
        f"# angstrom from the rotation centre = {low[0]:.9f} {low[1]:.9f} {low[2]:.9f} + fraction times cell length",
        f"_chemical_formula_sum '{' '.join(f'{symbol}{count[symbol]}' for symbol in sorted(count)) or '?'}'",
        *(f"_cell_length_{name} {edge:.9f}" for name, edge in zip("abc", edges, strict=True)),
        *(f"_cell_angle_{name} 90" for name in ("alpha", "beta", "gamma")),
        "_space_group_name_H-M_alt 'P 1'",
        "_space_group_IT_number 1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
        *rows,
    ]
    return as_file(("\n".join(lines) + "\n").encode(), ".cif")
