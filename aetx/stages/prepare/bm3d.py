"""Images without their noise: blocks that are alike are filtered together."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.denoising import DenoisingParams, denoised
from aetx.errors import InputError, Problem
from aetx.kernels.bm3d import PROFILES, denoise, profile_for
from aetx.model import TILT_SERIES

F32 = NDArray[np.float32]
RANGE, LOW = 0.7, 0.15
"""Range of an image while it is filtered, and its least value."""


class Bm3dParams(DenoisingParams):
    """Parameters of `bm3d`."""

    profile: Literal["general", "atomic"] = Field(
        "general",
        description="the general settings, or those used in atomic tomography (wide search, five times slower)",
    )
    deviation: float = Field(
        0.96, gt=0, le=10, description="standard deviation of the noise once it is stabilised; more removes more"
    )


def _forecast(inputs: InputSizes, params: Bm3dParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    first, second = PROFILES[params.profile].first, PROFILES[params.profile].second
    tried = sum(one.search**2 * (one.block + 8) / one.step for one in (first, second))
    stacked = sum(one.most * one.block**2 / one.step**2 for one in (first, second))
    memory = area * (12 * second.block + 60) + 2**16
    return Forecast(sizes, memory=memory, seconds=sizes.get("tilt", 1) * area * (tried * 1e-10 + stacked * 4e-9))


@stage(
    "prepare.bm3d",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=Bm3dParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def bm3d(series: xr.Dataset, params: Bm3dParams) -> xr.Dataset:
    """Images denoised by block matching and collaborative filtering (BM3D), in three steps, one image at a time.

    1. The noise is made 1 everywhere: f = 2 / gain * sqrt(max(gain z + 3/8 gain**2 + read_noise**2 - gain offset, 0)).
    2. Blocks that are alike are stacked, transformed in three dimensions, and their small coefficients set to zero;
       then, matched anew in that result, shrunk by Wiener's filter.
    3. The inverse of step 1 that is unbiased: the expected counts whose stabilised counts have that expectation.

    `removed` is the standard deviation of what was taken from each stabilised image: well above `deviation` means
    structure was taken too. What was known of the noise (`variance`, `gain`, ...) is dropped, as what is left of it is
    neither independent nor known: keep the series as it was for a refinement, and for R factors against both. Pixels
    outside a `mask` keep their values and are filled from their neighbours for the others.

    It pays where blocks repeat and tilts are few: of a simulated Pt crystal, 21 tilts with 800 electrons per square
    angstrom each, 5 of 1641 atoms are missed instead of the 44 after the best Gaussian. Of an amorphous particle with
    60 tilts it worsens positions, 13.7 instead of 10.3 pm, though every image is nearer to the truth: what a filter
    takes from all images alike, a reconstruction does not average out. Take `prepare.gaussian` there.

    Noise must be white: denoise before images are smoothed, shifted or turned. Weakness: texture that repeats is
    repeated, across a grain boundary or a surface too; look at the difference for structure. Where noise is most of an
    image (above 40 on a scale of 255), both profiles change to their settings for that. The atomic profile was no
    better than the general one on any image or particle that was tried, but for the mean of faint flat ones.

    References
    ----------
    K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, IEEE Transactions on Image Processing 16, 2080 (2007),
    doi:10.1109/TIP.2007.901238; inverse: M. Makitalo, A. Foi, ibid. 22, 91 (2013), doi:10.1109/TIP.2012.2202675.
    """
    settings = PROFILES[params.profile], profile_for(params.profile, 1.0)
    least = max(one.block for profile in settings for one in (profile.first, profile.second))
    small = [f"{series.sizes[axis]} pixels along {axis}" for axis in ("y", "x") if series.sizes[axis] < least]
    if small:
        found = " and ".join(small)
        fix = "take profile: general, with smaller blocks" if params.profile == "atomic" else "take larger images"
        raise InputError(Problem("prepare.bm3d: series", "image", found, f"at least {least}, one block", fix))
    return denoised(series, params, _filtered, {"profile": params.profile, "deviation": params.deviation})


def _filtered(image: F32, *, profile: str, deviation: float) -> F32:
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return image
    scale = RANGE / (high - low)
    noise = deviation * scale
    clean = denoise(((image - low) * scale + LOW).astype(np.float32), noise, profile_for(profile, noise))
    return np.asarray((clean - LOW) / scale + low, np.float32)
