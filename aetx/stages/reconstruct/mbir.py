"""Model-based reconstruction."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import optional, stage
from aetx.core.choice import RegularisedParams, Steps, Strength, Trial, chosen_forecast, solved
from aetx.core.tomography import Task, reconstruction_task
from aetx.errors import InputError, Problem
from aetx.kernels import model_based
from aetx.kernels.edge_prior import EdgePrior
from aetx.kernels.model_based import Model, even_variance, mean_density, poisson_variance
from aetx.kernels.reconstruction import Reconstruction
from aetx.model import TILT_SERIES, VOLUME


class MbirParams(RegularisedParams):
    """Parameters of `mbir`."""

    iterations: Steps = Field(
        20, description="greatest number of passes; auto for the number at which R free of held-out tilts is least"
    )
    strength: Strength = Field(0.2, description="weight of the prior; auto for that at which R free is least")
    transition: float = Field(
        0.3, gt=0, le=100, description="difference of neighbours above which edges are kept, in mean densities"
    )
    noise: Literal["auto", "poisson", "even"] = Field(
        "auto", description="variance of the pixels: of the series where it has one, else of counts, or all alike"
    )
    subsets: int = Field(3, ge=1, le=100, description="groups of images that are used in turn")
    positive: bool = Field(True, description="keep the density from falling below zero")


@stage(
    "reconstruct.mbir",
    takes={"series": TILT_SERIES, "support": optional(VOLUME)},
    gives=VOLUME,
    params=MbirParams,
    version=1,
    forecast=chosen_forecast,
)
def mbir(
    series: xr.Dataset, support: xr.Dataset | None, params: MbirParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Most probable volume for the noise of the images and a prior that smooths and yet keeps peaks and edges.

    Minimises half the sum of (A density - image)^2 / variance plus `strength` / s * the sum over neighbouring voxels of
    d^2 / (|d| + `transition` s), d the difference of their densities and s the mean density of the specimen along the
    brightest rays: the prior of Thibault et al. with exponents 1 and 2. Density is kept from falling below zero.

    `noise` says the variance: `auto` takes `variance` where the series holds it; that of counts is gain * expected
    value, the gain told by the corners of the power spectra, where atoms end and noise does not. Images that were
    smoothed or denoised have no noise there: give them a `variance`, or let held-out tilts choose (`strength: auto`).

    The iteration starts at the weighted back projection and takes preconditioned steps with momentum, `subsets` to a
    pass; 20 passes do what some 150 plain ones do. Everything else, `iterations: auto` too, is as in
    `reconstruct.resire`; with `strength: auto`, the log of the search has one row for each strength that was tried.
    The prior ties each row to the next, so that there are no slabs: what does not fit the memory is cut into sub-areas
    (`prepare.crop`, `reconstruct.stitch`).

    References
    ----------
    J.-B. Thibault et al., Med. Phys. 34, 4526 (2007), doi:10.1118/1.2789499; steps: D. Kim, S. Ramani, J. A. Fessler,
    IEEE Trans. Med. Imaging 34, 167 (2015), doi:10.1109/TMI.2014.2350962; curvature: H. Erdogan, J. A. Fessler, Phys.
    Med. Biol. 44, 2835 (1999), doi:10.1088/0031-9155/44/11/311.
    """
    task = reconstruction_task(series, support, params, device=device, memory=memory)
    images = task.projector.images_out(task.images)
    weights = 1.0 / task.projector.images_in(_variance(series, images, params.noise))
    density = mean_density(images, task.projector.volume.shape[0]) or 1.0

    def solve(task: Task, trial: Trial) -> Reconstruction:
        prior = EdgePrior(trial.strength / density, params.transition * density)
        return model_based.mbir(
            task.projector,
            task.images,
            trial.scheme(step=1.0, positive=params.positive),
            Model(weights, prior, params.subsets),
            support=task.support,
            trusted=task.trusted,
            held=task.held,
        )

    return solved(series, task, params, solve, params.strength)


def _variance(series: xr.Dataset, images: NDArray[np.float32], noise: str) -> NDArray[np.float32]:
    """Return the variance of each pixel, (tilt, y, x), above zero and finite; pixels without trust need none."""
    if noise == "auto" and "variance" in series:
        values = series["variance"].transpose("tilt", "y", "x").values.astype(np.float32)
        trusted = np.ones(values.shape, bool)
        if "mask" in series:
            trusted = series["mask"].transpose("tilt", "y", "x").values.astype(bool)
        bad = trusted & ~((values > 0) & np.isfinite(values))
        if bad.any():
            found = f"{int(bad.sum())} pixels that are not above zero, the first at {np.argwhere(bad)[0].tolist()}"
            fix = "mask those pixels, or let noise be poisson or even"
            raise InputError(Problem("series", "variance", found, "finite values above zero", fix))
        return np.where(trusted, values, np.float32(1))
    return even_variance(images) if noise == "even" else poisson_variance(images)
