"""What a cluster does to a run costs time, not truth: the same bits, or an end in words, and never a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import pytest

from aetx.errors import EnvironmentFault, RecipeError
from aetx.run import run_plan
from aetx.run.scheduler import Crew, computing
from aetx.run.watchdog import Watch
from aetx.store import manifest
from tests.run import tiny, work

LOST = "steps.clean: cluster: found "


def workers() -> list[psutil.Process]:
    """Return the worker processes of this one; not the tracker of their shared memory."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def over(function: Callable[..., np.ndarray]) -> Any:
    return da.ones(16, chunks=2).map_blocks(function, dtype=float, meta=np.empty(0))


@contextmanager
def clock(most: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < most


def later(seconds: float, act: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def compute(function: Callable[..., np.ndarray], seconds: float = 0.0, act: Callable[[], object] | None = None) -> None:
    """Compute sixteen numbers, and do something to the cluster while it does."""
    if act is not None:
        later(seconds, act)
    over(function).compute()


def suspend_all() -> None:
    for one in workers():
        one.suspend()


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_bit(tmp_path: Path) -> None:
    job = tiny.chain(wait=0.2)
    run_plan(tiny.plan(job), output=tmp_path / "whole", reporter=None, quiet=True)
    killed = []

    def kill() -> None:
        while not (tmp_path / "killed" / "results" / "made.zarr").exists():
            time.sleep(0.05)
        time.sleep(0.6)
        one = workers()[0]
        one.kill()
        killed.append(one.pid)

    later(0, kill)
    run_plan(tiny.plan(job), output=tmp_path / "killed", reporter=None, quiet=True, scheduler="local")
    assert killed
    for store in (tmp_path / "whole" / "results").iterdir():
        assert manifest(store).digest == manifest(tmp_path / "killed" / "results" / store.name).digest
    assert list((tmp_path / "killed" / ".aetx-tmp").iterdir()) == []


@pytest.mark.slow
def test_two_killed_workers_cost_time_or_end_the_run_in_words(tmp_path: Path) -> None:
    def kill() -> None:
        for _ in range(2):
            for one in workers()[:1]:
                one.kill()
            time.sleep(0.4)

    with clock(120), local(20):
        later(0.5, kill)
        with suppress(EnvironmentFault):
            assert over(work.slow).sum().compute() == 16
    assert workers() == []


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes_and_leaves_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.run.drive", str(tmp_path / "out"), "2", "--local"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], start_new_session=True) as process:
        end = time.monotonic() + 120
        while not (tmp_path / "out" / "results" / "made.zarr").exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(1)
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - start < 12
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []


@pytest.mark.slow
def test_a_task_that_ends_its_worker_is_told_with_block_and_signal() -> None:
    with (
        pytest.raises(
            EnvironmentFault, match=r"steps.clean: cluster: found block \(3\): .* died 2 times \(signal 11\)"
        ),
        computing("local", 2, 0, patience=20) as crew,
        crew.in_words("clean", 0),
    ):
        over(work.crash).compute()


@pytest.mark.slow
def test_a_task_that_wants_too_much_memory_is_told_with_block_used_and_limit() -> None:
    with (
        pytest.raises(
            EnvironmentFault,
            match=r"steps.clean: memory: found block \(2\): 1\.\d GB used, wanted at most 1.6 GB for each worker",
        ),
        computing("local", 1, 1_600_000_000, patience=30) as crew,
        crew.in_words("clean", 1_600_000_000),
    ):
        over(work.swallow).compute()


@contextmanager
def local(patience: float, **options: Any) -> Iterator[Watch]:
    """Two worker processes that know `tests.run.work`."""
    with computing("local", 2, 0, patience=patience, **options) as crew, crew.in_words("clean", 0):
        assert crew.watch is not None
        crew.watch.run(work.ready)
        yield crew.watch


@pytest.mark.slow
def test_silent_workers_end_the_run(tmp_path: Path) -> None:
    words = LOST + r"(no sign of life from|all workers lost).* for 15.0 s"
    with clock(60), pytest.raises(EnvironmentFault, match=words), local(15, scratch=tmp_path):
        compute(work.slow, 0.5, suspend_all)
    assert workers() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_paused_workers_end_the_run_with_the_memory_that_they_hold() -> None:
    words = LOST + r"2 workers paused, \d+ MB used for 15.0 s.*give more memory"
    with clock(120), pytest.raises(EnvironmentFault, match=words), local(15) as watch:
        compute(work.slow, 0.5, lambda: watch.run(work.pause))


@pytest.mark.slow
def test_one_worker_that_is_left_does_the_work() -> None:
    with clock(120), local(15):
        later(0.5, workers()[0].suspend)
        assert over(work.slow).sum().compute() == 16


@pytest.mark.slow
def test_the_blocks_that_a_cluster_writes_are_counted(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with computing("local", 1, 0, told=lambda done, total: told.append((done, total))) as crew:
        assert crew.watch is not None
        from aetx.store import write

        write(tiny.scale(tiny.make(edge=130).chunk(64), factor=1.0, wait=0.4), tmp_path / "s.zarr", key="", record={})
    assert told
    assert {total for _, total in told} == {27}
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@contextmanager
def dask_scheduler(tmp_path: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    file = tmp_path / "scheduler.json"
    host = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *host, *options], stderr=subprocess.DEVNULL
    )
    try:
        import json

        end = time.monotonic() + 60
        while not (file.is_file() and file.read_text()):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield str(json.loads(file.read_text())["address"]), process
    finally:
        process.kill()
        process.wait()


@contextmanager
def dask_worker(address: str, tmp_path: Path, *options: str) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    command += ["--no-nanny", "--local-directory", str(tmp_path), *options]
    process = psutil.Popen(command, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_scheduler_without_workers_is_told_after_a_while(tmp_path: Path) -> None:
    with (
        dask_scheduler(tmp_path) as (address, _),
        clock(30),
        pytest.raises(EnvironmentFault, match=LOST + rf"no worker came for 6.0 s.*dask worker {address}"),
        computing(address, 1, 0, patience=6) as crew,
        crew.in_words("clean", 0),
    ):
        over(work.slow).compute()


@pytest.mark.slow
def test_a_run_on_a_scheduler_elsewhere_gives_the_same_bits(tmp_path: Path) -> None:
    run_plan(tiny.plan(tiny.chain()), output=tmp_path / "here", reporter=None, quiet=True)
    with dask_scheduler(tmp_path) as (address, _), dask_worker(address, tmp_path / "w"):
        run_plan(tiny.plan(tiny.chain()), output=tmp_path / "there", reporter=None, quiet=True, scheduler=address)
    for store in (tmp_path / "here" / "results").iterdir():
        assert manifest(store).digest == manifest(tmp_path / "there" / "results" / store.name).digest


@pytest.mark.slow
def test_a_scheduler_that_is_lost_ends_the_run_in_words(tmp_path: Path) -> None:
    with (
        dask_scheduler(tmp_path) as (address, process),
        dask_worker(address, tmp_path / "w"),
        clock(120),
        pytest.raises(EnvironmentFault, match=LOST + r"(the scheduler was lost|no answer from the scheduler)"),
        computing(address, 1, 0, patience=8) as crew,
        crew.in_words("clean", 0),
    ):
        compute(work.slow, 1.5, process.kill)


@pytest.mark.slow
def test_an_encrypted_scheduler_is_used_with_the_certificates_of_dask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    from aetx.run.scheduler import _certificates

    made = _certificates(tmp_path)
    files = {"ca-file": made.tls_ca_file, "cert": made.tls_worker_cert, "key": made.tls_worker_key}
    options = [word for name, file in files.items() for word in (f"--tls-{name}", str(file))]
    with dask_scheduler(tmp_path, "--protocol", "tls", *options) as (address, _):
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(EnvironmentFault, match=r"distributed\.comm\.tls"), computing(address, 1, 0):
            pass
        names = {"ca-file": "ca-file", "client.cert": "cert", "client.key": "key"}
        with (
            dask_worker(address, tmp_path / "w", *options),
            dask.config.set({f"distributed.comm.tls.{name}": files[file] for name, file in names.items()}),
            computing(address, 1, 0, patience=60),
        ):
            assert over(work.slow).sum().compute() == 16


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:8786", "tcp://cluster.example.org:1", "tcp://[2001:db8::1]:1"])
def test_a_network_is_not_trusted_unless_it_is_said(address: str) -> None:
    words = r"anyone can read and use.*tls://, or give --trust-network"
    with pytest.raises(RecipeError, match=words), computing(address, 1, 0):
        pass


def test_threads_need_no_words() -> None:
    with pytest.raises(ZeroDivisionError), Crew().in_words("clean", 0):
        raise ZeroDivisionError
