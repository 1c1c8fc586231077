"""Gain, offset and read noise of images, and the variance of each of their pixels."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field
from scipy.ndimage import gaussian_filter

from aetx.core import Forecast, InputSizes, Length, Params, optional, stage
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import noise_estimation as kernel
from aetx.model import RAW_SERIES, TILT_SERIES, spacing, units

BINS = 24
"""Ranges of intensity in which the measured variance is told."""


class NoiseParams(Params):
    """Parameters of `noise`."""

    shared: bool = Field(True, description="one gain and read noise for the whole series, or for each image its own")
    offset: float | None = Field(
        None,
        ge=-1e6,
        le=1e6,
        description="image value without any electron; none for zero, or what the noise itself asks for above it",
    )
    block: int = Field(12, ge=4, le=64, description="edge of the blocks whose mean and variance are compared, pixels")
    smoothing: Length = Field(
        0.5, ge=0, le=20, description="Gaussian standard deviation of the mean from which each variance follows"
    )


def _forecast(inputs: InputSizes, params: NoiseParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    frames = inputs["frames"][0].get("frame", 1) if inputs.get("frames") else 1
    blocks = sizes.get("tilt", 1) * area / params.block**2
    memory = int(area * (80 + 24 * frames) + blocks * 400) + 4096
    return Forecast({**sizes, "bin": BINS}, memory, 0.02 + sizes.get("tilt", 1) * area * (8e-8 + 2e-8 * frames))


@stage(
    "prepare.noise",
    takes={"series": TILT_SERIES, "frames": optional(RAW_SERIES)},
    gives=TILT_SERIES,
    params=NoiseParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "frame": -1, "y": -1, "x": -1},
    forecast=_forecast,
)
def noise(series: xr.Dataset, frames: xr.Dataset | None, params: NoiseParams) -> xr.Dataset:
    """Images as they are, with the gain, offset and read noise that their noise tells, and each pixel's `variance`.

    For counts gain * Poisson(electrons) + offset + Normal(0, read_noise), variance = gain * (mean - offset) +
    read_noise**2. Mean and variance are measured on small blocks: from `frames`, between the frames of a tilt, pixel by
    pixel (the images are then those frames' mean, and its noise is told); without, by the fourth difference along both
    axes of each image, which what a microscope resolves hardly reaches. The line through both is a weighted fit that
    leaves out blocks far above it: structure. Two numbers make a line, so that either the read noise follows from an
    `offset`, or the offset from the absence of read noise.

    `gain`, `offset`, `read_noise` and their standard errors (`gain_error` ...) are those of the images that are given.
    `variance` takes the mean from the smoothed image, and is at least that of one electron under that smoothing.
    `bin_level` and `bin_variance` are means of the blocks in ranges of intensity, for a look. NaN where an image has
    too few blocks.

    Without frames the noise must be white: images that were smoothed or resampled seem to have less. With frames it
    need not be, but frames that do not lie on each other seem to have more. An image of one brightness hardly tells
    gain and read noise apart; the standard errors show it.

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, IEEE Transactions on Image Processing 17, 1737 (2008),
    doi:10.1109/TIP.2008.2001399.
    """
    _require_frames(series, frames, params)
    found = _measured(series if frames is None else frames, params)
    image = series["image"]
    lines = xr.apply_ufunc(
        _lines,
        *found,
        kwargs={"params": params, "count": image.sizes["tilt"]},
        input_core_dims=[["source", "block"]] * 2,
        output_core_dims=[["tilt", "number"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"tilt": image.sizes["tilt"], "number": 6}},
        output_dtypes=[np.float64],
    )
    lines = lines.chunk({"tilt": 1}) if image.chunks else lines
    bins = xr.apply_ufunc(
        _binned,
        *found,
        input_core_dims=[["source", "block"]] * 2,
        output_core_dims=[["bin", "number"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"bin": BINS, "number": 2}},
        output_dtypes=[np.float64],
    )
    planes = [image, *([series["mask"]] if "mask" in series else [])]
    variance = xr.apply_ufunc(
        _variance,
        lines,
        *planes,
        kwargs={"widths": tuple(_pixels(series, axis, params.smoothing) for axis in ("y", "x"))},
        input_core_dims=[["number"], *([["y", "x"]] * len(planes))],
        output_core_dims=[["y", "x"]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    unit = {"units": image.attrs["units"]}
    square = {"units": units.canonical(f"({unit['units']})**2") if unit["units"] != "1" else "1"}
    names = ("gain", "offset", "read_noise")
    return series.assign(
        {name: ("tilt", lines.isel(number=i).data, unit) for i, name in enumerate(names)}
        | {f"{name}_error": ("tilt", lines.isel(number=3 + i).data, unit) for i, name in enumerate(names)}
        | {
            "variance": (("tilt", "y", "x"), variance.transpose("tilt", "y", "x").data, square),
            "bin_level": ("bin", bins.isel(number=0).data, unit),
            "bin_variance": ("bin", bins.isel(number=1).data, square),
        }
    )


def _require_frames(series: xr.Dataset, frames: xr.Dataset | None, params: NoiseParams) -> None:
    if frames is None:
        return
    found = []
    if frames.sizes["frame"] < 2:
        found.append(("frame", f"{frames.sizes['frame']} frame", "two frames of each tilt", "leave the frames out"))
    if not params.shared and frames.sizes["tilt"] != series.sizes["tilt"]:
        count, wanted = f"{frames.sizes['tilt']} tilts", f"{series.sizes['tilt']}, as the series has"
        found.append(("tilt", count, wanted, "give the frames of all tilts, or share one noise (shared: true)"))
    if frames["image"].attrs["units"] != series["image"].attrs["units"]:
        unit, wanted = frames["image"].attrs["units"], series["image"].attrs["units"]
        found.append(("image", f"units {unit!r}", f"{wanted!r}, those of the series", "convert one of them"))
    if found:
        raise InputError([Problem("prepare.noise: frames", *one) for one in found])


def _pixels(series: xr.Dataset, axis: str, width: float) -> float:
    return width / spacing(series, axis) if series.sizes[axis] > 1 else 0.0


def _measured(source: xr.Dataset, params: NoiseParams) -> tuple[xr.DataArray, xr.DataArray]:
    """Return mean and variance of the blocks of each image, of shape (source, block)."""
    image = source["image"]
    frames = ["frame"] if "frame" in image.dims else []
    planes = [image, *([source["mask"]] if "mask" in source else [])]
    blocks = (image.sizes["y"] // params.block) * (image.sizes["x"] // params.block)
    made = xr.apply_ufunc(
        _blocks,
        *planes,
        kwargs={"edge": params.block, "repeated": bool(frames)},
        input_core_dims=[[*frames, "y", "x"], *([["y", "x"]] * (len(planes) - 1))],
        output_core_dims=[["block"]] * 2,
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"block": blocks}},
        output_dtypes=[np.float64] * 2,
    )
    mean, variance = (one.rename(tilt="source").drop_vars(list(one.coords), errors="ignore") for one in made)
    return (mean.chunk({"source": -1}), variance.chunk({"source": -1})) if mean.chunks else (mean, variance)


def _blocks(images: np.ndarray, *mask: np.ndarray, edge: int, repeated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Measure the blocks of each image, or of the mean of the frames of each tilt."""
    found = []
    for i, image in enumerate(images.astype(np.float32)):
        trusted = np.isfinite(image) if not mask else np.isfinite(image) & (mask[0][i] != 0)
        if repeated:
            mean, variance = kernel.from_frames(image, trusted, edge)
            found.append((mean, variance / len(image)))
        else:
            found.append(kernel.from_image(image, trusted, edge))
    return np.stack([one[0] for one in found]), np.stack([one[1] for one in found])


def _lines(mean: np.ndarray, variance: np.ndarray, *, params: NoiseParams, count: int) -> np.ndarray:
    """Return gain, offset, read noise and their three errors of each image."""
    rows = np.full((count, 6), np.nan)
    for i, blocks in enumerate([(mean, variance)] if params.shared else zip(mean, variance, strict=True)):
        line = kernel.line(*(one.ravel() for one in blocks))
        if line is not None:
            rows[slice(None) if params.shared else i] = kernel.noise_of(line, params.offset)
    if np.isnan(rows).any():
        warnings.warn(
            "too few blocks of an image could be measured: its gain, read noise and variance are unknown (NaN)",
            AetxWarning,
            stacklevel=2,
        )
    return rows


def _binned(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the mean level and variance of the blocks in ranges of equal population."""
    finite = np.isfinite(mean) & np.isfinite(variance)
    level, spread = mean[finite], variance[finite]
    rows = np.full((BINS, 2), np.nan)
    for i, part in enumerate(np.array_split(np.argsort(level, kind="stable"), BINS)):
        if part.size:
            rows[i] = level[part].mean(), spread[part].mean()
    return rows


def _variance(numbers: np.ndarray, images: np.ndarray, *mask: np.ndarray, widths: tuple[float, float]) -> np.ndarray:
    """Return gain * (smoothed image - offset) + read_noise**2, not below one electron under the smoothing."""
    made = np.empty(images.shape, np.float32)
    electrons = max(1.0, 2 * np.sqrt(np.pi) * widths[0]) * max(1.0, 2 * np.sqrt(np.pi) * widths[1])
    for i, image in enumerate(images.astype(np.float32)):
        gain, offset, read = numbers[i, :3]
        trusted = np.isfinite(image) if not mask else np.isfinite(image) & (mask[0][i] != 0)
        level = np.where(trusted, image, np.float32(0))
        if max(widths) > 0:
            share = gaussian_filter(trusted.astype(np.float32), widths, mode="reflect")
            level = gaussian_filter(level, widths, mode="reflect") / np.maximum(share, np.float32(1e-6))
        made[i] = np.maximum(gain * (level - offset), gain**2 / electrons) + read**2
    return made
