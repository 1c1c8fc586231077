"""R factors of tilts that a reconstruction has not seen."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, Registry, Stage, stage
from aetx.core.tomography import (
    IterativeParams,
    Task,
    grid,
    origin,
    pixel_size,
    reconstruction_forecast,
    reconstruction_task,
    rotations,
)
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.projection import Grid, Projector
from aetx.kernels.reconstruction import Scheme, descend, mean_of_seen, r1_by_tilt, sirt, whole_rays
from aetx.model import SCORE, TILT_SERIES

F64 = NDArray[np.float64]


VOID = (
    ("wbp", "iterations"),
    ("wbp", "positive"),
    ("cgls", "positive"),
    ("genfire", "extended"),
    ("est", "extended"),
)
"""Methods, and what they know nothing of."""
AT_ONCE = ("resire", "sirt")
"""Methods whose volumes are judged as one iteration goes on."""


class RFreeParams(Params):
    """Parameters of `r_free`."""

    method: Literal["resire", "sirt", "wbp", "art", "sart", "cgls", "tv", "mbir", "genfire", "est"] = Field(
        "resire", description="reconstruction, with its own defaults otherwise"
    )
    iterations: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 200),
        min_length=1,
        max_length=1000,
        description="numbers of steps at which the volumes are judged, rising; wbp has no steps",
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
        for method, name in VOID:
            if self.method == method and name in self.model_fields_set:
                raise ValueError(f"{name} has no effect on {method}")
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of steps at which volumes are judged."""
        return (1,) if self.method == "wbp" else self.iterations

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
    sizes = {"tilt": inputs["series"][0].get("tilt", 1), "iteration": len(params.steps)}
    if params.method in AT_ONCE:
        one = reconstruction_forecast(inputs, params.iterative)
        return Forecast(sizes, one.memory, one.seconds * params.folds, least=one.memory)
    told = [_stage(params).forecast(inputs, _options(params, steps)) for steps in params.steps]
    memory = max(one.memory for one in told)
    return Forecast(sizes, memory, sum(one.seconds for one in told) * params.folds, least=memory)


def _stage(params: RFreeParams) -> Stage:
    return Registry().stage(f"reconstruct.{params.method}")


def _options(params: RFreeParams, steps: int) -> Params:
    """Return the parameters of a reconstruction in so many steps."""
    kind = _stage(params).params
    wanted = {
        "iterations": steps,
        "tolerance": 0.0,
        "positive": params.positive,
        "thickness": params.thickness,
        "extended": params.extended,
    }
    return kind(**{name: value for name, value in wanted.items() if name in kind.model_fields})


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
    less out of `folds`, and the outermost tilts, which can only be extrapolated, have the highest. Of `resire` and
    `sirt` one iteration for each fold gives all volumes; the others begin anew for each number of steps. For atoms,
    hold images out with `prepare.select` and compare with `measure.r_factor`.

    References
    ----------
    A. T. Bruenger, Nature 355, 472 (1992), doi:10.1038/355472a0.
    """
    count = series.sizes["tilt"]
    if count < params.folds:
        found = f"{params.folds} for {count} images"
        raise InputError(Problem("measure.r_free", "folds", found, f"at most {count}", "lower folds"))
    fold = np.arange(count) % params.folds
    free, work = np.full((count, len(params.steps)), np.nan), np.zeros((params.folds, len(params.steps)))
    for number in range(params.folds):
        held, rest = series.isel(tilt=fold == number), series.isel(tilt=fold != number)
        if params.method in AT_ONCE:
            task = reconstruction_task(rest, None, params.iterative, device=device, memory=memory)
            free[fold == number], work[number] = _judged(task, held, params)
        else:
            for column, steps in enumerate(params.steps):
                both = _made(rest, held, params, steps, device=device, memory=memory)
                free[fold == number, column], work[number, column] = both
    mean = np.array([mean_of_seen(column) for column in free.T])
    best = int(np.nanargmin(mean)) if np.isfinite(mean).any() else 0
    if best == len(mean) - 1 and len(mean) > 1:
        text = f"R free still falls after {params.steps[-1]} iterations: scan further"
        warnings.warn(text, AetxWarning, stacklevel=2)
    one = {"units": "1"}
    made: dict[str, tuple[Any, ...]] = {
        "r_work": ("iteration", work.mean(0), {**one, "long_name": "R work"}),
        "r_free": ("iteration", mean, {**one, "long_name": "R free"}),
        "gap": ("iteration", mean - work.mean(0), one),
        "r_free_tilt": (("tilt", "iteration"), free, one),
        "r_work_fold": (("fold", "iteration"), work, one),
        "fold_of": ("tilt", fold, one),
        "best": ((), params.steps[best], one),
        "least_r_free": ((), mean[best], one),
    }
    poses = {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")}
    return xr.Dataset(made, {**poses, "iteration": ("iteration", list(params.steps), one)})


def _made(
    rest: xr.Dataset, held: xr.Dataset, params: RFreeParams, steps: int, *, device: str, memory: int | None
) -> tuple[F64, float]:
    """Reconstruct in so many steps; return R1 of each held-out image, and the mean R1 of those used."""
    volume = _stage(params)(rest, params=_options(params, steps), device=device, memory=memory)
    step = pixel_size(rest)
    density = volume["density"].transpose("z", "y", "x").values * np.float32(step)
    box = grid(volume, "zyx", step, origin(rest))
    found = []
    for series in (held, rest):
        judge = _Judge(series, box, params.extended, device)
        found.append(judge.r1(judge.projector.volume_in(density)))
    return found[0], mean_of_seen(found[1])


class _Judge:
    """Images to judge volumes on a grid by."""

    def __init__(self, series: xr.Dataset, box: Grid, extended: bool, device: str) -> None:
        turned, image = rotations(series), grid(series, "yx", pixel_size(series))
        self.projector = Projector(turned, box, image, device)
        trusted = np.ones((len(turned), *image.shape), bool)
        if extended:
            trusted &= whole_rays(turned, image, box)
        if "mask" in series:
            trusted &= series["mask"].transpose("tilt", "y", "x").values.astype(bool)
        values = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
        self.images = self.projector.images_in(np.where(trusted, values, np.float32(0)))
        self.seen = self.projector.images_in(trusted.astype(np.float32))

    def r1(self, volume: torch.Tensor) -> F64:
        """Return the R1 of each image, NaN where nothing can be compared."""
        return r1_by_tilt(self.projector.project(volume), self.images, self.seen)


def _judged(task: Task, held: xr.Dataset, params: RFreeParams) -> tuple[F64, F64]:
    """Return R1 of held-out images (tilts, iterations), and the mean R1 of those used (iterations,)."""
    judge = _Judge(held, task.projector.volume, params.extended, task.projector.device)
    place = {number: i for i, number in enumerate(params.iterations)}
    free = np.full((held.sizes["tilt"], len(place)), np.nan)

    def look(number: int, volume: torch.Tensor) -> None:
        if number in place:
            free[:, place[number]] = judge.r1(volume)

    scheme = Scheme(params.iterations[-1], tolerance=0.0, step=1.0, positive=params.positive)
    if params.method == "sirt":
        found = sirt(task.projector, task.images, scheme, trusted=task.trusted, look=look)
    else:
        found = descend(task.projector, task.images, scheme, momentum=True, trusted=task.trusted, look=look)
    return free, found.history[list(params.iterations)]
