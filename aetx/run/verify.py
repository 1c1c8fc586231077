"""Check everything that a run left: its stores, its exports, and the inputs that it read."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from aetx.core.record import RunRecord
from aetx.core.words import seconds as span
from aetx.core.words import size
from aetx.errors import InputError, Problem
from aetx.run.decide import RECORD, earlier
from aetx.run.progress import reading
from aetx.store import MARKER, Expected, Known, expected_export, expected_files, read_again
from aetx.store.checking import KNOWN


class Verified(list[Problem]):
    """Everything that is not what was written or read, and what was read to know it."""

    def __init__(self, problems: Iterable[Problem], folder: Path, files: int, known: int, read: int, seconds: float):
        super().__init__(problems)
        self.folder, self.files, self.known, self.bytes, self.seconds = folder, files, known, read, seconds

    def as_dict(self) -> dict[str, object]:
        """Return what was found for ``--json``."""
        told = {"path": str(self.folder), "sound": not self, "files": self.files, "unchanged": self.known}
        return {"verify": {**told, "bytes": self.bytes, "seconds": round(self.seconds, 3)}}

    def lines(self) -> list[str]:
        """Return what a person reads where all is well."""
        lines = [f"{self.folder} is as it was written: {self.files} files"]
        if self.files > self.known:
            speed = size(int(self.bytes / max(self.seconds, 1e-3)))
            lines.append(f"  {self.files - self.known} read: {size(self.bytes)} in {span(self.seconds)}, {speed}/s")
        if self.known:
            lines.append(f"  {self.known} not touched since they were read before; --all reads them again")
        return lines


def verify_output(folder: Path, inputs: bool = True, again: bool = True, quiet: bool = True) -> Verified:
    """Return everything in an output, or in one store, that is not what was written or read.

    Parameters
    ----------
    folder
        The folder of a run, or a store.
    inputs
        Check the files that the run read, too.
    again
        Read every byte. Otherwise files are passed over that an earlier check in this output read and found right,
        and whose inode, size and times are what they were.
    quiet
        Show no progress; it is shown on standard error, and only if that is a terminal.

    Raises
    ------
    InputError
        If there is neither an output nor a store.
    """
    folder = Path(folder)
    problems, expected = _expected(folder, inputs)
    start = time.perf_counter()
    with Known(_memory(folder), forget=again) as known, reading(quiet) as told:
        done = read_again(expected, known, told)
    seconds = time.perf_counter() - start
    problems += done.problems
    return Verified(problems, folder, done.files, done.known, done.bytes, seconds)


def _memory(folder: Path) -> Path | None:
    """Return the file that remembers what was read, in the output that a folder is or lies in."""
    here = folder.absolute()
    output = next((one for one in (here, *here.parents) if (one / MARKER).is_file()), None)
    return None if output is None else output / KNOWN


def _expected(folder: Path, inputs: bool) -> tuple[list[Problem], list[Expected]]:
    if folder.name.endswith(".zarr"):
        return expected_files(folder)
    records = sorted(folder.rglob(RECORD)) if folder.is_dir() else []
    if not records:
        wanted = "an output of aetx, or a store"
        raise InputError(Problem(str(folder), RECORD, "no record of a run", wanted, "name the folder of a run"))
    problems: list[Problem] = []
    expected: list[Expected] = []
    for path in records:
        record = earlier(path.parent)
        if record is None:
            problems.append(Problem(str(path), "record", "text that is no record", "a record", "run the recipe again"))
            continue
        wrong, files = _of_job(path.parent, record, inputs)
        problems += wrong
        expected += files
    return problems, expected


def _of_job(folder: Path, record: RunRecord, inputs: bool) -> tuple[list[Problem], list[Expected]]:
    problems: list[Problem] = []
    expected: list[Expected] = []
    for step in record.steps:
        if step.state not in ("computed", "reused") or not step.store:
            continue
        path = folder / step.store
        if step.store in record.exports:
            one = expected_export(path)
            expected += [one] if one is not None else []
            if one is None:
                wanted, fix = "the note beside it of what made it", "remove it and run the recipe again"
                problems.append(Problem(str(path), "export", "no note", wanted, fix))
            continue
        wrong, files = expected_files(path)
        problems += wrong
        expected += files
    for read in record.inputs if inputs else ():
        expected += [
            Expected(
                Path(file.path),
                ((file.bytes, file.sha256),),
                file.path,
                f"inputs.{read.name}",
                "run the recipe again",
                f"{file.bytes} bytes, as the run read them",
            )
            for file in read.files
        ]
    return problems, expected
