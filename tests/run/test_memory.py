"""The limit on memory is kept, whatever the size of the volume, and does not change the result."""

import subprocess
import sys
from pathlib import Path

import pytest

from aetx.run.outlook import share
from aetx.run.watch import Cost, costs, resident
from aetx.store import manifest

MEGABYTE = 10**6


def peak(output: Path, edge: int, limit: int) -> int:
    command = [sys.executable, "-m", "tests.run.big", str(output), str(edge), str(limit)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_volume_larger_than_the_memory_is_filtered_and_traced_within_it(tmp_path: Path) -> None:
    limit = 1000 * MEGABYTE
    edge = 640  # 1 GiB, twice: as it is made and as it is filtered
    assert peak(tmp_path / "out", edge, limit) < limit


@pytest.mark.slow
def test_the_limit_does_not_change_a_bit_of_the_result(tmp_path: Path) -> None:
    for name, limit in (("limited", 700 * MEGABYTE), ("free", 0)):
        peak(tmp_path / name, 200, limit)
    for step in ("made", "clean", "atoms"):
        stores = [tmp_path / name / "results" / f"{step}.zarr" for name in ("limited", "free")]
        assert len({manifest(store).digest for store in stores}) == 1


def test_a_step_is_given_what_the_program_does_not_hold_already() -> None:
    assert share(0) is None
    assert share(1) == 0
    given = share(resident() + 500 * MEGABYTE)
    assert given is not None
    assert 350 * MEGABYTE < given <= 450 * MEGABYTE


def test_the_peak_of_a_step_is_seen() -> None:
    cost = Cost()
    before = resident()
    with costs(children=False, cost=cost):
        held = bytearray(b"x") * (200 * MEGABYTE)
        del held
    assert cost.peak_bytes > before
    assert cost.seconds > 0
