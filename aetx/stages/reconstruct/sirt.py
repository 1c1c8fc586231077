"""Simultaneous iterative reconstruction."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from pydantic import Field

from aetx.core import Forecast, Length, Params, optional, stage
from aetx.core.stage import Sizes
from aetx.core.tomography import reconstructed, reconstruction_forecast, reconstruction_task
from aetx.kernels import reconstruction
from aetx.kernels.reconstruction import Scheme
from aetx.model import TILT_SERIES, VOLUME


class SirtParams(Params):
    """Parameters of `sirt`."""

    iterations: int = Field(100, ge=1, le=100_000, description="greatest number of steps")
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="stop when ten steps lowered the mean R1 by less than this fraction; 0 for never"
    )
    step: float = Field(1.0, gt=0, lt=2, description="relaxation; from 2 on it diverges")
    positive: bool = Field(True, description="keep the density from below zero")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    extended: bool = Field(
        False, description="the specimen fills the field of view: reconstruct in a longer box, keep the field of view"
    )


def _forecast(inputs: Mapping[str, tuple[Sizes, ...]], params: SirtParams) -> Forecast:
    return reconstruction_forecast(inputs["series"][0], params.iterations, params.extended)


@stage(
    "reconstruct.sirt",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=SirtParams,
    version=1,
    forecast=_forecast,
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
    task = reconstruction_task(
        series, support, thickness=params.thickness, extended=params.extended, device=device, memory=memory
    )
    found = reconstruction.sirt(
        task.projector,
        task.images,
        Scheme(params.iterations, params.tolerance, params.step, params.positive),
        support=task.support,
        trusted=task.trusted,
    )
    return reconstructed(series, task, found)
