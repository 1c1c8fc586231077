"""The play of the goniometer between rising and falling tilts."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field
from scipy.spatial.transform import Rotation

from aetx.core import Angle, stage
from aetx.core.alignment import ANGLE, aligned
from aetx.core.pose_matching import MatchParams, match, match_forecast
from aetx.core.tomography import rotations
from aetx.errors import AetxWarning
from aetx.kernels.tilt_axis import backlash as fitted
from aetx.kernels.tilt_axis import falling
from aetx.model import TILT_SERIES

LEAST = 3
"""Images that must rise, and that must fall."""


class BacklashParams(MatchParams):
    """Parameters of `backlash`."""

    angle_error: Angle = Field(1.0, gt=0, le=20, description="standard deviation of each angle before the fit")


@stage(
    "align.backlash", takes={"series": TILT_SERIES}, gives=TILT_SERIES, params=BacklashParams, forecast=match_forecast
)
def backlash(series: xr.Dataset, params: BacklashParams, *, device: str, memory: int | None) -> xr.Dataset:
    """Angles of images that were taken with falling tilt, corrected by the play of the goniometer.

    The turn of each image is found as by `align.reproject`, against volumes that do not know it. That about the tilt
    axis (the camera's y) is then fitted by

        turn = a + b theta + c theta**2 + backlash * (1 where theta fell since the image before)

    in weighted least squares, images in the order of `tilt`; the first one goes with the second. `backlash` is by how
    much more falling images are tilted than they say, and is added to their theta; `backlash_error` is its standard
    error by the scatter around the fit. Nothing else is changed. Where fewer than three images rise or fall, nothing
    is, and both are NaN. The polynomial takes up what a turn of the specimen and slow errors of the angles do. Sweeps
    that share a range of tilts tell most.

    References
    ----------
    D. N. Mastronarde, J. Struct. Biol. 152, 36 (2005), doi:10.1016/j.jsb.2005.07.007 (how tilt stages move).
    """
    order = np.argsort(series["tilt"].values, kind="stable")
    theta = series["theta"].values.astype(float)
    down = np.empty(theta.size, bool)
    down[order] = falling(theta[order])
    if min(down.sum(), (~down).sum()) < LEAST:
        text = f"{down.sum()} of {theta.size} images were taken with falling tilt, at least {LEAST} of either tell"
        warnings.warn(f"{text} the backlash: nothing is changed", AetxWarning, stacklevel=2)
        return series.assign(backlash=((), np.nan, ANGLE), backlash_error=((), np.nan, ANGLE))
    matching, _ = match("align.backlash", series, params, (False, True, False), device=device, memory=memory)
    before = rotations(series)
    turn = Rotation.from_matrix(before.transpose(0, 2, 1) @ matching.poses.turned).as_rotvec()[:, 1]
    turn = turn + matching.asked[:, 3]  # also where one more step makes the held-out images no better
    value, error = fitted(turn, np.deg2rad(theta), down, matching.error[:, 3])
    back = Rotation.from_rotvec(np.where(down, value, 0.0)[:, None] * np.array([0.0, 1.0, 0.0])).as_matrix()
    nothing = np.zeros((theta.size, 2))
    made = aligned(series, nothing, nothing * np.nan, turned=before @ back)
    return made.assign(backlash=((), np.rad2deg(value), ANGLE), backlash_error=((), np.rad2deg(error), ANGLE))
