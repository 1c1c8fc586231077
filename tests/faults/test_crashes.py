"""A whole run that dies, or whose disk fails, anywhere: nothing wrong is left, and the second run ends as the first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.crashes import enumerate_deaths, kill_at_random
from tests.faults.disks import fail_everywhere, fill_disks
from tests.faults.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


EVERY = [pytest.param(47, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]


@pytest.mark.parametrize("every", EVERY)
def test_a_run_that_dies_anywhere_ends_with_the_same_numbers(tmp_path: Path, server: Server, every: int) -> None:
    found = enumerate_deaths(tmp_path, server, every)
    assert found.wrong == []
    assert found.points >= 200
    assert found.died >= found.points // every - 2
    assert found.kept == found.stores


@pytest.mark.parametrize("every", [pytest.param(97, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_a_run_that_dies_while_it_makes_results_again_leaves_old_or_new_ones(
    tmp_path: Path, server: Server, every: int
) -> None:
    found = enumerate_deaths(tmp_path, server, every, "again")
    assert found.wrong == []
    assert found.points >= 200
    assert found.died >= found.points // every - 2
    assert found.kept == found.stores >= 3 * found.died


@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_numbers(
    tmp_path: Path, server: Server, times: int
) -> None:
    found = kill_at_random(tmp_path, server, times)
    assert found.wrong == []
    assert found.died == times
    assert found.kept == found.stores


def test_a_naive_program_that_dies_leaves_wrong_numbers(tmp_path: Path, server: Server) -> None:
    found = enumerate_deaths(tmp_path, server, 25, "naive", first=20)
    assert any("opens and holds other numbers" in one for one in found.wrong)
    assert any("after the second run" in one for one in found.wrong)


@pytest.mark.parametrize("every", [pytest.param(90, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_a_disk_that_fails_anywhere_is_told_and_leaves_nothing_wrong(
    tmp_path: Path, server: Server, every: int
) -> None:
    found = fail_everywhere(tmp_path, server, every)
    assert found.wrong == []
    assert found.stopped > 3
    assert found.slowest < 10


def test_a_full_or_read_only_disk_is_told_and_leaves_nothing_wrong(tmp_path: Path, server: Server) -> None:
    found = fill_disks(tmp_path, server, ("size=64k", "nr_inodes=30", "size=4m,ro"))
    if found is None:
        pytest.skip("this user may not mount a small disk; the faults are injected in the test above")
    assert found.wrong == []
    assert found.stopped == found.runs
