"""Runs with worker processes that are killed, crashed, stopped: the same numbers, or an end in words, and no hang."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.crashes import digests
from tests.faults.server import ROOT

PATIENCE = 20.0
"""Seconds without a worker after which a run ends; twice as long is a hang."""
DRIVE = "tests.run.drive"


@dataclass
class Broken:
    """How many runs ended well, in words, or before their fault came; the longest time to an end after a fault."""

    well: int = 0
    told: int = 0
    missed: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


def _workers(run: psutil.Process) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.Error):
        found = [one for one in run.children(recursive=True) if "spawn_main" in " ".join(one.cmdline())]
    return found


def _send(number: signal.Signals, most: int) -> Callable[[psutil.Process], None]:
    def act(run: psutil.Process) -> None:
        for one in _workers(run)[:most]:
            with contextlib.suppress(psutil.Error):
                one.send_signal(number)

    return act


def _twice(run: psutil.Process) -> None:
    """Kill a worker, and the next one while that comes back."""
    for _ in range(2):
        _send(signal.SIGKILL, 1)(run)
        time.sleep(0.5)


def _all_along(run: psutil.Process) -> None:
    """Kill every worker that comes, for ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end and run.is_running():
        _send(signal.SIGKILL, 9)(run)
        time.sleep(0.2)


def _scheduler(run: psutil.Process) -> None:
    """Kill the scheduler, which is the run itself."""
    run.kill()


FAULTS: Mapping[str, Callable[[psutil.Process], None]] = {
    "a worker is killed": _send(signal.SIGKILL, 1),
    "a worker crashes": _send(signal.SIGSEGV, 1),
    "a worker is told to end": _send(signal.SIGTERM, 1),
    "a worker stops": _send(signal.SIGSTOP, 1),
    "all workers are killed": _send(signal.SIGKILL, 9),
    "all workers stop": _send(signal.SIGSTOP, 9),
    "a second worker is killed while the first comes back": _twice,
    "no worker lives for long": _all_along,
    "the scheduler is killed": _scheduler,
}


def break_clusters(folder: Path, times: int, program: str = DRIVE, seed: int = 0, fault: str = "") -> Broken:
    """Break runs with two worker processes at random moments, each in another way or in one; then run without any."""
    found, chance = Broken(), random.Random(seed)
    whole = folder / "whole"
    subprocess.run([sys.executable, "-W", "ignore", "-m", program, str(whole)], cwd=ROOT, check=True)
    expected = digests(whole, "run")
    for number in range(times):
        name = fault or list(FAULTS)[number % len(FAULTS)]
        output = folder / f"broken{number}"
        wrong = _break(output, program, FAULTS[name], (chance.random() < 0.25, chance.uniform(0.1, 2.0)), found)
        found.wrong += [f"{number}, {name}: {one}" for one in wrong]
        made = digests(output, "run")
        if any(made[one] != expected.get(one) for one in made):
            found.wrong.append(f"{number}, {name}: other numbers")
        if made != expected:
            subprocess.run([sys.executable, "-W", "ignore", "-m", program, str(output)], cwd=ROOT, check=False)
        if digests(output, "run") != expected:
            found.wrong.append(f"{number}, {name}: other numbers after the second run")
        shutil.rmtree(output)
    return found


def _break(
    output: Path, program: str, fault: Callable[[psutil.Process], None], when: tuple[bool, float], found: Broken
) -> Iterator[str]:
    """Break one run, so many seconds after it has begun to start workers or to work; give what is wrong with its end.

    A run that ends before its fault is none that was broken.
    """
    early, after = when
    command = [sys.executable, "-W", "ignore", "-m", program, str(output), "0.4", "--local", str(PATIENCE)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        run = psutil.Process(process.pid)
        begun = output / "results" / "made.zarr"
        while process.poll() is None and not (_workers(run) and (early or begun.exists())):
            time.sleep(0.05)
        time.sleep(after)
        if process.poll() is not None:
            found.missed += 1
            return
        below, begin = _workers(run), time.monotonic()
        with contextlib.suppress(psutil.NoSuchProcess):
            fault(run)
        try:
            _, said = process.communicate(timeout=2 * PATIENCE + 20)
        except subprocess.TimeoutExpired:
            process.kill()
            yield f"no end after {2 * PATIENCE + 20:.0f} s"
            return
    found.slowest = max(found.slowest, time.monotonic() - begin)
    found.well, found.told = found.well + (process.returncode == 0), found.told + (process.returncode == 4)
    if process.returncode not in (0, 4) and not (fault is _scheduler and process.returncode == -signal.SIGKILL):
        yield f"ended with {process.returncode}: {said[-300:]}"
    if process.returncode == 4 and not ("found" in said and "wanted" in said):
        yield f"no words: {said[-300:]}"
    if "Traceback" in said:
        yield f"a traceback: {said[-300:]}"
    gone, alive = psutil.wait_procs(below, timeout=10)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()
    if alive:
        yield f"{len(alive)} of {len(gone) + len(alive)} workers outlive their run"
