"""One writer per output folder; a dead owner's lock is taken over, a living one's never."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

import pytest

from aetx.errors import BusyError
from aetx.store import Lock
from aetx.store import lock as module

HOLD = """
import sys, time
from pathlib import Path
from aetx.errors import BusyError
from aetx.store import Lock
try:
    with Lock(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except BusyError as error:
    print("busy", error, flush=True)
"""


def holder(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_second_run_is_told_who_holds_the_output(tmp_path: Path) -> None:
    with holder(tmp_path, 30) as owner:
        assert first_line(owner) == "held\n"
        with (
            pytest.raises(BusyError, match=rf"process {owner.pid} on .*, started 20\d\d-.*wait for it"),
            Lock(tmp_path),
        ):
            pass
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        with Lock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_runs_at_once_exactly_one_writes(tmp_path: Path) -> None:
    racers = [holder(tmp_path, 60) for _ in range(6)]
    lines = [first_line(racer).split()[0] for racer in racers]
    for racer in racers:
        racer.kill()
        racer.communicate()
    assert sorted(lines) == ["busy"] * 5 + ["held"]


def test_the_lock_is_not_given_twice_in_one_process(tmp_path: Path) -> None:
    with Lock(tmp_path), pytest.raises(BusyError, match=f"process {os.getpid()}"), Lock(tmp_path):
        pass


def test_an_empty_or_torn_lock_is_taken_over(tmp_path: Path) -> None:
    for text in ("", '{"host": "a", "pi'):
        (tmp_path / module.NAME).write_text(text)
        with Lock(tmp_path):
            pass


def test_a_lock_that_is_just_being_taken_is_not_stolen(tmp_path: Path) -> None:
    with (tmp_path / module.NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another run"), Lock(tmp_path):
            pass


def test_who_has_just_taken_a_lock_is_named(tmp_path: Path) -> None:
    me = module._me()
    stale = json.dumps(asdict(replace(me, birth=me.birth - 100)))
    for before in ("", stale):
        with (tmp_path / module.NAME).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(before)
            file.flush()

            def name(into: TextIO = file) -> None:
                into.truncate(0)
                into.seek(0)
                into.write(json.dumps(asdict(me)))
                into.flush()

            threading.Timer(0.2, name).start()
            with pytest.raises(BusyError, match=f"process {me.pid} on .*{me.since.replace('+', '.')}"), Lock(tmp_path):
                pass


def test_a_reused_process_number_does_not_keep_a_dead_lock(tmp_path: Path) -> None:
    me = module._me()
    (tmp_path / module.NAME).write_text(json.dumps(asdict(replace(me, birth=me.birth - 100))))
    with Lock(tmp_path):
        pass


def test_a_living_owner_keeps_the_lock_where_the_file_system_forgot_it(tmp_path: Path) -> None:
    (tmp_path / module.NAME).write_text(json.dumps(asdict(module._me())))
    with pytest.raises(BusyError), Lock(tmp_path):
        pass


def test_an_owner_on_another_machine_lives_while_it_shows_signs_of_life(tmp_path: Path) -> None:
    file = tmp_path / module.NAME
    file.write_text(json.dumps(asdict(replace(module._me(), host="beamline-3", boot="other"))))
    with pytest.raises(BusyError, match="on beamline-3"), Lock(tmp_path):
        pass
    old = time.time() - module.SILENCE - 1
    os.utime(file, (old, old))
    with Lock(tmp_path):
        pass


def test_the_owner_shows_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    with Lock(tmp_path) as lock:
        os.utime(lock.path, (1, 1))
        time.sleep(0.3)
        assert lock.path.stat().st_mtime > 1
