"""Good files changed at random, thousands of them: read, or refused in words; no crash, no hang, no traceback."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.inputs.good import GOOD
from tests.faults.server import Server

READ = "tests.faults.reading:read_mutants"
BATCH = 50


@dataclass(frozen=True)
class Herd:
    """What became of the mutants of one good file."""

    name: str
    read: int
    refused: int
    faults: tuple[str, ...]


def mutate(name: str, count: int, folder: Path, server: Server, seed: int = 0, read: str = READ) -> Herd:
    """Read so many mutants of a good file, `BATCH` of them in one child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GOOD[name](folder)
    readable = refused = 0
    faults: list[str] = []
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        arguments = [str(folder), str(seed + start), str(size)]
        answer = server.ask(arguments, folder, function=read, seconds=120)
        faults += [line for line in answer.out.splitlines() if line.startswith("FAULT")]
        told = re.search(r"^TALLY (\d+) (\d+)$", answer.out, re.MULTILINE)
        if told is None:
            last = [line for line in answer.out.splitlines() if line.startswith("at ")][-1:]
            faults.append(f"FAULT seed {seed + start}, {last}: ended with {answer.code}: {answer.err[-500:]}")
            GOOD[name](_emptied(folder))
        else:
            readable, refused = readable + int(told[1]), refused + int(told[2])
    return Herd(name, readable, refused, tuple(faults))


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def mutate_all(names: Sequence[str], count: int, folder: Path, seed: int = 0) -> Iterator[Herd]:
    """Read mutants of many good files."""
    with Server() as server:
        for number, name in enumerate(names):
            place = folder / str(number)
            place.mkdir()
            yield mutate(name, count, place, server, seed)
