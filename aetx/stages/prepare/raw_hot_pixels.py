"""Raw frames without hot and dead pixels."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, stage
from aetx.kernels.outliers import outliers
from aetx.model import RAW_SERIES


class RawHotPixelsParams(Params):
    """Parameters of `raw_hot_pixels`."""

    threshold: float = Field(
        6.0, gt=0, le=1000, description="how far a pixel must stand out, in standard deviations of the noise"
    )


@stage(
    "prepare.raw_hot_pixels",
    takes={"series": RAW_SERIES},
    gives=RAW_SERIES,
    params=RawHotPixelsParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "frame": 1, "y": -1, "x": -1},
)
def raw_hot_pixels(series: xr.Dataset, params: RawHotPixelsParams) -> xr.Dataset:
    """Raw frames whose hot and dead pixels are replaced by the median of their neighbours.

    A pixel is hot if I > (second largest of its eight neighbours) + threshold * sigma, dead if it is below the second
    smallest by as much; sigma = 1.48 times the median absolute deviation among pixels of like brightness.
    `replaced` counts them for each frame. For images of a tilt series there is `prepare.hot_pixels`.
    """
    mended, count = xr.apply_ufunc(
        _mend,
        series["image"],
        kwargs={"threshold": params.threshold},
        input_core_dims=[["y", "x"]],
        output_core_dims=[["y", "x"], []],
        dask="parallelized",
        output_dtypes=[np.float32, np.int32],
    )
    return series.assign(
        image=(("tilt", "frame", "y", "x"), mended.data, series["image"].attrs),
        replaced=(("tilt", "frame"), count.data, {"units": "1"}),
    )


def _mend(images: np.ndarray, *, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    mended, count = images.astype(np.float32), np.zeros(images.shape[:2], np.int32)
    for place in np.ndindex(count.shape):
        hot, middle = outliers(mended[place], threshold)
        mended[place] = np.where(hot, middle, mended[place])
        count[place] = np.count_nonzero(hot)
    return mended, count
