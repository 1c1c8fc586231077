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

    reach: Angle = Field(5.0, gt=0, le=45, description="greatest angle between the axis and y that is tried")
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

    Summed across the tilt axis, the images of one specimen are the same at all tilts. The `azimuth`, the angle from y
    of the direction in which they differ least, counted from x to y, becomes part of the poses,

        R = Rz(turn) R_stated Rz(-turn),     turn = azimuth - azimuth of the stated poses

    so that no pixel is interpolated and an untilted image stays untilted. `azimuth_error` is the jackknife's over the
    images; `misfit` over `trial` is what was compared. An axis and its opposite look the same: which of them is meant
    is the sign of theta, see `measure.hand`.

    The position is the constant in offset + x0 cos theta - z0 sin theta, fitted to the centres of mass across the
    axis; all images are moved by this `axis_offset`, in which errors of single images (`align.centre`,
    `align.common_line`) take part. Where images were centred one by one it says nothing any more, and does no harm.

    For series about one axis near y, with the specimen in view and backgrounds gone. Films need `position: false`,
    and tell the azimuth only where the same part is in view at all tilts.

    References
    ----------
    P. A. Penczek, M. Marko, K. Buttle, J. Frank, Ultramicroscopy 60, 393 (1995), doi:10.1016/0304-3991(95)00113-X
    (alignment by what all tilts share).
    """
    if not single_axis(series):
        found = "phi or psi beyond 5 degrees"
        fix = "use align.common_line and align.reproject, which know any poses"
        raise InputError(Problem("align.axis: series", "phi, psi", found, "tilts about one axis near y", fix))
    if series.sizes["tilt"] < 4:
        found = f"{series.sizes['tilt']} images"
        raise InputError(Problem("align.axis: series", "tilt", found, "at least 4", "take more tilts"))
    images, trusted = measured("align.axis", series)
    step = pixel_size(series)
    place = grid(series, "yx", step)
    total = images.sum(axis=(1, 2), dtype=float)
    scaled = (images * (np.median(total) / total)[:, None, None]).astype(np.float32) if (total > 0).all() else images
    frequency = frequencies(max(place.shape), min(step / params.resolution, 0.5))
    axis_at = kernel.azimuth(scaled, place, frequency, np.deg2rad(params.reach), np.deg2rad(params.step))
    if abs(axis_at.angle) > np.deg2rad(params.reach - params.step):
        text = f"the axis seems to be {np.rad2deg(axis_at.angle):.2f} degrees from y, where the search ends"
        warnings.warn(f"{text}: raise 'reach', or turn the images", AetxWarning, stacklevel=2)
    stated, zero = rotations(series), np.zeros(1)
    turn = rotation(np.array([axis_at.angle - kernel.azimuth_of(stated)]), zero, zero)[0]
    turned = turn @ stated @ turn.T
    count = len(images)
    shift, offset = np.zeros((count, 2)), (0.0, np.nan)
    if params.position:
        centres = centres_of_mass("align.axis", series, images, trusted, params)
        across = np.array([np.cos(axis_at.angle), np.sin(axis_at.angle)])
        where = kernel.position(
            centres.place @ across,
            np.deg2rad(series["theta"].values.astype(float)),
            centres.error**2 @ across**2,
        )
        offset = where.offset, where.error
        shift = np.tile(offset[0] * across, (count, 1))
    made = aligned(series, shift, np.full((count, 2), np.nan), turned=turned)
    return made.assign(
        azimuth=((), np.rad2deg(axis_at.angle), ANGLE),
        azimuth_error=((), np.rad2deg(axis_at.error), ANGLE),
        axis_offset=((), offset[0], LENGTH),
        axis_offset_error=((), offset[1], LENGTH),
        misfit=("trial", axis_at.misfit, ONE),
    ).assign_coords(trial=("trial", np.rad2deg(axis_at.trial), ANGLE))
