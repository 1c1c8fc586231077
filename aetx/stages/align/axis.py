"""The direction and the position of the tilt axis."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, stage
from aetx.core.alignment import (
    ANGLE,
    LENGTH,
    ONE,
    MassParams,
    aligned,
    centres_of_mass,
    measured,
    shift_forecast,
    single_axis,
)
from aetx.core.tomography import grid, pixel_size, rotations
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import tilt_axis as kernel
from aetx.kernels.common_lines import frequencies
from aetx.kernels.projection import rotation
from aetx.model import TILT_SERIES


class AxisParams(MassParams):
    """Parameters of `axis`."""

    reach: Angle = Field(5.0, gt=0, le=45, description="greatest turn of the axis that is tried")
    step: Angle = Field(0.1, gt=0, le=5, description="step between the angles that are tried")
    resolution: Length = Field(2.0, gt=0, le=1000, description="finest period along the axis that is compared")
    position: bool = Field(True, description="move all images so that the axis passes through the rotation centre")

    @model_validator(mode="after")
    def _used(self) -> Self:
        void = sorted({"threshold", "smooth", "margin", "rounds"} & self.model_fields_set)
        if not self.position and void:
            raise ValueError(f"position: false leaves {', '.join(void)} without use")
        return self


def _forecast(inputs: InputSizes, params: AxisParams) -> Forecast:
    return shift_forecast(inputs, 1e-6 + 3e-8 * (2 * params.reach / params.step + 30))


@stage("align.axis", takes={"series": TILT_SERIES}, gives=TILT_SERIES, params=AxisParams, forecast=_forecast)
def axis(series: xr.Dataset, params: AxisParams) -> xr.Dataset:
    """Poses whose tilt axis has the direction that the images tell, and images moved so that it is in the middle.

    Summed across the tilt axis, the images of one specimen are the same at all tilts. The turn from the stated axis in
    which they differ least becomes part of the poses,

        R = Rz(turn) R_stated Rz(-turn)

    so that no pixel is interpolated and an untilted image stays untilted. What the poses know of single images is
    used: after `align.reproject`, which finds how images are turned to each other better than how all are turned, the
    stage finds the rest. `azimuth` is the angle of the axis from y, counted from x to y, and `azimuth_error` the
    jackknife's over the images; `misfit` over `trial` is what was compared. An axis and its opposite look the same:
    which of them is meant is the sign of theta, see `measure.hand`.

    The position is the constant in offset + x0 cos theta - z0 sin theta, fitted to the centres of mass across the
    axis; all images are moved by this `axis_offset`, in which errors of single images (`align.centre`,
    `align.common_line`) take part. Where images were centred one by one it says nothing any more, and does no harm.

    For series about one axis near y, with the specimen in view and backgrounds gone. Films need `position: false`,
    and tell the azimuth only where the same part is in view at all tilts.

    References
    ----------
    Y. Liu et al., Ultramicroscopy 58, 393 (1995) (the tilt axis from common lines).
    """
    if not single_axis(series):
        what = "phi or psi beyond 5 degrees"
        fix = "use align.common_line and align.reproject, which know any poses"
        raise InputError(Problem("align.axis: series", "phi, psi", what, "tilts about one axis near y", fix))
    if series.sizes["tilt"] < 4:
        what = f"{series.sizes['tilt']} images"
        raise InputError(Problem("align.axis: series", "tilt", what, "at least 4", "take more tilts"))
    images, trusted = measured("align.axis", series)
    step = pixel_size(series)
    place = grid(series, "yx", step)
    total = images.sum(axis=(1, 2), dtype=float)
    scaled = (images * (np.median(total) / total)[:, None, None]).astype(np.float32) if (total > 0).all() else images
    frequency = frequencies(max(place.shape), min(step / params.resolution, 0.5))
    stated, zero = rotations(series), np.zeros(1)
    found = kernel.azimuth(
        scaled, place, kernel.axes_in(stated), frequency, np.deg2rad(params.reach), np.deg2rad(params.step)
    )
    if abs(found.angle) > np.deg2rad(params.reach - params.step):
        text = f"the axis seems to be {np.rad2deg(found.angle):.2f} degrees from where it is stated"
        warnings.warn(f"{text}, and the search ends there: raise 'reach'", AetxWarning, stacklevel=2)
    turn = rotation(np.array([found.angle]), zero, zero)[0]
    turned = turn @ stated @ turn.T
    direction = kernel.azimuth_of(turned)
    count = len(images)
    shift, offset = np.zeros((count, 2)), (0.0, np.nan)
    if params.position:
        centres = centres_of_mass("align.axis", series, images, trusted, params)
        across = np.array([np.cos(direction), np.sin(direction)])
        where = kernel.position(
            centres.place @ across,
            np.deg2rad(series["theta"].values.astype(float)),
            centres.error**2 @ across**2,
        )
        offset = where.offset, where.error
        shift = np.tile(offset[0] * across, (count, 1))
    made = aligned(series, shift, np.full((count, 2), np.nan), turned=turned)
    return made.assign(
        azimuth=((), np.rad2deg(direction), ANGLE),
        azimuth_error=((), np.rad2deg(found.error), ANGLE),
        axis_offset=((), offset[0], LENGTH),
        axis_offset_error=((), offset[1], LENGTH),
        misfit=("trial", found.misfit, ONE),
    ).assign_coords(trial=("trial", np.rad2deg(direction - found.angle + found.trial), ANGLE))
