"""What the exports share: bytes as a dataset, a volume as a stream of bytes, the columns of an atom table."""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from ase.data import atomic_masses, chemical_symbols

from aetx.core import Forecast, InputSizes
from aetx.errors import AetxWarning, InputError, Problem
from aetx.model import positions

PIECE = 2**26
"""Bytes of a volume that are read and written at a time, where no tighter limit is given."""


def as_file(content: bytes | da.Array, suffix: str) -> xr.Dataset:
    """Return a dataset of kind file: its bytes, in memory or lazy, and the suffix of its name."""
    data = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    return xr.Dataset({"content": ("byte", data, {"units": "1"})}, attrs={"suffix": suffix})


def stream(volume: xr.DataArray, dtype: str, memory: int | None) -> da.Array:
    """Return the bytes of a (z, y, x) array, x fastest, lazily and a few planes at a time.

    Parameters
    ----------
    volume
        In memory, stored and not yet read, or a dask array.
    dtype
        How each voxel is written, with its byte order (``<f4``).
    memory
        Bytes that the run may hold; the bytes written do not depend on it.
    """
    plane = max(1, volume.sizes["y"] * volume.sizes["x"] * np.dtype(dtype).itemsize)
    piece = PIECE if memory is None else min(PIECE, max(plane, memory // 16))
    planes = int(max(1, min(64, volume.sizes["z"], piece // plane)))
    slabs = volume.transpose("z", "y", "x").variable.chunk({"z": planes, "y": -1, "x": -1}).data
    sizes = tuple(rows * plane for rows in slabs.chunks[0])
    flat = functools.partial(_flat, kind=dtype)
    return slabs.map_blocks(flat, dtype=np.uint8, drop_axis=(1, 2), chunks=(sizes,), meta=np.empty(0, np.uint8))


def _flat(slab: np.ndarray, kind: str) -> np.ndarray:
    return np.ascontiguousarray(slab, dtype=kind).ravel().view(np.uint8)


def join(*pieces: bytes | da.Array) -> da.Array:
    """Return pieces one after the other as one lazy array of bytes."""
    arrays = [
        da.from_array(np.frombuffer(piece, np.uint8), chunks=-1) if isinstance(piece, bytes) else piece
        for piece in pieces
        if len(piece)
    ]
    return da.concatenate(arrays)


def on_grid(volume: xr.Dataset) -> list[str]:
    """Return the names of the numbers on the whole grid of a volume."""
    return [
        str(name)
        for name, one in volume.data_vars.items()
        if set(one.dims) == {"z", "y", "x"} and one.dtype.kind in "biuf"
    ]


def volume_forecast(inputs: InputSizes, _: object) -> Forecast:
    """Return the forecast of a volume's export: it streams."""
    sizes = inputs["volume"][0]
    size = 4 * sizes["z"] * sizes["y"] * sizes["x"] + 4096
    return Forecast({"byte": size}, memory=4 * min(size, PIECE), seconds=size * 2e-9)


def atoms_forecast(inputs: InputSizes, _: object) -> Forecast:
    """Return the forecast of an atom table's export: about 200 bytes of text an atom."""
    size = 200 * inputs["atoms"][0].get("atom", 0) + 4096
    return Forecast({"byte": size}, memory=8 * size, seconds=size * 2e-8)


@dataclass(frozen=True)
class Column:
    """One per-atom column: its name, its values of shape (atoms, width), its unit."""

    name: str
    values: np.ndarray
    units: str


def table(atoms: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (atoms, 3) in the order x, y, z and angstrom, atomic numbers, and ids.

    Raises
    ------
    InputError
        If a position is not finite, or an atomic number is none.
    """
    position = positions(atoms)
    species = atoms["species"].values.astype(np.int64)
    bad = int((~np.isfinite(position).all(axis=1)).sum())
    if bad:
        raise InputError(
            Problem("atoms", "position", f"{bad} that are not finite", "finite positions", "drop those atoms first")
        )
    wrong = species[(species < 0) | (species >= len(chemical_symbols))]
    if wrong.size:
        raise InputError(
            Problem("atoms", "species", repr(int(wrong[0])), "atomic numbers, 0 where unknown", "mend the species")
        )
    return position, species, atoms["atom"].values.astype(np.int64)


def columns(atoms: xr.Dataset, *, text: bool = False) -> tuple[list[Column], list[str]]:
    """Return the per-atom columns beside position, species and id, and the names of variables that are none.

    Parameters
    ----------
    atoms
        An atom table.
    text
        Whether a column of words without spaces counts.
    """
    kept, dropped = [], []
    for key, variable in atoms.variables.items():
        name = str(key)
        if name in ("position", "species", "atom", "axis") or "atom" not in variable.dims:
            if name not in ("position", "species", "atom", "axis") and name in atoms.data_vars:
                dropped.append(name)
            continue
        ordered = atoms[name].sel(axis=["x", "y", "z"]) if "axis" in variable.dims else atoms[name]
        values = ordered.transpose("atom", ...).values
        values = values.reshape(values.shape[0], int(np.prod(values.shape[1:], dtype=int)))
        words = values.dtype.kind in "UTO"
        if values.shape[1] == 0 or values.dtype.kind not in "biufUTO" or (words and not (text and _words(values))):
            dropped.append(name)
        else:
            kept.append(Column(name, values, str(variable.attrs.get("units", "1"))))
    return kept, dropped


def _words(values: np.ndarray) -> bool:
    return all(isinstance(word, str) and re.fullmatch(r"[^\s\"']+", word) for word in values.ravel().tolist())


def warn_dropped(format_name: str, names: list[str]) -> None:
    """Warn that a format has no place for some columns, by name."""
    if names:
        warnings.warn(
            f"{format_name} has no place for {', '.join(sorted(names))}: left out of the file",
            AetxWarning,
            stacklevel=3,
        )


def symbols(species: np.ndarray) -> list[str]:
    """Return chemical symbols, X where the species is not known."""
    return [chemical_symbols[int(number)] for number in species]


def mass(number: int) -> float:
    """Return a standard atomic mass in dalton, 1 for an unknown species."""
    return float(atomic_masses[number]) if number else 1.0


def safe_name(name: str) -> str:
    """Return a column name of letters, digits and underscores."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"


def numbers(values: np.ndarray) -> list[str]:
    """Return values as the shortest text that reads back the same."""
    if values.dtype.kind == "b":
        return ["T" if value else "F" for value in values.tolist()]
    if values.dtype == np.float32:
        return [str(value) for value in values]
    return [repr(value) if not isinstance(value, str) else value for value in values.tolist()]


def cell_around(position: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest corner and the edges of the smallest box around atoms, with a margin on every side."""
    if position.shape[0] == 0:
        return np.zeros(3) - margin, np.full(3, 2 * margin)
    low = position.min(axis=0) - margin
    return low, position.max(axis=0) + margin - low


def quoted(text: Any) -> str:
    """Return one line of text without quotes or control characters, for a header."""
    return re.sub(r"[\x00-\x1f\x7f\"\\]", " ", str(text)).strip()
