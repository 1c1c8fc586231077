"""The images of a series matched to projections of what the others show."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core.alignment import measured
from aetx.core.params import Angle, Length, Params
from aetx.core.stage import Forecast, InputSizes
from aetx.core.tomography import forecast_bytes, grid, pixel_size, require_memory, rotations
from aetx.errors import InputError, Problem
from aetx.kernels.image_shift import F32, Flags
from aetx.kernels.pose_matching import Matched, Plan, Poses, matched
from aetx.kernels.projection import Grid
from aetx.kernels.reconstruction import Scheme, film_grid


class MatchParams(Params):
    """How images are matched to projections of what the others show."""

    pixel: Length = Field(0.75, gt=0, le=100, description="pixel size to which images are binned at most")
    rounds: int = Field(4, ge=1, le=100, description="most times that volumes are made and images matched to them")
    iterations: int = Field(60, ge=1, le=10_000, description="steps of each reconstruction")
    folds: int = Field(3, ge=2, le=1000, description="parts of the series that are held out in turn")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    extended: bool = Field(
        False, description="the specimen fills the field of view: compare pixels whose rays lie in the box"
    )
    shift_error: Length = Field(2.0, gt=0, le=1000, description="standard deviation of the shifts before the fit")
    angle_error: Angle = Field(0.3, gt=0, le=20, description="standard deviation of each angle before the fit")
    settled: Length = Field(0.005, gt=0, le=10, description="change of the shifts below which the rounds end")
    settled_angle: Angle = Field(0.02, gt=0, le=10, description="change of the angles below which the rounds end")

    @model_validator(mode="after")
    def _narrower(self) -> Self:
        if self.settled >= self.shift_error or self.settled_angle >= self.angle_error:
            raise ValueError("settled below shift_error, and settled_angle below angle_error")
        return self


class MatchedSeries(NamedTuple):
    """What was found, and the pixel size of the images that were matched, angstrom."""

    found: Matched
    step: float


def match(
    stage: str,
    series: xr.Dataset,
    params: MatchParams,
    free: tuple[bool, bool, bool],
    *,
    device: str,
    memory: int | None,
) -> MatchedSeries:
    """Match the images of a series.

    Parameters
    ----------
    stage
        Who asks.
    series
        Tilt series; its `mask` is honoured.
    params
        How.
    free
        Whether the turn about the camera's x, y and z is fitted; shifts always are.
    device, memory
        Where torch computes, and the bytes allowed.
    """
    count = series.sizes["tilt"]
    if count < 2 * params.folds:
        found = f"{params.folds} for {count} images"
        raise InputError(Problem(stage, "folds", found, f"at most {count // 2}", "lower folds, or take more tilts"))
    images, trusted = measured(stage, series)
    edge = pixel_size(series)
    by = max(1, int(params.pixel / edge + 1e-9))
    images, trusted = _binned(images, trusted, by)
    step, whole = edge * by, grid(series, "yx", edge)
    start = tuple((one + (by - 1) / 2) / by for one in whole.start)
    image = Grid(images.shape[1:], start)
    turned = rotations(series)
    depth = image.shape[1] if params.thickness is None else max(1, round(params.thickness / step))
    box = film_grid(turned, image, depth) if params.extended else Grid((depth, *image.shape), (-depth // 2, *start))
    if memory is not None:
        require_memory(_bytes(count, box.shape, image.shape, params.folds), memory)
    turn = np.deg2rad(params.angle_error)
    plan = Plan(
        rounds=params.rounds,
        folds=params.folds,
        scheme=Scheme(params.iterations, tolerance=0.0, step=1.0, positive=True),
        freedom=np.array([params.shift_error / step] * 2 + [turn if one else 0.0 for one in free]),
        settled=(params.settled / step, float(np.deg2rad(params.settled_angle))),
        whole=params.extended,
    )
    return MatchedSeries(matched(images, trusted, box, image, Poses(turned, np.zeros((count, 2))), plan, device), step)


def match_forecast(inputs: InputSizes, params: MatchParams) -> Forecast:
    """Return the forecast of `match` for a series whose pixel size is not known yet: as if no image were binned."""
    series = inputs["series"][0]
    tilts, y, x = (series.get(name, 1) for name in ("tilt", "y", "x"))
    box = (x, y, 3 * x if params.extended else x)
    work = tilts * x * box[2] * 4 * y * params.iterations * (params.folds - 1) * (params.rounds + 1)
    return Forecast(series, _bytes(tilts, box, (y, x), params.folds), seconds=1.0 + work * 3e-10)


def _bytes(tilts: int, box: tuple[int, ...], image: tuple[int, ...], folds: int) -> int:
    volumes, views = box[0] * box[1] * box[2], tilts * image[0] * image[1]
    return forecast_bytes(tilts, box, image) + 4 * folds * volumes + 150 * views


def _binned(images: F32, trusted: Flags, by: int) -> tuple[F32, Flags]:
    """Return the means of by x by pixels, and whether all of them are trusted."""
    if by == 1:
        return images, trusted
    count, rows, columns = images.shape[0], images.shape[1] // by, images.shape[2] // by
    cut = np.s_[:, : rows * by, : columns * by]
    blocks = (count, rows, by, columns, by)
    means = images[cut].reshape(blocks).mean(axis=(2, 4), dtype=np.float32)
    return means, np.asarray(trusted[cut].reshape(blocks).all(axis=(2, 4)))
