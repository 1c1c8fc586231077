"""Good files are never refused, and some of their mutants are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import mutants
from tests.faults.inputs.good import GOOD
from tests.faults.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_never_refused(name: str, server: Server, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GOOD[name](tmp_path)
    answer = server.ask([str(tmp_path)], tmp_path, function="tests.faults.reading:read_good")
    assert (answer.code, answer.out, "Traceback" in answer.err) == (0, "", False)


@pytest.mark.parametrize("name", GOOD)
def test_its_mutants_are_read_or_refused(name: str, server: Server, tmp_path: Path) -> None:
    herd = mutants.mutate(name, 5, tmp_path, server, seed=7)
    assert herd.faults == ()
    assert herd.read + herd.refused == 5


def test_there_are_more_than_sixty_of_them() -> None:
    assert len(GOOD) >= 60


def test_a_naive_reader_fails_this_test(server: Server, tmp_path: Path) -> None:
    herd = mutants.mutate("NPY", 40, tmp_path, server, read="tests.faults.naive:read_mutants")
    assert len(herd.faults) > 2
    assert herd.read > 2
