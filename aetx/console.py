"""What the command line prints: results as text or one JSON object, errors in words, and the exit codes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

from aetx.errors import AetxError, AetxWarning, EnvironmentFault, Problem, RecipeError

BUG = AetxError.code
INTERRUPTED = 130
_MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.EFBIG,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EBUSY,
)
"""Errors of the system that are the machine's, not the program's."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came; `code` is the exit code that says so."""

    code = 128 + signal.SIGTERM


def heed() -> None:
    """Let SIGTERM end a command in words, as Ctrl-C does, where it is not ignored."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is Python's
        raise Terminated("stopped by SIGTERM")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def leave(code: int) -> NoReturn:
    """Exit with a code.

    A command that did not end well exits at once: its threads may sit for long in blocks that nobody waits for any
    more. Of one that did, all is done, and a signal that comes while Python puts its things away changes nothing.
    """
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    if code:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def show(as_json: bool, data: Callable[[], Mapping[str, Any]], lines: Callable[[], Sequence[str]]) -> None:
    """Print a result: one JSON object, or lines for a person."""
    put(json.dumps(data(), indent=1) if as_json else "\n".join(lines()))


def put(text: str) -> None:
    """Print on standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print on standard error, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Print a warning."""
    sys.stderr.write(f"warning: {text}\n")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,  # noqa: ARG001 - the signature is Python's
    line: str | None = None,
) -> None:
    """Print what a person should know as a warning in words, and all others as Python does."""
    if issubclass(category, AetxWarning):
        warn(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def tell(error: AetxError, as_json: bool) -> int:
    """Tell an error that the user can put right, and what was finished all the same; return its exit code."""
    done = error.beside()
    if as_json:
        problems = [problem.as_dict() for problem in error.problems]
        told = {"error": {"code": error.code, "heading": error.heading, "problems": problems}}
        put(json.dumps({**(done.as_dict() if done is not None else {}), **told}, indent=1))
    else:
        if done is not None:
            put("\n".join(done.lines()))
            sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
    return error.code


def tell_bug(error: BaseException, as_json: bool) -> int:
    """Tell a mistake of the program, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    words = (
        "This is a mistake in aetx, not in your recipe or data. Please report it with the lines above and the recipe."
    )
    sys.stderr.write(f"{trace}\n{words}\n")
    if as_json:
        text = {"code": BUG, "heading": f"{type(error).__name__}: {error}", "problems": [], "report": words}
        put(json.dumps({"error": text}, indent=1))
    return BUG


def tell_stop(error: KeyboardInterrupt, as_json: bool) -> int:
    """Tell that a signal ended the run; the exit code names the signal."""
    code = int(getattr(error, "code", INTERRUPTED))
    words = f"{str(error) or 'interrupted'}; finished steps are kept, run the same command to go on"
    sys.stderr.write(words + "\n")
    if as_json:
        put(json.dumps({"error": {"code": code, "heading": words, "problems": []}}, indent=1))
    return code


def end(error: BaseException, as_json: bool) -> int:
    """Tell why a command ended, whatever the reason; return its exit code."""
    if isinstance(error, AetxError):
        return tell(error, as_json)
    if isinstance(error, KeyboardInterrupt):
        return tell_stop(error, as_json)
    if isinstance(error, MemoryError) and not str(error):
        fix = "give --memory, or close programs"
        return tell(EnvironmentFault(Problem("this machine", "memory", "no more memory", "free memory", fix)), as_json)
    if isinstance(error, OSError) and error.errno in _MACHINE:
        name, reason = str(error.filename or "unknown path"), error.strerror or type(error).__name__
        wanted = "a working disk and permission"
        return tell(EnvironmentFault(Problem(name, "system", repr(reason), wanted, "mend it and run again")), as_json)
    return tell_usage(error, as_json) or tell_bug(error, as_json)


def tell_usage(error: BaseException, as_json: bool) -> int:
    """Tell of a wrong command line; return 0 where the error is something else."""
    words = getattr(error, "format_message", None)
    if words is None:
        return 0
    option = getattr(getattr(error, "param", None), "opts", None) or getattr(error, "option_name", None)
    field = "/".join(option) if isinstance(option, list) else str(option or "arguments")
    problem = Problem("command line", field, repr(" ".join(sys.argv[1:])), words(), "aetx --help lists what there is")
    if as_json:
        return tell(RecipeError(problem), as_json)
    context = getattr(error, "ctx", None)
    if context is not None:
        sys.stderr.write(context.get_usage() + "\n")
    sys.stderr.write(f"Error: {words()}\n")
    return RecipeError.code
