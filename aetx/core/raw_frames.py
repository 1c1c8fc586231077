"""Raw frames seen as what registration needs: what is correlated, how scans lie, and the series they make."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core.params import Length, Params
from aetx.core.tomography import pixel_size
from aetx.kernels.registration import Band
from aetx.model import units

COARSER = 4.0
"""How much wider the smoothing is at first, so that a lattice of atoms is not seen."""
LEFT_OUT = ("image", "scan_direction")
"""What belongs to raw frames alone."""


class RegistrationParams(Params):
    """What every registration of frames has to know."""

    smoothing: Length = Field(
        0.7, gt=0, le=20, description="Gaussian standard deviation of the smoothing before frames are compared"
    )
    background: Length = Field(
        10.0, gt=0, le=1000, description="standard deviation of the smooth image that is taken off before"
    )
    whitening: float = Field(
        0.0, ge=0, le=1, description="from cross correlation (0) to phase correlation (1), which counts all waves alike"
    )
    taper: float = Field(
        0.25, ge=0, le=0.5, description="share of the image over which its sides are faded; 0.5 is the Hann window"
    )
    reach: Length = Field(20.0, gt=0, le=1000, description="largest shift between two frames of one tilt")
    nearest: Length = Field(
        1.0, gt=0, le=100, description="largest error of the first, coarse shifts: below half the lattice spacing"
    )
    pause: float = Field(0.0, ge=0, le=100, description="time between two frames, in times of a frame")

    def bands(self, step: float) -> tuple[Band, Band]:
        """Return what is correlated in the end and at first, for pixels of a size in angstrom."""
        fine, coarse = self.smoothing / step, self.background / step
        first = COARSER * fine
        return Band(fine, coarse, self.whitening, self.taper), Band(first, max(coarse, 2 * first), 0.0, self.taper)


def directions(series: xr.Dataset) -> np.ndarray:
    """Return the direction of the rows of each frame, degree; zero where the series does not say."""
    if "scan_direction" not in series:
        return np.zeros(series.sizes["frame"])
    return np.asarray(series["scan_direction"].values, float)


def averaged(series: xr.Dataset, made: dict[str, xr.DataArray], frames: int) -> xr.Dataset:
    """Return the tilt series of a raw series.

    Parameters
    ----------
    series
        The raw series: what it says of the tilts stays.
    made
        By name: `image`, `variance`, `mask` over tilt, y, x; lengths in pixels over (tilt, frame), (tilt, frame, y) or
        (tilt,), which become angstrom.
    frames
        Number of frames; the variance of one is not known.
    """
    unit, step = series["image"].attrs["units"], pixel_size(series)
    kept = series.drop_vars([name for name in LEFT_OUT if name in series.variables])
    grids = ("image", "variance", "mask")
    plane = ("tilt", "y", "x")
    found = kept.assign(image=(plane, made["image"].transpose(*plane).data, {"units": unit}))
    found = found.assign(mask=(plane, made["mask"].transpose(*plane).data, {"units": "1"}))
    if frames > 1:
        squared = {"units": units.canonical(f"({unit})**2") if unit != "1" else "1"}
        found = found.assign(variance=(plane, made["variance"].transpose(*plane).data, squared))
    for name, values in made.items():
        if name not in grids:
            one = values * step
            found = found.assign({name: (one.dims, one.astype(values.dtype).data, {"units": "angstrom"})})
    return found
