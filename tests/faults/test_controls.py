"""Every trial condemns a naive program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.__main__ import TRIALS
from tests.faults.controls import CONTROLS
from tests.faults.server import Server

pytestmark = pytest.mark.filterwarnings("ignore")

SAID = {
    "bad_disks": "opens and holds other numbers",
    "caches": "the run was not refused",
    "cluster_faults": "ended with 1",
    "dead_locks": "stolen: another machine holds it",
    "escaped": "secret.txt",
    "flips": "aetx-manifest.json: not found",
    "layouts": "the tree was changed",
    "markup": "script",
    "payloads": "it ran code",
    "races": "both worked at once",
    "signals": "ended with -",
    "sockets": "listens on",
    "surroundings": "other numbers",
}
"""What is said of a naive program; the trials that are not here have tests of their own in their files."""
SLOW = ("bad_disks", "cluster_faults", "surroundings")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SAID]
)
def test_a_naive_program_fails_the_trial(name: str, server: Server, tmp_path: Path) -> None:
    assert any(SAID[name] in one for one in CONTROLS[name](tmp_path, server))


def test_every_trial_has_a_naive_program() -> None:
    assert {one.__name__ for one in TRIALS} == {*CONTROLS, "kills"}
