"""Many particles by one recipe: broken ones do not stop the others, and everybody is told which they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from aetx.cli import execute
from aetx.run import status_of
from tests.run import particles

RECIPE = """aetx: 1
title: Atoms of many particles
inputs:
  volume: {path: "p_*.mrc", kind: volume}
for_each: volume
steps:
  - {name: atoms, stage: trace.peaks, from: volume, params: {separation: 2 angstrom}}
export: {atoms: [extxyz]}
"""
GOOD, BROKEN = ("p_0", "p_1", "p_4"), ("p_2", "p_3")


@pytest.fixture
def lot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five volumes: the third is cut in half, the fourth has no atom in it."""
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        particles.write_volume(tmp_path / f"p_{i}.mrc", empty=i == 3)
    whole = (tmp_path / "p_2.mrc").read_bytes()
    (tmp_path / "p_2.mrc").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "lot.yaml").write_text(RECIPE)
    return tmp_path


def table(lot: Path) -> dict[str, dict[str, str]]:
    with (lot / "out" / "lot" / "summary.csv").open(newline="") as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def test_the_good_ones_finish_and_the_broken_ones_are_named(lot: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", "lot.yaml"]) == 3
    heard = capsys.readouterr()
    lines = heard.out.splitlines()
    assert lines[0] == "5 runs: 3 finished, 2 failed"
    assert [line.split()[:2] for line in lines[1:6]] == [
        [f"p_{i}", "failed" if f"p_{i}" in BROKEN else "finished"] for i in range(5)
    ]
    assert lines[6].startswith("summary: ")
    assert "found 0 in every voxel" in lines[4]
    assert max(map(len, lines[:6])) <= 120
    assert "2 of 5 runs failed: 'p_2', 'p_3'; the others stand" in heard.err
    assert "p_2.mrc" in heard.err
    rows = table(lot)
    assert [rows[name]["status"] for name in (*GOOD, *BROKEN)] == ["finished"] * 3 + ["failed"] * 2
    assert all(rows[name]["atoms"] == "13" for name in GOOD)
    assert "p_2.mrc" in rows["p_2"]["error"]
    assert "found 0 in every voxel" in rows["p_3"]["error"]
    page = (lot / "out" / "lot" / "summary.html").read_text()
    assert page.count('class="pill failed"') == 2
    for name in GOOD:
        assert (lot / "out" / "lot" / name / "exports" / "atoms.extxyz").is_file()
    for name in BROKEN:
        assert "failed" in (lot / "out" / "lot" / name / "report.html").read_text()
    told = status_of(lot / "out" / "lot")
    assert {job.name: job.state for job in told.jobs} == {name: row["status"] for name, row in rows.items()}


def one_object(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_one_json_object_tells_all_and_the_second_time_only_mended_files_run(
    lot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["run", "lot.yaml", "--json"]) == 3
    told = one_object(capsys)
    assert [record["status"] for record in told["run"]] == ["finished", "finished", "failed", "failed", "finished"]
    assert (told["error"]["code"], len(told["error"]["problems"])) == (3, 2)
    assert all(one["file"] and one["found"] and one["fix"] for one in told["error"]["problems"])
    for name in BROKEN:
        particles.write_volume(lot / f"{name}.mrc")
    assert execute(["run", "lot.yaml", "--json"]) == 0
    states = {record["name"]: record["steps"][0]["state"] for record in one_object(capsys)["run"]}
    assert states == {**dict.fromkeys(GOOD, "reused"), **dict.fromkeys(BROKEN, "computed")}
    assert {row["status"] for row in table(lot).values()} == {"finished"}


def test_a_lot_that_is_broken_throughout_is_refused_before_anything_is_written(
    lot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        (lot / f"p_{i}.mrc").write_bytes(b"")
    assert execute(["run", "lot.yaml", "--json"]) == 3
    assert len(one_object(capsys)["error"]["problems"]) == 5
    assert not (lot / "out").exists()
