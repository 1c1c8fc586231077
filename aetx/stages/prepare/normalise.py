"""Equal totals for all images of a series."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Params, stage
from aetx.kernels import intensity
from aetx.model import TILT_SERIES


class NormaliseParams(Params):
    """Parameters of `normalise`."""

    least: float = Field(
        0.05, gt=0, lt=1, description="images whose total is below this fraction of the median total are left alone"
    )


@stage(
    "prepare.normalise",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=NormaliseParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
)
def normalise(series: xr.Dataset, params: NormaliseParams) -> xr.Dataset:
    """Images scaled so that all have the mean total of the series.

    For one object that is entirely in view, image j is multiplied by scale_j = mean over k (sum I_k) / sum I_j. The
    totals are those of trusted pixels where the series has a `mask`, and are kept as `total`, with the factors as
    `scale`: a trend with the tilt means mass that leaves the view or hides. An image that is empty, or whose total
    is not finite, has no factor (NaN) and stays as it is. A variance is scaled by the square.

    Backgrounds must be gone first. Wrong for films, whose projected mass rises with the tilt.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1, Methods.
    """
    image = series["image"]
    planes = [image, *([series["mask"]] if "mask" in series else [])]
    total = xr.apply_ufunc(
        _totals,
        *planes,
        input_core_dims=[["y", "x"]] * len(planes),
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    scale = xr.apply_ufunc(
        intensity.factors,
        total.chunk({"tilt": -1}) if total.chunks else total,
        kwargs={"least": params.least},
        input_core_dims=[["tilt"]],
        output_core_dims=[["tilt"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    if image.chunks:
        scale = scale.chunk({"tilt": 1})
    applied = scale.fillna(1.0).astype(np.float32)
    scaled = image.astype(np.float32) * applied
    made = {
        "image": (("tilt", "y", "x"), scaled.data, image.attrs),
        "total": ("tilt", total.data, {"units": image.attrs["units"]}),
        "scale": ("tilt", scale.data, {"units": "1"}),
    }
    if "variance" in series:
        variance = series["variance"]
        squared = variance * (applied * applied).astype(variance.dtype)
        made["variance"] = (("tilt", "y", "x"), squared.data, variance.attrs)
    return series.assign(made)


def _totals(images: np.ndarray, *mask: np.ndarray) -> np.ndarray:
    return intensity.totals(images, mask[0] if mask else None)
