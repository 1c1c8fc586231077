"""Images made to have noise of 1 everywhere, denoised one by one, and brought back without bias."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt

from aetx.core.params import Params
from aetx.errors import AetxWarning
from aetx.kernels.stabilisation import destabilise, stabilise

F32 = NDArray[np.float32]
Denoiser = Callable[..., F32]
"""A function from a finite image with noise of 1, and its own settings, to that image without noise."""

NOISE = ("gain", "offset", "read_noise")
DROPPED = ("variance", "bin_level", "bin_variance", *NOISE, *(f"{name}_error" for name in NOISE))
"""What is known of the noise of images, and is no longer so once they are denoised."""


class DenoisingParams(Params):
    """Parameters of stages that denoise images whose noise is known."""

    gain: float | None = Field(
        None, gt=0, le=1e6, description="image value per electron; none for that of the series (prepare.noise), else 1"
    )
    offset: float | None = Field(
        None, ge=-1e6, le=1e6, description="image value without any electron; none for that of the series, else 0"
    )
    read_noise: float | None = Field(
        None, ge=0, le=1e6, description="standard deviation of the reading noise; none for that of the series, else 0"
    )
    rescaled: bool = Field(True, description="scale the result to the total of the noisy image above the offset")


def denoised(
    series: xr.Dataset, params: DenoisingParams, denoiser: Denoiser, settings: Mapping[str, Any]
) -> xr.Dataset:
    """Return a series whose images are denoised, without what was known of their noise, and with `removed`.

    `removed` is the standard deviation of what was taken away from each stabilised image: 1 for the noise alone.
    """
    image = series["image"]
    planes = [image, *([series["mask"]] if "mask" in series else [])]
    numbers = [_number(series, name, params) for name in NOISE]
    made, removed = xr.apply_ufunc(
        _denoise,
        *numbers,
        *planes,
        kwargs={"denoiser": denoiser, "settings": dict(settings), "rescaled": params.rescaled},
        input_core_dims=[[], [], [], *([["y", "x"]] * len(planes))],
        output_core_dims=[["y", "x"], []],
        dask="parallelized",
        output_dtypes=[np.float32, np.float64],
    )
    left = series.drop_vars([name for name in DROPPED if name in series])
    return left.assign(
        image=(("tilt", "y", "x"), made.transpose("tilt", "y", "x").data, image.attrs),
        removed=("tilt", removed.data, {"units": "1"}),
    )


def _number(series: xr.Dataset, name: str, params: DenoisingParams) -> xr.DataArray:
    """Return one number of the noise of each image: as stated, or of the series, or that of counted electrons."""
    stated = getattr(params, name)
    if stated is None and name in series:
        return xr.DataArray(series[name].data, dims="tilt")
    if stated is None and name == "gain":
        warnings.warn(
            "the series does not tell its noise: its image values are taken for counted electrons (gain 1). Run "
            "prepare.noise before, or state the gain",
            AetxWarning,
            stacklevel=5,
        )
    value = stated if stated is not None else 1.0 if name == "gain" else 0.0
    return xr.DataArray(np.full(series.sizes["tilt"], value), dims="tilt")


def _denoise(
    gain: np.ndarray,
    offset: np.ndarray,
    read_noise: np.ndarray,
    images: np.ndarray,
    *mask: np.ndarray,
    denoiser: Denoiser,
    settings: dict[str, Any],
    rescaled: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Denoise a stack of images one by one; return them and how much was removed from each."""
    made = images.astype(np.float32)
    removed = np.full(len(images), np.nan)
    for i, image in enumerate(made):
        trusted = np.isfinite(image) if not mask else np.isfinite(image) & (mask[0][i] != 0)
        noise = float(gain[i]), float(offset[i]), float(read_noise[i])
        if not (np.isfinite(noise).all() and noise[0] + noise[2] > 0 and trusted.any()):
            warnings.warn(
                "an image has no noise that is known, or no pixel to trust: it is left as it is",
                AetxWarning,
                stacklevel=2,
            )
            continue
        stable = stabilise(_filled(image, trusted), *noise)
        clean = denoiser(stable, **settings)
        removed[i] = np.sqrt(np.mean((stable - clean)[trusted].astype(np.float64) ** 2))
        back = destabilise(clean, *noise)
        if rescaled:
            signal, found = (float((one[trusted].astype(np.float64) - noise[1]).sum()) for one in (image, back))
            if signal > 0 and found > 0:
                back = (noise[1] + np.float32(signal / found) * (back - noise[1])).astype(np.float32)
        made[i] = np.where(trusted, back, image)
    return made, removed


def _filled(image: F32, trusted: NDArray[np.bool_]) -> F32:
    """Return an image whose pixels that are not trusted are those nearest to them that are."""
    if trusted.all():
        return image
    nearest = distance_transform_edt(~trusted, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])
