"""Images without the signal of what surrounds the specimen."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.errors import AetxWarning
from aetx.kernels import intensity
from aetx.model import TILT_SERIES, spacing

Method = Literal["constant", "polynomial", "harmonic"]


class BackgroundParams(Params):
    """Parameters of `background`."""

    method: Method = Field(
        "constant",
        description="one level for each image, a polynomial of order 2 at most, or Laplace's equation (uneven film)",
    )
    smoothing: Length = Field(
        2.0, gt=0, le=100, description="Gaussian standard deviation of the smoothing before the threshold"
    )
    threshold: float = Field(
        0.5, gt=0, le=1, description="what counts as specimen: from the surroundings (0) to Otsu's threshold (1)"
    )
    margin: Length = Field(5.0, ge=0, le=1000, description="distance from the specimen where the surroundings begin")
    clipped: bool = Field(False, description="set what falls below zero to zero, which biases faint regions upwards")


def _forecast(inputs: InputSizes, params: BackgroundParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    harmonic = params.method == "harmonic"
    return Forecast(sizes, memory=area * (2000 if harmonic else 200), seconds=sizes.get("tilt", 1) * area * 4e-7)


@stage(
    "prepare.background",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=BackgroundParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def background(series: xr.Dataset, params: BackgroundParams) -> xr.Dataset:
    """Images less the signal of what surrounds the specimen, each image by itself.

    Specimen is where the smoothed image exceeds B + threshold * (T - B), with Otsu's threshold T and the median B of
    what lies below T; the surroundings begin `margin` away from it. What is subtracted is their level (median of
    means); or a polynomial through them, of second order or lower where they bear out no more; or their smoothed self
    continued below the specimen by Laplace's equation. The mean that is left in them goes too, so that noise averages
    to zero there before anything is clipped. `background` holds the mean of what was subtracted from each image.

    Images whose border is specimen by more than a quarter, as with film, and images without a specimen or with too
    little around it are left as they are, with a warning; their `background` is NaN. Pixels outside a `mask` are not
    used. Pieces of specimen with a radius below twice the smoothing count as surroundings.

    References
    ----------
    N. Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 62 (1979), doi:10.1109/TSMC.1979.4310076.
    """
    image = series["image"]
    planes = [image, *([series["mask"]] if "mask" in series else [])]
    step = min(abs(spacing(series, "y")), abs(spacing(series, "x")))
    cleared, level = xr.apply_ufunc(
        _clear,
        *planes,
        kwargs={
            "method": params.method,
            "smoothing": params.smoothing / step,
            "share": params.threshold,
            "margin": params.margin / step,
            "clipped": params.clipped,
        },
        input_core_dims=[["y", "x"]] * len(planes),
        output_core_dims=[["y", "x"], []],
        dask="parallelized",
        output_dtypes=[np.float32, np.float64],
    )
    return series.assign(
        image=(("tilt", "y", "x"), cleared.data, image.attrs),
        background=("tilt", level.data, {"units": image.attrs["units"]}),
    )


def _clear(
    images: np.ndarray,
    *mask: np.ndarray,
    method: Method,
    smoothing: float,
    share: float,
    margin: float,
    clipped: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Clear a stack of images one by one; return them and the mean of what was subtracted from each."""
    cleared = images.astype(np.float32)
    level = np.full(len(images), np.nan)
    for i, image in enumerate(cleared):
        trusted = np.isfinite(image) if not mask else np.isfinite(image) & (mask[0][i] != 0)
        outside = intensity.surroundings(image, trusted, smoothing, share, margin)
        if outside is None:
            warnings.warn(
                "an image has no surroundings (the specimen fills it, or there is none): no background subtracted",
                AetxWarning,
                stacklevel=2,
            )
        else:
            found = _estimate(image, outside, method, smoothing)
            cleared[i] = image - found
            level[i] = found.mean()
        if clipped:
            np.maximum(cleared[i], 0, out=cleared[i])
    return cleared, level


def _estimate(image: np.ndarray, outside: np.ndarray, method: Method, smoothing: float) -> np.ndarray:
    if method == "constant":
        return np.full(image.shape, intensity.level(image, outside))
    if method == "polynomial":
        found = intensity.polynomial(image, outside)
    else:
        found = intensity.harmonic(image, outside, smoothing)
    return found + intensity.level((image - found).astype(np.float32), outside)
