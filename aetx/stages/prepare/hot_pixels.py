"""Images without hot and dead pixels."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, stage
from aetx.kernels.outliers import outliers
from aetx.model import TILT_SERIES


class HotPixelsParams(Params):
    """Parameters of `hot_pixels`."""

    threshold: float = Field(
        6.0, gt=0, le=1000, description="how far a pixel must stand out, in standard deviations of the noise"
    )


@stage(
    "prepare.hot_pixels",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=HotPixelsParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
)
def hot_pixels(series: xr.Dataset, params: HotPixelsParams) -> xr.Dataset:
    """Images whose hot and dead pixels are replaced by the median of their neighbours.

    A pixel is hot if I > (second largest of its eight neighbours) + threshold * sigma, dead if it is below the second
    smallest by as much; sigma = 1.48 times the median absolute deviation among pixels of like brightness. So the
    peaks of atoms stay, and two bad pixels side by side are found, three are not. `replaced` counts them for each
    image. The variance of a replaced pixel is the largest around it. Raw frames have `prepare.raw_hot_pixels`, which
    is better: a frame that is moved spreads its hot pixels.
    """
    planes = [series["image"], *([series["variance"]] if "variance" in series else [])]
    outputs = [["y", "x"]] * len(planes) + [[]]
    made = xr.apply_ufunc(
        _mend,
        *planes,
        kwargs={"threshold": params.threshold},
        input_core_dims=[["y", "x"]] * len(planes),
        output_core_dims=outputs,
        dask="parallelized",
        output_dtypes=[np.float32] * len(planes) + [np.int32],
    )
    result = series.assign(image=(("tilt", "y", "x"), made[0].data, series["image"].attrs))
    if "variance" in series:
        result = result.assign(variance=(("tilt", "y", "x"), made[1].data, series["variance"].attrs))
    return result.assign(replaced=("tilt", made[-1].data, {"units": "1"}))


def _mend(images: np.ndarray, *variance: np.ndarray, threshold: float) -> tuple[np.ndarray, ...]:
    mended = images.astype(np.float32)
    spread = [one.astype(np.float32) for one in variance]
    count = np.zeros(len(images), np.int32)
    for i, image in enumerate(images.astype(np.float32)):
        hot, middle = outliers(image, threshold)
        mended[i][hot] = middle[hot]
        count[i] = np.count_nonzero(hot)
        for one in spread:
            wide = np.pad(one[i], 1, mode="edge")
            rows, columns = image.shape
            near = [wide[j : j + rows, k : k + columns] for j in range(3) for k in range(3)]
            one[i][hot] = np.max(near, axis=0)[hot]
    return mended, *spread, count
