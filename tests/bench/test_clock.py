"""Timings: what is prepared and compiled does not count, and what is repeated is divided."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.bench._benchmark import Case, Task
from aetx.bench._clock import Clock, Timed
from aetx.bench._phantom import NOISE, ball, least_error, volume
from aetx.bench.speed import speed
from aetx.stages.measure.compare import compare
from aetx.stages.trace.peaks import peaks


def measured(prepare: Callable[[int], Timed], tmp_path: Path) -> tuple[float, float, int | None]:
    found = Clock({"x": prepare}).measure(Task(Case("x", "x"), 0, tmp_path))
    return found.cpu_seconds, found.wall_seconds, found.atoms


def test_only_repetitions_are_timed_and_each_unit_counts(tmp_path: Path) -> None:
    calls: list[float] = []

    def act() -> int:
        calls.append(time.perf_counter())
        time.sleep(0.2 if len(calls) == 1 else 0.05)
        return 7

    def prepare(_: int) -> Timed:
        time.sleep(0.3)
        return Timed(act, units=5, score=lambda found: {"atoms": found})

    cpu, wall, atoms = measured(prepare, tmp_path)
    assert atoms == 7
    assert 0.01 <= wall < 0.03
    assert cpu < wall
    assert len(calls) == 1 + 3


def test_every_case_of_the_speed_benchmark_can_be_timed() -> None:
    assert isinstance(speed.work, Clock)
    assert [case.name for case in speed.cases] == list(speed.work.prepare)
    assert all(case.published for case in speed.cases)


def test_the_phantom_is_traced_to_the_least_error() -> None:
    truth = ball(174, 1)
    assert truth.sizes["atom"] == 174
    score = compare(peaks(volume(truth, 64, NOISE, 1)), truth, align="translation", radius=1.0, resamples=100)
    assert int(score["missed"]) == int(score["false"]) == 0
    assert least_error() == pytest.approx(0.0166, abs=1e-4)
    assert 0.9 < float(score["rmsd"]) / least_error() < 1.2


def test_a_ball_has_the_density_of_its_lattice() -> None:
    place = ball(1401, 0)["position"].values
    radius = math.sqrt(5 / 3 * (place**2).sum(1).mean())
    assert 1401 / (4 / 3 * math.pi * radius**3) == pytest.approx(4 / 3.912**3, rel=0.02)
