"""Simultaneous algebraic reconstruction, image by image."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.choice import ChosenParams, Steps, Trial
from aetx.core.slabs import by_rows, rows_forecast
from aetx.core.tomography import Task
from aetx.kernels import row_action
from aetx.kernels.reconstruction import Reconstruction
from aetx.model import TILT_SERIES, VOLUME


class SartParams(ChosenParams):
    """Parameters of `sart`."""

    iterations: Steps = Field(
        10, description="greatest number of sweeps; auto for the number at which R free of held-out tilts is least"
    )
    step: float = Field(1.0, gt=0, lt=2, description="relaxation of the first sweep; from 2 on it diverges")
    decay: float = Field(0.9, gt=0, le=1, description="factor on the relaxation after each sweep")
    positive: bool = Field(True, description="keep the density from falling below zero")


@stage(
    "reconstruct.sart",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=SartParams,
    version=2,
    forecast=rows_forecast,
)
def sart(
    series: xr.Dataset, support: xr.Dataset | None, params: SartParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume by the simultaneous algebraic reconstruction technique, image by image, density not below zero.

    For each image b with projector A in turn: density += step C transpose(A) R (b - A density), with R and C one over
    the row and the column sums of A. Tilts come in the order of the golden ratio, and the step shrinks by `decay` from
    sweep to sweep. Four sweeps do what some sixty steps of `reconstruct.sirt` do. Everything else, `iterations: auto`
    too, is as in `reconstruct.resire`.

    References
    ----------
    A. H. Andersen, A. C. Kak, Ultrason. Imaging 6, 81 (1984), doi:10.1177/016173468400600107.
    """

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return row_action.sart(
            task.projector,
            task.images,
            trial.scheme(params.step, params.positive),
            params.decay,
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return by_rows(series, support, params, solve, device=device, memory=memory)
