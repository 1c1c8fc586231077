"""The ledger in the report: counts first, then some entries, however long it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from aetx.report.ledger import FIRST, ledger_rows
from aetx.report.shown import shown

ONE = {"units": "1"}


def with_ledger(atoms: xr.Dataset, entries: int) -> xr.Dataset:
    action = np.where(np.arange(entries) % 3, "added", "removed")
    return atoms.assign(
        ledger_action=("entry", action),
        ledger_reason=("entry", np.where(np.arange(entries) % 3, "<b>residual</b>", "no signal")),
        ledger_author=("entry", np.where(np.arange(entries) == 1, "A. N.", "")),
        ledger_atom=("entry", np.arange(entries) - 1, ONE),
        ledger_round=("entry", np.arange(entries), ONE),
        ledger_position=(("entry", "axis"), np.tile([1.0, -2.0, 0.25], (entries, 1)), {"units": "angstrom"}),
        ledger_score=("entry", np.full(entries, 6.25), ONE),
        ledger_r_before=("entry", np.full(entries, 0.125), ONE),
        ledger_r_after=("entry", np.full(entries, np.nan), ONE),
    )


def test_a_ledger_of_thousands_of_entries_stays_short(small_atoms: xr.Dataset) -> None:
    (_, counts), (_, first) = ledger_rows(with_ledger(small_atoms, 3000))
    assert counts == [
        ["added", "the program", "<b>residual</b>", "1999"],
        ["removed", "the program", "no signal", "1000"],
        ["added", "a person: A. N.", "", "1"],
    ]
    assert len(first) == FIRST + 1
    assert first[0] == ["1", "removed", "no signal", "0", "–", "1.00, -2.00, 0.25", "6.25", "0.125", "–"]
    assert first[1][2] == "<b>residual</b> (A. N.)"
    assert first[-1][0] == f"and {3000 - FIRST} more"


def test_reasons_without_end_are_counted_together(small_atoms: xr.Dataset) -> None:
    many = with_ledger(small_atoms, 40)
    many["ledger_reason"] = ("entry", np.array([f"reason {i}" for i in range(40)]))
    counts = ledger_rows(many)[0][1]
    assert len(counts) == 13
    assert sum(int(row[-1]) for row in counts) == 40


def test_atoms_without_a_ledger_have_no_table(small_atoms: xr.Dataset) -> None:
    assert ledger_rows(small_atoms) == []
    assert ledger_rows(with_ledger(small_atoms, 0)) == []


def test_the_tables_stand_in_the_report(small_atoms: xr.Dataset, tmp_path: Path) -> None:
    tables = shown("atoms", with_ledger(small_atoms, 4), tmp_path).tables
    assert [table.words for table in tables] == [3, 3]
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
