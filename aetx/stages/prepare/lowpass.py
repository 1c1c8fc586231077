"""Images without waves beyond a circle in Fourier space."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Frequency, Params, stage
from aetx.errors import AetxWarning
from aetx.kernels import lowpass as kernel
from aetx.model import TILT_SERIES, spacing


class LowpassParams(Params):
    """Parameters of `lowpass`."""

    diameter: Frequency = Field(2.08, gt=0, le=100, description="diameter of the circle, at half height of its edge")
    edge: Frequency = Field(0.05, ge=0, le=10, description="width over which it falls from one to zero")

    @model_validator(mode="after")
    def _round(self) -> Self:
        if self.edge > self.diameter:
            raise ValueError(f"an edge of {self.edge:g} is wider than the circle of {self.diameter:g}")
        return self


@stage(
    "prepare.lowpass",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=LowpassParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
)
def lowpass(series: xr.Dataset, params: LowpassParams) -> xr.Dataset:
    """Images without waves shorter than 2 / diameter, by a circle with a soft edge in Fourier space.

    The transfer is 1 below diameter / 2 - edge / 2 and 0 above diameter / 2 + edge / 2, between them
    (1 + cos(pi t)) / 2. Images go on beyond their edges as if mirrored. A `variance` becomes that of the result for
    noise that was independent; afterwards it is not. Pixels outside a `mask` are used as they are.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1, Methods.
    """
    steps = tuple(spacing(series, axis) if series.sizes[axis] > 1 else 1.0 for axis in ("y", "x"))
    reach = 0.5 * float(np.hypot(1 / steps[0], 1 / steps[1]))
    if params.diameter / 2 - params.edge / 2 >= reach:
        text = f"pixels of {min(steps):g} angstrom hold no waves beyond {reach:.3g} 1/angstrom: nothing is filtered"
        warnings.warn(text, AetxWarning, stacklevel=2)
    made = {}
    functions = {"image": kernel.filtered, "variance": kernel.filtered_variance}
    for name in (one for one in functions if one in series):
        result = xr.apply_ufunc(
            _each,
            series[name],
            kwargs={"name": name, "options": (steps, params.diameter / 2, params.edge)},
            input_core_dims=[["y", "x"]],
            output_core_dims=[["y", "x"]],
            dask="parallelized",
            output_dtypes=[np.float32],
        )
        made[name] = (("tilt", "y", "x"), result.data, series[name].attrs)
    return series.assign(made)


def _each(images: np.ndarray, *, name: str, options: tuple[tuple[float, float], float, float]) -> np.ndarray:
    function = kernel.filtered if name == "image" else kernel.filtered_variance
    return np.array([function(one.astype(np.float32), *options) for one in images], np.float32).reshape(images.shape)
