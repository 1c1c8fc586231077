"""Progress on a terminal: the steps of a job and the blocks of the step that runs; silent anywhere else."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Two bars, shown while the ``with`` block runs."""

    def __init__(self, console: Console | None) -> None:
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
        self._steps = self._bars.add_task(name or "steps", total=steps)
        self._blocks = self._bars.add_task("", total=None, visible=False)

    def step(self, name: str) -> None:
        """Begin a step."""
        self._bars.update(self._blocks, description=f"  {name}", completed=0, total=None, visible=True)

    def done(self) -> None:
        """End a step."""
        self._bars.advance(self._steps)
        self._bars.update(self._blocks, visible=False)

    def blocks(self, done: int, total: int) -> None:
        """Say how many blocks of the step are done."""
        self._bars.update(self._blocks, completed=done, total=total)
