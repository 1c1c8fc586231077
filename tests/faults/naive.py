"""What naive programs do with a bad input; each must be noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = {"file": "s.mrc", "field": "size", "found": "0", "wanted": "1", "fix": "copy it again"}


def _tell(**changes: str) -> int:
    print(json.dumps({"error": {"code": 3, "heading": "", "problems": [WORDS | changes]}}))
    return 3


def raise_it(*_: str) -> int:
    """Let the error of a library through."""
    raise ValueError("cannot reshape array")


def say_nothing(*_: str) -> int:
    """End with the right code and no word."""
    return 3


def forget_the_fix(*_: str) -> int:
    """Say what is wrong, and not what to do."""
    return _tell(fix="")


def litter(*_: str) -> int:
    """Make the output before looking at the input."""
    Path("out").mkdir()
    return _tell()


def hold_two_gigabytes(*_: str) -> int:
    """Believe a header."""
    held = bytearray(b"\1") * (2 << 30)
    return _tell(found=str(len(held)))


def spin(*_: str) -> int:
    """Follow a loop."""
    while True:
        pass


def run_code(*_: str) -> int:
    """Believe a pickle."""
    Path("CANARY").touch()
    return _tell()


def read_mutants(folder: str, seed: str, count: str) -> int:
    """Read mutants with a library alone."""
    from tests.faults import reading

    def read(place: str) -> int:
        return int(np.load(Path(place) / "s.npy").sum() < 0)

    reading.read = read  # type: ignore[assignment]
    return reading.read_mutants(folder, seed, count)
