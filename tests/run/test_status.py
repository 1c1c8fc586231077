"""What a run is doing can be told from outside, at every moment, and how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aetx.errors import InputError
from aetx.recipe.plan import Job
from aetx.run import JobsError, Status, run_plan, status_of
from aetx.run.progress import Note, Progress, read_note
from tests.run import tiny

ROOT = Path(__file__).parents[2]


@contextmanager
def driven(output: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.run.drive", str(output), *arguments], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(output: Path, step: str, seconds: float = 60) -> Status:
    """Return the status as soon as a step of the first job runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (output / "aetx-run.json").is_file():
            told = status_of(output)
            if any(one.name == step and one.state == "running" for job in told.jobs for one in job.steps):
                return told
        time.sleep(0.05)
    pytest.fail(f"{step} never ran")


def test_a_running_run_is_told_with_its_process_and_its_step(tmp_path: Path) -> None:
    with driven(tmp_path, "1", "--sleep") as process:
        told = until(tmp_path, "deep")
        assert told.state == "running"
        assert told.holder is not None
        assert (told.holder.owner.pid, told.holder.lives) == (process.pid, True)
        assert told.holder.silent < 20
        assert {step.name: step.state for step in told.jobs[0].steps} == {"made": "computed", "deep": "running"}
        assert not told.resumable
        assert f"process {process.pid} on " in told.lines()[0]
        assert "running" in told.lines()[2]
        process.send_signal(signal.SIGKILL)
        process.wait()
        told = status_of(tmp_path)
    assert (told.state, told.resumable) == ("died", True)
    assert [step.state for step in told.jobs[0].steps] == ["computed", "died"]
    assert "ended without a word" in told.lines()[0]
    assert json.loads(json.dumps(told.as_dict()))["status"]["owner"]["pid"] == process.pid


def test_a_stopped_run_is_told_as_resumable(tmp_path: Path) -> None:
    with driven(tmp_path, "0.5") as process:
        until(tmp_path, "scaled")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    told = status_of(tmp_path)
    assert (told.state, told.resumable, told.holder) == ("stopped", True, None)
    assert told.jobs[0].finished >= 1


def test_asking_changes_nothing_in_the_output(tmp_path: Path) -> None:
    run_plan(tiny.plan(tiny.chain()), output=tmp_path, reporter=None, quiet=True)
    before = {one: one.lstat().st_mtime_ns for one in tmp_path.rglob("*")}
    told = status_of(tmp_path)
    assert (told.state, told.resumable, told.jobs[0].finished) == ("finished", False, 7)
    assert before == {one: one.lstat().st_mtime_ns for one in tmp_path.rglob("*")}


def test_many_runs_are_one_line_each_and_the_broken_one_says_why(tmp_path: Path) -> None:
    jobs = [Job(f"particle_{i}", {}, (), tiny.chain(fail=i == 1).steps, ()) for i in range(3)]
    with pytest.raises(JobsError):
        run_plan(tiny.plan(*jobs), output=tmp_path, reporter=None, quiet=True)
    told = status_of(tmp_path)
    assert told.state == "failed"
    assert told.lines()[2] == "  3 runs: 2 finished, 1 failed"
    assert [line.split()[:2] for line in told.lines()[3:]] == [
        ["particle_0", "finished"],
        ["particle_1", "failed"],
        ["particle_2", "finished"],
    ]
    assert "lower the threshold" in told.lines()[4]


def test_jobs_that_a_killed_run_never_began_wait(tmp_path: Path) -> None:
    run_plan(tiny.plan(Job("a", {}, (), tiny.chain().steps, ())), output=tmp_path, reporter=None, quiet=True)
    note = read_note(tmp_path)
    assert note is not None
    (tmp_path / ".aetx-progress.json").write_text(note.model_copy(update={"jobs": ["a", "b"]}).model_dump_json())
    told = status_of(tmp_path)
    assert [job.state for job in told.jobs] == ["finished", "waiting"]
    assert told.state == "died"


def test_a_folder_of_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="no record of a run"):
            status_of(folder)


def test_blocks_are_noted_now_and_then_and_a_full_disk_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Progress(None, tmp_path, Note(owner="me", jobs=[""]))
    with progress:
        progress.job("", 1)
        progress.step("clean")
        progress.blocks(1, 8)
        noted = read_note(tmp_path)
        assert noted is not None
        assert (noted.step, noted.done) == ("clean", 0)
        monkeypatch.setattr("aetx.run.progress.PERIOD", -1.0)
        progress.blocks(2, 8)
        noted = read_note(tmp_path)
        assert noted is not None
        assert (noted.done, noted.blocks) == (2, 8)

        def full(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("os.open", full)
        monkeypatch.setattr("pathlib.Path.open", full)
        progress.blocks(3, 8)
