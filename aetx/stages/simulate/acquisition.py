"""Counts of a detector from expected images: dose, background, film, blur, distortions of the scan, noise."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Dose, Forecast, InputSizes, Length, Params, stage
from aetx.core.tomography import pixel_size
from aetx.errors import InputError, Problem
from aetx.kernels import acquisition as kernel
from aetx.model import TILT_SERIES


class AcquisitionParams(Params):
    """Parameters of `acquisition`."""

    dose: Dose = Field(7656.0, gt=0, le=1e9, description="electrons per area of each image")
    background: float = Field(
        0.0,
        ge=0,
        le=1,
        description="mean signal of what surrounds the specimen, as a fraction of the incident electrons",
    )
    background_variation: float = Field(
        0.0, ge=0, le=1, description="greatest smooth deviation of the background, as a fraction of it"
    )
    film: float = Field(
        0.0, ge=0, le=1, description="standard deviation of the grain of a film, as a fraction of the background"
    )
    film_length: Length = Field(
        5.0, gt=0, le=1000, description="correlation length of that grain, where its autocorrelation is 1/e"
    )
    blur: Length = Field(
        0.0, ge=0, le=10, description="greatest Gaussian blur by a change of focus, drawn evenly for each image"
    )
    tails: float = Field(0.0, ge=0, le=0.9, description="part of the probe's current that lies in Lorentzian tails")
    tail_radius: Length = Field(1.0, gt=0, le=100, description="radius of those tails: half lie within 1.73 times it")
    shift: Length = Field(0.0, ge=0, le=100, description="standard deviation of the shift of an image along x and y")
    drift: Length = Field(
        0.0, ge=0, le=100, description="how far the specimen drifts, evenly, while an image is scanned"
    )
    drift_direction: Angle | None = Field(
        None, ge=-360, le=360, description="direction of the drift from x towards y; none for any, image by image"
    )
    jitter: Length = Field(0.0, ge=0, le=10, description="standard deviation of the shift of each scanned row along x")
    noise: Literal["poisson", "none"] = Field("poisson", description="counting noise, or none: expected counts")
    gain: float = Field(1.0, gt=0, le=1e6, description="counts per detected electron")
    offset: float = Field(0.0, ge=-1e6, le=1e6, description="counts without any electron")
    read_noise: float = Field(0.0, ge=0, le=1e6, description="standard deviation of the reading noise, counts")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers, one stream for each image")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.noise == "none" and self.read_noise > 0:
            raise ValueError("either noise: none or a read_noise, not both")
        if self.background == 0 and (self.film > 0 or self.background_variation > 0):
            raise ValueError("film and background_variation are fractions of a background above 0")
        if self.drift == 0 and self.drift_direction is not None:
            raise ValueError("a drift_direction needs a drift above 0")
        return self


def _forecast(inputs: InputSizes, params: AcquisitionParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    moving = params.shift + params.drift + params.jitter > 0
    wide = params.blur + params.tails > 0
    seconds = sizes.get("tilt", 1) * area * (8e-8 + 2e-7 * moving + 5e-8 * (params.film > 0) + 1e-7 * wide) + 0.01
    return Forecast(sizes, memory=2 * area * (90 if moving else 50 if wide else 40), seconds=seconds)


@stage(
    "simulate.acquisition",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=AcquisitionParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def acquisition(series: xr.Dataset, params: AcquisitionParams) -> xr.Dataset:
    """Images in counts as a scanning microscope takes them, from expected fractions of the incident electrons.

    The expected electrons in a pixel of edge d are lambda = dose * d**2 * (p + background * (1 + v + f)), with the
    image p, a smooth variation v (a random polynomial of second order) and the grain f of a film (Gaussian, with the
    autocorrelation exp(-(distance / film_length)**2); anew in each image). A probe out of focus or with tails blurs
    that: its transform is multiplied by (1 - tails + tails exp(-2 pi tail_radius q)) exp(-2 pi**2 blur**2 q**2). Row i
    of the scan sees everything displaced:

        x: shift_x + drift_x * (i / (rows - 1) - 1/2) + jitter_i      y: shift_y + drift_y * (i / (rows - 1) - 1/2)

    by splines of fifth order, which keep totals; then counts = gain * Poisson(lambda) + offset + Normal(0, read_noise).
    A positive shift moves the content towards larger x and y. What was drawn is kept as `true_shift_x`, `true_shift_y`,
    `true_drift_x`, `true_drift_y` and `true_blur`, and the `dose` of each image.

    Beyond the edge lies the mirror image of what is within: leave room around a specimen. A film that turns with the
    specimen is not simulated.

    References
    ----------
    A. Foi, M. Trimeche, V. Katkovnik, K. Egiazarian, IEEE Transactions on Image Processing 17, 1737 (2008),
    doi:10.1109/TIP.2008.2001399 (noise); C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016),
    doi:10.1016/j.ultramic.2015.12.002 (distortions of the scan).
    """
    image = series["image"]
    if image.attrs["units"] != "1":
        problem = Problem(
            "simulate.acquisition: series",
            "image",
            f"units {image.attrs['units']!r}",
            "fractions of the incident electrons, units '1'",
            "take the images of a stage such as simulate.images or simulate.multislice",
        )
        raise InputError(problem)
    count, step = image.sizes["tilt"], pixel_size(series)
    streams = np.random.SeedSequence(params.seed).spawn(count + 1)
    shift, drift, blur = _errors(count, params, np.random.default_rng(streams[0]))
    counts = xr.apply_ufunc(
        _acquire,
        image,
        xr.DataArray(np.arange(count), dims="tilt"),
        kwargs={"params": params, "step": step, "shift": shift, "drift": drift, "blur": blur, "streams": streams[1:]},
        input_core_dims=[["y", "x"], []],
        output_core_dims=[["y", "x"]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    length = {"units": "angstrom"}
    return series.assign(
        image=(("tilt", "y", "x"), counts.transpose("tilt", "y", "x").data, {"units": "count"}),
        dose=("tilt", np.full(count, params.dose), {"units": "e/angstrom**2"}),
        true_shift_x=("tilt", shift[:, 0], length),
        true_shift_y=("tilt", shift[:, 1], length),
        true_drift_x=("tilt", drift[:, 0], length),
        true_drift_y=("tilt", drift[:, 1], length),
        true_blur=("tilt", blur, length),
    )


def _errors(count: int, params: AcquisitionParams, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Draw the shift and the drift along x and y, of shape (images, 2), and the blur of each image, angstrom."""
    shift, direction = generator.standard_normal((count, 2)), generator.uniform(0, 2 * np.pi, count)
    if params.drift_direction is not None:
        direction = np.full(count, np.deg2rad(params.drift_direction))
    drift = np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return params.shift * shift, params.drift * drift, params.blur * generator.random(count)


def _acquire(
    images: np.ndarray,
    number: np.ndarray,
    *,
    params: AcquisitionParams,
    step: float,
    shift: np.ndarray,
    drift: np.ndarray,
    blur: np.ndarray,
    streams: list[np.random.SeedSequence],
) -> np.ndarray:
    taken = np.empty(images.shape, np.float32)
    for i, (image, index) in enumerate(zip(images, number, strict=True)):
        generator = np.random.default_rng(streams[index])
        seen = _scene(image.astype(np.float32), params, step, generator)
        if blur[index] > 0 or params.tails > 0:
            seen = kernel.blurred(seen, blur[index] / step, params.tails, params.tail_radius / step)
        seen = _scanned(seen, params, step, shift[index], drift[index], generator)
        expected = np.maximum(seen, 0) * np.float32(params.dose * step**2)
        if params.noise == "none":
            taken[i] = params.gain * expected + params.offset
        else:
            taken[i] = kernel.detect(expected, params.gain, params.offset, params.read_noise, generator)
    return taken


def _scene(image: np.ndarray, params: AcquisitionParams, step: float, generator: np.random.Generator) -> np.ndarray:
    """Return image and background, as fractions of the incident electrons."""
    rows, columns = image.shape
    level = np.ones(image.shape, np.float32)
    if params.background_variation > 0:
        level += np.float32(params.background_variation) * kernel.smooth(rows, columns, generator)
    if params.film > 0:
        level += np.float32(params.film) * kernel.grain(rows, columns, params.film_length / step, generator)
    return np.asarray(image + params.background * level, np.float32)


def _scanned(
    image: np.ndarray,
    params: AcquisitionParams,
    step: float,
    shift: np.ndarray,
    drift: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    if params.shift == params.drift == params.jitter == 0:
        return image
    rows = len(image)
    during = np.linspace(-0.5, 0.5, rows) if rows > 1 else np.zeros(1)
    right = shift[0] + drift[0] * during + params.jitter * generator.standard_normal(rows)
    return kernel.displaced(image, (shift[1] + drift[1] * during) / step, right / step)
