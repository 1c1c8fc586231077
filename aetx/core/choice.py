"""Iterations and strengths that held-out tilts choose."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import torch
import xarray as xr
from pydantic import Field, model_validator

from aetx.core.stage import Forecast, InputSizes
from aetx.core.tomography import BoxParams, Task, forecast_of, reconstructed
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.held_out import split
from aetx.kernels.reconstruction import Reconstruction, Scheme

ONE_IN = 7
"""One tilt in so many is held out where the number is not given."""
MOST = 1000
"""Iterations after which R free is no longer asked whether it falls."""
PATIENCE = 2e-3
"""R free that fell by less than this fraction in the last third of the iterations is at its least."""
TYPICAL = 100
"""Iterations that a forecast expects where R free will choose them."""
COARSE, FINE = 4.0, 2.0
"""Factors between the strengths that are tried, at first and around the best of them."""
REACH = 5
"""Coarse factors that the strength may go from where it starts."""

Steps = Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"]
Strength = Annotated[float, Field(ge=0, le=1e6)] | Literal["auto"]


class ChosenParams(BoxParams):
    """What a reconstruction has to know whose iterations may be chosen by held-out tilts."""

    iterations: Steps = Field(
        100, description="greatest number of steps; auto for the number at which R free of held-out tilts is least"
    )
    held_out: int | None = Field(
        None, ge=1, le=1000, description="tilts held out while something is chosen; none for one in seven"
    )
    tolerance: float = Field(
        0.0, ge=0, lt=1, description="stop when ten steps lowered the mean R1 by less than this fraction; 0 for never"
    )

    @model_validator(mode="after")
    def _held_out_has_a_use(self) -> Self:
        if self.held_out is not None and not self.chooses:
            raise ValueError("held_out has no effect when nothing is auto")
        return self

    @property
    def chooses(self) -> bool:
        """Whether anything is left to the held-out tilts."""
        return self.iterations == "auto"


class RegularisedParams(ChosenParams):
    """The same with a prior, whose strength may be chosen too."""

    burden: ClassVar[float] = 2.0
    strength: Strength = Field(1.0, description="weight of the prior; auto for that at which R free is least")

    @property
    def chooses(self) -> bool:
        """Whether anything is left to the held-out tilts."""
        return "auto" in (self.iterations, self.strength)


@dataclass(frozen=True)
class Trial:
    """One way to run an iteration: at most so many steps, its stop rules, and the weight of the prior if it has one."""

    iterations: int
    tolerance: float
    strength: float = 0.0
    patience: float = 0.0

    def scheme(self, step: float, positive: bool) -> Scheme:
        """Return how to iterate."""
        return Scheme(self.iterations, self.tolerance, step, positive, self.patience)


Solve = Callable[[Task, Trial], Reconstruction]


def solved(
    series: xr.Dataset, task: Task, params: ChosenParams, solve: Solve, strength: float | Literal["auto"] = 0.0
) -> xr.Dataset:
    """Return the reconstruction of a series, with what is left to held-out tilts chosen where R free is least.

    A few tilts are held out at even steps, never the outermost ones, and the iteration runs on the others until R free
    no longer falls (`PATIENCE`). A strength is sought from its default on in factors of 4,
    towards where R free falls, and then in factors of 2 around the best. The volume is then made of all tilts.
    The search is kept: `r_work` and `r_free` of each trial and step, the `strength` of each trial and the
    `r_free_trial` by which it is judged, `best_iterations`, `best_strength`, and `mean_r_free` there.
    """
    trial, log = decided(task, params, solve, strength)
    return reconstructed(series, task, solve(task, trial)).merge(log)


def decided(
    task: Task, params: ChosenParams, solve: Solve, strength: float | Literal["auto"] = 0.0
) -> tuple[Trial, xr.Dataset]:
    """Return how to run an iteration, and the search that told it, empty where nothing was left to held-out tilts."""
    if not params.chooses:
        assert params.iterations != "auto"
        assert strength != "auto"
        return Trial(params.iterations, params.tolerance, strength), xr.Dataset()
    search = _Search(_held_out(task, params.held_out), params, solve)
    best = search.strongest() if strength == "auto" else search.value(strength)
    steps = search.steps(best)
    return Trial(steps, 0.0, best), search.log(best, steps, strength == "auto")


class _Search:
    """The trials made so far, by strength."""

    def __init__(self, task: Task, params: ChosenParams, solve: Solve) -> None:
        self.task, self.params, self.solve = task, params, solve
        self.made: dict[float, Reconstruction] = {}

    @property
    def free_steps(self) -> bool:
        return self.params.iterations == "auto"

    def value(self, strength: float) -> float:
        """Make the trial of a strength where it is not made yet, and return the strength."""
        if strength not in self.made:
            if self.params.iterations == "auto":
                trial = Trial(MOST, self.params.tolerance, strength, PATIENCE)
            else:
                trial = Trial(self.params.iterations, 0.0, strength)
            self.made[strength] = self.solve(self.task, trial)
        return strength

    def least(self, strength: float) -> float:
        free = self.made[self.value(strength)].free
        return float(free[1:].min() if self.free_steps else free[-1])

    def steps(self, strength: float) -> int:
        """Return the number of steps at which R free is least, or the number asked for."""
        if self.params.iterations != "auto":
            return self.params.iterations
        free = self.made[strength].free
        best = int(np.argmin(free[1:])) + 1
        if best == free.size - 1 and best >= MOST:
            text = f"R free still falls after {MOST} iterations: give iterations a number"
            warnings.warn(text, AetxWarning, stacklevel=6)
        return best

    def strongest(self) -> float:
        """Return the strength at which R free is least."""
        start = float(type(self.params).model_fields["strength"].default)
        best, gone = start, 0
        for factor in (COARSE, 1 / COARSE):
            while gone < REACH and self.least(best * factor) < self.least(best):
                best, gone = best * factor, gone + 1
            if gone:
                break
        if gone == REACH:
            text = f"R free still falls at a strength of {best:g}: is the noise of the images what is assumed?"
            warnings.warn(text, AetxWarning, stacklevel=6)
        return min((best / FINE, best, best * FINE), key=self.least)

    def log(self, best: float, steps: int, regularised: bool) -> xr.Dataset:
        """Return the search as a dataset."""
        order = sorted(self.made)
        longest = max(self.made[one].free.size for one in order)
        r_work, r_free = np.full((2, len(order), longest), np.nan)
        for row, strength in enumerate(order):
            found = self.made[strength]
            r_work[row, : found.history.size], r_free[row, : found.free.size] = found.history, found.free
        one = {"units": "1"}
        made = {
            "r_work": (("trial", "step"), r_work, {**one, "long_name": "R1 of the tilts used in the search"}),
            "r_free": (("trial", "step"), r_free, {**one, "long_name": "R1 of the tilts held out in the search"}),
            "r_free_trial": (
                "trial",
                [self.least(row) for row in order],
                {**one, "long_name": "R free by which each is judged"},
            ),
            "best_iterations": ((), steps, {**one, "long_name": "iterations at the least R free"}),
            "mean_r_free": ((), self.least(best), {**one, "long_name": "R free at the iterations chosen"}),
        }
        coords = {"step": ("step", np.arange(longest), one), "trial": ("trial", np.arange(len(order)), one)}
        if regularised:
            made["best_strength"] = ((), best, {**one, "long_name": "weight of the prior that was chosen"})
            coords["strength"] = ("trial", np.array(order), {**one, "long_name": "weight of the prior"})
        return xr.Dataset(made, coords)


def _held_out(task: Task, count: int | None) -> Task:
    """Return the task with some images held out, evenly spaced over the directions of the beam."""
    tilts = len(task.images)
    wanted = max(1, round(tilts / ONE_IN)) if count is None else count
    if tilts < wanted + 2:
        found = f"{wanted} of {tilts} images"
        raise InputError(Problem("reconstruct", "held_out", found, f"at most {tilts - 2}", "give iterations a number"))
    beam = task.projector.rotations[:, :, 2]
    order = np.argsort(np.arctan2(beam[:, 0], beam[:, 2]), kind="stable")
    chosen = order[split(tilts, wanted).free]
    mask = torch.zeros((tilts, 1, 1), dtype=torch.float32, device=task.images.device)
    mask[torch.as_tensor(chosen, device=mask.device)] = 1.0
    seen = torch.ones_like(task.images) if task.trusted is None else task.trusted
    held = seen * mask
    if float((task.images * held).abs().sum()) == 0.0:
        found = f"tilts {sorted(chosen.tolist())} hold nothing"
        raise InputError(Problem("series", "image", found, "images to judge by", "give held_out another number"))
    return replace(task, trusted=seen - held, held=held)


def chosen_forecast(inputs: InputSizes, params: ChosenParams, rows: int | None = None) -> Forecast:
    """Return the forecast of a reconstruction some of whose parameters are chosen; `rows` as in `forecast_of`."""
    steps = TYPICAL if params.iterations == "auto" else params.iterations
    trials = 1 + (2 * REACH if isinstance(params, RegularisedParams) and params.strength == "auto" else 1)
    return forecast_of(inputs, params, steps * (trials if params.chooses else 1), rows)
