"""What becomes of each step: fused, stored or exported; made again or found; and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from aetx.core.record import RunRecord
from aetx.errors import InputError
from aetx.model import ATOMS, COLUMNS, FILE, LATTICE, SCORE
from aetx.recipe.plan import Job, Step
from aetx.run.keys import Made, made_by, why
from aetx.store import check_export, check_sizes, manifest, read_note

TABLES = (ATOMS, COLUMNS, LATTICE, SCORE)
"""Kinds that are small: always kept in memory, always stored."""
RECORD = "aetx-run.json"
Place = Literal["store", "fused", "export"]


@dataclass(frozen=True)
class Decision:
    """What becomes of one step."""

    step: Step
    place: Place
    path: Path
    made: Made
    runs: bool
    reason: str

    @property
    def key(self) -> str:
        """The key of the result."""
        return self.made.key


def placed(job: Job) -> dict[str, Place]:
    """Return where the result of each step of a job goes.

    Neighbouring chunkwise steps fuse. A result becomes a store if it is a table, whole or of a neighbourhood; if
    nothing or more than one step follows it; if a step that reads it by neighbourhoods or whole follows; or if the
    recipe keeps or reports it.
    """
    users: dict[str, list[Step]] = {step.name: [] for step in job.steps}
    for step in job.steps:
        for name in {name for names in step.sources.values() for name in names}:
            if name in users:
                users[name].append(step)
    places: dict[str, Place] = {}
    for step in job.steps:
        followers = users[step.name]
        alone = len(followers) == 1 and followers[0].stage.flow == "chunkwise" and followers[0].stage.gives is not FILE
        fuses = step.stage.flow == "chunkwise" and step.stage.gives not in TABLES and alone
        places[step.name] = (
            "export"
            if step.stage.gives is FILE
            else "fused"
            if fuses and not step.keep and step.name not in job.report
            else "store"
        )
    return places


def decide(
    job: Job, folder: Path, input_keys: Mapping[str, str], *, device: str, threads: int, overwrite: bool = False
) -> list[Decision]:
    """Return what becomes of each step of a job, in order, from the keys of its inputs and what the folder holds."""
    keys, fused = dict(input_keys), dict[str, Made]()
    places, before = placed(job), earlier(folder)
    decisions = []
    for step in job.steps:
        made = made_by(step.stage, step.params, step.sources, keys, device, threads)
        within = {name for names in step.sources.values() for name in names} & fused.keys()
        made = made.model_copy(update={"fused": {name: fused[name] for name in sorted(within)}})
        keys[step.name] = made.key
        place = places[step.name]
        path = result_path(folder, step)
        if place == "fused":
            fused[step.name] = made
            user = next(one.name for one in job.steps if step.name in sum(one.sources.values(), ()))
            decisions.append(Decision(step, place, path, made, False, f"part of {user!r}"))
            continue
        if place == "export":
            path = _export_path(folder, step.name) or path
        reason = _reason(step, place, path, made, input_keys, before)
        if overwrite and not reason:
            reason = "asked to compute again"
        decisions.append(Decision(step, place, path, made, bool(reason), reason or "finished before"))
    return decisions


def result_path(folder: Path, step: Step) -> Path:
    """Return where the result of a step goes; of an export, without the suffix that its bytes will tell."""
    if step.stage.gives is FILE:
        return folder / "exports" / step.name
    return folder / "results" / f"{step.name}.zarr"


def earlier(folder: Path) -> RunRecord | None:
    """Return the record of the last run in a folder; None where there is none that can be read."""
    try:
        return RunRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _export_path(folder: Path, name: str) -> Path | None:
    """Return the exported file of a step, by the note beside it."""
    stem = folder / "exports" / name
    if not stem.parent.is_dir():
        return None
    for note in sorted(stem.parent.iterdir()):
        if note.name.startswith(f".{stem.name}") and note.name.endswith(".aetx.json"):
            path = note.with_name(note.name[1 : -len(".aetx.json")])
            found = read_note(path)
            if found is not None and found.record.get("step") == name:
                return path
    return None


def _reason(
    step: Step, place: Place, path: Path, made: Made, inputs: Mapping[str, str], before: RunRecord | None
) -> str:
    """Return why a result has to be made; empty where the one that stands will do."""
    try:
        key, record, damaged = _standing(place, path)
    except InputError:
        return _absent(step.name, before)
    if damaged:
        return "its result is damaged"
    if key == made.key:
        return ""
    try:
        return why(Made.model_validate(record["made"]), made, inputs, step.stage.params) or "another key"
    except (KeyError, ValidationError):
        return "another key"


def _standing(place: Place, path: Path) -> tuple[str, Mapping[str, object], bool]:
    """Return key and record of the result that stands, and whether it is damaged; `InputError` where there is none."""
    if place == "store":
        found = manifest(path)
        return found.key, found.record, bool(check_sizes(path))
    note = read_note(path)
    if note is None:
        raise InputError([], "no export")
    return note.key, note.record, bool(check_export(path, whole=False))


def _absent(name: str, before: RunRecord | None) -> str:
    states = {step.name: step.state for step in before.steps} if before is not None else {}
    state = states.get(name)
    if state in ("running", "failed", "stopped"):
        return {"running": "was killed", "failed": "failed before", "stopped": "was stopped"}[state]
    return "its result was removed" if state in ("computed", "reused") else "never run"
