"""R factors of tilts that a reconstruction has not seen."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.tomography import (
    IterativeParams,
    Task,
    grid,
    pixel_size,
    reconstruction_forecast,
    reconstruction_task,
    rotations,
)
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.projection import Projector
from aetx.kernels.reconstruction import Scheme, descend, mean_of_seen, r1_by_tilt, sirt, whole_rays
from aetx.model import SCORE, TILT_SERIES

F64 = NDArray[np.float64]


class RFreeParams(Params):
    """Parameters of `r_free`."""

    method: Literal["resire", "sirt"] = Field("resire", description="reconstruction, with its own defaults otherwise")
    iterations: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 200),
        min_length=1,
        max_length=1000,
        description="numbers of steps at which the volumes are judged, rising",
    )
    folds: int = Field(5, ge=2, le=10_000, description="times that every so many tilts are held out in turn")
    positive: bool = Field(True, description="keep the density from falling below zero")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    extended: bool = Field(
        False, description="the specimen fills the field of view: compare held-out pixels whose rays lie in the box"
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.iterations) != sorted(set(self.iterations)):
            raise ValueError("iterations must rise")
        return self

    @property
    def iterative(self) -> IterativeParams:
        """The same for one reconstruction."""
        return IterativeParams(
            iterations=self.iterations[-1],
            positive=self.positive,
            thickness=self.thickness,
            extended=self.extended,
        )


def _forecast(inputs: InputSizes, params: RFreeParams) -> Forecast:
    one = reconstruction_forecast(inputs, params.iterative)
    sizes = {"tilt": inputs["series"][0].get("tilt", 1), "iteration": len(params.iterations)}
    return Forecast(sizes, one.memory, one.seconds * params.folds)


@stage(
    "measure.r_free",
    takes={"series": TILT_SERIES},
    gives=SCORE,
    params=RFreeParams,
    version=1,
    forecast=_forecast,
)
def r_free(series: xr.Dataset, params: RFreeParams, *, device: str, memory: int | None) -> xr.Dataset:
    """R factors of held-out tilts against the number of iterations, each tilt held out once.

    Fold f holds out the images f, f + folds, f + 2 folds ... and reconstructs from the others; after each of
    `iterations` steps the volume is projected to all tilts. R1 = sum|projection - image| / sum|image|, without any
    scale: `r_work` of the images it was made of, mean over the folds; `r_free_tilt` of each image when it was not
    used, and `r_free`, its mean over the tilts; `gap` = r_free - r_work. R work falls for ever; R free rises again
    when the volume begins to fit the noise. `best` is the number of steps where R free is least, which is
    `least_r_free`.

    A fold has fewer tilts than the whole series, and its gaps are wider: R free is that of the series with a tilt
    less out of `folds`, and the outermost tilts, which can only be extrapolated, have the highest. For other methods,
    and for atoms, hold images out with `prepare.select` and compare with `measure.r_factor`.

    References
    ----------
    A. T. Bruenger, Nature 355, 472 (1992), doi:10.1038/355472a0.
    """
    count = series.sizes["tilt"]
    if count < params.folds:
        found = f"{params.folds} for {count} images"
        raise InputError(Problem("measure.r_free", "folds", found, f"at most {count}", "lower folds"))
    fold = np.arange(count) % params.folds
    free, work = np.full((count, len(params.iterations)), np.nan), np.zeros((params.folds, len(params.iterations)))
    for number in range(params.folds):
        held = np.flatnonzero(fold == number)
        task = reconstruction_task(
            series.isel(tilt=fold != number), None, params.iterative, device=device, memory=memory
        )
        free[held], work[number] = _judged(task, series.isel(tilt=held), params)
    mean = np.array([mean_of_seen(column) for column in free.T])
    best = int(np.nanargmin(mean)) if np.isfinite(mean).any() else 0
    if best == len(mean) - 1 and len(mean) > 1:
        text = f"R free still falls after {params.iterations[-1]} iterations: scan further"
        warnings.warn(text, AetxWarning, stacklevel=2)
    one = {"units": "1"}
    made: dict[str, tuple[Any, ...]] = {
        "r_work": ("iteration", work.mean(0), {**one, "long_name": "R work"}),
        "r_free": ("iteration", mean, {**one, "long_name": "R free"}),
        "gap": ("iteration", mean - work.mean(0), one),
        "r_free_tilt": (("tilt", "iteration"), free, one),
        "r_work_fold": (("fold", "iteration"), work, one),
        "fold_of": ("tilt", fold, one),
        "best": ((), params.iterations[best], one),
        "least_r_free": ((), mean[best], one),
    }
    poses = {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")}
    return xr.Dataset(made, {**poses, "iteration": ("iteration", list(params.iterations), one)})


def _judged(task: Task, held: xr.Dataset, params: RFreeParams) -> tuple[F64, F64]:
    """Return R1 of held-out images (tilts, iterations), and the mean R1 of those used (iterations,)."""
    turned, image = rotations(held), grid(held, "yx", pixel_size(held))
    projector = Projector(turned, task.projector.volume, image, task.projector.device)
    trusted = np.ones((len(turned), *image.shape), bool)
    if params.extended:
        trusted &= whole_rays(turned, image, task.projector.volume)
    if "mask" in held:
        trusted &= held["mask"].transpose("tilt", "y", "x").values.astype(bool)
    values = held["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    images = projector.images_in(np.where(trusted, values, np.float32(0)))
    seen = projector.images_in(trusted.astype(np.float32))
    place = {number: i for i, number in enumerate(params.iterations)}
    free = np.full((len(turned), len(place)), np.nan)

    def look(number: int, volume: torch.Tensor) -> None:
        if number in place:
            free[:, place[number]] = r1_by_tilt(projector.project(volume), images, seen)

    scheme = Scheme(params.iterations[-1], tolerance=0.0, step=1.0, positive=params.positive)
    if params.method == "sirt":
        found = sirt(task.projector, task.images, scheme, trusted=task.trusted, look=look)
    else:
        found = descend(task.projector, task.images, scheme, momentum=True, trusted=task.trusted, look=look)
    return free, found.history[list(params.iterations)]
