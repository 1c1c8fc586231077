"""Surroundings and signals change nothing but the time; markup stays text; a flipped byte is found."""

from pathlib import Path

import pytest

from tests.faults.escapes import ESCAPES, MORE, PAYLOADS, trace
from tests.faults.sessions import MARKUP, SURROUNDINGS, flip_results, interrupt, lay_traps, mark_up, surround

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_surroundings_do_not_change_the_numbers(tmp_path: Path) -> None:
    assert len(SURROUNDINGS) >= 12
    assert surround(tmp_path).wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--local", "20")], ids=["threads", "workers"])
def test_signals_at_random_moments_stop_a_run_soon(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = interrupt(tmp_path, 10, options=options)
    assert found.wrong == []
    assert found.slowest < 10


@pytest.mark.parametrize("texts", [MARKUP[:3], pytest.param(MARKUP, marks=pytest.mark.slow)])
def test_markup_in_a_title_stays_text(tmp_path: Path, texts: tuple[str, ...]) -> None:
    assert mark_up(tmp_path, texts).wrong == []


def test_a_flipped_byte_in_any_file_of_a_run_is_found(tmp_path: Path) -> None:
    found = flip_results(tmp_path)
    assert found.wrong == []
    assert found.tried > 50


def test_without_a_tracer_what_python_opens_and_runs_is_seen(tmp_path: Path) -> None:
    names = ("R01 tag that calls", "T12 FileName absolute")
    cases = {name: {**PAYLOADS, **ESCAPES}[name] for name in names}
    for turn, function, seen in (
        (0, "load_all", "execve(touch CANARY)"),
        (1, "follow_all", 'openat(AT_FDCWD, "/etc/passwd"'),
    ):
        (tmp_path / str(turn)).mkdir()
        wrong = trace(cases, tmp_path / str(turn), f"tests.faults.naive:{function}", strace=None).wrong
        assert any(seen in one for one in wrong), wrong
    (tmp_path / "aetx").mkdir()
    assert trace(cases | MORE, tmp_path / "aetx", strace=None).wrong == []


def test_payloads_do_not_run_and_escapes_stay_inside(tmp_path: Path) -> None:
    assert len(PAYLOADS) >= 30
    assert len(ESCAPES) >= 25
    some = MORE | dict(list({**ESCAPES, **PAYLOADS}.items())[::6])
    assert trace(some, tmp_path).wrong == []


def test_nothing_is_loaded_from_folders_that_other_users_made(tmp_path: Path) -> None:
    found = lay_traps(tmp_path)
    assert found.wrong == []
    assert found.tried == 4
