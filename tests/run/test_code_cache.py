"""Nobody but the user and the system can put compiled code where a run finds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetx.errors import EnvironmentFault
from aetx.run import code_cache, run_plan
from aetx.run.code_cache import open_to_others, refuse_open_cache
from tests.run import tiny

PACKAGE = "kernels_" + "0" * 40
OTHER = 12345
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can make the folder of another user")


@pytest.mark.parametrize(
    ("mode", "inside", "bad"),
    [
        (0o700, 0o700, False),
        (0o775, 0o775, False),
        (0o777, 0o700, True),
        (0o1777, 0o700, False),
        (0o1777, 0o777, True),
        (0o700, 0o1777, True),
    ],
)
def test_a_cache_that_every_user_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, inside: int, bad: bool
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE).chmod(inside)
    tmp_path.chmod(mode)
    assert bool(open_to_others(tmp_path)) == bad
    if bad:
        with pytest.raises(EnvironmentFault, match="chmod 700"):
            refuse_open_cache()
    else:
        refuse_open_cache()


@as_root
@pytest.mark.parametrize("which", [".", PACKAGE])
def test_a_cache_that_another_user_made_is_refused(tmp_path: Path, which: str) -> None:
    (tmp_path / PACKAGE).mkdir(mode=0o700)
    os.chown(tmp_path / which, OTHER, OTHER)
    assert f"belongs to user {OTHER}" in open_to_others(tmp_path)


def test_a_cache_that_is_not_there_yet_and_one_beside_the_kernels_are_no_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_to_others(tmp_path / "none") == ""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(code_cache, "open_to_others", lambda _: "everything")
    refuse_open_cache()


def test_a_run_refuses_the_cache_before_it_makes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(EnvironmentFault, match="NUMBA_CACHE_DIR"):
        run_plan(tiny.plan(tiny.chain()), output=tmp_path / "out", quiet=True, reporter=None)
    assert not (tmp_path / "out").exists()


def test_numba_runs_what_it_finds_in_a_cache(tmp_path: Path) -> None:
    """That is why the folder is looked at: a pickle in place of an index is run."""
    program = (
        "from aetx.kernels.unit_peaks import unit_peaks; import numpy; unit_peaks(numpy.ones((1, 3)), 1.0, 4, 4, 4)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    indexes = list(tmp_path.rglob("*.nbi"))
    assert indexes
    assert all(one.parent.parent == tmp_path and len(one.parent.name.rpartition("_")[2]) == 40 for one in indexes)
    for one in indexes:
        one.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "CANARY").encode() + b"'\ntR.")
    subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert (tmp_path / "CANARY").exists()
