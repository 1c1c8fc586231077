"""Benchmarks on particles of some fifty atoms: what they print, keep and refuse."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from PIL import Image

from aetx.bench._benchmark import Measured, Task, benchmark_names, draw_of, find
from aetx.bench._recipe import Recipe, _timed
from aetx.bench._rows import Row, pooled, table
from aetx.cli import execute
from aetx.core.record import RunRecord, StepRecord
from aetx.errors import AetxWarning, caught
from aetx.recipe import load
from aetx.stages.simulate.particle import particle
from aetx.store import open_store

KEYS = [
    "case",
    "particles",
    "atoms",
    "wrong_percent",
    "rmsd_pm",
    "surface_rmsd_pm",
    "bound_pm",
    "cpu_seconds",
    "wall_seconds",
    "peak_bytes",
]
TINY = ["--set", "smallest=11 angstrom", "--set", "largest=12 angstrom", "--set", "pixels=64", "--set", "view=64"]


def bench(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[Any, str]:
    """Run the command and return its one JSON object and what it says on standard error."""
    assert execute(["bench", *arguments, "--json"]) == code
    heard = capsys.readouterr()
    return json.loads(heard.out), heard.err


def measured(**known: Any) -> Measured:
    return Measured(**{"cpu_seconds": 2.0, "wall_seconds": 1.0, "peak_bytes": 10**6, **known})


def test_a_row_has_the_keys_that_were_promised() -> None:
    assert list(pooled("P", [measured()])) == list(Row.__annotations__) == KEYS


def test_particles_are_pooled_atom_by_atom() -> None:
    one = measured(atoms=100, wrong=1, pairs=100, rmsd=0.03, surface_pairs=10, surface_rmsd=0.02, bound=0.01)
    two = measured(atoms=300, wrong=0, pairs=300, rmsd=0.05, surface_pairs=30, surface_rmsd=0.02, bound=0.02)
    row = pooled("P", [one, two])
    assert (row["particles"], row["atoms"], row["wrong_percent"]) == (2, 400, 0.25)
    assert row["rmsd_pm"] == pytest.approx(100 * math.sqrt((100 * 0.03**2 + 300 * 0.05**2) / 400))
    assert row["surface_rmsd_pm"] == pytest.approx(2.0)
    assert row["bound_pm"] == pytest.approx(100 * math.sqrt((100 * 0.01**2 + 300 * 0.02**2) / 400))


def test_what_does_not_apply_is_null() -> None:
    row = pooled("P", [measured()])
    assert [row["atoms"], row["wrong_percent"], row["rmsd_pm"], row["surface_rmsd_pm"], row["bound_pm"]] == [None] * 5
    assert list(pooled("P", []).values()) == ["P", 0] + [None] * 8


def test_costs_of_particles_are_the_median_and_the_greatest_memory() -> None:
    row = pooled("P", [measured(cpu_seconds=c, wall_seconds=2 * c, peak_bytes=int(c)) for c in (9.0, 1.0, 3.0)])
    assert (row["cpu_seconds"], row["wall_seconds"], row["peak_bytes"]) == (3.0, 6.0, 9)


def test_the_table_sets_the_bound_and_the_published_number_beside_what_was_measured() -> None:
    row = pooled("P", [measured(atoms=100, wrong=0, pairs=100, rmsd=0.0985, bound=0.0788)])
    head, line, *told = table(find("accuracy-linear"), [row])
    assert head.split("  ")[0] == "case"
    cells = line.split()
    assert cells[:9] == ["P", "1", "100", "0.000", "0.400", "9.85", "7.88", "1.25", "19.7"]
    assert cells[9] == "0.50"
    assert any("6.8 % wrong, 34.5 pm" in text for text in told)


def record(**states: tuple[str, float]) -> RunRecord:
    """Return the record of a run from state and processor seconds of its steps."""
    stages = {"truth": "simulate.particle", "volume": "reconstruct.sirt", "atoms": "trace.peaks"}
    steps = [
        StepRecord.model_validate(
            {"name": name, "stage": stages[name], "version": 1, "sources": {}, "params": {}, "key": name}
            | {"state": state, "cpu_seconds": seconds}
        )
        for name, (state, seconds) in states.items()
    ]
    head = {"title": "", "name": "", "status": "finished", "started": "", "recipe": "", "recipe_path": ""}
    return RunRecord.model_validate(head | {"recipe_sha256": "", "steps": steps})


def test_a_particle_that_was_killed_half_way_keeps_the_costs_of_what_it_had_done() -> None:
    before = record(truth=("computed", 9.0), volume=("computed", 5.0), atoms=("running", 0.0))
    after = record(truth=("reused", 0.0), volume=("reused", 0.0), atoms=("computed", 2.0))
    timed = _timed(after, before)
    assert timed is not None
    assert {step.name: step.cpu_seconds for step in timed} == {"volume": 5.0, "atoms": 2.0}
    assert _timed(after, None) is None


def test_particles_of_two_seeds_are_never_the_same() -> None:
    drawn = [draw_of(seed, number) for seed in range(3) for number in (0, 1, 99_999)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_is_found_by_its_file(name: str) -> None:
    found = find(name)
    assert found.name == name
    assert found.cases
    assert len({case.name for case in found.cases}) == len(found.cases)
    assert all(case.summary for case in found.cases)


@pytest.mark.filterwarnings("ignore:.*is not used")
def test_the_recipes_of_benchmarks_can_be_planned_with_the_values_of_every_case(tmp_path: Path) -> None:
    for name in ("accuracy-linear", "accuracy-dose"):
        benchmark = find(name)
        assert isinstance(benchmark.work, Recipe)
        for case in benchmark.cases:
            benchmark.work.check(Task(case, 7, tmp_path))
            path = Path(find.__code__.co_filename).parent / "recipes" / benchmark.work.file
            job = load(path, sets=case.sets, output=str(tmp_path)).jobs[0]
            assert job.step("score").stage.name == "measure.compare"
            assert job.step("score").sources["atoms"] == ("atoms",)
            assert job.step("atoms").stage.name == "refine.images"


def test_a_case_may_leave_a_variable_unused_but_the_user_is_told_of_his_own(tmp_path: Path) -> None:
    benchmark = find("accuracy-linear")
    (twinned,) = benchmark.chosen(["twinned"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        benchmark.work.check(Task(twinned, 7, tmp_path))
    with pytest.warns(AetxWarning, match=r"vars\.smallest is not used"):
        benchmark.work.check(Task(twinned, 7, tmp_path, sets={"smallest": "20 angstrom"}))


def test_the_cases_differ_in_the_particle_the_dose_and_the_errors_of_the_poses(tmp_path: Path) -> None:
    path = Path(find.__code__.co_filename).parent / "recipes" / "linear.yaml"
    cases = {case.name: case.sets for case in find("accuracy-linear").cases}
    assert {"P", "K", "amorphous", "twinned", "quarter-dose", "angles"} <= set(cases)
    steps: dict[str, dict[str, Any]] = {}
    for name, sets in cases.items():
        with caught():
            job = load(path, sets=sets, output=str(tmp_path)).jobs[0]
        steps[name] = {one.name: one for one in job.steps}
    made = {name: found["truth"].stage.name for name, found in steps.items()}
    assert (made["P"], made["amorphous"]) == ("simulate.particle", "simulate.amorphous")
    assert (made["twinned"], steps["twinned"]["truth"].params.atoms) == ("simulate.dumbbell", 1200)
    dose = {name: found["series"].params.dose for name, found in steps.items()}
    assert dose["quarter-dose"] == dose["P"] / 4
    assert (steps["P"]["expected"].params.tilt_error, steps["P"]["series"].params.shift) == (0.4, 0.0)
    assert (steps["angles"]["expected"].params.tilt_error, steps["angles"]["series"].params.shift) == (3.0, 0.358)
    assert steps["amorphous"]["atoms"].params == steps["twinned"]["atoms"].params == steps["P"]["atoms"].params


def test_without_a_name_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["bench"]) == 0
    text = capsys.readouterr().out
    assert "accuracy-linear: " in text
    assert "  P  " in text
    listed, _ = bench(capsys)
    assert [one["name"] for one in listed["benchmarks"]] == list(benchmark_names())


def test_a_wrong_name_or_case_is_told_the_nearest_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told, _ = bench(capsys, "acuracy-linear", "-o", str(tmp_path / "o"), code=2)
    assert told["error"]["problems"][0]["fix"] == "did you mean 'accuracy-linear'?"
    told, _ = bench(capsys, "accuracy-dose", "--case", "dose-03", "-o", str(tmp_path / "o"), code=2)
    assert told["error"]["problems"][0]["fix"] == "did you mean 'dose-0.3'?"
    told, _ = bench(capsys, "accuracy-linear", "--set", "widht=3", "-o", str(tmp_path / "o"), code=2)
    assert told["error"]["problems"][0]["fix"] == "did you mean 'width'?"
    assert not (tmp_path / "o").exists()


def test_a_folder_of_others_is_refused_and_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    told, _ = bench(capsys, "accuracy-linear", "-o", str(tmp_path), code=2)
    assert "files of others" in told["error"]["problems"][0]["found"]
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_a_benchmark_gives_its_table_and_keeps_what_is_finished(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["accuracy-linear", "--case", "P", "--particles", "1", "--seed", "3", "-o", str(tmp_path / "o"), *TINY]
    found, said = bench(capsys, *words)
    (row,) = found["rows"]
    assert list(row) == KEYS
    assert (row["case"], row["particles"]) == ("P", 1)
    truth = open_store(tmp_path / "o" / "P" / "3000000" / "results" / "truth.zarr").load()
    xr.testing.assert_equal(truth, particle(smallest=11.0, largest=12.0, seed=draw_of(3, 0)))
    assert row["atoms"] == truth.sizes["atom"]
    assert row["wrong_percent"] == 0
    assert 1.0 < row["bound_pm"] < 10.0
    assert 0.8 < row["rmsd_pm"] / row["bound_pm"] < 3.0
    assert row["cpu_seconds"] > 0
    assert row["peak_bytes"] > 10**8
    assert said.count("\n") == 1
    assert found["published"]["P"][0]["rmsd_pm"] == 19.7
    assert [list(one)[:10] for one in found["each"]] == [KEYS]
    assert json.loads((tmp_path / "o" / "accuracy-linear.json").read_text()) == found
    with Image.open(found["picture"]) as picture:
        assert picture.width > 1000
    assert not list((tmp_path / "o").rglob("volume.zarr"))

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o" / "P").rglob("*") if path.is_file()}
    again, _ = bench(capsys, *words)
    assert again == found
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "o" / "P").rglob("*") if path.is_file()}


def test_a_particle_that_fails_is_reported_and_the_exit_code_is_that_of_its_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["accuracy-linear", "--case", "P", "--particles", "1", "-o", str(tmp_path / "o"), *TINY]
    found, said = bench(capsys, *words, "--set", "steps.truth.params.separation=2.765 angstrom", code=3)
    assert found["rows"] == [dict(zip(KEYS, ["P", 0, *[None] * 8], strict=True))]
    (failed,) = found["failed"]
    assert (failed["case"], failed["particle"], failed["code"]) == ("P", 0, 3)
    assert failed["problems"][0]["fix"]
    assert [one["particle"] for one in found["each"]] == [0]
    assert "particle 0 failed" in said
