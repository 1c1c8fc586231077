"""What Python itself says of the files, programs and networks that it is asked for: in place of a tracer of calls.

It does not hear what libraries of C do on their own.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

FLAGS = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC")
PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")


def hear_calls(log: Path) -> None:
    """Write every call of this process from now on to a log, as a tracer writes them."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        line = _call(event, arguments)
        if line:
            os.write(handle, f"{os.getpid()} {line}\n".encode("utf-8", "surrogateescape"))

    sys.addaudithook(hear)


def _call(event: str, arguments: tuple[Any, ...]) -> str:
    """Return a call as a tracer writes it; empty where it is none that matters, or must fail."""
    if event == "open" and isinstance(arguments[0], str | bytes):
        name, flags = os.fsdecode(arguments[0]), int(arguments[2] or 0)
        shown = "|".join(one for one in FLAGS if flags & int(getattr(os, one))) or "O_RDONLY"
        there = flags & os.O_CREAT or os.path.lexists(name)
        return f'openat(AT_FDCWD, "{name}", {shown}) = 3' if there else ""
    if event in PROGRAMS:
        first = arguments[0] if arguments else event
        return f"execve({os.fsdecode(first) if isinstance(first, bytes) else first})"
    if event == "socket.connect":
        family = "AF_UNIX" if arguments[0].family == socket.AF_UNIX else "AF_INET"
        return f"connect({family}, {arguments[1]!r})"
    return ""
