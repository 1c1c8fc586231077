"""Gradient descent in real space."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.tomography import IterativeParams, reconstructed, reconstruction_forecast, reconstruction_task
from aetx.kernels.reconstruction import Scheme, descend
from aetx.model import TILT_SERIES, VOLUME


class ResireParams(IterativeParams):
    """Parameters of `resire`."""

    iterations: int = Field(200, ge=1, le=100_000, description="greatest number of steps")
    tolerance: float = Field(
        0.01, ge=0, lt=1, description="stop when ten steps lowered the mean R1 by less than this fraction; 0 for never"
    )
    step: float = Field(1.0, gt=0, lt=2, description="step, as a fraction of the longest that is sure to converge")
    momentum: bool = Field(True, description="extrapolate (Nesterov, with restart): some five times fewer steps")


@stage(
    "reconstruct.resire",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=ResireParams,
    version=1,
    forecast=reconstruction_forecast,
)
def resire(
    series: xr.Dataset, support: xr.Dataset | None, params: ResireParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Volume whose projections fit the images best in least squares, by projected gradient descent.

    Minimises half the sum of (step * sum of density along the beam - image) squared over all pixels, density not below
    zero, from an empty volume; the projector is real-space linear interpolation for any Euler angles, and its
    transpose is exact. The published method interpolates in Fourier space and has no momentum: with it off and
    `tolerance` 0 the iteration is theirs. Negative pixels are fitted as they are: clipping them would raise the mean
    of the noise. Weakness: with few tilts and much noise the density grows noisier once the fit has reached the noise;
    fewer `iterations` are the only smoothing here.

    With `extended`, the box holds every ray through the images within the thickness, and the result is cut to the
    field of view. `r1` holds sum|projection - image| / sum|image| of each tilt, NaN for an empty image; `r1_history`
    its mean before the first and after each step. `support` limits the density to its mask; where a series has a
    `mask`, other pixels are neither fitted nor counted.

    References
    ----------
    M. Pham et al., Sci. Rep. 13, 5624 (2023), doi:10.1038/s41598-023-31124-7; momentum: A. Beck, M. Teboulle, SIAM J.
    Imaging Sci. 2, 183 (2009), doi:10.1137/080716542; restart: B. O'Donoghue, E. Candes, doi:10.1007/s10208-013-9150-3.
    """
    task = reconstruction_task(series, support, params, device=device, memory=memory)
    found = descend(
        task.projector,
        task.images,
        Scheme(params.iterations, params.tolerance, params.step, params.positive),
        momentum=params.momentum,
        support=task.support,
        trusted=task.trusted,
    )
    return reconstructed(series, task, found)
