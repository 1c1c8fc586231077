"""A run touches no folder that it did not make, and no two runs write to one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.folders import LAYOUTS, race, refuse_layouts
from tests.faults.locks import ALIVE, DEAD, judge_locks
from tests.faults.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def test_what_a_run_did_not_make_is_refused_and_left_alone(tmp_path: Path, server: Server) -> None:
    assert len(LAYOUTS) >= 20
    assert refuse_layouts(tmp_path, server) == []


@pytest.mark.parametrize("times", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_of_two_runs_one_wins_and_the_other_says_who(tmp_path: Path, times: int) -> None:
    found = race(tmp_path, times)
    assert found.wrong == []
    assert found.won >= times


def test_dead_locks_are_taken_over_and_living_ones_are_not(tmp_path: Path) -> None:
    found = judge_locks(tmp_path)
    assert found.wrong == []
    assert (found.taken, found.left) == (len(DEAD), len(ALIVE))
    assert len(DEAD) >= 20
