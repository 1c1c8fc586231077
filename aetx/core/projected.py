"""A volume seen as the images of a series."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.tomography import grid, origin
from aetx.errors import InputError, Problem
from aetx.kernels.projection import F64, Grid, Projector
from aetx.kernels.reconstruction import whole_rays
from aetx.model import spacing

F32 = NDArray[np.float32]


def volume_grid(volume: xr.Dataset, step: float, series: xr.Dataset, name: str = "volume") -> Grid:
    """Return the grid of a volume from the rotation centre of a series; refuse one of other voxels.

    Parameters
    ----------
    volume
        Its coordinates say where it lies.
    step
        Edge of a pixel of the series, angstrom.
    series
        Its `origin` says where its rotation centre is.
    name
        Which input the volume is.
    """
    for axis in "zyx":
        if volume.sizes[axis] > 1 and abs(spacing(volume, axis) - step) > 1e-3 * step:
            found, wanted = f"{spacing(volume, axis):g} angstrom", f"the pixel size {step:g} angstrom"
            raise InputError(Problem(name, axis, found, wanted, "resample one of the two"))
    return grid(volume, "zyx", step, origin(series))


def projected(volume: xr.Dataset, projector: Projector, name: str = "volume") -> F32:
    """Return the projections of a volume per voxel length, shape (tilts, y, x); refuse one that is not finite."""
    density = volume["density"].transpose("z", "y", "x").values.astype(np.float32)
    if not np.isfinite(density).all():
        found = f"{int((~np.isfinite(density)).sum())} voxels that are not finite"
        raise InputError(Problem(name, "density", found, "finite values", "cut the volume to where it is known"))
    made: F32 = projector.images_out(projector.project(projector.volume_in(density)))
    return made


def compared(series: xr.Dataset, extended: bool, turned: F64, image: Grid, box: Grid) -> NDArray[np.bool_]:
    """Return the pixels that are compared: those of the mask, and of a film those whose whole ray lies in the box."""
    size = (series.sizes["tilt"], *image.shape)
    trusted = whole_rays(turned, image, box) if extended else np.ones(size, bool)
    if "mask" in series:
        trusted &= series["mask"].transpose("tilt", "y", "x").values.astype(bool)
    return trusted
