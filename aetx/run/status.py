"""What a run is doing, or how it ended, told from what it leaves in its output; nothing is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aetx.core.record import RunRecord, StepRecord
from aetx.core.words import seconds as span
from aetx.core.words import short
from aetx.errors import InputError, Problem
from aetx.run.decide import RECORD, earlier
from aetx.run.progress import Note, read_note
from aetx.store import Holder, holder

State = Literal["running", "finished", "failed", "stopped", "died"]
DONE = ("computed", "reused", "fused")
GOES_ON = "the same command goes on from there"


@dataclass(frozen=True)
class StepStatus:
    """One step: its state, and its seconds, so far where it runs; blocks done and in all, 0 where it has none."""

    name: str
    state: str
    seconds: float
    done: int = 0
    blocks: int = 0

    def words(self) -> str:
        """Return what a person reads of it."""
        parts = [f"{self.done} of {self.blocks} blocks"] if self.blocks else []
        if self.state == "running" or self.seconds:
            parts.append(span(self.seconds) + (" so far" if self.state == "running" else ""))
        return ", ".join(parts)


@dataclass(frozen=True)
class JobStatus:
    """One job and its steps; `error` is the line that says what went wrong."""

    name: str
    state: str
    steps: tuple[StepStatus, ...]
    error: str

    @property
    def finished(self) -> int:
        """Number of steps that need not be made again."""
        return sum(step.state in DONE for step in self.steps)

    @property
    def seconds(self) -> float:
        """Seconds that its steps took."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True)
class Status:
    """All jobs of the last run in an output."""

    folder: Path
    state: State
    holder: Holder | None
    started: str
    finished: str
    jobs: tuple[JobStatus, ...]

    @property
    def resumable(self) -> bool:
        """Whether the same command would go on where this run ended."""
        return self.state in ("failed", "stopped", "died")

    def as_dict(self) -> dict[str, object]:
        """Return everything for ``--json``."""
        owner = self.holder and {**asdict(self.holder.owner), "silent_seconds": round(self.holder.silent, 1)}
        told = {"folder": str(self.folder), "state": self.state, "resumable": self.resumable, "owner": owner}
        return {
            "status": {**told, "started": self.started, "finished": self.finished, "jobs": list(map(asdict, self.jobs))}
        }

    def lines(self) -> list[str]:
        """Return what a person reads."""
        lines = self._head()
        if len(self.jobs) == 1:
            lines += _step_lines(self.jobs[0])
        else:
            counts = Counter(job.state for job in self.jobs)
            lines.append(
                f"  {len(self.jobs)} runs: " + ", ".join(f"{number} {state}" for state, number in counts.items())
            )
            width = max(len(job.name) for job in self.jobs)
            begun = [job for job in self.jobs if job.state != "waiting"]
            lines += [f"  {job.name:{width}}  {_job_words(job)}".rstrip() for job in begun]
        return lines

    def _head(self) -> list[str]:
        who = self.holder and f"process {self.holder.owner.pid} on {self.holder.owner.host}"
        if self.state == "running" and self.holder is not None:
            since = span(_seconds(self.holder.owner.since))
            last = f"last sign of life {span(self.holder.silent)} ago"
            return [f"{self.folder}: running for {since}, {who}, {last}"]
        if self.state == "died":
            words = [f"{who}, started {_at(self.holder.owner.since)}"] if self.holder is not None else []
            last = ", ".join([*words, GOES_ON])
            return [f"{self.folder}: ended without a word: killed, or the machine went down", f"  {last}"]
        took = f", took {span(_seconds(self.started, self.finished))}" if self.started and self.finished else ""
        lines = [f"{self.folder}: {self.state} at {_at(self.finished)}{took}"]
        return [*lines, f"  {GOES_ON}"] if self.resumable else lines


def status_of(folder: Path) -> Status:
    """Return what the last run in an output does, or did.

    Raises
    ------
    InputError
        If no run has begun there.
    """
    folder = Path(folder)
    held, note = holder(folder), read_note(folder)
    records = _records(folder, note)
    if not records and held is None:
        wanted = "the output of a run"
        raise InputError(Problem(str(folder), RECORD, "no record of a run", wanted, "name the folder of a run"))
    runs = held is not None and held.lives
    current = note if note is not None and held is not None and note.owner == held.owner.token else None
    begun = held.owner.since if held is not None else ""
    names = note.jobs if note is not None else list(records)
    told = (current, begun) if runs else (None, "")
    jobs = tuple(_job(name, records.get(name), *told, runs=runs) for name in names)
    found = list(filter(None, (records.get(name) for name in names)))
    return Status(
        folder,
        _state(runs, [job.state for job in jobs]),
        held,
        min((one.started for one in found), default=""),
        max((one.finished for one in found), default=""),
        jobs,
    )


def _records(folder: Path, note: Note | None) -> Mapping[str, RunRecord]:
    """Return the records of the jobs in an output, by name; those of the note alone where there is one."""
    if note is not None:
        names = note.jobs
    else:
        names = [one.parent.name for one in sorted(folder.glob(f"*/{RECORD}"))] if folder.is_dir() else []
        names = names if not (folder / RECORD).is_file() else [""]
    found = {name: earlier(folder / name if name else folder) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def _job(name: str, record: RunRecord | None, note: Note | None, begun: str, *, runs: bool) -> JobStatus:
    if record is None or (runs and record.started < begun):
        return JobStatus(name, "waiting", (), "")
    here = note is not None and note.job == name
    steps = tuple(_step(step, note if here else None, runs) for step in record.steps)
    state = "died" if record.status == "running" and not runs else record.status
    return JobStatus(name, state, steps, record.cause)


def _step(step: StepRecord, note: Note | None, runs: bool) -> StepStatus:
    if step.state != "running":
        return StepStatus(step.name, step.state, step.seconds)
    if not runs:
        return StepStatus(step.name, "died", 0.0)
    if note is None or note.step != step.name:
        return StepStatus(step.name, "running", 0.0)
    return StepStatus(step.name, "running", _seconds(note.since), note.done, note.blocks)


def _state(runs: bool, states: list[str]) -> State:
    if runs:
        return "running"
    for state in ("died", "failed", "stopped"):
        if state in states:
            return state
    return "died" if "waiting" in states else "finished"


def _job_words(job: JobStatus) -> str:
    steps = f"{job.finished} of {len(job.steps)} steps" if job.steps else ""
    now = next((f"{step.name} {step.words()}" for step in job.steps if step.state == "running"), "")
    return f"{job.state:9} {steps:14} {short(job.error) or now or (span(job.seconds) if job.seconds else '')}"


def _step_lines(job: JobStatus) -> list[str]:
    width = max((len(step.name) for step in job.steps), default=0)
    lines = [f"  {step.name:{width}}  {step.state:9} {step.words()}".rstrip() for step in job.steps]
    return lines + ([f"  {short(job.error)}"] if job.error else [])


def _at(time: str) -> str:
    """Return a time for a person."""
    try:
        return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M:%S %Z}"
    except ValueError:
        return "an unknown time"


def _seconds(start: str, end: str = "") -> float:
    """Return the seconds between two times, or from a time to now; 0 where one cannot be read."""
    try:
        last = datetime.fromisoformat(end) if end else datetime.now(UTC)
        return max(0.0, (last - datetime.fromisoformat(start)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
