"""Volumes of the same inputs are put side by side, each with the scores that follow from it."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from aetx.core.record import RunRecord, StepRecord
from aetx.model import SCORE
from aetx.report import write_report
from aetx.report.side_by_side import side_by_side
from tests.report.made import LENGTH, ONE, record, results


def several(count: int, sources: dict[str, list[str]]) -> tuple[RunRecord, dict[str, xr.Dataset]]:
    """Return a run that made so many volumes, each traced and scored."""
    made, steps, found = results(), [], {"series": results()["series"]}
    for number in range(count):
        name = f"way{number}"
        found[name] = made["volume"].assign(r1=made["volume"]["r1"] * (1 + number)).assign_attrs(made["volume"].attrs)
        found[f"{name}_peaks"] = made["atoms"]
        score = xr.Dataset({"rmsd": ((), 0.1 * number, LENGTH), "missed": ((), 7 + number, ONE)})
        found[f"{name}_score"] = SCORE.stamp(score)
        steps += [
            StepRecord(name=name, stage="reconstruct.sirt", version=1, params={}, sources=sources, cpu_seconds=number),
            StepRecord(name=f"{name}_peaks", stage="trace.peaks", version=1, params={}, sources={"volume": [name]}),
            StepRecord(
                name=f"{name}_score",
                stage="measure.compare",
                version=1,
                params={},
                sources={"atoms": [f"{name}_peaks"]},
            ),
        ]
    return record(steps=steps, report=[]), found


def test_each_volume_has_a_row_with_its_own_scores(tmp_path: Path) -> None:
    run, found = several(3, {"series": ["series"]})
    shown = side_by_side(run, found, tmp_path)
    (table,) = shown.tables
    assert table.head == ["Step", "Stage", "mean R1", "missed", "RMSD", "processor time"]
    assert [row[0] for row in table.rows] == ["way0", "way1", "way2"]
    assert [row[2] for row in table.rows] == ["0.5000", "1.0000", "1.5000"]
    assert [row[3] for row in table.rows] == ["7", "8", "9"]
    assert [row[4] for row in table.rows] == ["0 Å", "0.1 Å", "0.2 Å"]
    assert [bool(row[5]) for row in table.rows] == [False, True, True]
    assert (tmp_path / "figures" / "side-by-side-slices.png").is_file()
    text = write_report(run, found, tmp_path).read_text("utf-8")
    assert "Side by side" in text


def test_two_volumes_and_volumes_of_different_inputs_are_not(tmp_path: Path) -> None:
    assert side_by_side(*several(2, {"series": ["series"]}), tmp_path).tables == []
    run, found = several(3, {"series": ["series"]})
    run.steps[0].sources = {"series": ["other"]}
    assert side_by_side(run, found, tmp_path).tables == []
    assert "Side by side" not in write_report(run, found, tmp_path).read_text("utf-8")
    assert side_by_side(*several(4, {}), tmp_path).tables == []
