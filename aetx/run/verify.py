"""Check everything that a run left: its stores, its exports, and the inputs that it read."""

from __future__ import annotations

from pathlib import Path

from aetx.errors import InputError, Problem
from aetx.run.decide import RECORD, earlier
from aetx.store import check_export, disk, verify


def verify_output(folder: Path, inputs: bool = True) -> list[Problem]:
    """Return everything in an output, or in one store, that is not what was written or read; reads every byte.

    Raises
    ------
    InputError
        If there is neither an output nor a store.
    """
    folder = Path(folder)
    if folder.name.endswith(".zarr"):
        return verify(folder)
    records = sorted(folder.rglob(RECORD)) if folder.is_dir() else []
    if not records:
        wanted = "an output of aetx, or a store"
        raise InputError(Problem(str(folder), RECORD, "no record of a run", wanted, "name the folder of a run"))
    return [problem for record in records for problem in _verify_job(record.parent, inputs)]


def _verify_job(folder: Path, inputs: bool) -> list[Problem]:
    record = earlier(folder)
    if record is None:
        return [Problem(str(folder / RECORD), "record", "text that is no record", "a record", "run the recipe again")]
    problems = []
    for step in record.steps:
        if step.state in ("computed", "reused") and step.store:
            path = folder / step.store
            problems += check_export(path) if step.store in record.exports else verify(path)
    for one in record.inputs if inputs else ():
        for file in one.files:
            problems += _verify_input(one.name, Path(file.path), file.bytes, file.sha256)
    return problems


def _verify_input(name: str, path: Path, size: int, digest: str) -> list[Problem]:
    if not path.is_file():
        found = "nothing"
    elif path.stat().st_size != size:
        found = f"{path.stat().st_size} bytes"
    elif disk.sha256(path) != digest:
        found = "other bytes"
    else:
        return []
    return [Problem(str(path), f"inputs.{name}", found, f"{size} bytes, as the run read them", "run the recipe again")]
