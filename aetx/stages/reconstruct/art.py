"""Algebraic reconstruction, ray by ray."""

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


class ArtParams(ChosenParams):
    """Parameters of `art`."""

    iterations: Steps = Field(
        10, description="greatest number of sweeps; auto for the number at which R free of held-out tilts is least"
    )
    step: float = Field(0.3, gt=0, lt=2, description="relaxation of the first sweep; from 2 on it diverges")
    decay: float = Field(0.9, gt=0, le=1, description="factor on the relaxation after each sweep")
    positive: bool = Field(True, description="keep the density from falling below zero")


@stage(
    "reconstruct.art",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=ArtParams,
    version=2,
    forecast=rows_forecast,
)
def art(series: xr.Dataset, support: xr.Dataset | None, params: ArtParams, *, memory: int | None) -> xr.Dataset:
    """Volume by the algebraic reconstruction technique of Kaczmarz, ray by ray, density not below zero.

    For each ray a in turn, with pixel b: density += step (b - a . density) / |a|^2 a. Rays are sampled linearly in the
    planes across the axis nearest to them (Joseph); tilts come in the order of the golden ratio, density is kept from
    falling below zero after each, and the step shrinks by `decay` from sweep to sweep, so that noise is not fed back
    for ever. A sequential method, and so the slowest of all for what it gives: `reconstruct.sart` takes the rays of an
    image at once. Everything else, `iterations: auto` too, is as in `reconstruct.resire`.

    References
    ----------
    R. Gordon, R. Bender, G. T. Herman, J. Theor. Biol. 29, 471 (1970), doi:10.1016/0022-5193(70)90109-8; rays:
    P. M. Joseph, IEEE Trans. Med. Imaging 1, 192 (1982), doi:10.1109/TMI.1982.4307572.
    """

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return row_action.art(
            task.projector,
            task.images,
            trial.scheme(params.step, params.positive),
            params.decay,
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return by_rows(series, support, params, solve, device="cpu", memory=memory)
