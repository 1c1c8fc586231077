"""Ctrl-C and SIGTERM stop a run soon and cleanly; the next run goes on where it was."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.core.record import RunRecord
from aetx.run.stop import Stopped, stopping
from aetx.store import manifest, verify


def heed_interrupts() -> None:
    """Undo what a shell does to the jobs in its background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(output: Path, *words: str, before: Callable[[], None] = heed_interrupts) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.run.drive", str(output), *words]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], preexec_fn=before)


def record(output: Path) -> RunRecord:
    return RunRecord.model_validate_json((output / "aetx-run.json").read_text())


def wait_for(output: Path, step: str) -> None:
    for _ in range(1200):
        with contextlib.suppress(OSError):
            if any(one.name == step and one.state == "running" for one in record(output).steps):
                return
        time.sleep(0.05)
    raise AssertionError(f"{step} never ran")


def test_a_signal_waits_for_no_long_block(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start(output, "60") as process:
        wait_for(output, "scaled")
        begin = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert time.perf_counter() - begin < 5
    assert record(output).status == "stopped"


def test_a_signal_to_a_command_that_has_ended_changes_nothing() -> None:
    program = (
        "import os, signal, sys, atexit\nfrom aetx import console\n"
        "atexit.register(lambda: [os.kill(os.getpid(), one) for one in (signal.SIGINT, signal.SIGTERM)])\n"
        "print('done')\nconsole.leave(int(sys.argv[1]))"
    )
    for code in (0, 4):
        done = subprocess.run([sys.executable, "-c", program, str(code)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (code, "done\n", "")


def test_a_command_that_is_terminated_says_so() -> None:
    program = (
        "import os, signal, sys\nfrom aetx import cli, console\n"
        "cli.execute = lambda _: console.end(interrupted(), as_json=False)\n"
        "def interrupted():\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt as error:\n        return error\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 143
    assert done.stderr.startswith("stopped by SIGTERM; finished steps are kept")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_stops_a_run_within_ten_seconds_and_the_next_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    output = tmp_path / "out"
    with start(output, "3") as process:
        wait_for(output, "scaled")
        begin = time.perf_counter()
        process.send_signal(number)
        assert process.wait(20) == code
        assert time.perf_counter() - begin < 10
    left = record(output)
    assert (left.status, left.error) == ("stopped", f"stopped by {number.name}")
    assert {step.name: step.state for step in left.steps}["scaled"] == "stopped"
    assert not (output / "results" / "scaled.zarr").exists()
    assert verify(output / "results" / "made.zarr") == []
    with start(output) as process:
        assert process.wait(60) == 0
    assert {step.name: step.state for step in record(output).steps}["made"] == "reused"
    assert list((output / ".aetx-tmp").iterdir()) == []


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start(output, "9", "--sleep") as process:
        wait_for(output, "deep")
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        begin = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert time.perf_counter() - begin < 3
    assert record(output).status == "stopped"
    assert manifest(output / "results" / "made.zarr").key


@pytest.mark.slow
def test_a_stage_that_hears_no_signal_is_stopped_within_ten_seconds(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start(output, "9", "--sleep") as process:
        wait_for(output, "deep")
        time.sleep(1.5)
        begin = time.perf_counter()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.perf_counter() - begin < 10
    assert (record(output).status, record(output).error) == ("stopped", "stopped by signal 2")


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_an_ignored_interrupt_stays_ignored_and_sigterm_still_stops(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start(output, "1", before=ignore_interrupts) as process:
        wait_for(output, "scaled")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_the_handlers_of_before_come_back() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as caught, stopping(lambda number: None):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert not [one for one in threading.enumerate() if one.name == "aetx-stop"]
