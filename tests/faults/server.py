"""A process that forks a child for each question: a command of aetx, or a function, under limits, timed and measured.

``python -m tests.faults.server`` reads one JSON object a line and answers each with one; `Server` speaks to it. Forking
a process that has imported everything costs milliseconds where starting one costs seconds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faults.hearing import hear_calls

ROOT = Path(__file__).parents[2]
COMMAND = "aetx.cli:execute"
HEARD = "AETX_FAULTS_CALLS"
PRELOADED = (
    "aetx.cli",
    "aetx.io",
    "aetx.recipe",
    "aetx.report",
    "aetx.run.plan",
    "aetx.run.outlook",
    "aetx.run.verify",
    *(
        f"aetx.io.formats.{name}"
        for name in ("edits", "emd", "extxyz", "matlab", "mrc", "numpy", "text", "tiff", "vendor", "xyz", "zarr")
    ),
    "aetx.stages.prepare.normalise",
    "aetx.stages.augment.gaussian",
    "aetx.stages.export.extxyz",
    "aetx.stages.refine.edits",
    "aetx.stages.simulate.images",
    "aetx.stages.simulate.particle",
    "aetx.stages.trace.peaks",
    "aetx.draw",
    "aetx.stages.augment.unet",
    "tests.faults.reading",
    "tests.run.tiny",
)


@dataclass(frozen=True)
class Answer:
    """What became of one child: exit code (minus the number of the signal that killed it), words, time, memory."""

    code: int
    out: str
    err: str
    seconds: float
    """Seconds of processor time."""
    grown: int
    """Bytes of resident memory at its peak, beyond those that it began with."""

    @property
    def problems(self) -> list[dict[str, Any]]:
        """The problems of an error that was told as JSON."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return list(json.loads(self.out)["error"]["problems"])
        return []


class Server:
    """The process that forks; one question at a time.

    `before` is a command that runs it, such as strace; `calls` a file for what Python says of the calls of children.
    """

    def __init__(self, before: Sequence[str] = (), calls: Path | None = None) -> None:
        self.before, self.calls = tuple(before), calls

    def __enter__(self) -> Server:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "AETX_FAULTS": "1"}
        environment |= {HEARD: str(self.calls)} if self.calls else {}
        self.process = subprocess.Popen(
            [*self.before, sys.executable, "-m", "tests.faults.server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def ask(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        function: str = COMMAND,
        seconds: int = 10,
        memory: int = 4 << 30,
    ) -> Answer:
        """Run a function in a child that may compute so many seconds and map so many bytes more than it was born with.

        Where it only waits, it is ended after six times as long: a busy machine is no hang.

        The function gets the arguments as a list, or one by one if it is not the command line, and returns a code.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        question = {
            "arguments": list(arguments),
            "folder": str(folder),
            "function": function,
            "seconds": seconds,
            "memory": memory,
        }
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], seconds * 6 + 120)
        if not ready:
            raise TimeoutError("the server of forks does not answer")
        return Answer(**json.loads(self.process.stdout.readline()))


def _answer(question: dict[str, Any], scratch: Path) -> Answer:
    words = [scratch / "out", scratch / "err"]
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _child(question, words)
        finally:
            os._exit(code & 255)
    before = _resident(child)
    killed = False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - begin > question["seconds"] * 6 + 10 and not killed:  # even its alarm did not end it
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.002)
    out, err = (path.read_text(encoding="utf-8", errors="replace") for path in words)
    return Answer(
        code=os.waitstatus_to_exitcode(status),
        out=out,
        err=err,
        seconds=usage.ru_utime + usage.ru_stime,
        grown=max(0, usage.ru_maxrss * 1024 - before),
    )


def _child(question: dict[str, Any], words: list[Path]) -> int:
    os.chdir(question["folder"])
    for number, path in zip((1, 2), words, strict=True):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (mapped + question["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (question["seconds"],) * 2)
    if HEARD in os.environ:
        hear_calls(Path(os.environ[HEARD]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(question["seconds"] * 6)
    name, _, attribute = question["function"].partition(":")
    arguments = question["arguments"]
    sys.argv = ["aetx", *arguments]
    try:
        function = getattr(importlib.import_module(name), attribute)
        code = function(arguments) if question["function"] == COMMAND else function(*arguments)
    except BaseException:  # noqa: BLE001 - told in full to whoever asked
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)


def _resident(process: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    return 0


def _warm_up(folder: Path) -> None:
    """Plan one good recipe, so that children find units, stages and readers at hand; it starts no thread."""
    execute, base = (importlib.import_module(name) for name in ("aetx.cli", "tests.faults.inputs.base"))
    (folder / "s.mrc").write_bytes(base.mrc())
    base.series(folder, "s.mrc")
    with (folder / "said").open("w", encoding="utf-8") as words, contextlib.redirect_stdout(words):
        code = execute.execute(["plan", str(folder / "recipe.yaml"), "--output", str(folder / "out"), "--json"])
    assert code == 0
    assert threading.active_count() == 1


def main() -> None:
    """Answer until the input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="aetx-faults-") as scratch:
        _warm_up(Path(scratch))
        gc.collect()
        gc.freeze()
        for line in sys.stdin:
            sys.stdout.write(json.dumps(vars(_answer(json.loads(line), Path(scratch)))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    from aetx.run import limit_threads

    limit_threads()
    main()
