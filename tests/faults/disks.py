"""Disks that are full, read-only or failing at any moment: a stop in words, old results intact, a good rerun."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import crashes
from tests.faults.server import Server

CODES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.EROFS, errno.EACCES)
HERE = "tests.faults.disks:"


@dataclass
class Refusals:
    """What became of runs on bad disks."""

    runs: int = 0
    stopped: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


def told(output: str, how: str = "run") -> int:
    """Run as the command line does: a fault of the machine becomes words and an exit code."""
    from aetx import console

    begin = time.monotonic()
    try:
        getattr(crashes, how)(output)
        code = 0
    except Exception as error:  # noqa: BLE001 - told as the command line tells it
        code = console.end(error, as_json=True)
    print(json.dumps({"seconds": time.monotonic() - begin}))
    return code


def failing(output: str, step: str, number: str, how: str) -> int:
    """Run on a disk of which the step-th change fails, and all after it where the disk is full or read-only."""
    seen = 0
    code = int(number)
    sync = os.fsync

    def fail(path: object) -> None:
        nonlocal seen
        seen += 1
        lasting = code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
        if seen == int(step) or (lasting and seen > int(step)):
            raise OSError(code, os.strerror(code), str(path))

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[0], str) and int(arguments[2] or 0) & crashes.WRITING
        adds = event in ("os.mkdir", "os.rename") or writes
        if adds and str(arguments[0]).startswith(output):
            fail(arguments[0])

    def synced(handle: int) -> None:
        fail(output)
        sync(handle)

    sys.addaudithook(hear)
    os.fsync = synced  # type: ignore[assignment]
    return told(output, how)


def short(output: str, most: str) -> int:
    """Run where no file may have more than so many bytes: writing fails in the middle of a file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most),) * 2)
    return told(output)


def few_files(output: str, most: str) -> int:
    """Run where no more than so many files may be open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(most),) * 2)
    return told(output)


def judge(
    server: Server, folder: Path, function: str, arguments: list[str], expected: str, found: Refusals, how: str = "run"
) -> None:
    """Run on a bad disk, look at what is left, run again on a good one."""
    output, what = arguments[0], f"{function} {' '.join(arguments[1:])}"
    answer = server.ask(arguments, folder, function=HERE + function, seconds=60)
    found.runs += 1
    if answer.code not in (0, 4):
        found.wrong.append(f"{what}: ended with {answer.code}: {answer.err[-300:]}")
    if answer.code == 4:
        found.stopped += 1
        problems = json.loads(answer.out[: answer.out.rindex("\n{")])["error"]["problems"]
        if not all(one["file"] and one["found"] and one["fix"] for one in problems):
            found.wrong.append(f"{what}: {problems}")
        found.slowest = max(found.slowest, answer.seconds)
    after = server.ask([output, expected, how], folder, function=crashes.HERE + "recover", seconds=60)
    told_after = json.loads(after.out.splitlines()[-1])["wrong"] if not after.code else [after.err[-300:]]
    found.wrong += [f"{what}: {one}" for one in told_after]


def fail_everywhere(
    folder: Path, server: Server, every: int = 1, limits: tuple[int, ...] = (6_000, 20_000), how: str = "run"
) -> Refusals:
    """Let changes of a run fail one after the other, each time with another error; and write with limits on files."""
    whole = folder / "whole"
    answer = server.ask([str(whole), how], folder, function=crashes.HERE + "count", seconds=60)
    ran = json.loads(answer.out.splitlines()[-1])
    expected, found = json.dumps(ran["digests"]), Refusals()
    for number, step in enumerate(range(1, ran["changes"] + 1, every)):
        code = CODES[number % len(CODES)]
        words = [str(folder / f"f{step}"), str(step), str(code), how]
        judge(server, folder, "failing", words, expected, found, how)
    for most in limits:
        judge(server, folder, "short", [str(folder / f"s{most}"), str(most)], expected, found)
    for most in (16, 32) if limits and every == 1 else ():
        judge(server, folder, "few_files", [str(folder / f"n{most}"), str(most)], expected, found)
    return found


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path | None]:
    """Give a small disk in memory; None where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill_disks(folder: Path, server: Server, options: tuple[str, ...]) -> Refusals | None:
    """Run on disks of many sizes, or read-only; None where none can be mounted."""
    answer = server.ask([str(folder / "whole"), "run"], folder, function=crashes.HERE + "count", seconds=60)
    wanted, found = json.loads(answer.out.splitlines()[-1])["digests"], Refusals()
    for number, how in enumerate(options):
        with small_disk(folder / f"disk{number}", how.removesuffix(",ro")) as place:
            if place is None:
                return None
            if how.endswith(",ro"):
                subprocess.run(["mount", "-o", "remount,ro", str(place)], check=False)
            output = place / "out"
            ended = server.ask([str(output)], folder, function=HERE + "told", seconds=60)
            found.runs, found.stopped = found.runs + 1, found.stopped + (ended.code == 4)
            if ended.code not in (0, 4):
                found.wrong.append(f"{how}: ended with {ended.code}: {ended.err[-300:]}")
            if ended.code == 4:
                found.slowest = max(found.slowest, ended.seconds)
            left = crashes.digests(output, "run") if output.is_dir() else {}
            found.wrong += [f"{how}: {name} opens and is wrong" for name in left if left[name] != wanted.get(name)]
    return found
