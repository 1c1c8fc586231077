"""Plain XYZ files of atoms."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.io.points import read_xyz
from aetx.model import ATOMS


@reader("xyz", patterns=("*.xyz",), gives=(ATOMS,))
def xyz(path: Path, _: NoParams) -> xr.Dataset:
    """Read the atoms of an XYZ file: a count, a comment, then ``El x y z`` in angstrom; further columns are left.

    The element may be a symbol or an atomic number. If the comment holds ``Properties=``, the file is extended XYZ and
    all its columns are read.
    """
    return read_xyz(path, extended=False)
