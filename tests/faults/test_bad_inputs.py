"""Each bad input is refused in words; the naive answers are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bad_inputs import CASES, judge
from tests.faults.inputs.base import Case, mrc, series
from tests.faults.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_is_refused_in_words(name: str, server: Server, tmp_path: Path) -> None:
    assert judge(CASES[name], server, tmp_path).wrong == ()


def test_there_are_more_than_three_hundred_of_them() -> None:
    assert sum(case.code > 0 for case in CASES.values()) >= 300


def _good(folder: Path) -> None:
    (folder / "s.mrc").write_bytes(mrc())
    series(folder, "s.mrc")


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("tests.faults.naive:raise_it", "a traceback"),
        ("tests.faults.naive:say_nothing", "no problem was told"),
        ("tests.faults.naive:forget_the_fix", "a problem without fix"),
        ("tests.faults.naive:litter", "something was written"),
        ("tests.faults.naive:hold_two_gigabytes", "took"),
        ("tests.faults.naive:spin", "killed by signal"),
        ("tests.faults.naive:run_code", "it ran code"),
    ],
)
def test_a_naive_program_fails_this_test(function: str, what: str, server: Server, tmp_path: Path) -> None:
    case = Case("naive", 3, (), _good, seconds=2)
    assert any(what in one for one in judge(case, server, tmp_path, function=function).wrong)
