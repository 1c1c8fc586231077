"""Images of the specimen alone, with nothing around it."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field
from scipy import ndimage

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.errors import AetxWarning
from aetx.kernels import intensity
from aetx.model import TILT_SERIES, spacing


class IsolateParams(Params):
    """Parameters of `isolate`."""

    smoothing: Length = Field(
        2.0, gt=0, le=100, description="Gaussian standard deviation of the smoothing before the threshold"
    )
    threshold: float = Field(
        0.5, gt=0, le=1, description="what counts as specimen: from the surroundings (0) to Otsu's threshold (1)"
    )
    margin: Length = Field(5.0, ge=0, le=1000, description="distance around the specimen that is kept as it is")
    edge: Length = Field(2.0, ge=0, le=1000, description="width beyond the margin over which images fall to zero")
    largest: bool = Field(True, description="keep the largest of several pieces alone")


def _forecast(inputs: InputSizes, _: IsolateParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    return Forecast(sizes, memory=area * 120, seconds=1e-3 + sizes.get("tilt", 1) * area * 4e-7)


@stage(
    "prepare.isolate",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=IsolateParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def isolate(series: xr.Dataset, params: IsolateParams) -> xr.Dataset:
    """Images with zeros wherever there is no specimen: neighbours, dirt and noise are gone.

    The specimen is found in each image as `prepare.background` finds it. Within `margin` of it the image stays; beyond,
    it is multiplied by (1 + cos(pi t)) / 2, t = (distance - margin) / edge from 0 to 1, and a variance by the square.
    Take the background off before: what is left of it ends in a step. Images whose specimen fills the view or does not
    stand out are left as they are, with a warning.
    """
    names = [name for name in ("image", "variance", "mask") if name in series]
    made_of = [name for name in names if name != "mask"]
    step = min(abs(spacing(series, "y")), abs(spacing(series, "x")))
    outputs = xr.apply_ufunc(
        _isolated,
        *[series[name] for name in names],
        kwargs={"names": tuple(names), "params": params, "step": step},
        input_core_dims=[["y", "x"]] * len(names),
        output_core_dims=[["y", "x"]] * len(made_of),
        dask="parallelized",
        output_dtypes=[np.float32] * len(made_of),
    )
    outputs = outputs if len(made_of) > 1 else (outputs,)
    return series.assign(
        {name: (("tilt", "y", "x"), one.data, series[name].attrs) for name, one in zip(made_of, outputs, strict=True)}
    )


def _isolated(
    *planes: np.ndarray, names: tuple[str, ...], params: IsolateParams, step: float
) -> tuple[np.ndarray, ...] | np.ndarray:
    given = dict(zip(names, planes, strict=True))
    kept = np.ones(given["image"].shape, np.float32)
    for i, image in enumerate(given["image"].astype(np.float32)):
        trusted = np.isfinite(image) if "mask" not in given else np.isfinite(image) & (given["mask"][i] != 0)
        outside = intensity.surroundings(image, trusted, params.smoothing / step, params.threshold, 0.0)
        if outside is None:
            text = "an image has no surroundings (the specimen fills it, or there is none): it is left as it is"
            warnings.warn(text, AetxWarning, stacklevel=2)
            continue
        kept[i] = _window(trusted & ~outside, params, step)
    made = [(given["image"] * kept).astype(np.float32)]
    if "variance" in given:
        made.append((given["variance"] * kept**2).astype(np.float32))
    return tuple(made) if len(made) > 1 else made[0]


def _window(specimen: np.ndarray, params: IsolateParams, step: float) -> np.ndarray:
    """Return 1 on and near the specimen, falling to 0 beyond."""
    pieces, count = ndimage.label(specimen)
    if params.largest and count > 1:
        sizes = np.bincount(pieces.ravel())
        specimen = pieces == 1 + int(sizes[1:].argmax())
    distance = ndimage.distance_transform_edt(~specimen) * step
    if params.edge == 0:
        return np.asarray(distance <= params.margin, np.float32)
    fall = np.clip((distance - params.margin) / params.edge, 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * fall), np.float32)
