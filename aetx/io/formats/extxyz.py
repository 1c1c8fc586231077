"""Extended XYZ files of atoms."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.io.points import read_xyz
from aetx.model import ATOMS


@reader("extxyz", patterns=("*.extxyz",), gives=(ATOMS,))
def extxyz(path: Path, _: NoParams) -> xr.Dataset:
    """Read the atoms of an extended XYZ file, in angstrom, with all numeric columns that ``Properties=`` names.

    Units of columns that aetx knows are those of its atoms; others are taken as pure numbers.
    """
    return read_xyz(path, extended=True)
