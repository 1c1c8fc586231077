"""A part of every image, or more room around it."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.errors import InputError, Problem
from aetx.model import TILT_SERIES, spacing

BEYOND = {"image": 0, "variance": np.nan, "mask": 0}
"""What lies beyond the images; anything else that has their axes is left out where they are padded."""


class CropParams(Params):
    """Parameters of `crop`."""

    columns: int | None = Field(None, ge=1, le=100_000, description="pixels along x; none for as many as there are")
    rows: int | None = Field(None, ge=1, le=100_000, description="pixels along y; none for as many as there are")
    centre_x: Length = Field(0.0, ge=-1e5, le=1e5, description="place along x that comes to the middle, n // 2")
    centre_y: Length = Field(0.0, ge=-1e5, le=1e5, description="place along y that comes to the middle, n // 2")
    padded: bool = Field(False, description="reach beyond the images, where there are zeros that are not trusted")


def _forecast(inputs: InputSizes, params: CropParams) -> Forecast:
    sizes = inputs["series"][0]
    made = {**sizes, "y": params.rows or sizes.get("y", 1), "x": params.columns or sizes.get("x", 1)}
    area = made["y"] * made["x"]
    return Forecast(made, memory=area * 32, seconds=1e-3 + made.get("tilt", 1) * area * 5e-9)


@stage(
    "prepare.crop",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=CropParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def crop(series: xr.Dataset, params: CropParams) -> xr.Dataset:
    """Images cut to, or padded to, n pixels about a place, so that pixel n // 2 = round(centre / step) lies there.

    Coordinates stay what they are: the rotation centre is where they are zero, also in a part beside it. With `padded`
    there are zeros beyond the images, which the `mask` tells not to trust: take the background off before.
    """
    result = series
    for axis, count, centre in (("y", params.rows, params.centre_y), ("x", params.columns, params.centre_x)):
        result = _cut(result, axis, count or series.sizes[axis], centre, params.padded)
    return result


def _cut(series: xr.Dataset, axis: str, count: int, centre: float, padded: bool) -> xr.Dataset:
    size, values = series.sizes[axis], series[axis].values
    step = spacing(series, axis) if size > 1 else 1.0
    first = round((centre - float(values[0])) / step) - count // 2
    before, after = max(0, -first), max(0, first + count - size)
    if before + after >= count:
        found, wanted = f"{count} pixels about {centre:g} angstrom", f"{values[0]:g} to {values[-1]:g} angstrom"
        raise InputError(Problem("prepare.crop", axis, found, f"a part of {wanted}", "mend the place"))
    if (before or after) and not padded:
        found = f"{count} pixels about {centre:g} angstrom, {before + after} of them beyond the images"
        wanted, fix = f"within {values[0]:g} to {values[-1]:g} angstrom", "ask for fewer pixels, or state padded"
        raise InputError(Problem("prepare.crop", axis, found, wanted, fix))
    whole = series
    if (before or after) and "mask" not in series:
        image = series["image"]
        whole = series.assign(mask=(image.dims, xr.ones_like(image, dtype=np.bool_).data, {"units": "1"}))
    part = whole.isel({axis: slice(max(0, first), min(size, first + count))})
    if not (before or after):
        return part
    wide = float(part[axis].values[0]) + (np.arange(count) - before) * step
    made = {}
    for name, variable in part.data_vars.items():
        if name in BEYOND:
            more = variable.variable.pad({axis: (before, after)}, constant_values=BEYOND[str(name)])
            made[name] = (variable.dims, more.astype(variable.dtype).data, variable.attrs)
    kept = part.drop_vars([name for name, variable in part.variables.items() if axis in variable.dims])
    return kept.assign(made).assign_coords({axis: (axis, wide, series[axis].attrs)})
