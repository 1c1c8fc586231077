"""A plan becomes results; what stands is found again, what changed is made again, and the record says why."""

import json
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from aetx.core.record import RunRecord
from aetx.errors import AetxWarning, BusyError, EnvironmentFault, InputError, Problem, RecipeError
from aetx.recipe.plan import Job, Plan
from aetx.run import JobsError, Records, forecast, run_plan, verify_output
from aetx.run.outlook import LOADED
from aetx.store import Lock, manifest, open_store, write
from tests.run import tiny


def run(plan: Plan, output: Path, **options: Any) -> Records:
    tiny.CALLS.clear()
    return run_plan(plan, output=output, reporter=None, quiet=True, **options)


def run_job(job: Job, output: Path, **options: Any) -> RunRecord:
    return run(tiny.plan(job), output, **options)[0]


def states(record: RunRecord) -> dict[str, str]:
    return {step.name: step.state for step in record.steps}


def reasons(record: RunRecord) -> dict[str, str]:
    return {step.name: step.reason for step in record.steps}


def test_a_plan_becomes_stores_exports_and_a_record(tmp_path: Path) -> None:
    record = run_job(tiny.chain(), tmp_path / "out")
    assert states(record) == {
        "made": "computed",
        "twice": "fused",
        "scaled": "computed",
        "smooth": "computed",
        "atoms": "computed",
        "score": "computed",
        "atoms.tiny": "computed",
    }
    stores = sorted(one.name for one in (tmp_path / "out" / "results").iterdir())
    assert stores == ["atoms.zarr", "made.zarr", "scaled.zarr", "score.zarr", "smooth.zarr"]
    assert (record.exports, record.status) == (["exports/atoms.tiny.txt"], "finished")
    assert RunRecord.model_validate_json((tmp_path / "out" / "aetx-run.json").read_text()) == record
    made = open_store(tmp_path / "out" / "results" / "made.zarr")["density"].values
    scaled = open_store(tmp_path / "out" / "results" / "scaled.zarr")["density"].values
    assert np.array_equal(scaled, made * 4)
    assert verify_output(tmp_path / "out") == []
    assert list((tmp_path / "out" / ".aetx-tmp").iterdir()) == []


def test_a_second_run_finds_everything(tmp_path: Path) -> None:
    first = run_job(tiny.chain(), tmp_path)
    record = run_job(tiny.chain(), tmp_path)
    assert tiny.CALLS == []
    assert set(states(record).values()) == {"reused", "fused"}
    assert reasons(record)["smooth"] == "finished before"
    assert [step.key for step in first.steps] == [step.key for step in record.steps]


def test_a_changed_parameter_reruns_what_follows_and_says_so(tmp_path: Path) -> None:
    run_job(tiny.chain(), tmp_path)
    record = run_job(tiny.chain(factor=3.0), tmp_path)
    assert states(record)["made"] == "reused"
    assert reasons(record)["scaled"] == "factor 2.0 -> 3.0"
    assert reasons(record)["smooth"] == "'scaled' changed"
    assert reasons(record)["atoms.tiny"] == "'atoms' changed"
    assert verify_output(tmp_path) == []


def test_a_changed_parameter_of_a_fused_step_is_named(tmp_path: Path) -> None:
    steps = list(tiny.chain().steps)
    run_job(tiny.job(*steps), tmp_path)
    steps[1] = tiny.step("twice", tiny.scale, tiny.ScaleParams(iterations=200), volume="made")
    record = run_job(tiny.job(*steps), tmp_path)
    assert reasons(record)["scaled"] == "twice: iterations 100 -> 200"
    assert reasons(record)["twice"] == "part of 'scaled'"


def test_a_changed_version_library_or_thread_count_is_never_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny.job(tiny.step("made", tiny.make, tiny.MakeParams(edge=4)))
    run_job(job, tmp_path)
    monkeypatch.setattr("aetx.run.settings.cores", lambda: 77)
    assert "-> 77" in reasons(run_job(job, tmp_path))["made"]
    monkeypatch.setattr("aetx.run.keys.versions", lambda: {"numpy": "0.1"})
    assert " -> 0.1" in reasons(run_job(job, tmp_path))["made"]


def test_a_removed_or_damaged_result_is_made_again(tmp_path: Path) -> None:
    run_job(tiny.chain(), tmp_path)
    before = manifest(tmp_path / "results" / "smooth.zarr").digest
    shutil.rmtree(tmp_path / "results" / "made.zarr")
    (tmp_path / "results" / "smooth.zarr" / "density" / "c" / "0" / "0" / "0").unlink()
    (tmp_path / "exports" / "atoms.tiny.txt").unlink()
    assert len(verify_output(tmp_path)) == 3
    record = run_job(tiny.chain(), tmp_path)
    assert reasons(record)["made"] == "its result was removed"
    assert reasons(record)["smooth"] == "its result is damaged"
    assert states(record)["atoms.tiny"] == "computed"
    assert states(record)["atoms"] == "reused"
    assert manifest(tmp_path / "results" / "smooth.zarr").digest == before


def test_a_flipped_byte_in_a_result_that_is_read_again_is_the_error_of_that_result(tmp_path: Path) -> None:
    run_job(tiny.chain(), tmp_path)
    chunk = tmp_path / "results" / "smooth.zarr" / "density" / "c" / "0" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(InputError, match=r"smooth.zarr: density/c/0/0/0: .*remove it and run the recipe again"):
        run_job(tiny.chain(count=3), tmp_path)


def test_overwrite_makes_everything_again_with_the_same_bytes(tmp_path: Path) -> None:
    first = run_job(tiny.chain(), tmp_path)
    before = {one: manifest(one).digest for one in (tmp_path / "results").iterdir()}
    record = run_job(tiny.chain(), tmp_path, overwrite=True)
    assert states(record) == states(first)
    assert reasons(record)["made"] == "asked to compute again"
    assert before == {one: manifest(one).digest for one in (tmp_path / "results").iterdir()}


def test_shared_kept_and_reported_steps_are_stored(tmp_path: Path) -> None:
    made, last = tiny.step("made", tiny.make), tiny.step("last", tiny.scale, volume="mid")
    for mid, extra, report in [
        (tiny.step("mid", tiny.scale, volume="made", keep=True), (), ()),
        (tiny.step("mid", tiny.scale, volume="made"), (tiny.step("other", tiny.scale, volume="mid"),), ()),
        (tiny.step("mid", tiny.scale, volume="made"), (), ("mid",)),
    ]:
        record = run_job(tiny.job(made, mid, last, *extra, report=report), tmp_path)
        assert states(record)["mid"] in ("computed", "reused")
    assert states(run_job(tiny.job(made, mid, last), tmp_path))["mid"] == "fused"


def test_results_do_not_depend_on_the_scheduler(tmp_path: Path) -> None:
    for name in ("threads", "local"):
        run_job(tiny.chain(), tmp_path / name, scheduler=name)
    for store in (tmp_path / "threads" / "results").iterdir():
        assert manifest(store).digest == manifest(tmp_path / "local" / "results" / store.name).digest


def test_a_failure_names_the_step_and_leaves_a_record_and_what_was_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower the threshold") as caught:
        run_job(tiny.chain(fail=True), tmp_path)
    assert caught.value.__notes__ == ["in step 'atoms'"]
    record = RunRecord.model_validate_json((tmp_path / "aetx-run.json").read_text())
    assert (record.status, states(record)["atoms"], states(record)["score"]) == ("failed", "failed", "waiting")
    assert record.error.endswith("in step 'atoms'")
    record = run_job(tiny.chain(), tmp_path)
    assert states(record)["smooth"] == "reused"
    assert "fail true -> false" not in reasons(record)["atoms"]
    assert reasons(record)["atoms"] == "failed before"


def test_warnings_are_kept_with_their_step(tmp_path: Path) -> None:
    record = run_job(tiny.chain(count=0), tmp_path)
    assert {step.name: step.warnings for step in record.steps if step.warnings} == {"atoms": ["no atoms were found"]}


def test_costs_are_measured(tmp_path: Path) -> None:
    record = run_job(tiny.job(tiny.step("made", tiny.make)), tmp_path)
    step = record.steps[0]
    assert step.seconds > 0
    assert step.peak_bytes > 50_000_000
    assert 70**3 * 8 < step.forecast_bytes < 70**3 * 8 + step.peak_bytes + LOADED


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tiny.make(edge=70)
    write(made, tmp_path / "in.zarr", key="", record={})
    return tmp_path / "in.zarr"


def open_in(one: Any, registry: Any) -> xr.Dataset:
    return open_store(one.paths[0])


def reading(volume: Path) -> Job:
    return tiny.job(tiny.step("scaled", tiny.scale, volume="volume"), inputs=(tiny.input_of(volume),))


@pytest.mark.parametrize("small", [True, False])
def test_a_volume_from_a_file_is_at_hand_for_neighbourhoods(
    tmp_path: Path, volume: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetx.run.job.SMALL", 2**30 if small else 0)
    job = tiny.job(tiny.step("smooth", tiny.smooth, volume="volume"), inputs=(tiny.input_of(volume),))
    run_job(job, tmp_path / "out", opener=lambda one, registry: open_store(volume).chunk(z=7))
    expected = tiny.smooth(tiny.make(edge=70))["density"].values
    assert np.array_equal(open_store(tmp_path / "out" / "results" / "smooth.zarr")["density"].values, expected)
    assert list((tmp_path / "out" / ".aetx-tmp").iterdir()) == []


def test_inputs_are_hashed_recorded_and_their_change_noticed(tmp_path: Path, volume: Path) -> None:
    record = run_job(reading(volume), tmp_path / "out", opener=open_in)
    files = record.inputs[0].files
    assert {Path(file.path).relative_to(volume).as_posix() for file in files} >= {"zarr.json", "aetx-manifest.json"}
    assert record.inputs[0].facts["sizes"] == "z 70, y 70, x 70"
    assert states(run_job(reading(volume), tmp_path / "out", opener=open_in))["scaled"] == "reused"
    write(tiny.make(edge=70, seed=5), volume, key="", record={})
    assert len(verify_output(tmp_path / "out")) >= 8
    assert reasons(run_job(reading(volume), tmp_path / "out", opener=open_in))["scaled"] == "input 'volume' changed"


def test_what_opening_an_input_warns_of_is_recorded(tmp_path: Path, volume: Path) -> None:
    def opener(one: Any, registry: Any) -> xr.Dataset:
        warnings.warn("the angles were found beside it", AetxWarning, stacklevel=2)
        return open_store(volume)

    with pytest.warns(AetxWarning, match="found beside it"):
        record = run_job(reading(volume), tmp_path / "out", opener=opener)
    assert record.inputs[0].facts["note"] == "the angles were found beside it"


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_an_input_that_changes_during_the_run_fails_it_and_publishes_nothing(
    tmp_path: Path, volume: Path, change: str
) -> None:
    times = []

    def read(block: np.ndarray) -> np.ndarray:
        if (tmp_path / "out" / "aetx-run.json").exists():
            times.append(0)
            content = (volume / "zarr.json").read_bytes()
            (volume / "zarr.json").unlink()
            if change == "replaced":
                (volume / "zarr.json").write_bytes(content)
        return block

    def opener(one: Any, registry: Any) -> xr.Dataset:
        found = open_store(volume).load()
        lazy = da.from_array(found["density"].values, chunks=-1).map_blocks(
            read, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32)
        )
        return found.assign(density=(("z", "y", "x"), lazy, tiny.DENSITY))

    with pytest.raises(InputError, match="an input changed during the run"):
        run_job(reading(volume), tmp_path / "out", opener=opener)
    assert len(times) == 1
    assert not (tmp_path / "out" / "results" / "scaled.zarr").exists()


def test_a_bad_input_is_refused_before_anything_is_written(tmp_path: Path, volume: Path) -> None:
    def broken(one: Any, registry: Any) -> xr.Dataset:
        return open_store(one.paths[0]).drop_vars("z")

    with pytest.raises(InputError, match="z"):
        run_job(reading(volume), tmp_path / "out", opener=broken)
    assert not (tmp_path / "out").exists()


def test_the_output_may_be_no_input_and_no_folder_of_others(tmp_path: Path, volume: Path) -> None:
    for output in (volume, volume / "inside", tmp_path):
        with pytest.raises(RecipeError, match="the output cannot be used"):
            run_job(reading(volume), output, opener=open_in)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".aetx-tmp", "in.zarr"]


def test_a_second_run_on_one_output_is_refused(tmp_path: Path) -> None:
    run_job(tiny.chain(), tmp_path)
    with Lock(tmp_path), pytest.raises(BusyError, match="started 20"):
        run_job(tiny.chain(), tmp_path)


def test_a_run_that_does_not_fit_the_memory_is_refused_with_what_would(tmp_path: Path) -> None:
    job = tiny.job(tiny.step("made", tiny.make, tiny.MakeParams(edge=1000)))
    with pytest.raises(EnvironmentFault, match=r"steps.made: memory: found 8000 MB.*give --memory \d+MB"):
        run_job(job, tmp_path / "out", memory=2_000_000_000)
    assert not (tmp_path / "out").exists()


def test_the_memory_that_a_refusal_names_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetx.run.outlook.resident", lambda: 400_000_000)
    plan = tiny.plan(tiny.chain())
    with pytest.raises(EnvironmentFault, match=r"give --memory \d+MB") as caught:
        run(plan, tmp_path / "out", memory=10_000_000)
    enough = max(int(problem.fix.split("--memory ")[1].split("MB")[0]) for problem in caught.value.problems)
    assert 400 < enough < 600
    with pytest.raises(EnvironmentFault, match="the run does not fit the memory"):
        forecast(plan, output=tmp_path / "out", memory=10_000_000)
    assert not (tmp_path / "out").exists()
    run(plan, tmp_path / "out", memory=enough * 1_000_000)


def test_a_run_that_does_not_fit_the_disk_is_refused_before_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aetx.store.disk.free_bytes", lambda path: 1_000_000)
    with pytest.raises(EnvironmentFault, match=r"1 MB free.*wanted [0-9.]+ MB for the results"):
        run_job(tiny.chain(), tmp_path)
    assert tiny.CALLS == []


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="use --device cpu"):
        run_job(tiny.chain(), tmp_path / "out", device="cuda:99")


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    job = tiny.job(tiny.step("made", tiny.make), tiny.step("Made", tiny.make))
    with pytest.raises(RecipeError, match="'made' and 'Made'"):
        run_job(job, tmp_path / "out")


def test_a_broken_job_does_not_stop_the_others(tmp_path: Path) -> None:
    jobs = [Job(f"particle_{i}", {"count": i}, (), tiny.chain(count=i + 1, fail=i == 1).steps, ()) for i in range(3)]
    with pytest.raises(JobsError, match="1 of 3 runs failed: 'particle_1'; the others stand") as caught:
        run(tiny.plan(*jobs), tmp_path)
    assert caught.value.code == 3
    assert [record.status for record in caught.value.records] == ["finished", "failed", "finished"]
    table = (tmp_path / "summary.csv").read_text().splitlines()
    assert table[0].startswith("job,count,status,")
    assert [row.split(",")[:3] for row in table[1:]] == [
        ["particle_0", "0", "finished"],
        ["particle_1", "1", "failed"],
        ["particle_2", "2", "finished"],
    ]
    page = (tmp_path / "summary.html").read_text()
    assert "particle_2" in page
    assert (tmp_path / "particle_2" / "results" / "atoms.zarr").is_dir()


def test_the_report_is_handed_the_finished_record_and_every_result(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def reporter(record: RunRecord, results: Any, folder: Path, registry: Any) -> Path:
        seen.update(status=record.status, results=sorted(results), folder=folder)
        return folder / "report.html"

    run_plan(tiny.plan(tiny.chain()), output=tmp_path, reporter=reporter, quiet=True)
    assert seen == {
        "status": "finished",
        "results": ["atoms", "made", "scaled", "score", "smooth"],
        "folder": tmp_path,
    }


def test_a_failed_run_has_its_report_with_what_was_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower the threshold"):
        run_plan(tiny.plan(tiny.chain(fail=True)), output=tmp_path, quiet=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "failed" in page
    assert "lower the threshold" in page


def test_a_job_whose_input_is_refused_has_its_report_too(tmp_path: Path, volume: Path) -> None:
    (tmp_path / "broken").write_bytes(b"")
    jobs = [
        Job(name, {}, (tiny.input_of(path),), reading(volume).steps, ())
        for name, path in (("good", volume), ("bad", tmp_path / "broken"))
    ]

    def opener(one: Any, registry: Any) -> xr.Dataset:
        if one.paths[0].name == "broken":
            raise InputError(Problem("broken", "size", "0 bytes", "a volume", "copy it again"))
        return open_in(one, registry)

    with pytest.raises(JobsError, match="1 of 2 runs failed: 'bad'"):
        run_plan(tiny.plan(*jobs), output=tmp_path / "out", opener=opener, quiet=True)
    assert "copy it again" in (tmp_path / "out" / "bad" / "report.html").read_text(encoding="utf-8")


def test_what_a_step_warned_of_is_not_forgotten_when_it_is_reused(tmp_path: Path) -> None:
    job = tiny.chain(count=0)
    first = run_job(job, tmp_path)
    assert [step.warnings for step in first.steps if step.name == "atoms"] == [["no atoms were found"]]
    again = run_job(job, tmp_path)
    assert states(again)["atoms"] == "reused"
    assert [step.warnings for step in again.steps] == [step.warnings for step in first.steps]


def test_the_forecast_says_what_will_run_and_why(tmp_path: Path) -> None:
    plan = tiny.plan(tiny.chain())
    told = forecast(plan, output=tmp_path / "out")[0]
    assert not (tmp_path / "out").exists()
    assert {step.name: (step.state, step.reason) for step in told.steps}["smooth"] == ("run", "never run")
    assert told.steps[0].stored_bytes == 70**3 * 4
    assert told.steps[3].sizes == {"z": 70, "y": 70, "x": 70}
    assert told.disk > 3 * 70**3 * 4 - 1
    run(plan, tmp_path / "out")
    told = forecast(tiny.plan(tiny.chain(factor=3.0)), output=tmp_path / "out")[0]
    assert [step.state for step in told.steps] == ["reuse", "fuse", "run", "run", "run", "run", "run"]
    assert json.dumps(forecast(plan, output=tmp_path / "out").as_dict())
    assert forecast(plan, output=tmp_path / "out").lines()


def test_blocks_run_side_by_side(tmp_path: Path) -> None:
    job = tiny.job(
        tiny.step("made", tiny.make), tiny.step("slow", tiny.scale, tiny.ScaleParams(wait=0.2), volume="made")
    )
    begin = time.perf_counter()
    record = run_job(job, tmp_path)
    assert record.steps[1].seconds < 8 * 0.2
    assert time.perf_counter() - begin < 20
