"""One writer per output folder: a lock that dies with its owner and is never taken from a living one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from aetx.errors import BusyError, Problem
from aetx.store import disk

NAME = ".aetx-lock"
BEAT = 15.0
"""Seconds between signs of life for other machines on the same file system."""
SILENCE = 120.0
"""Seconds without one after which an owner on another machine is dead."""
NAMING = 1.0
"""Seconds that a new owner may take to write its name."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock: machine, process, when the process began (clock ticks since boot), and a name of its own."""

    host: str
    boot: str
    pid: int
    birth: int
    since: str
    token: str


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, the lock of a folder; whether it lives; seconds since its last sign of life."""

    owner: Owner
    lives: bool
    silent: float


def holder(folder: Path) -> Holder | None:
    """Return who holds the lock of a folder, without touching it; None where there is none."""
    path = Path(folder) / NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        owner, silent = _read(handle), max(0.0, time.time() - os.fstat(handle).st_mtime)
    except OSError:
        return None
    finally:
        os.close(handle)
    return None if owner is None else Holder(owner, _here(owner, silent), silent)


class Lock:
    """The right to write to one output folder, held while the ``with`` block runs.

    On one machine the kernel frees it when its owner dies. An owner on another machine that shares the file system
    shows that it lives by touching the file every 15 s.

    Raises
    ------
    BusyError
        If a living run holds it; names its machine, process and start.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / NAME
        self.owner = _me()
        self._handle = -1
        self._stop = threading.Event()

    def __enter__(self) -> Lock:
        patience = time.monotonic() + NAMING
        with disk.in_words(self.path):
            while not self._take(patience):
                pass
        threading.Thread(target=self._beat, name="aetx-lock", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._handle)

    def _take(self, patience: float) -> bool:
        """Take the lock; False if it is to be tried again: its file was replaced, or its new owner has no name yet."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _read(handle)
                if time.monotonic() < patience and (owner is None or not _here(owner, 0.0)):
                    os.close(handle)
                    time.sleep(0.01)
                    return False
                raise _busy(self.path, owner) from None
            if not _same(handle, self.path):
                os.close(handle)
                return False
            owner = _read(handle)
            if owner is not None and _lives(owner, handle, self.path):
                raise _busy(self.path, owner)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(asdict(self.owner)).encode(), 0)
            os.fsync(handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(handle)
            raise
        self._handle = handle
        return True

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _me() -> Owner:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Owner(socket.gethostname(), _boot(), os.getpid(), _birth(os.getpid()), since, uuid.uuid4().hex)


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _birth(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 where there is none, or one that is dead unburied."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def _same(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _read(handle: int) -> Owner | None:
    """Return who wrote the lock; None for one that is empty or torn, as a killed owner can leave it."""
    try:
        return Owner(**json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _lives(owner: Owner, handle: int, path: Path) -> bool:
    """Tell whether the owner of a lock that the kernel has freed lives all the same: elsewhere, or without flock."""
    elsewhere = owner.host != socket.gethostname()
    return _here(owner, _now(path) - os.fstat(handle).st_mtime if elsewhere else 0.0)


def _here(owner: Owner, silent: float) -> bool:
    """Tell whether an owner lives: by its process on this machine, by its last sign of life on another."""
    if owner.host != socket.gethostname():
        return silent < SILENCE
    return owner.boot == _boot() and owner.birth != 0 and _birth(owner.pid) == owner.birth


def _now(path: Path) -> float:
    """Return the time by the clock of the file system, which the machines that share it agree on."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def _busy(path: Path, owner: Owner | None) -> BusyError:
    who = "another run" if owner is None else f"process {owner.pid} on {owner.host}, started {owner.since}"
    return BusyError(
        Problem(
            str(path.parent), "output", who, "no other run that writes there", "wait for it, or choose another output"
        )
    )
