"""Which pixels of a series to trust."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Length, Params, stage
from aetx.model import TILT_SERIES


class MaskParams(Params):
    """Parameters of `mask`."""

    border: Length = Field(2.0, ge=0, le=1e5, description="distance from the edges within which nothing is trusted")
    radius: Length | None = Field(None, gt=0, le=1e5, description="radius of the disc that is trusted; none for all")
    centre_x: Length = Field(0.0, ge=-1e5, le=1e5, description="middle of that disc along x")
    centre_y: Length = Field(0.0, ge=-1e5, le=1e5, description="middle of that disc along y")


@stage(
    "prepare.mask",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=MaskParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
)
def mask(series: xr.Dataset, params: MaskParams) -> xr.Dataset:
    """Images with a mask of the pixels to trust: within a border, within a disc, finite, and trusted before.

    mask = (|edge - r| >= border) and (|r - centre| <= radius) and what the series trusts already. The images stay as
    they are; stages that follow leave out what is not trusted.
    """
    image = series["image"]
    inside: xr.DataArray = xr.DataArray(True)
    for axis in ("y", "x"):
        values = series[axis]
        inside = inside & (values - float(values[0]) >= params.border) & (float(values[-1]) - values >= params.border)
    if params.radius is not None:
        away = (series["x"] - params.centre_x) ** 2 + (series["y"] - params.centre_y) ** 2
        inside = inside & (away <= params.radius**2)
    trusted = (abs(image) < np.inf) & inside.drop_vars(("y", "x"), errors="ignore")
    if "mask" in series:
        trusted = trusted & (series["mask"] != 0)
    return series.assign(mask=(image.dims, trusted.transpose("tilt", "y", "x").data, {"units": "1"}))
