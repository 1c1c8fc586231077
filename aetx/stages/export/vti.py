"""A volume as VTK image data."""

from __future__ import annotations

import struct

import dask.array as da
import xarray as xr

from aetx.core import stage
from aetx.core.params import NoParams
from aetx.model import FILE, VOLUME
from aetx.model.kinds import spacing
from aetx.stages.export._file import as_file, join, on_grid, quoted, safe_name, stream, volume_forecast


@stage("export.vti", takes={"volume": VOLUME}, gives=FILE, forecast=volume_forecast)
def vti(volume: xr.Dataset, params: NoParams, *, memory: int | None = None) -> xr.Dataset:  # noqa: ARG001 - every stage has it
    """Density, and all else on its grid, as VTK image data with appended raw bytes, streamed.

    Read by ParaView, tomviz and VTK; lengths are angstrom from the rotation centre. Numbers become float32, flags
    one byte. Reference: https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html.
    """
    kept = {name: volume[name] for name in on_grid(volume)}
    shape = [volume.sizes[axis] for axis in "xyz"]
    extent = " ".join(f"0 {size - 1}" for size in shape)
    origin = " ".join(repr(float(volume[axis].values[0])) for axis in "xyz")
    step = " ".join(repr(spacing(volume, axis)) for axis in "xyz")
    offset, arrays, pieces = 0, [], list[bytes | da.Array]()
    for name, one in kept.items():
        flag = one.dtype.kind == "b"
        size = shape[0] * shape[1] * shape[2] * (1 if flag else 4)
        units = quoted(one.attrs["units"]).replace("&", "").replace("<", "")
        arrays.append(
            f'<DataArray type="{"UInt8" if flag else "Float32"}" Name="{safe_name(name)}" '
            f'NumberOfComponents="1" format="appended" offset="{offset}"><!-- {units} --></DataArray>'
        )
        pieces += [struct.pack("<Q", size), stream(one, "u1" if flag else "<f4", memory)]
        offset += 8 + size
    head = "\n".join(
        [
            '<?xml version="1.0"?>',
            '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
            f'<ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{step}">',
            f'<Piece Extent="{extent}">',
            '<PointData Scalars="density">',
            *arrays,
            "</PointData>",
            "</Piece>",
            "</ImageData>",
            '<AppendedData encoding="raw">',
            "_",
        ]
    )
    return as_file(join(head.encode(), *pieces, b"\n</AppendedData>\n</VTKFile>\n"), ".vti")
