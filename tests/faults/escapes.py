"""Payloads that must not run and paths that must not be followed, with every call to the system on record."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.bad_inputs import CASES, Outcome, judge
from tests.faults.inputs.base import Case, Maker, mrc, series
from tests.faults.server import COMMAND, Server

CANARY = "import pathlib\npathlib.Path('CANARY').touch()\n"
CALLS = "execve,execveat,connect,openat,open,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,symlink,symlinkat"


def strewn(**files: str) -> Maker:
    """Return a maker of a good recipe in a folder strewn with files of code."""

    def make(folder: Path) -> None:
        (folder / "s.mrc").write_bytes(mrc())
        for name, text in files.items():
            (folder / name.replace("__", ".", 1)).write_text(text)
        series(folder, "s.mrc")

    return make


MORE = {
    "numpy.py in the current folder": Case("numpy", 0, (), strewn(numpy__py=CANARY, xarray__py=CANARY)),
    "sitecustomize.py in the current folder": Case(
        "site", 0, (), strewn(sitecustomize__py=CANARY, usercustomize__py=CANARY)
    ),
    "a plugin in the current folder": Case("plugin", 0, (), strewn(aetx_plugin__py=CANARY, conftest__py=CANARY)),
    "rsciio.py in the current folder": Case("rsciio", 0, (), strewn(rsciio__py=CANARY, torch__py=CANARY)),
}
"""Cases of their own for payloads."""

PAYLOADS: Mapping[str, Case] = {
    name: case
    for name, case in CASES.items()
    if name.startswith(("R01", "R02", "R20", "R24", "N01", "Z06", "W01"))
    or "tag" in name
    or "calls" in name
    or "computes" in name
    or "pickle" in name
    or "plugin" in name
} | MORE
ESCAPES: Mapping[str, Case] = {
    name: case
    for name, case in CASES.items()
    if name.startswith(("R15", "R17", "R18", "T10", "T11", "T12", "H06", "H07", "Z08", "E05"))
    or "outside" in name
    or "link" in name
    or "device" in name
}
SECRETS = ("secret", "other.h5", "private", "outside", "elsewhere", "/real/", "/proc/self/mem")
"""What lies beside the inputs of escapes, and that no one declared."""


@dataclass
class Traced:
    """What a tracer saw of many cases."""

    cases: int = 0
    tracer: str = ""
    wrong: list[str] = field(default_factory=list)


STRACE = shutil.which("strace")


def trace(cases: Mapping[str, Case], folder: Path, function: str = COMMAND, strace: str | None = STRACE) -> Traced:
    """Put cases to the command line, and read every call to the system that was made for them.

    Without strace those calls are read that Python knows of.
    """
    log = folder / "calls"
    found = Traced(tracer="strace" if strace else "no strace here: what libraries of C open goes unseen")
    watch = (
        [strace, "-f", "-qq", "--seccomp-bpf", "-s", "400", "-e", f"trace={CALLS}", "-o", str(log)] if strace else []
    )
    log.touch()
    with Server(watch, None if strace else log) as server:
        _ask_once(server, folder)
        begin = log.stat().st_size
        for number, (name, case) in enumerate(cases.items()):
            place = folder / f"case{number}"
            place.mkdir()
            outcome: Outcome = judge(case, server, place, function)
            found.cases += 1
            found.wrong += [f"{name}: {one}" for one in outcome.wrong]
            if list(place.rglob("CANARY")):
                found.wrong.append(f"{name}: it ran code")
            with log.open(errors="replace") as file:
                file.seek(begin)
                calls = file.read()
                begin = file.tell()
            found.wrong += [f"{name}: {one}" for one in _suspicious(calls, place)]
    return found


def _ask_once(server: Server, folder: Path) -> None:
    assert server.ask(["--version"], folder, seconds=60).code == 0


def _suspicious(calls: str, place: Path) -> list[str]:
    """Return the calls that start programs, reach the network, open what was not declared or write elsewhere."""
    found = []
    asked = any(
        b"/etc/passwd" in one.read_bytes() for one in place.rglob("*") if one.is_file() and not one.is_symlink()
    )
    secrets = (*SECRETS, "/etc/passwd") if asked else SECRETS  # libraries look up who runs them
    for line in calls.splitlines():
        call = re.sub(r"^\d+\s+", "", line)
        if call.startswith(("execve", "connect")) and "AF_UNIX" not in call:
            found.append(call[:200])
        if call.startswith(("open", "openat")) and " = -1 " not in call:
            path = re.search(r'"([^"]*)"', call)
            name = path[1] if path else ""
            inside = name.removeprefix(str(place))
            if any(secret in inside for secret in secrets):
                found.append(call[:200])
            writes = "O_WRONLY" in call or "O_RDWR" in call or "O_CREAT" in call
            own = (
                name.startswith((str(place), "/dev/", "/proc/self")) or "aetx-faults-" in name or "__pycache__" in name
            )
            if writes and name.startswith("/") and not own:
                found.append(f"writes elsewhere: {call[:200]}")
    return found
