"""Read the inputs of a recipe as a run does, in the fork server's child; files changed at random, many in one child."""

from __future__ import annotations

import signal
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

import numpy as np

from aetx.errors import AetxError, AetxWarning

SECONDS = 10


class TooLong(BaseException):
    """A file took longer than any file may."""


def read(folder: str) -> int:
    """Load the recipe of a folder, and open, check and read every input; return its exit code."""
    from aetx.recipe import load
    from aetx.run.inputs import check_declared, hash_input, open_declared

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        warnings.simplefilter("ignore", UserWarning)
        plan = load(Path(folder) / "recipe.yaml", output=str(Path(folder) / "out"))
        for job in plan.jobs:
            for one in job.inputs:
                found = open_declared(one, plan.registry)
                check_declared(found, one)
                hash_input(one, found)
                found.load(scheduler="synchronous")
    return 0


def read_good(folder: str) -> int:
    """Read a folder of good files; say what was refused."""
    try:
        return read(folder)
    except AetxError as error:
        print(error)
        return error.code


def read_mutants(folder: str, seed: str, count: str, head: str = "0.6") -> int:
    """Change one file of a folder at random, read it, put it back, many times; print faults and a tally."""
    place = Path(folder)
    files = sorted(one for one in place.rglob("*") if one.is_file() and one.name != "recipe.yaml")
    contents = {one: one.read_bytes() for one in files}
    tally = {"read": 0, "refused": 0}

    def stop(_: int, __: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    for number in range(int(count)):
        rng = np.random.default_rng([int(seed), number])
        file = files[int(rng.integers(len(files)))]
        file.write_bytes(mutant(contents[file], rng, float(head)))
        print(f"at {number} {file.name}", flush=True)
        begin = time.process_time()
        try:
            signal.alarm(6 * SECONDS)
            tally[_end(folder)] += 1
        except TooLong:
            print(f"FAULT {number} {file.name}: no end after {6 * SECONDS} s", flush=True)
        except Exception:  # noqa: BLE001 - every one is a fault to be told
            last = traceback.format_exc().strip().splitlines()
            print(f"FAULT {number} {file.name}: {' | '.join(last[-7:])}", flush=True)
        finally:
            signal.alarm(0)
        if time.process_time() - begin > SECONDS:
            print(f"FAULT {number} {file.name}: {time.process_time() - begin:.0f} s", flush=True)
        file.write_bytes(contents[file])
    print(f"TALLY {tally['read']} {tally['refused']}", flush=True)
    return 0


def _end(folder: str) -> str:
    try:
        read(folder)
    except AetxError as error:
        for one in error.problems:
            for part in (one.file, one.field, one.found, one.wanted, one.fix):
                if not part:
                    raise ValueError(f"a problem without a part: {one}") from error
        if error.code not in (2, 3, 4):
            raise
        return "refused"
    return "read"


EXTREME = (0, 1, -1, 2**31 - 1, -(2**31), 2**15, 255, 10**6, 1024, 0x7F800000, 0x7FC00000)


def mutant(content: bytes, rng: np.random.Generator, head: float) -> bytes:
    """Return bytes changed in one to four places: set, cut, doubled, moved, or a whole number made extreme."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if not made:
            return bytes(made)
        near = min(len(made), 1100 if rng.random() < head else len(made))
        place, kind = int(rng.integers(near)), rng.random()
        if kind < 0.45:
            made[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256)), 0x20, 0x2D, 0x39]))
        elif kind < 0.7:
            place -= place % 4
            value = int(rng.choice(EXTREME)) & 0xFFFFFFFF
            made[place : place + 4] = value.to_bytes(4, "little" if rng.random() < 0.7 else "big")
        elif kind < 0.8:
            del made[place : place + int(rng.integers(1, 40))]
        elif kind < 0.9:
            piece = made[place : place + int(rng.integers(1, 60))]
            other = int(rng.integers(len(made)))
            made[other:other] = piece
        elif kind < 0.95:
            made[place : place + 30] = rng.bytes(30)
        else:
            del made[place:]
    return bytes(made)
