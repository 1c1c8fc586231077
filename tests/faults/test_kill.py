"""A run that is killed at random moments leaves nothing wrong, and ends with the same bits."""

import sys
from pathlib import Path

from tests.faults.kill_quickstart import kill_many


def test_killed_runs_end_with_the_bits_of_an_unbroken_one(tmp_path: Path) -> None:
    tally = kill_many([sys.executable, "-m", "tests.run.drive"], 3, tmp_path)
    assert tally.wrong == []
    assert tally.kills == 3
