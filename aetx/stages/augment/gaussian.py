"""Gaussian smoothing of a volume."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr
from pydantic import Field
from scipy.ndimage import gaussian_filter

from aetx.core import Forecast, InputSizes, Length, Params, halo_map, stage
from aetx.core.halo import block_shape
from aetx.model import VOLUME, spacing

TRUNCATE = 4.0
"""Widths at which the kernel ends."""
COPIES = 4
"""float32 arrays of a padded block's size that the work holds."""


class GaussianParams(Params):
    """Parameters of `gaussian`."""

    width: Length = Field(0.3, gt=0, le=20, description="standard deviation of the kernel")


def _forecast(inputs: InputSizes, _: GaussianParams) -> Forecast:
    sizes = {axis: inputs["volume"][0][axis] for axis in ("z", "y", "x")}
    voxels = sizes["z"] * sizes["y"] * sizes["x"]
    return Forecast(sizes, memory=2 * COPIES * 4 * min(voxels, 280**3), seconds=voxels * 1e-7)


@stage(
    "augment.gaussian",
    takes={"volume": VOLUME},
    gives=VOLUME,
    params=GaussianParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def gaussian(volume: xr.Dataset, params: GaussianParams, memory: int | None = None) -> xr.Dataset:
    """Volume convolved with a Gaussian.

    density(r) = sum_s density(s) exp(-|r - s|**2 / (2 width**2)) / norm, cut at four widths; the volume is continued
    beyond its faces by reflection, so that the sum is kept. A Gaussian atom of width w becomes one of width
    sqrt(w**2 + width**2). Lazy, in blocks that read their own neighbourhood: equal to the whole bit for bit.
    """
    density = volume["density"]
    widths = tuple(
        params.width / spacing(volume, str(axis)) if size > 1 else 0.0 for axis, size in density.sizes.items()
    )
    depth = max(int(TRUNCATE * width + 0.5) for width in widths)
    shape = block_shape(density.shape, depth, COPIES, memory)
    smooth = halo_map(partial(_smooth, widths=widths), density, depth=depth, block=shape)
    return volume.assign(density=smooth.assign_attrs(density.attrs))


def _smooth(block: np.ndarray, widths: tuple[float, ...]) -> np.ndarray:
    out = np.empty(block.shape, np.float32)
    gaussian_filter(np.asarray(block, np.float32), widths, output=out, mode="reflect", truncate=TRUNCATE)
    return out
