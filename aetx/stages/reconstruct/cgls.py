"""Least squares by conjugate gradients."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.choice import ChosenParams, Steps, Trial
from aetx.core.slabs import by_rows, rows_forecast
from aetx.core.tomography import Task
from aetx.kernels import conjugate
from aetx.kernels.reconstruction import Reconstruction
from aetx.model import TILT_SERIES, VOLUME


class CglsParams(ChosenParams):
    """Parameters of `cgls`."""

    iterations: Steps = Field(
        15, description="greatest number of steps; auto for the number at which R free of held-out tilts is least"
    )


@stage(
    "reconstruct.cgls",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=CglsParams,
    version=2,
    forecast=rows_forecast,
)
def cgls(
    series: xr.Dataset, support: xr.Dataset | None, params: CglsParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume that fits the images best in least squares, by conjugate gradients; density of either sign.

    Minimises half the sum of (A density - image)^2 over the Krylov space of `iterations` products with transpose(A) A:
    no other iteration fits as well in as few steps. It cannot keep the density from falling below zero, and positivity
    is what fills most of a missing wedge: a baseline, and the choice where the density has both signs. Everything else,
    `iterations: auto` too, is as in `reconstruct.resire`.

    References
    ----------
    M. R. Hestenes, E. Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952), doi:10.6028/jres.049.044; CGLS:
    A. Bjorck, Numerical Methods for Least Squares Problems, sec. 7.4, doi:10.1137/1.9781611971484.
    """

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return conjugate.cgls(
            task.projector,
            task.images,
            trial.scheme(step=1.0, positive=False),
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return by_rows(series, support, params, solve, device=device, memory=memory)
