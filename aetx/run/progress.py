"""How far a run is: bars on a terminal, and a note in the output that other processes can read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from aetx.errors import EnvironmentFault
from aetx.store import SCRATCH, disk

NOTE = ".aetx-progress.json"
PERIOD = 2.0
"""Seconds between two notes of the blocks that are done."""


class Note(BaseModel):
    """What a run leaves for `aetx status` while it works: where it is, and what is to come.

    `owner` is the token of the lock that the run holds; `jobs` are the names of all its jobs, in order.
    """

    model_config = ConfigDict(extra="ignore")

    owner: str
    jobs: list[str]
    job: str = ""
    step: str = ""
    since: str = ""
    done: int = 0
    blocks: int = 0


def read_note(folder: Path) -> Note | None:
    """Return the last note of the runs in an output; None where there is none that can be read."""
    try:
        return Note.model_validate_json((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


class Progress:
    """The steps of a job and the blocks of a step: two bars on a terminal, and a note in the output.

    Parameters
    ----------
    console
        Where the bars are shown while the ``with`` block runs, if that is a terminal.
    folder
        The output, in which the note is kept; None for none.
    note
        What it says at first.
    """

    def __init__(self, console: Console | None, folder: Path | None = None, note: Note | None = None) -> None:
        shown = console is not None and console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._folder, self._note, self._written = folder, note, 0.0

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def job(self, name: str, steps: int) -> None:
        """Begin a job of so many steps."""
        for task in list(self._bars.task_ids):
            self._bars.remove_task(task)
        jobs = self._note.jobs if self._note is not None else []
        place = f" ({jobs.index(name) + 1} of {len(jobs)})" if len(jobs) > 1 else ""
        self._steps = self._bars.add_task(f"{name or 'steps'}{place}", total=steps)
        self._blocks = self._bars.add_task("", total=None, visible=False)
        self._say(job=name, step="", since="", done=0, blocks=0)

    def step(self, name: str) -> None:
        """Begin a step."""
        self._bars.update(self._blocks, description=f"  {name}", completed=0, total=None, visible=True)
        self._say(step=name, since=datetime.now(UTC).isoformat(timespec="seconds"), done=0, blocks=0)

    def done(self) -> None:
        """End a step."""
        self._bars.advance(self._steps)
        self._bars.update(self._blocks, visible=False)

    def blocks(self, done: int, total: int) -> None:
        """Say how many blocks of the step are done."""
        self._bars.update(self._blocks, completed=done, total=total)
        if time.monotonic() - self._written > PERIOD:
            self._say(done=done, blocks=total)

    def _say(self, **changed: object) -> None:
        """Write the note; a run does not fail for want of it."""
        if self._note is None or self._folder is None:
            return
        self._note = self._note.model_copy(update=changed)
        self._written = time.monotonic()
        with contextlib.suppress(OSError, EnvironmentFault):
            text = self._note.model_dump_json().encode()
            disk.write_atomically(self._folder / NOTE, text, self._folder / SCRATCH, durable=False)


@contextlib.contextmanager
def reading(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show how many bytes of how many are read, on standard error if that is a terminal; yield who is to be told."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
