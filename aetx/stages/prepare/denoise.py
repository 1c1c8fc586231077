"""Images without their noise, by two simpler filters."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from aetx.core import Forecast, InputSizes, stage
from aetx.core.denoising import DenoisingParams, denoised
from aetx.model import TILT_SERIES

F32 = NDArray[np.float32]


class DenoiseParams(DenoisingParams):
    """Parameters of `denoise`."""

    method: Literal["non_local_means", "total_variation"] = Field(
        "non_local_means", description="means of pixels whose surroundings are alike, or least total variation"
    )
    strength: float = Field(
        0.8, gt=0, le=100, description="strength of the filter, in standard deviations of the stabilised noise"
    )
    patch: int = Field(5, ge=1, le=31, description="edge of the surroundings that are compared (means), pixels")
    reach: int = Field(6, ge=1, le=100, description="distance within which pixels are compared (means), pixels")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        void = sorted({"patch", "reach"} & self.model_fields_set)
        if self.method == "total_variation" and void:
            raise ValueError(f"{' and '.join(void)} belong to non_local_means, not to total_variation")
        return self


def _forecast(inputs: InputSizes, params: DenoiseParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    means = params.method == "non_local_means"
    each = 6e-9 * (2 * params.reach + 1) ** 2 if means else 4e-7
    return Forecast(sizes, memory=area * (60 if means else 120) + 2**14, seconds=sizes.get("tilt", 1) * area * each)


@stage(
    "prepare.denoise",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=DenoiseParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def denoise(series: xr.Dataset, params: DenoiseParams) -> xr.Dataset:
    """Images denoised by non-local means or by total variation, one image at a time.

    The noise is made 1 everywhere, f = 2 / gain * sqrt(max(gain z + 3/8 gain**2 + read_noise**2 - gain offset, 0));
    scikit-image filters f; and the unbiased inverse brings it back, as for `prepare.bm3d`, which removes more noise at
    the same sharpness. Non-local means weight pixels by exp(-(d**2 - 2) / strength**2), d**2 the mean squared
    difference of the patches around both, where that is positive. Total variation minimises |u - f|**2 / 2 +
    strength * sum|grad u|, which turns atoms into terraces when it is strong.

    `removed` is the standard deviation of what was taken from each stabilised image: well above 1 means structure was
    taken too. What was known of the noise (`variance`, `gain`, ...) is dropped. Pixels outside a `mask` keep their
    values. Noise must be white.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, IEEE CVPR 2, 60 (2005), doi:10.1109/CVPR.2005.38; A. Chambolle, Journal of
    Mathematical Imaging and Vision 20, 89 (2004), doi:10.1023/B:JMIV.0000011325.36760.1e.
    """
    settings = {"method": params.method, "strength": params.strength, "patch": params.patch, "reach": params.reach}
    return denoised(series, params, _filtered, settings)


def _filtered(image: F32, *, method: str, strength: float, patch: int, reach: int) -> F32:
    if method == "total_variation":
        return np.asarray(denoise_tv_chambolle(image, weight=strength), np.float32)
    found = denoise_nl_means(
        image, patch_size=patch, patch_distance=reach, h=strength, sigma=1.0, fast_mode=True, preserve_range=True
    )
    return np.asarray(found, np.float32)
