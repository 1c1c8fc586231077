"""A volume as MRC."""

from __future__ import annotations

import struct

import xarray as xr

from aetx import __version__
from aetx.core import stage
from aetx.core.params import NoParams
from aetx.model import FILE, VOLUME
from aetx.model.kinds import spacing
from aetx.stages.export._file import as_file, join, on_grid, quoted, stream, volume_forecast, warn_dropped

AXES = ("x", "y", "z")


@stage("export.mrc", takes={"volume": VOLUME}, gives=FILE, forecast=volume_forecast)
def mrc(volume: xr.Dataset, params: NoParams, *, memory: int | None = None) -> xr.Dataset:  # noqa: ARG001 - every stage has it
    """Density as MRC2014, mode 2 (float32), with voxel size, origin and labels, streamed.

    The origin is the position of the first voxel, in angstrom from the rotation centre, as Chimera reads it (IMOD's
    has the opposite sign). The statistics are marked as not determined, because they would need a second pass.
    Reference: Cheng et al., J. Struct. Biol. 192, 146 (2015), doi:10.1016/j.jsb.2015.04.002.
    """
    density = volume["density"]
    warn_dropped("MRC", [name for name in on_grid(volume) if name != "density"])
    sizes = [density.sizes[axis] for axis in AXES]
    edges = [density.sizes[axis] * spacing(volume, axis) for axis in AXES]
    first = [float(volume[axis].values[0]) for axis in AXES]
    labels = [
        f"aetx {__version__}: density in {quoted(density.attrs['units'])}",
        "origin: the first voxel, in angstrom from the rotation centre",
    ]
    head = struct.pack(
        "<10i6f3i3f2i12xi84x3f4s4sfi",
        *(*sizes, 2, 0, 0, 0, *sizes),
        *(*edges, 90.0, 90.0, 90.0),
        *(1, 2, 3),
        *(0.0, -1.0, -2.0),  # lowest, highest and mean value: not determined
        *(1, 0),
        20141,
        *first,
        b"MAP ",
        b"DD\0\0",
        -1.0,
        len(labels),
    )
    text = b"".join(label.encode("ascii", "replace")[:80].ljust(80) for label in labels)
    return as_file(join(head + text.ljust(800), stream(density, "<f4", memory)), ".mrc")
