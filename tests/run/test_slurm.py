"""A run on a batch system: its jobs, its encryption, what is asked of it, and jobs that never start."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from aetx.errors import EnvironmentFault, RecipeError
from aetx.recipe.plan import Slurm
from aetx.run import run_plan
from aetx.run.scheduler import computing
from aetx.store import manifest
from tests.run import fake_slurm, tiny

pytest.importorskip("dask_jobqueue")


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return log


def listening() -> set[str]:
    connections = psutil.net_connections("inet")
    mine = {one.pid for one in psutil.Process().children(recursive=True)} | {os.getpid()}
    return {one.laddr.ip for one in connections if one.status == "LISTEN" and one.pid in mine}


@pytest.mark.slow
def test_a_run_on_a_batch_system_gives_the_same_bits_and_ends_its_jobs(tmp_path: Path, queue: Path) -> None:
    run_plan(tiny.plan(tiny.chain()), output=tmp_path / "here", reporter=None, quiet=True)
    asked = Slurm(interface="lo", cores=1, memory="2 GB", walltime="0:10:00", queue="short", account="em-1")
    plan = tiny.plan(tiny.chain())
    plan = replace(plan, settings=replace(plan.settings, slurm=asked))
    run_plan(plan, output=tmp_path / "there", reporter=None, quiet=True, scheduler="slurm")
    for store in (tmp_path / "here" / "results").iterdir():
        assert manifest(store).digest == manifest(tmp_path / "there" / "results" / store.name).digest
    script = (queue / "1.sh").read_text()
    for words in ("-p short", "-A em-1", "--cpus-per-task=1", "--mem=2G", "-t 0:10:00", "tls://127.0.0.1", "--tls-key"):
        assert words in script
    assert (queue / "cancelled").read_text().split() == ["1"]
    assert list((tmp_path / "there" / ".aetx-tmp").iterdir()) == []


@pytest.mark.slow
def test_jobs_that_do_not_start_end_the_run_with_advice(
    tmp_path: Path, queue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.install(tmp_path / "full", starts=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'full'}{os.pathsep}{os.environ['PATH']}")
    heard: list[set[str]] = []
    with (
        pytest.raises(EnvironmentFault, match=r"steps.clean: cluster: found no worker came for 3.0 s.*look at squeue"),
        computing("slurm", 1, 0, slurm=Slurm(interface="lo"), patience=3, scratch=tmp_path / "s") as crew,
        crew.in_words("clean", 0),
    ):
        wait_for_a_worker(heard)
    assert heard[0] == {"127.0.0.1"}
    assert list((tmp_path / "s").iterdir()) == []


def wait_for_a_worker(heard: list[set[str]]) -> None:
    heard.append(listening())
    tiny.scale(tiny.make(edge=4).chunk(2))["density"].compute()


def test_without_the_package_the_run_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'aetx\[cluster\]'"), computing("slurm", 1, 0):
        pass


@pytest.mark.parametrize("name", ["a b", "a;b", "$(touch x)", "a'b", "µ"])
def test_an_output_that_a_job_script_could_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="a path of plain letters"), computing("slurm", 1, 0, scratch=tmp_path / name):
        pass
