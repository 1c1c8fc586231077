"""Gaussian smoothing of images."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field
from scipy.ndimage import correlate1d

from aetx.core import Length, Params, stage
from aetx.model import TILT_SERIES, spacing

TRUNCATE = 4.0
"""Widths at which the kernel ends."""


class GaussianParams(Params):
    """Parameters of `gaussian`."""

    width: Length = Field(0.3, gt=0, le=20, description="standard deviation of the kernel")


@stage(
    "prepare.gaussian",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=GaussianParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
)
def gaussian(series: xr.Dataset, params: GaussianParams) -> xr.Dataset:
    """Images convolved with a Gaussian.

    image(r) = sum_s image(s) exp(-|r - s|**2 / (2 width**2)) / norm, cut at four widths and continued beyond the edges
    by reflection. With a `mask`, only trusted pixels are summed and norm is theirs; a pixel with none in reach is 0.
    A `variance` is that of the sum, of pixels whose noise is independent before.

    The best width for finding an atom in noise is that of its own image; less keeps close atoms apart.
    """
    image = series["image"]
    widths = tuple(params.width / spacing(series, axis) if series.sizes[axis] > 1 else 0.0 for axis in ("y", "x"))
    names = ["image", *(name for name in ("mask", "variance") if name in series)]
    has = {"mask": "mask" in series, "variance": "variance" in series}
    outputs = [["y", "x"]] * (1 + has["variance"])
    made = xr.apply_ufunc(
        _smooth,
        *[series[name] for name in names],
        kwargs={"widths": widths, "names": tuple(names)},
        input_core_dims=[["y", "x"]] * len(names),
        output_core_dims=outputs,
        dask="parallelized",
        output_dtypes=[np.float32] * len(outputs),
    )
    smooth = made[0] if has["variance"] else made
    result = series.assign(image=(image.dims, smooth.data, image.attrs))
    if has["variance"]:
        result = result.assign(variance=(image.dims, made[1].data, series["variance"].attrs))
    return result


def _smooth(
    *planes: np.ndarray, widths: tuple[float, ...], names: tuple[str, ...]
) -> np.ndarray | tuple[np.ndarray, ...]:
    given = dict(zip(names, planes, strict=True))
    image = given["image"].astype(np.float32)
    trusted = given["mask"].astype(bool) if "mask" in given else None
    if trusted is not None:
        image = np.where(trusted, image, np.float32(0))
    weight = None if trusted is None else _sum(trusted.astype(np.float32), widths, 1)
    smooth = _over(_sum(image, widths, 1), weight)
    if "variance" not in given:
        return smooth
    variance = given["variance"].astype(np.float32)
    if trusted is not None:
        variance = np.where(trusted, variance, np.float32(0))
    return smooth, _over(_sum(variance, widths, 2), None if weight is None else weight * weight)


def _over(total: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    if weight is None:
        return total
    divided: np.ndarray = np.where(weight > 0, total / np.where(weight > 0, weight, 1), 0).astype(np.float32)
    return divided


def _sum(images: np.ndarray, widths: tuple[float, ...], power: int) -> np.ndarray:
    """Correlate the last two axes with a Gaussian of sum 1, raised to a power."""
    for axis, width in zip((-2, -1), widths, strict=True):
        half = int(TRUNCATE * width + 0.5)
        if half:
            kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / width) ** 2)
            images = correlate1d(images, (kernel / kernel.sum()) ** power, axis, mode="reflect")
    return images
