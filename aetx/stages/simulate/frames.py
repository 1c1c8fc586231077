"""Frames as a scanning microscope takes them one after another, while the specimen drifts and the scan trembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Dose, Forecast, InputSizes, Length, Params, stage
from aetx.core.tomography import pixel_size
from aetx.errors import InputError, Problem
from aetx.kernels import acquisition as kernel
from aetx.model import RAW_SERIES, TILT_SERIES

Direction = Annotated[Angle, Field(ge=-360, le=360)]


class FramesParams(Params):
    """Parameters of `frames`."""

    frames: int = Field(3, ge=1, le=1000, description="frames of each tilt, taken one after another")
    scan_directions: tuple[Direction, ...] = Field(
        (0.0,), min_length=1, max_length=1000, description="direction of the rows of each frame, in turn, x towards y"
    )
    dose: Dose = Field(7656.0, gt=0, le=1e9, description="electrons per area of each tilt, all its frames together")
    background: float = Field(
        0.0, ge=0, le=1, description="signal of what surrounds the specimen, as a fraction of the incident electrons"
    )
    background_variation: float = Field(
        0.0, ge=0, le=1, description="greatest smooth deviation of the background, as a fraction of it"
    )
    shift: Length = Field(0.0, ge=0, le=100, description="standard deviation of the shift of a tilt along x and y")
    drift: Length = Field(0.0, ge=0, le=100, description="how far the specimen drifts during each frame, evenly")
    drift_direction: Angle | None = Field(
        None, ge=-360, le=360, description="direction of the drift from x towards y; none for any, tilt by tilt"
    )
    wander: Length = Field(
        0.0, ge=0, le=100, description="standard deviation of an uneven motion besides, alike over the time of a frame"
    )
    pause: float = Field(0.0, ge=0, le=100, description="time between two frames, in times of a frame")
    jitter: Length = Field(0.0, ge=0, le=10, description="standard deviation of the shift of each row along itself")
    slow_jitter: Length = Field(0.0, ge=0, le=10, description="standard deviation of the shift of each row across")
    noise: Literal["poisson", "none"] = Field("poisson", description="counting noise, or none: expected counts")
    gain: float = Field(1.0, gt=0, le=1e6, description="counts per detected electron")
    offset: float = Field(0.0, ge=-1e6, le=1e6, description="counts without any electron")
    read_noise: float = Field(0.0, ge=0, le=1e6, description="standard deviation of the reading noise, counts")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers, one stream for each tilt")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.noise == "none" and self.read_noise > 0:
            raise ValueError("either noise: none or a read_noise, not both")
        if self.background == 0 and self.background_variation > 0:
            raise ValueError("background_variation is a fraction of a background above 0")
        if self.drift == 0 and self.drift_direction is not None:
            raise ValueError("a drift_direction needs a drift above 0")
        if len(self.scan_directions) > self.frames:
            raise ValueError(f"{len(self.scan_directions)} scan_directions for {self.frames} frames")
        return self

    @property
    def directions(self) -> np.ndarray:
        """The direction of the rows of each frame, degree."""
        return np.resize(np.array(self.scan_directions, float), self.frames)


def _forecast(inputs: InputSizes, params: FramesParams) -> Forecast:
    sizes = inputs["series"][0]
    area = sizes.get("y", 1) * sizes.get("x", 1)
    pixels = sizes.get("tilt", 1) * params.frames * area
    seconds = pixels * (8e-7 if params.directions.any() else 3e-7) + 0.01
    return Forecast({**sizes, "frame": params.frames}, memory=area * (100 + 8 * params.frames), seconds=seconds)


@stage(
    "simulate.frames",
    takes={"series": TILT_SERIES},
    gives=RAW_SERIES,
    params=FramesParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def frames(series: xr.Dataset, params: FramesParams) -> xr.Dataset:
    """Frames in counts, several for each tilt, from expected fractions of the incident electrons.

    Row i of n of frame k of K is scanned at the time t = (k - (K - 1) / 2) (1 + pause) + (i + 1/2) / n - 1/2, in times
    of a frame. By then the content lies at

        shift + drift * t + wander(t) + jitter of the row, along itself and across,

    all of it in the frame of the specimen; the row runs along (cos, sin) of its scan direction, so that the frame
    shows the image at Rz(direction) (u, v). Splines of fifth order sample it; then
    counts = gain * Poisson(dose / K * d**2 * (p + background (1 + v))) + offset + Normal(0, read_noise) as
    `simulate.acquisition` has it. What was drawn is kept: `true_line_x` and `true_line_y`, how far the content had
    moved when a row was scanned, along x and y; their means over the rows of each frame without the jitter,
    `true_frame_x` and `true_frame_y`; and `true_drift_x`, `true_drift_y` in the time of a frame.

    The motion within one row is left out: it is 1/n of that within a frame.

    References
    ----------
    C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016), doi:10.1016/j.ultramic.2015.12.002, section 2.
    """
    image = series["image"]
    if image.attrs["units"] != "1":
        found, wanted = f"units {image.attrs['units']!r}", "fractions of the incident electrons, units '1'"
        fix = "take the images of a stage such as simulate.images or simulate.multislice"
        raise InputError(Problem("simulate.frames: series", "image", found, wanted, fix))
    count, step = image.sizes["tilt"], pixel_size(series)
    streams = np.random.SeedSequence(params.seed).spawn(count)
    taken, line_x, line_y, shift, drift = xr.apply_ufunc(
        _take,
        image,
        xr.DataArray(np.arange(count), dims="tilt"),
        kwargs={"params": params, "step": step, "streams": streams},
        input_core_dims=[["y", "x"], []],
        output_core_dims=[["frame", "y", "x"], ["frame", "y"], ["frame", "y"], ["frame", "axis"], ["axis"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"frame": params.frames, "axis": 2}},
        output_dtypes=[np.float32, np.float32, np.float32, np.float64, np.float64],
    )
    length = {"units": "angstrom"}
    made = series.drop_vars([name for name in ("mask", "variance", "origin", "axis") if name in series.variables])
    return made.assign(
        image=(("tilt", "frame", "y", "x"), taken.data, {"units": "count"}),
        dose=("tilt", np.full(count, params.dose), {"units": "e/angstrom**2"}),
        true_line_x=(("tilt", "frame", "y"), line_x.data, length),
        true_line_y=(("tilt", "frame", "y"), line_y.data, length),
        true_frame_x=(("tilt", "frame"), shift.data[..., 0], length),
        true_frame_y=(("tilt", "frame"), shift.data[..., 1], length),
        true_drift_x=("tilt", drift.data[..., 0], length),
        true_drift_y=("tilt", drift.data[..., 1], length),
    ).assign_coords(scan_direction=("frame", params.directions, {"units": "degree"}))


@dataclass(frozen=True)
class _Motion:
    """Where the content of one tilt lies, in angstrom along x and y: smoothly, and with the jitter of each row."""

    smooth: np.ndarray
    lines: np.ndarray
    drift: np.ndarray


def _motion(rows: int, params: FramesParams, generator: np.random.Generator) -> _Motion:
    """Draw the motion during all frames of a tilt; arrays of shape (frames, rows, 2)."""
    number = np.arange(params.frames)[:, None] - (params.frames - 1) / 2
    time = number * (1 + params.pause) + (np.arange(rows) + 0.5) / rows - 0.5
    direction = generator.uniform(0, 2 * np.pi)
    if params.drift_direction is not None:
        direction = np.deg2rad(params.drift_direction)
    drift = params.drift * np.array([np.cos(direction), np.sin(direction)])
    uneven = np.stack([kernel.wander(time, generator) for _ in range(2)], axis=-1)
    smooth = params.shift * generator.standard_normal(2) + drift * time[..., None] + params.wander * uneven
    along, across = generator.standard_normal((2, params.frames, rows))
    turn = np.deg2rad(params.directions)[:, None]
    along, across = params.jitter * along, params.slow_jitter * across
    jitter = np.stack(
        [along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)], axis=-1
    )
    return _Motion(smooth, smooth + jitter, drift)


def _take(
    images: np.ndarray,
    number: np.ndarray,
    *,
    params: FramesParams,
    step: float,
    streams: list[np.random.SeedSequence],
) -> tuple[np.ndarray, ...]:
    count, rows, columns = images.shape
    taken = np.empty((count, params.frames, rows, columns), np.float32)
    lines = np.empty((count, params.frames, rows, 2))
    shift, drift = np.empty((count, params.frames, 2)), np.empty((count, 2))
    for i, (image, index) in enumerate(zip(images, number, strict=True)):
        generator = np.random.default_rng(streams[index])
        level = np.ones(image.shape, np.float32)
        if params.background_variation > 0:
            level += np.float32(params.background_variation) * kernel.smooth(rows, columns, generator)
        scene = np.asarray(image + params.background * level, np.float32)
        motion = _motion(rows, params, generator)
        lines[i], drift[i] = motion.lines, motion.drift
        shift[i] = motion.smooth.mean(axis=1)
        for k, turn in enumerate(np.deg2rad(params.directions)):
            x, y = motion.lines[k].T / step
            right, down = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
            seen = kernel.scanned(scene, float(turn), down, right)
            expected = np.maximum(seen, 0) * np.float32(params.dose / params.frames * step**2)
            if params.noise == "none":
                taken[i, k] = params.gain * expected + params.offset
            else:
                taken[i, k] = kernel.detect(expected, params.gain, params.offset, params.read_noise, generator)
    return taken, *np.moveaxis(lines.astype(np.float32), -1, 0), shift, drift
