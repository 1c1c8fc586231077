"""Simultaneous iterative reconstruction."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.choice import ChosenParams, Trial
from aetx.core.slabs import by_rows, rows_forecast
from aetx.core.tomography import Task
from aetx.kernels import reconstruction
from aetx.kernels.reconstruction import Reconstruction
from aetx.model import TILT_SERIES, VOLUME


class SirtParams(ChosenParams):
    """Parameters of `sirt`."""

    step: float = Field(1.0, gt=0, lt=2, description="relaxation; from 2 on it diverges")
    positive: bool = Field(True, description="keep the density from falling below zero")


@stage(
    "reconstruct.sirt",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=SirtParams,
    version=2,
    forecast=rows_forecast,
)
def sirt(
    series: xr.Dataset, support: xr.Dataset | None, params: SirtParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume by the simultaneous iterative reconstruction technique, density not below zero.

    Each step adds C transpose(A) R (images - A density), with R and C one over the row and the column sums of the
    projector A. It converges more slowly than `reconstruct.resire`, but moves voxels that few rays cross as fast as
    the others. Everything else is as in `reconstruct.resire`.

    References
    ----------
    P. Gilbert, J. Theor. Biol. 36, 105 (1972), doi:10.1016/0022-5193(72)90180-4; weights: A. van der Sluis,
    H. A. van der Vorst, Linear Algebra Appl. 130, 257 (1990), doi:10.1016/0024-3795(90)90215-X.
    """

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return reconstruction.sirt(
            task.projector,
            task.images,
            trial.scheme(params.step, params.positive),
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return by_rows(series, support, params, solve, device=device, memory=memory)
