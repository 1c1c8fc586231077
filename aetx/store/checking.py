"""Read finished files again: each against the size and digest that it was written with; what was read is remembered."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from aetx.errors import Problem
from aetx.store import disk

KNOWN = ".aetx-verified"
SETTLED = 2.0
"""Seconds for which a file must have rested before it is remembered: a later change moves the time of the file."""
MOST = 16
"""Threads that read, at most."""
PERIOD = 0.2
"""Seconds between two words about the progress."""
Told = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True)
class Expected:
    """One file as it was written; `written` are the sizes and digests of which it has one.

    `file`, `field`, `wanted` and `fix` are those of the problem if it has none of them; without `wanted` the size and
    the digest are named.
    """

    path: Path
    written: tuple[tuple[int, str], ...]
    file: str
    field: str
    fix: str
    wanted: str = ""

    @property
    def size(self) -> int:
        """Bytes to read."""
        return max(size for size, _ in self.written)

    def problem(self, found: str, wanted: str) -> Problem:
        """Return what is wrong with it."""
        return Problem(self.file, self.field, found, self.wanted or wanted, self.fix)


class Known:
    """The files that were read and found right, each by its digest, inode, size and times; one line for each.

    A line is written as soon as a file has been read, so that a check that is stopped goes on where it was. It saves
    time and proves nothing: a disk can change a file without changing its times.
    """

    def __init__(self, path: Path | None, forget: bool = False) -> None:
        self.path, self.forget = path, forget
        self._handle = -1
        self._before: frozenset[str] = frozenset()
        self._now: set[str] = set()

    def __enter__(self) -> Known:
        if self.path is not None and not self.path.is_symlink():
            with contextlib.suppress(OSError):
                lines = self.path.read_text(encoding="ascii", errors="replace").split()
                self._before = frozenset() if self.forget else frozenset(lines)
            with contextlib.suppress(OSError):  # a folder that cannot be written to is read whole each time
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                flags |= os.O_TRUNC if self.forget else 0
                self._handle = os.open(self.path, flags, 0o644)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle < 0 or self.path is None:
            return
        os.close(self._handle)
        if kind is None and self._before - self._now:
            aside = self.path.with_name(f"{KNOWN}.{os.getpid()}")
            with contextlib.suppress(OSError):
                aside.write_text("".join(f"{line}\n" for line in sorted(self._now)), encoding="ascii")
                aside.replace(self.path)

    def holds(self, one: Expected, state: os.stat_result) -> bool:
        """Tell whether a file was read before and has not been touched since."""
        lines = self._before.intersection(_line(state, digest) for _, digest in one.written)
        self._now |= lines
        return bool(lines)

    def add(self, digest: str, state: os.stat_result) -> None:
        """Remember a file that was right, unless it is so young that a change could leave its times as they are."""
        if self._handle < 0 or time.time() - max(state.st_mtime, state.st_ctime) < SETTLED:
            return
        line = _line(state, digest)
        self._now.add(line)
        with contextlib.suppress(OSError):
            os.write(self._handle, f"{line}\n".encode())


def _line(state: os.stat_result, digest: str) -> str:
    text = f"{state.st_dev} {state.st_ino} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {digest}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class Reading:
    """What a check has read so far; `known` are the files, of `known_bytes`, that were known already."""

    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    known: int = 0
    known_bytes: int = 0


def read_again(expected: Sequence[Expected], known: Known | None = None, told: Told | None = None) -> Reading:
    """Compare files with what was written, side by side: hashing and reading take turns on no core.

    Parameters
    ----------
    expected
        The files.
    known
        Those that need not be read; every file that is read and right is added.
    told
        Told of the progress five times a second.
    """
    found: list[Problem | None] = [None] * len(expected)
    total, check = sum(one.size for one in expected), _Check(known)
    tasks = iter(list(enumerate(expected)))

    def work() -> None:
        for number, one in tasks:
            if check.stop.is_set():
                return
            found[number] = check.compare(one)

    threads = min(MOST, len(expected), (os.cpu_count() or 1) + 2) or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="aetx-read") as pool:
        running = [pool.submit(work) for _ in range(threads)]
        try:
            while wait(running, timeout=PERIOD).not_done:
                if told is not None:
                    told(check.done.bytes + check.done.known_bytes, total)
        finally:
            check.stop.set()
    for one in running:
        one.result()
    check.done.problems = [problem for problem in found if problem is not None]
    return check.done


class _Check:
    """Compares files, from several threads."""

    def __init__(self, known: Known | None) -> None:
        self.known, self.done, self.stop, self._guard = known, Reading(), threading.Event(), threading.Lock()

    def compare(self, one: Expected) -> Problem | None:
        """Return what is wrong with a file; a symbolic link is never followed."""
        sizes = sorted({size for size, _ in one.written})
        wanted = " or ".join(f"{size} bytes" for size in sizes)
        self._count(files=1)
        try:
            handle = _open(one.path)
        except FileNotFoundError:
            return one.problem("nothing", wanted)
        except OSError as error:
            return one.problem(f"no file that can be read ({error.strerror})", wanted)
        with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a handle, which closes with it
            state = os.fstat(handle)
            if state.st_size not in sizes:
                return one.problem(f"{state.st_size} bytes", wanted)
            if self.known is not None and self.known.holds(one, state):
                self._count(known=1, known_bytes=state.st_size)
                return None
            try:
                digest = disk.digest_of(file, self._block)
            except OSError as error:
                return one.problem(f"a file that cannot be read ({error.strerror})", wanted)
            if self.stop.is_set():
                return None
            if (state.st_size, digest) in one.written:
                if self.known is not None and _times(state) == _times(os.fstat(handle)):
                    self.known.add(digest, state)
                return None
        shown = " or ".join(f"sha256 {other[:12]}" for size, other in one.written if size == state.st_size)
        return one.problem("other bytes" if one.wanted else f"sha256 {digest[:12]}", shown)

    def _block(self, size: int) -> bool:
        self._count(bytes=size)
        return self.stop.is_set()

    def _count(self, **more: int) -> None:
        with self._guard:
            for name, number in more.items():
                setattr(self.done, name, getattr(self.done, name) + number)


def _open(path: Path) -> int:
    """Open a regular file for reading; never through a link, and without waiting for whoever feeds a pipe."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return handle


def _times(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns
