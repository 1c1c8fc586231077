"""Atoms as VTK points."""

from __future__ import annotations

import struct

import numpy as np
import xarray as xr

from aetx.core import stage
from aetx.core.params import NoParams
from aetx.model import ATOMS, FILE
from aetx.stages.export._file import Column, as_file, atoms_forecast, columns, safe_name, table, warn_dropped

TYPES = {"f8": "Float64", "f4": "Float32", "i8": "Int64", "i4": "Int32", "u1": "UInt8"}


@stage("export.vtp", takes={"atoms": ATOMS}, gives=FILE, forecast=atoms_forecast)
def vtp(atoms: xr.Dataset, params: NoParams) -> xr.Dataset:  # noqa: ARG001 - every stage has it
    """Atoms with every per-atom column as VTK poly data: one vertex an atom, appended raw bytes.

    Read by ParaView and VTK; lengths are angstrom from the rotation centre.
    Reference: https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html.
    """
    position, species, ids = table(atoms)
    kept, dropped = columns(atoms)
    warn_dropped("VTK poly data", dropped)
    every = [Column("species", species[:, None], "1"), Column("id", ids[:, None], "1"), *kept]
    chunks: list[bytes] = []

    def array(name: str, values: np.ndarray) -> str:
        plain = _plain(values)
        offset = sum(map(len, chunks))
        chunks.append(struct.pack("<Q", plain.nbytes) + plain.tobytes())
        return (
            f'<DataArray type="{TYPES[plain.dtype.str[1:]]}" Name="{safe_name(name)}" '
            f'NumberOfComponents="{plain.shape[1]}" format="appended" offset="{offset}"/>'
        )

    count = np.arange(len(ids), dtype=np.int64)[:, None]
    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        f'<Piece NumberOfPoints="{len(ids)}" NumberOfVerts="{len(ids)}" NumberOfLines="0" NumberOfStrips="0" '
        'NumberOfPolys="0">',
        f"<Points>{array('position', position)}</Points>",
        f"<Verts>{array('connectivity', count)}{array('offsets', count + 1)}</Verts>",
        '<PointData Scalars="species">',
        *(array(column.name, column.values) for column in every),
        "</PointData>",
        "</Piece>",
        "</PolyData>",
        '<AppendedData encoding="raw">',
        "_",
    ]
    tail = b"\n</AppendedData>\n</VTKFile>\n"
    return as_file("\n".join(lines).encode() + b"".join(chunks) + tail, ".vtp")


def _plain(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "b":
        return values.astype("u1")
    if values.dtype.kind in "iu":
        return values.astype("<i8" if values.dtype.itemsize > 2 else "<i4")
    return values.astype("<f8" if values.dtype.itemsize == 8 else "<f4")
