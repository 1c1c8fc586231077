"""What becomes of worker processes costs a run time, and nothing else."""

from pathlib import Path

import pytest

from tests.faults.clusters import FAULTS, break_clusters


@pytest.mark.slow
def test_a_run_whose_workers_are_lost_ends_with_the_same_numbers_or_in_words(tmp_path: Path) -> None:
    found = break_clusters(tmp_path, len(FAULTS))
    assert found.wrong == []
    assert found.well + found.told >= len(FAULTS) - 1
