"""Run a whole plan: claim the output, hold its lock, run every job, leave a record of each and a summary of all."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import xarray as xr
from rich.console import Console

from aetx.core.record import RunRecord, StepRecord
from aetx.core.registry import Registry
from aetx.core.words import seconds as span
from aetx.core.words import short
from aetx.errors import AetxError, EnvironmentFault, Problem, caught
from aetx.recipe.plan import Job, Plan
from aetx.run.code_cache import refuse_open_cache
from aetx.run.inputs import Opener, check_declared, open_declared
from aetx.run.job import JobRun, Reporter
from aetx.run.outlook import refuse_memory, sizes_of
from aetx.run.progress import Note, Progress
from aetx.run.scheduler import Crew, computing
from aetx.run.settings import RunSettings, settle
from aetx.run.stop import Stopped, stopping
from aetx.run.watch import give_back
from aetx.store import SCRATCH, Lock, claim_output, refuse_output, sweep, sweep_parts


class Records(list[RunRecord]):
    """The records of all jobs of a run."""

    def as_dict(self) -> dict[str, object]:
        """Return them for ``--json``."""
        return {"run": [record.model_dump(mode="json", exclude={"recipe"}) for record in self]}

    def lines(self) -> list[str]:
        """Return what a person reads on the terminal at the end: of one run its steps, of many a line for each."""
        if len(self) > 1:
            return _summary(self)
        lines = []
        for record in self:
            lines += [f"{record.name}: {record.status}"] if record.name else []
            lines += [f"  {_line(step)}" for step in record.steps]
            lines += [f"  warning: {step.name}: {text}" for step in record.steps for text in step.warnings]
            folder = Path(record.settings["output"]) / record.name
            if (folder / "report.html").is_file():
                lines.append(f"report: {folder / 'report.html'}")
        return lines


def _summary(records: Records) -> list[str]:
    counts = Counter(record.status for record in records)
    lines = [f"{len(records)} runs: " + ", ".join(f"{number} {status}" for status, number in counts.items())]
    width = max(len(record.name) for record in records)
    for record in records:
        warned = sum(len(step.warnings) for step in record.steps)
        spent = span(sum(step.seconds for step in record.steps))
        words = short(record.cause) or spent + (f", {warned} warnings" if warned else "")
        lines.append(f"  {record.name:{width}}  {record.status:9} {words}")
    return [*lines, f"summary: {Path(records[0].settings['output']) / 'summary.html'}"]


def _line(step: StepRecord) -> str:
    words = f"{step.name:24} {step.state:9}"
    if step.state == "computed":
        return f"{words} {step.seconds:8.1f} s {step.peak_bytes / 1e6:8.0f} MB  {step.reason}"
    return f"{words} {'':22} {step.reason}"


class JobsError(AetxError):
    """Some jobs of a plan failed; the others stand. `records` are those of all jobs, `code` is the first failure's."""

    def __init__(self, problems: list[Problem], heading: str, records: Records, code: int) -> None:
        super().__init__(problems, heading)
        self.records, self.code = records, code

    def beside(self) -> Records:
        """Return the records of all jobs: what was finished is told, too."""
        return self.records


def report(record: RunRecord, results: Mapping[str, xr.Dataset], folder: Path, registry: Registry) -> Path:
    """Write the report of a run."""
    from aetx.report import write_report

    return write_report(record, results, folder, registry)


def run_plan(
    plan: Plan,
    *,
    output: Path | None = None,
    memory: int | None = None,
    scheduler: str | None = None,
    device: str | None = None,
    trusted: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    quiet: bool = False,
    reporter: Reporter | None = report,
    opener: Opener = open_declared,
) -> Records:
    """Run every job of a plan and return their records; results that stand already are found, not made again.

    Parameters
    ----------
    plan
        A checked recipe.
    output
        Folder of the results; the plan's if not given. So are `memory` (bytes, 0 for no limit), `scheduler`, `device`.
    trusted
        A cluster may be reached over a network without encryption.
    overwrite
        Make every result again, and replace exports that were changed by hand.
    command
        The words of the command line, for the record.
    quiet
        Show no progress; it is shown on standard error, and only if that is a terminal.
    reporter
        Writes the report of each job; None for none.
    opener
        Opens each input.

    Raises
    ------
    RecipeError
        If the output may not be used.
    InputError
        If an input is not what it should be.
    EnvironmentFault
        If disk, memory, device or cluster are in the way.
    BusyError
        If another run writes to this output.
    JobsError
        If some of several jobs failed. A single job raises its own error.
    Stopped
        If a signal came: `code` is the exit status.
    """
    settings = settle(plan, output=output, memory=memory, scheduler=scheduler, device=device, trusted=trusted)
    paths = [path for job in plan.jobs for one in job.inputs for path in one.paths]
    refuse_output(settings.output, paths)
    _refuse_device(settings.device)
    refuse_open_cache()
    if settings.memory:
        give_back()
    notes: dict[str, dict[str, list[str]]] = {job.name: {} for job in plan.jobs}
    ready = {job.name: _open(plan, job, settings, opener, notes[job.name]) for job in plan.jobs}
    refused = [error for error in ready.values() if isinstance(error, AetxError)]
    if len(refused) == len(plan.jobs) and refused:
        raise refused[0] if len(refused) == 1 else _all_of(refused)
    claim_output(settings.output, paths)
    with Lock(settings.output) as lock, _progress(plan, settings.output, lock, quiet) as progress:
        sweep(settings.output / SCRATCH)
        for folder in {settings.output, *(settings.folder(job) for job in plan.jobs)}:
            sweep_parts(folder)
        runs = [
            JobRun(
                plan,
                job,
                settings,
                _or_none(ready[job.name]),
                progress,
                overwrite,
                tuple(command),
                reporter,
                notes[job.name],
            )
            for job in plan.jobs
        ]
        return _run_all(runs, {name: one for name, one in ready.items() if isinstance(one, AetxError)}, settings)


def _progress(plan: Plan, output: Path, lock: Lock, quiet: bool) -> Progress:
    note = Note(owner=lock.owner.token, jobs=[job.name for job in plan.jobs])
    return Progress(None if quiet else Console(stderr=True), output, note)


def _run_all(runs: list[JobRun], refused: Mapping[str, AetxError], settings: RunSettings) -> Records:
    errors: dict[str, Exception] = dict(refused)
    current: list[JobRun] = []

    def last_words(number: int) -> None:
        for one in current:
            one.end("stopped", f"stopped by signal {number}")

    with stopping(last_words), _computing(settings, runs[0].progress) as crew:
        for one in runs:
            current[:], one.crew = [one], crew
            if one.job.name in refused:
                one.refuse(refused[one.job.name])
                continue
            try:
                one.run()
            except Stopped:
                raise
            except Exception as error:
                if len(runs) == 1:
                    raise
                errors[one.job.name] = error
        current.clear()
    records = Records(one.record for one in runs)
    if len(runs) > 1:
        from aetx.report import write_summary

        write_summary(records, settings.output)
    if errors:
        raise _failed(errors, records)
    return records


def _computing(settings: RunSettings, progress: Progress) -> AbstractContextManager[Crew]:
    return computing(
        settings.scheduler,
        settings.threads,
        settings.memory,
        patience=settings.worker_timeout,
        slurm=settings.slurm,
        trusted=settings.trusted,
        scratch=settings.output / SCRATCH,
        told=progress.blocks,
    )


def _failed(errors: Mapping[str, Exception], records: Records) -> JobsError:
    problems: list[Problem] = []
    for name, error in errors.items():
        if isinstance(error, AetxError):
            problems += error.problems
        else:
            record = next(one for one in records if one.name == name)
            problems.append(
                Problem(name, "run", repr(error), "no error", f"the traceback is in its record: {record.name}")
            )
    code = max(error.code if isinstance(error, AetxError) else AetxError.code for error in errors.values())
    names = ", ".join(repr(name) for name in errors)
    return JobsError(problems, f"{len(errors)} of {len(records)} runs failed: {names}; the others stand", records, code)


def _all_of(errors: list[AetxError]) -> AetxError:
    problems = [problem for error in errors for problem in error.problems]
    return type(errors[0])(problems, "no run of this recipe can start")


def _open(
    plan: Plan, job: Job, settings: RunSettings, opener: Opener, notes: dict[str, list[str]]
) -> dict[str, xr.Dataset] | AetxError:
    """Open and check every input of a job and see that its steps fit the memory; return what is wrong instead."""
    datasets, errors = dict[str, xr.Dataset](), list[AetxError]()
    for one in job.inputs:
        try:
            with _heard(notes.setdefault(one.name, [])):
                datasets[one.name] = opener(one, plan.registry)
                check_declared(datasets[one.name], one)
            one.kind.check(datasets[one.name], str(one.paths[0]) if one.paths else one.name)
        except AetxError as error:
            errors.append(error)
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        return type(errors[0])(problems, errors[0].heading)
    problems = refuse_memory(job, {name: sizes_of(one) for name, one in datasets.items()}, settings.memory)
    return EnvironmentFault(problems, "the run does not fit the memory") if problems else datasets


@contextlib.contextmanager
def _heard(notes: list[str]) -> Iterator[None]:
    """Note what an input warns of, and pass it on."""
    with caught() as heard:
        yield
    notes += [str(one.message) for one in heard]
    for one in heard:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _or_none(ready: dict[str, xr.Dataset] | AetxError) -> dict[str, xr.Dataset]:
    return {} if isinstance(ready, AetxError) else ready


def _refuse_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = device.partition(":")[2]
    with contextlib.suppress(ValueError):
        if device.startswith("cuda") and int(number or 0) < count:
            return
    found = f"{count} CUDA device{'s' * (count != 1)}"
    raise EnvironmentFault(Problem("run", "device", found, f"{device!r}", "use --device cpu, or install a GPU build"))
