"""Locks that dead runs left, which are taken over, and locks of living runs, which are not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from aetx.errors import BusyError
from aetx.store import Lock
from aetx.store import lock as module
from tests.faults.server import ROOT

Locking = Callable[[Path], AbstractContextManager[object]]
Maker = Callable[[Path], AbstractContextManager[object]]
HOLD = "import sys, time; from pathlib import Path; from aetx.store import Lock\n"
HOLD += "with Lock(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"


@dataclass
class Locks:
    """How many dead locks were taken over, how many living ones were not, and what is wrong."""

    taken: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)


def _text(text: str, age: float = 0.0) -> Maker:
    @contextlib.contextmanager
    def make(folder: Path) -> Iterator[None]:
        (folder / module.NAME).write_text(text)
        when = time.time() - age
        os.utime(folder / module.NAME, (when, when))
        yield

    return make


def _owner(age: float = 0.0, **changes: object) -> Maker:
    """Return what leaves the lock of this process, with changes, that no one holds; so many seconds old."""

    @contextlib.contextmanager
    def make(folder: Path) -> Iterator[None]:
        owner = replace(module._me(), **changes)  # type: ignore[arg-type]
        with _text(json.dumps(asdict(owner)), age)(folder):
            yield

    return make


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _killed(folder: Path) -> Iterator[None]:
    with _running(folder) as process:
        process.kill()
        process.wait()
        yield


@contextlib.contextmanager
def _unburied(folder: Path) -> Iterator[None]:
    """Leave the lock of a process that is dead, and whose number is still taken."""
    with _running(folder) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield


@contextlib.contextmanager
def _taking(folder: Path) -> Iterator[None]:
    with (folder / module.NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unused() -> int:
    return next(number for number in range(2**22 - 2, 2, -1) if not Path(f"/proc/{number}").exists())


DEAD: Mapping[str, Maker] = {
    **{f"its owner was killed ({number})": _killed for number in range(4)},
    "its owner is dead and not buried": _unburied,
    "it is empty": _text(""),
    "it is torn": _text('{"host": "a", "pi'),
    "it is no object": _text("[1, 2]"),
    "it lacks a field": _text('{"host": "a"}'),
    "it has a field too many": _text(json.dumps({**asdict(module._me()), "more": 1})),
    "it is binary": _text("\x00\x01\x02"),
    "the number of its process is in use again, by this one": _owner(birth=1),
    "the number of its process is in use again, by the first": _owner(pid=1, birth=1),
    "no process has its number": _owner(pid=_unused()),
    "its process has no birth": _owner(birth=0),
    "the machine was started anew": _owner(boot="another"),
    "the machine was started anew, a year ago": _owner(3e7, boot="another"),
    "its machine is silent for two minutes": _owner(121, host="beamline-3", boot="other"),
    "its machine is silent for a day": _owner(86400, host="beamline-3", boot="other"),
    "its machine is silent, of this boot": _owner(200, host="beamline-3"),
}
"""Locks that must be taken over without a person."""
ALIVE: Mapping[str, Maker] = {
    "a process holds it": _running,
    "it is just being taken": _taking,
    "this process holds it where the file system forgot it": _owner(),
    "this process holds it, for a day": _owner(86400),
    "another machine holds it": _owner(host="beamline-3", boot="other", pid=_unused()),
    "another machine holds it, silent for a minute": _owner(60, host="beamline-3", boot="other"),
    "another machine, whose process has a number of here": _owner(1, host="beamline-3", pid=1),
}
"""Locks that must be left alone."""


def judge_locks(folder: Path, lock: Locking = Lock, some: Container[str] | None = None) -> Locks:
    """Meet every lock there is, or some: take the dead ones, and leave the living ones as they are."""
    found = Locks()
    for number, (name, make) in enumerate({**DEAD, **ALIVE}.items()):
        if some is not None and name not in some:
            continue
        place = folder / f"lock{number}"
        place.mkdir(parents=True)
        with make(place):
            before = (place / module.NAME).read_bytes()
            taken = _try(lock, place)
            if name in DEAD:
                found.taken += taken
                found.wrong += [] if taken else [f"not taken over: {name}"]
            else:
                found.left += not taken
                found.wrong += [f"stolen: {name}"] if taken else []
                if not taken and (place / module.NAME).read_bytes() != before:
                    found.wrong.append(f"changed: {name}")
    return found


def _try(lock: Locking, place: Path) -> bool:
    try:
        with lock(place):
            return True
    except BusyError:
        return False
