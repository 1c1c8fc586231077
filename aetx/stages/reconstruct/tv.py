"""Least squares with total variation."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.choice import RegularisedParams, Strength, Trial, chosen_forecast, solved
from aetx.core.tomography import Task, reconstruction_task
from aetx.kernels.reconstruction import Reconstruction
from aetx.kernels.total_variation import fista
from aetx.model import TILT_SERIES, VOLUME


class TvParams(RegularisedParams):
    """Parameters of `tv`."""

    strength: Strength = Field(
        5e-3,
        description="weight of the variation, a fraction of the greatest slope of the misfit at zero; auto for that "
        "at which R free is least",
    )
    step: float = Field(1.0, gt=0, le=1, description="step, as a fraction of the longest that is sure to converge")
    positive: bool = Field(True, description="keep the density from falling below zero")


@stage(
    "reconstruct.tv",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=TvParams,
    version=1,
    forecast=chosen_forecast,
)
def tv(
    series: xr.Dataset, support: xr.Dataset | None, params: TvParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume that fits the images in least squares and has little total variation, density not below zero.

    Minimises half the sum of (A density - image)^2 plus `strength` * max(transpose(A) image) * the sum over voxels of
    the length of the gradient (forward differences), by FISTA; the denoising inside takes a few dual steps from where
    the last one ended. Noise between atoms is taken out and flat regions come back flat; the price is that peaks are
    lower than they should be, all by about the same. The noise is taken to be even: `reconstruct.mbir` weighs each
    pixel, and needs a third of the time. Everything else, `iterations: auto` too, is as in `reconstruct.resire`;
    with `strength: auto`, the log of the search has one row for each strength that was tried.
    The prior ties each row to the next, so that there are no slabs: what does not fit the memory is cut into sub-areas
    (`prepare.crop`, `reconstruct.stitch`).

    References
    ----------
    L. I. Rudin, S. Osher, E. Fatemi, Physica D 60, 259 (1992), doi:10.1016/0167-2789(92)90242-F; A. Beck,
    M. Teboulle, IEEE Trans. Image Process. 18, 2419 (2009), doi:10.1109/TIP.2009.2028250.
    """
    task = reconstruction_task(series, support, params, device=device, memory=memory)

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return fista(
            task.projector,
            task.images,
            trial.scheme(params.step, params.positive),
            trial.strength,
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return solved(series, task, params, solve, params.strength)
