"""One job: its inputs hashed, its steps decided and executed in order, its record kept at every moment."""

from __future__ import annotations

import contextlib
import json
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from aetx.core.params import Params
from aetx.core.record import RunRecord, StepRecord
from aetx.core.registry import Registry
from aetx.core.stage import Flow
from aetx.errors import AetxError, EnvironmentFault, caught
from aetx.model import VOLUME, kind_of
from aetx.recipe.plan import Job, Plan
from aetx.run.decide import RECORD, TABLES, Decision, decide, earlier
from aetx.run.inputs import Opened, hash_input
from aetx.run.keys import machine, versions
from aetx.run.outlook import expect, refuse_disk, share
from aetx.run.progress import Progress
from aetx.run.scheduler import Crew
from aetx.run.settings import RunSettings
from aetx.run.stop import Stopped
from aetx.run.threads import library_threads
from aetx.run.watch import Cost, costs, give_back, resident
from aetx.store import SCRATCH, damage_in_words, disk, open_store, write, write_atomically, write_export
from aetx.store.layout import IMAGE_AXES

Reporter = Callable[[RunRecord, Mapping[str, xr.Dataset], Path, Registry], Path]
SMALL = 2**26
"""Bytes up to which a volume from a file is read into memory for a step that reads it by neighbourhoods."""
ASSUMED = 2
"""Blocks in flight that stages count on when they divide their memory."""
BLOCK = 128
"""Edge of the blocks in which a chunkwise stage that names no layout is handed a volume."""


@dataclass
class JobRun:
    """The state of one job while it runs."""

    plan: Plan
    job: Job
    settings: RunSettings
    datasets: dict[str, xr.Dataset]
    progress: Progress
    overwrite: bool
    command: tuple[str, ...]
    reporter: Reporter | None
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What opening each input warned of."""
    crew: Crew = field(default_factory=Crew)
    """Who computes."""
    record: RunRecord = field(init=False)
    opened: dict[str, Opened] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)
    """Volumes from files, copied into chunks for the steps that read neighbourhoods."""
    held: int = 0
    """Bytes that the program held when memory was forecast."""

    def __post_init__(self) -> None:
        self.folder = self.settings.folder(self.job)
        self.scratch = self.settings.output / SCRATCH
        self.record = RunRecord(
            title=self.plan.title,
            name=self.job.name,
            status="running",
            started=_now(),
            recipe=self.plan.text,
            recipe_path=str(self.plan.path),
            recipe_sha256=self.plan.sha256,
            command=list(self.command),
            variables={name: str(value) for name, value in self.job.variables.items()},
            report=list(self.job.report),
            versions=dict(versions()),
            machine=machine(),
            settings=self.settings.as_dict(),
            steps=[
                StepRecord(
                    name=step.name,
                    stage=step.stage.name,
                    version=step.stage.version,
                    sources={take: list(names) for take, names in step.sources.items()},
                    params=_plain(step.params),
                )
                for step in self.job.steps
            ],
        )

    def run(self) -> RunRecord:
        """Execute the job; whatever happens, the record in its folder says so.

        Raises
        ------
        AetxError
            If something is in the way that the user can put right.
        Stopped
            If a signal came.
        """
        try:
            with damage_in_words(self._read):
                self._execute()
        except Stopped as error:
            self.end("stopped", str(error))
            raise
        except BaseException as error:
            self.refuse(error)
            raise
        finally:
            for copy in self.copies.values():
                disk.discard(copy)
        return self.record

    def end(self, status: Literal["failed", "stopped"], error: str = "") -> None:
        """Write down how the job ended."""
        for step in self.record.steps:
            if step.state == "running":
                step.state = status
        self.record.status = status
        self.record.error, self.record.finished = error, _now()
        self.save()

    def refuse(self, error: BaseException) -> None:
        """Write down why the job failed, or could not start, and report what there is."""
        with contextlib.suppress(EnvironmentFault):  # on a full disk the first error is the one to tell
            self.end("failed", told(error))
            self._report_failure(error)

    def save(self) -> None:
        """Write the record as it now is."""
        text = self.record.model_dump_json(indent=1)
        write_atomically(self.folder / RECORD, text.encode(), self.scratch)

    def _execute(self) -> None:
        self.progress.job(self.job.name, len(self.job.steps))
        for one in self.job.inputs:
            self.opened[one.name] = hash_input(one, self.datasets[one.name])
            record = self.opened[one.name].record
            if self.notes.get(one.name):
                record.facts["note"] = "; ".join(self.notes[one.name])
            self.record.inputs.append(record)
        keys = {name: one.key for name, one in self.opened.items()}
        device, threads = self.settings.device, self.settings.threads
        before = earlier(self.folder)
        decisions = decide(self.job, self.folder, keys, device=device, threads=threads, overwrite=self.overwrite)
        expected, self.held = expect(decisions, self.datasets), resident()
        refuse_disk(expected, self.settings.output)
        for step, decision, told in zip(self.record.steps, decisions, expected, strict=True):
            step.key, step.reason, step.forecast_bytes = decision.key, decision.reason, told.memory
            step.warnings = [] if decision.runs or before is None else before.warnings_of(decision.key)
        self.save()
        for step, decision in zip(self.record.steps, decisions, strict=True):
            self._step(step, decision)
            self.progress.done()
        self._unchanged()
        self.record.status, self.record.finished = "finished", _now()
        self._report()
        self.save()

    def _report(self) -> None:
        if self.reporter is not None:
            self.reporter(self.record, self._results(), self.folder, self.plan.registry)

    def _report_failure(self, error: BaseException) -> None:
        """Write the report of a failed run; if that fails too, say so beside the error that matters."""
        try:
            self._report()
        except Exception as another:  # noqa: BLE001 - noted on the first error, which is raised
            error.add_note(f"the report could not be written: {another!r}")

    def _step(self, step: StepRecord, decision: Decision) -> None:
        self.decisions[step.name] = decision
        if decision.place == "fused":
            step.state = "fused"
            return
        path = decision.path
        if decision.runs:
            step.state = "running"
            self.save()
            self.progress.step(step.name)
            step.forecast_bytes += max(0, resident() - self.held)  # what steps before this one left in the program
            if self.settings.memory:
                give_back()
            with _warned(step), _charged(step, self.settings.scheduler == "local"):
                path = self._compute(decision)
        step.state = "computed" if decision.runs else "reused"
        step.store = path.relative_to(self.folder).as_posix()
        if decision.place == "export":
            self.record.exports.append(step.store)
        self.save()

    def _compute(self, decision: Decision) -> Path:
        """Make a result and publish it; return where it is."""
        record = {"step": decision.step.name, "job": self.job.name, "made": decision.made.model_dump(mode="json")}
        alone = decision.step.stage.flow == "whole"
        try:
            with library_threads(self.settings.threads if alone else 1), self._in_words(decision):
                made = self._call(decision)
            with library_threads(1), self._in_words(decision):
                if decision.place == "export":
                    return self._export(decision, made, record)
                write(
                    made,
                    decision.path,
                    key=decision.key,
                    record=record,
                    scratch=self.scratch,
                    blocks=self.progress.blocks,
                    before=self._unchanged,
                )
        except Exception as error:
            error.add_note(f"in step {decision.step.name!r}" + (f" of {self.job.name!r}" if self.job.name else ""))
            raise
        return decision.path

    def _in_words(self, decision: Decision) -> contextlib.AbstractContextManager[None]:
        return self.crew.in_words(decision.step.name, self.settings.memory)

    def _export(self, decision: Decision, made: xr.Dataset, record: Mapping[str, Any]) -> Path:
        suffix, path = str(made.attrs.get("suffix", "")), self.folder / "exports" / decision.step.name
        if not path.name.endswith(suffix):
            path = path.with_name(path.name + suffix)
        write_export(
            made,
            path,
            key=decision.key,
            record=record,
            scratch=self.scratch,
            overwrite=self.overwrite,
            before=self._unchanged,
        )
        return path

    def _call(self, decision: Decision) -> xr.Dataset:
        """Call the stage of a step on what came before; of chunkwise steps this builds a graph and computes nothing."""
        stage = decision.step.stage
        given: dict[str, Any] = {}
        for take, names in decision.step.sources.items():
            datasets = tuple(self._laid_out(self._dataset(name, stage.flow), decision) for name in names)
            given[take] = datasets if stage.takes[take].form == "many" else datasets[0]
        allowed = share(self.settings.memory)
        if allowed is not None and self.settings.threads > ASSUMED:
            allowed = allowed * ASSUMED // self.settings.threads
        return stage(**given, params=decision.step.params, device=self.settings.device, memory=allowed)

    def _dataset(self, name: str, flow: Flow) -> xr.Dataset:
        """Return an input, a result, or the graph of a step that fuses into the one that asks."""
        if name in self.opened:
            found = self.opened[name].dataset
            blockwise = flow == "chunkwise" or not found.chunks or kind_of(found) is not VOLUME
            return found if blockwise else self._at_hand(name, found)
        decision = self.decisions[name]
        return self._call(decision) if decision.place == "fused" else open_store(decision.path)

    def _at_hand(self, name: str, volume: xr.Dataset) -> xr.Dataset:
        """Return a volume from a file whose neighbourhoods are cheap to read: in memory if small, else in chunks."""
        if volume.nbytes <= SMALL:
            return volume.compute()
        if name not in self.copies:
            path = self.scratch / disk.litter_name(f"{name.replace('/', '-')}.zarr")
            write(volume, path, key=self.opened[name].key, record={}, scratch=self.scratch, blocks=self.progress.blocks)
            self.copies[name] = path
        return open_store(self.copies[name])

    def _laid_out(self, dataset: xr.Dataset, decision: Decision) -> xr.Dataset:
        """Return tables in memory; grids in blocks for a chunkwise step, as they are stored for the others."""
        if kind_of(dataset) in TABLES:
            return dataset.load()
        if decision.step.stage.flow != "chunkwise" or dataset.chunks:
            return dataset
        declared = decision.step.stage.chunks
        usual = {
            axis: 1 if axis in IMAGE_AXES else BLOCK if axis == "z" or "z" in dataset.dims else -1
            for axis in dataset.dims
        }
        return dataset.chunk({axis: declared.get(str(axis), size) for axis, size in usual.items()})

    def _unchanged(self) -> None:
        for one in self.opened.values():
            one.check_unchanged()

    def _results(self) -> dict[str, xr.Dataset]:
        """Return everything that can be looked at: inputs and results, opened lazily."""
        stored = {name: open_store(path) for name, path in self._finished().items()}
        return {name: one.dataset for name, one in self.opened.items()} | stored

    def _finished(self) -> dict[str, Path]:
        done = {step.name for step in self.record.steps if step.state in ("computed", "reused")}
        return {name: one.path for name, one in self.decisions.items() if one.place == "store" and name in done}

    def _read(self) -> list[Path]:
        """Return the finished stores that may have been read."""
        return list(self._finished().values())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(params: Params) -> dict[str, Any]:
    """Return parameters as a record has them: scalars and short lists; anything deeper as JSON text."""

    def flat(value: Any) -> Any:
        if isinstance(value, list) and len({type(one) for one in value}) <= 1 and not _deep(value):
            return value
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

    return {name: flat(value) for name, value in params.model_dump(mode="json").items()}


def _deep(values: list[Any]) -> bool:
    return any(isinstance(one, list | dict | bool) or one is None for one in values)


def told(error: BaseException) -> str:
    """Return an error for a record: the user's errors in their words, anything else with its traceback."""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, AetxError):
        return f"{error}{notes}"
    return "".join(traceback.format_exception(error))


@contextlib.contextmanager
def _warned(step: StepRecord) -> Iterator[None]:
    """Keep what a step warns its user of; every other warning goes on its way."""
    heard: list[warnings.WarningMessage] = []
    try:
        with caught() as heard:
            yield
    finally:
        step.warnings = list(dict.fromkeys(str(one.message) for one in heard))


@contextlib.contextmanager
def _charged(step: StepRecord, workers: bool) -> Iterator[None]:
    """Write down what a step costs, also where it fails."""
    cost = Cost()
    try:
        with costs(workers, cost):
            yield
    finally:
        step.seconds, step.cpu_seconds, step.peak_bytes = cost.seconds, cost.cpu_seconds, cost.peak_bytes
