"""Damage to a finished store is found and never read as numbers."""

from pathlib import Path

import pytest

from tests.faults.damage import damage_all, read_naively


@pytest.mark.parametrize("flips", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_damage_is_found_and_none_is_read(tmp_path: Path, flips: int) -> None:
    found = damage_all(tmp_path, flips)
    assert found.made > flips + 20
    assert found.verified == found.made
    assert found.silent == []


@pytest.mark.filterwarnings("ignore")
def test_a_naive_store_is_read_in_silence(tmp_path: Path) -> None:
    assert len(damage_all(tmp_path, 40, read_naively).silent) > 5
