"""Held-out tilts choose iterations and strengths where R free is least."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from pydantic import Field, ValidationError

from aetx.core.choice import ChosenParams, RegularisedParams, Strength, Trial, solved
from aetx.core.tomography import Task, reconstruction_task
from aetx.errors import AetxWarning, InputError
from aetx.kernels.projection import F64
from aetx.kernels.reconstruction import Reconstruction


class FakeParams(RegularisedParams):
    """Parameters of an iteration that does nothing."""

    strength: Strength = Field(0.5, description="weight of nothing at all")


@pytest.fixture
def series(specimen) -> xr.Dataset:  # type: ignore[no-untyped-def]
    found: xr.Dataset = specimen("tilt_series")
    return found


def made_up(best_steps: int, best_strength: float, seen: list[tuple[bool, Trial]]):  # type: ignore[no-untyped-def]
    """Return an iteration whose R free is least at a number of steps and a strength."""

    def solve(task: Task, trial: Trial) -> Reconstruction:
        seen.append((task.held is not None, trial))
        steps = np.arange(min(trial.iterations, 60) + 1, dtype=float)
        away = np.log2(max(trial.strength, 1e-9) / best_strength) ** 2
        free: F64 = 0.1 + 0.001 * np.abs(steps - best_steps) + 0.01 * away
        volume = torch.zeros(task.projector.volume_shape)
        return Reconstruction(volume, np.zeros(len(task.images)), 0.5 ** (steps + 1.0), free, free[:, None])

    return solve


def test_the_iterations_of_the_least_r_free_are_made_with_all_tilts(series: xr.Dataset) -> None:
    seen: list[tuple[bool, Trial]] = []
    params = ChosenParams(iterations="auto")
    task = reconstruction_task(series, None, params, device="cpu", memory=None)
    found = solved(series, task, params, made_up(17, 1.0, seen), 1.0)
    assert [held for held, _ in seen] == [True, False]
    assert seen[-1][1].iterations == 17
    assert int(found["best_iterations"]) == 17
    assert float(found["mean_r_free"]) == pytest.approx(0.1)
    assert found["r_free"].sizes == {"trial": 1, "step": 61}
    assert found.sizes["iteration"] == 18


@pytest.mark.parametrize("wanted", [0.25, 0.5, 1.0, 8.0, 128.0])
def test_a_strength_is_sought_in_both_directions(series: xr.Dataset, wanted: float) -> None:
    seen: list[tuple[bool, Trial]] = []
    params = FakeParams(strength="auto", iterations=9)
    task = reconstruction_task(series, None, params, device="cpu", memory=None)
    found = solved(series, task, params, made_up(9, wanted, seen), params.strength)
    assert float(found["best_strength"]) == wanted
    assert seen[-1] == (False, Trial(9, 0.0, wanted))
    tried = found["strength"].values
    assert wanted in tried
    assert (np.diff(tried) > 0).all()
    assert len(seen) == len(tried) + 1


def test_a_strength_that_runs_away_is_told(series: xr.Dataset) -> None:
    params = FakeParams(strength="auto", iterations=3)
    task = reconstruction_task(series, None, params, device="cpu", memory=None)
    with pytest.warns(AetxWarning, match="is the noise of the images what is assumed"):
        solved(series, task, params, made_up(3, 1e6, []), params.strength)


def test_tilts_are_held_out_whole_and_no_pixel_is_both_fitted_and_judged(series: xr.Dataset) -> None:
    tasks: list[Task] = []

    def solve(task: Task, trial: Trial) -> Reconstruction:
        tasks.append(task)
        return made_up(3, 1.0, [])(task, trial)

    params = ChosenParams(iterations="auto", held_out=2)
    mask = xr.ones_like(series["image"], bool)
    mask[3, :5] = False
    series = series.assign(mask=mask.assign_attrs(units="1"))
    solved(series, reconstruction_task(series, None, params, device="cpu", memory=None), params, solve)
    held, trusted = tasks[0].held, tasks[0].trusted
    assert held is not None
    assert trusted is not None
    out = held.sum(dim=(1, 2)) > 0
    assert int(out.sum()) == 2
    assert not out[0]
    assert not out[-1]
    assert float(trusted[out].sum()) == 0
    assert float((held + trusted).max()) == 1
    assert float((held + trusted).sum()) == float(mask.sum())
    assert tasks[1].held is None


def test_held_out_tilts_that_nothing_uses_are_refused() -> None:
    with pytest.raises(ValidationError, match="held_out has no effect"):
        ChosenParams(iterations=5, held_out=2)
    assert RegularisedParams(iterations=5, strength="auto", held_out=2).chooses


def test_more_tilts_than_there_are_cannot_be_held_out(series: xr.Dataset) -> None:
    params = ChosenParams(iterations="auto", held_out=8)
    task = reconstruction_task(series, None, params, device="cpu", memory=None)
    with pytest.raises(InputError, match="at most 7"):
        solved(series, task, params, made_up(3, 1.0, []))


def test_r_free_that_never_rises_is_told(series: xr.Dataset) -> None:
    def solve(task: Task, trial: Trial) -> Reconstruction:
        steps = np.arange(trial.iterations + 1)
        falls = 1.0 / (1 + steps)
        return Reconstruction(torch.zeros(task.projector.volume_shape), np.zeros(9), falls, falls, falls[:, None])

    params = ChosenParams(iterations="auto")
    task = reconstruction_task(series, None, params, device="cpu", memory=None)
    with pytest.warns(AetxWarning, match="R free still falls"):
        solved(series, task, params, solve)
