"""Columns of text: atoms in a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, reader
from aetx.io.lazy import wrong
from aetx.io.points import element, number_of, rows_of
from aetx.model import ATOMS


class TextParams(Params):
    """Parameters of `text`."""

    columns: tuple[str, ...] | None = Field(
        None, description="names of the columns in their order, among them x, y and z; '_' skips one; species, id"
    )


@reader("text", patterns=("*.txt", "*.dat", "*.csv"), gives=(ATOMS,), params=TextParams)
def text(path: Path, params: TextParams) -> xr.Dataset:
    """Read the columns of a text file, parted by blanks or commas; lines that begin with %, #, ;, ! or // are comments.

    The order of the names turns the axes: ``[id, y, x, z]`` swaps x and y of a file that says id, x, y, z.
    """
    rows = rows_of(path)
    names = params.columns
    width = len(rows[0][1])
    if names is None:
        raise wrong(path, "columns", f"{width} columns", "a name for each", "state columns, as in [species, x, y, z]")
    twice = [name for name in names if name != "_" and names.count(name) > 1]
    if twice or not {"x", "y", "z"} <= set(names):
        raise wrong(path, "columns", str(list(names)), "x, y and z, each once", "state the columns in their order")
    for line, words in rows:
        if len(words) != len(names):
            found = f"{len(words)} columns"
            raise wrong(path, f"line {line}", found, f"{len(names)}, as columns names", "mend the line, or columns")
    table = xr.Dataset(attrs={"source_header": " ".join(names)})
    for at, name in enumerate(names):
        if name == "species":
            species = [element(path, f"line {line}", words[at]) for line, words in rows]
            table[name] = ("atom", np.array(species, np.int32), {"units": "1"})
        elif name != "_":
            values = [number_of(path, line, name, words[at]) for line, words in rows]
            table[name] = ("atom", np.array(values, float), {})
    return table
