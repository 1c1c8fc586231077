"""Poses refined by matching each image to the projection of what the others show."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import stage
from aetx.core.alignment import ONE, aligned
from aetx.core.pose_matching import MatchParams, match, match_forecast
from aetx.model import TILT_SERIES

FREE = {"none": (False, False, False), "in_plane": (False, False, True), "all": (True, True, True)}


class ReprojectParams(MatchParams):
    """Parameters of `reproject`."""

    turn: Literal["none", "in_plane", "all"] = Field(
        "all", description="which angles are refined beside the shifts: none, that within the image, or all three"
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        void = sorted({"angle_error", "settled_angle"} & self.model_fields_set)
        if self.turn == "none" and void:
            raise ValueError(f"turn: none leaves {', '.join(void)} without use")
        return self


@stage(
    "align.reproject",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=ReprojectParams,
    forecast=match_forecast,
)
def reproject(series: xr.Dataset, params: ReprojectParams, *, device: str, memory: int | None) -> xr.Dataset:
    """Shifts and angles of each image refined against projections of volumes that do not know it.

    The images are binned; every `folds`-th tilt is held out in turn, a volume is made from the others (projected
    gradient descent, positive), and each held-out image is matched to its projection P by Gauss-Newton steps for
    shift s, turn w about the camera's axes, R' = R exp[w], scale and background:

        image = scale * (P - s . grad P + w_y dD/dx - w_x dD/dy + w_z (x dP/dy - y dP/dx)) + background

    with D the projection of depth times density. Each spatial frequency is weighted by one over the power of what is
    left of all images there, so that what the others cannot predict does not count. Then new volumes are made, until
    nothing moves or the mean misfit of the held-out images does not fall any more; the best poses are kept. As an
    image is never in the volume that it is compared with, the volume does not follow its errors.

    `r_free` is sum|image - projection| / sum|image| of each image at the end, held out, with scale and background
    fitted, `r_free_before` that at the start, `r_free_history` the mean in each round. `shift_x_error`,
    `shift_y_error` and `turn_error` (about the camera's x, y, z) are standard errors by what is left, with the poses of
    the other images taken as right. That holds for shifts, and for turns where counting noise limits the match; where
    the others predict an image poorly instead (many counts, few tilts, pixels too large to show atoms), errors that
    grow smoothly with the tilt are two times larger in turns about x and z, and three to four about y, the tilt itself.
    Finer `pixel` and more `iterations` help, at their price: call the stage twice, coarse and then fine. Centres of
    mass of a particle without background are better than this for shifts; a low `shift_error` keeps what they found.

    A turn and a translation of the whole specimen are told by no projection; their means are kept. Images are moved
    once, angles change in phi, theta and psi (the first ones are kept as `stated_phi` and so on).

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1 (refinement by reprojection).
    """
    found, step = match("align.reproject", series, params, FREE[params.turn], device=device, memory=memory)
    made = aligned(
        series,
        found.poses.shift * step,
        found.error[:, :2] * step,
        turned=None if params.turn == "none" else found.poses.turned,
        turn_error=found.error[:, 2:],
    )
    return made.assign(
        r_free=("tilt", found.misfit[np.argmin(found.misfit.mean(axis=1))], ONE),
        r_free_before=("tilt", found.misfit[0], ONE),
        r_free_history=("round", found.misfit.mean(axis=1), ONE),
    )
