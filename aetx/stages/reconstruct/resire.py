"""Gradient descent in real space."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, Self

import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, optional, stage
from aetx.core.choice import ChosenParams, Steps, Trial, chosen_forecast, solved
from aetx.core.slabs import by_rows, rows_forecast
from aetx.core.tomography import Task, reconstruction_task, require_memory, task_bytes
from aetx.kernels.fourier_slice import FourierProjector
from aetx.kernels.reconstruction import Reconstruction, descend
from aetx.model import TILT_SERIES, VOLUME


class ResireParams(ChosenParams):
    """Parameters of `resire`."""

    iterations: Steps = Field(
        200, description="greatest number of steps; auto for the number at which R free of held-out tilts is least"
    )
    tolerance: float = Field(
        0.01, ge=0, lt=1, description="stop when ten steps lowered the mean R1 by less than this fraction; 0 for never"
    )
    step: float = Field(1.0, gt=0, lt=2, description="step, as a fraction of the longest that is sure to converge")
    momentum: bool = Field(True, description="extrapolate (Nesterov, with restart): some five times fewer steps")
    positive: bool = Field(True, description="keep the density from falling below zero")
    interpolation: Literal["real", "fourier"] = Field(
        "real", description="where projections are interpolated; fourier as published, and fifty times slower"
    )
    oversampling: float | None = Field(
        None, ge=1, le=8, description="padding of the volume, for fourier alone; none for 3"
    )

    @model_validator(mode="after")
    def _oversampling_has_a_use(self) -> Self:
        if self.oversampling is not None and self.interpolation == "real":
            raise ValueError("oversampling has no effect unless interpolation is fourier")
        return self

    @property
    def padding(self) -> float:
        """How many times the volume is padded."""
        if self.interpolation == "real":
            return 0.0
        return 3.0 if self.oversampling is None else self.oversampling


def _bytes(shape: tuple[int, ...], padding: float) -> int:
    """Return the bytes of the padded transform while it is made."""
    return int(2.5 * 4 * math.prod(shape) * padding**3)


def _forecast(inputs: InputSizes, params: ResireParams) -> Forecast:
    if not params.padding:
        return rows_forecast(inputs, params)
    one = chosen_forecast(inputs, params)
    series = inputs["series"][0]
    box = (series.get("x", 1), series.get("y", 1), series.get("x", 1))
    more = _bytes(box, params.padding)
    steps = 100 if params.iterations == "auto" else params.iterations
    memory = one.memory + more
    return Forecast(one.sizes, memory, one.seconds + steps * more * 2e-9, least=memory)


@stage(
    "reconstruct.resire",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=ResireParams,
    version=2,
    forecast=_forecast,
)
def resire(
    series: xr.Dataset, support: xr.Dataset | None, params: ResireParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume whose projections fit the images best in least squares, by projected gradient descent.

    Minimises half the sum of (step * sum of density along the beam - image) squared over all pixels, density not below
    zero, from an empty volume; the projector is real-space linear interpolation for any Euler angles, and its
    transpose is exact. The published method interpolates central slices of the padded volume in Fourier space,
    residuals in real space, and has no momentum: with `interpolation: fourier`, momentum off and `tolerance` 0 the
    iteration is theirs; it is fifty times slower. Negative pixels are fitted as they are: clipping them would raise the
    mean of the noise. Weakness: with few tilts and much noise the density grows noisier once the fit has reached the
    noise; fewer `iterations` are the only smoothing here.

    With `iterations: auto`, about one tilt in seven is held out, their R1 (R free) is followed until it no longer
    falls, and the volume is then made of all tilts in as many steps as gave the least. `r_work` and `r_free` keep
    the search, `best_iterations` and `mean_r_free` its result.

    With `extended`, the box holds every ray through the images within the thickness, and the result is cut to the
    field of view. `r1` holds sum|projection - image| / sum|image| of each tilt, NaN for an empty image; `r1_history`
    its mean before the first and after each step. `support` limits the density to its mask; where a series has a
    `mask`, other pixels are neither fitted nor counted.

    Where all tilts are about y, rows do not depend on each other: images of more than 128 rows are reconstructed in
    slabs of as many, each with its own momentum, and the volume may be larger than the memory. They all take the same
    number of steps; where that is left open (`auto`, `tolerance`), 128 rows from everywhere tell it.

    References
    ----------
    M. Pham et al., Sci. Rep. 13, 5624 (2023), doi:10.1038/s41598-023-31124-7; momentum: A. Beck, M. Teboulle, SIAM J.
    Imaging Sci. 2, 183 (2009), doi:10.1137/080716542; restart: B. O'Donoghue, E. Candes, doi:10.1007/s10208-013-9150-3.
    """

    def solve(task: Task, trial: Trial) -> Reconstruction:
        return descend(
            task.projector,
            task.images,
            trial.scheme(params.step, params.positive),
            momentum=params.momentum,
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    if not params.padding:
        return by_rows(series, support, params, solve, device=device, memory=memory)
    make = partial(FourierProjector, oversampling=params.padding)
    task = reconstruction_task(series, support, params, device=device, memory=memory, make=make)
    if memory is not None:
        box = task.projector.volume.shape
        require_memory(task_bytes(series, params) + _bytes(box, params.padding), memory)
    return solved(series, task, params, solve)
