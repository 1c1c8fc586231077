"""Every bad input there is, put to the command line: refused in words, soon, in little memory, nothing touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.inputs import containers, images, recipes, stores, tables, weights
from tests.faults.inputs.base import RUN, Case
from tests.faults.server import COMMAND, Answer, Server

TABLES = (recipes, images, containers, tables, stores, weights)
CASES: dict[str, Case] = {name: case for table in TABLES for name, case in table.TABLE.cases.items()}
BUG = 70
PARTS = ("file", "field", "found", "wanted", "fix")


@dataclass(frozen=True)
class Outcome:
    """What one bad input led to, and everything in which that was not what it must be."""

    case: Case
    answer: Answer
    wrong: tuple[str, ...]


def judge(case: Case, server: Server, folder: Path, function: str = COMMAND) -> Outcome:
    """Make a bad input in an empty folder and put it to the command line, or to another function."""
    arguments = tuple(case.make(folder) or RUN)
    before = digest(folder)
    answer = server.ask(arguments, folder, function=function, seconds=case.seconds)
    return Outcome(case, answer, tuple(_faults(case, answer, before, folder)))


def _faults(case: Case, answer: Answer, before: str, folder: Path) -> Iterator[str]:
    if answer.code < 0:
        yield f"killed by signal {-answer.code} after {answer.seconds:.1f} s"
    elif answer.code != case.code:
        told = "; ".join(f"{one['field']}: {one['found']}" for one in answer.problems)
        yield f"exit code {answer.code}, wanted {case.code}: {told or (answer.err or answer.out)[-300:]}"
    if "Traceback" in answer.out + answer.err:
        yield "a traceback"
    if answer.code == BUG:
        yield "told as a mistake in aetx"
    if answer.grown > case.limit:
        yield f"took {answer.grown / 1e6:.0f} MB"
    if list(folder.rglob("CANARY")):
        yield "it ran code"
    said = answer.out + answer.err
    if case.code:
        problems = answer.problems
        if not problems:
            yield "no problem was told as JSON"
        yield from (f"a problem without {part}" for one in problems for part in PARTS if not one.get(part))
        if digest(folder) != before and not case.started:
            yield "something was written or changed"
        said = " ".join(str(one[part]) for one in problems for part in PARTS)
    yield from (f"nothing of {word!r} in: {said[:300]}" for word in case.words if word not in said)


def digest(folder: Path) -> str:
    """Return one digest of the names, kinds and bytes of everything in a folder."""
    made = hashlib.sha256()
    for base, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(base, name)
            made.update(f"{path.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
            if path.is_symlink():
                made.update(os.fsencode(os.readlink(path)))  # noqa: PTH115 - a link may hold any bytes
            elif path.is_file():
                made.update(path.read_bytes() if os.access(path, os.R_OK) else b"?")
    return made.hexdigest()


def judge_all(cases: Iterable[Case], folder: Path) -> Iterator[Outcome]:
    """Judge cases one after the other, each in a folder of its own."""
    with Server() as server:
        for number, case in enumerate(cases):
            place = folder / f"case-{number}"
            place.mkdir()
            yield judge(case, server, place)
