"""Weighted back projection."""

from __future__ import annotations

from typing import Literal

import torch
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.choice import Trial
from aetx.core.slabs import ROWS, by_rows
from aetx.core.tomography import BoxParams, Task, forecast_of
from aetx.kernels.filtering import back_projection
from aetx.kernels.reconstruction import Reconstruction, Scheme, Watch
from aetx.model import TILT_SERIES, VOLUME


class WbpParams(BoxParams):
    """Parameters of `wbp`."""

    window: Literal["none", "shepp-logan", "cosine", "hann"] = Field(
        "hann", description="what the filter is multiplied by, falling towards the cutoff"
    )
    cutoff: float = Field(1.0, gt=0, le=1, description="frequency above which nothing is kept, a fraction of Nyquist")
    diameter: Length | None = Field(
        None,
        gt=0,
        description="of the specimen, for the weights; none for the ramp at tilts about y, else for the image width",
    )


def _forecast(inputs: InputSizes, params: WbpParams) -> Forecast:
    return forecast_of(inputs, params, 3, ROWS)


@stage("reconstruct.wbp", takes={"series": TILT_SERIES}, gives=VOLUME, params=WbpParams, version=2, forecast=_forecast)
def wbp(series: xr.Dataset, params: WbpParams, *, device: str, memory: int | None) -> xr.Dataset:
    """Volume by weighted back projection: density = sum over tilts of transpose(A) (filter * image).

    Tilts about y alone get the ramp |q|, sampled in space (h(0) = 1/4, h(odd n) = -1/(pi n)^2) on images padded to
    twice their width, times the angle that each tilt stands for. Any other directions, and all where a `diameter` D is
    given, get the weights 1 / (D sum_k sinc(D q . n_k)) of exact filtering, n_k the beams in the frame of the image;
    they agree with the ramp to a few percent in the mean. The fastest reconstruction there is, and linear: its noise
    is that of the images. Weakness: streaks from few tilts, a missing wedge that is left at zero, and negative density;
    `reconstruct.resire` fits the images ten times better. `r1` and `r1_history` (before and after) are told as there.

    References
    ----------
    M. Radermacher, in Electron Tomography (1988), doi:10.1007/978-0-387-69008-7_9; ramp: A. C. Kak, M. Slaney,
    Principles of Computerized Tomographic Imaging, eq. 3.61, doi:10.1137/1.9780898719277; exact filtering: G. Harauz,
    M. van Heel, Optik 73, 146 (1986).
    """

    def solve(task: Task, _: Trial) -> Reconstruction:
        diameter = None if params.diameter is None else params.diameter / task.step
        volume = back_projection(task.projector, task.images, params.window, params.cutoff, diameter)
        watch = Watch(task.images, task.trusted, None, Scheme(1, 0.0, 1.0, positive=False))
        watch.see(torch.zeros_like(task.images))
        return watch.result(volume, task.projector.project(volume))

    return by_rows(series, None, params, solve, device=device, memory=memory)
