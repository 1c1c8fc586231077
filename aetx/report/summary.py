"""The page over many runs of one recipe."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aetx.core.record import RunRecord
from aetx.core.words import seconds
from aetx.report.page import link, render, write

COLUMNS = {
    "atoms": ("Atoms", "atoms", 1.0, ".0f"),
    "r1": ("Mean R1", "r1", 1.0, ".4f"),
    "r_free": ("Mean R free", "r_free", 1.0, ".4f"),
    "rmsd": ("RMSD (pm)", "rmsd_angstrom", 100.0, ".1f"),
    "sigma": ("Standard error (pm)", "sigma_angstrom", 100.0, ".1f"),
}
"""Headline number: its name in the page and in the table, its factor and format in the page."""


def write_summary(records: Sequence[RunRecord], folder: Path) -> Path:
    """Write ``summary.html`` and ``summary.csv`` over the jobs of a run and return the path of the page.

    Parameters
    ----------
    records
        One for each job; its folder is ``folder / record.name``, and ``record.numbers`` holds its headline numbers.
    folder
        The output of the run.
    """
    every = _numbers(records)
    first, others = [key for key in every if key in COLUMNS], [key for key in every if key not in COLUMNS]
    rows = [
        {
            "name": record.name or record.title,
            "link": link(record.name, "report.html"),
            "status": record.status,
            "head": [_cell(record, key) for key in first],
            "tail": [_cell(record, key) for key in others],
            "time": seconds(_spent(record)),
            "warnings": str(sum(len(step.warnings) for step in record.steps)),
            "error": record.cause,
        }
        for record in records
    ]
    values: dict[str, object] = {
        "title": records[0].title if records else "",
        "rows": rows,
        "headings": [COLUMNS[key][0] for key in first],
        "others": others,
        "states": sorted(Counter(record.status for record in records).items()),
    }
    write(folder / "summary.csv", _csv(records).encode())
    return write(folder / "summary.html", render("summary.html", values).encode())


def _numbers(records: Sequence[RunRecord]) -> list[str]:
    """Return the names of all numbers that any job knows, the headline first."""
    every = list(dict.fromkeys(key for record in records for key in record.numbers))
    return [key for key in COLUMNS if key in every] + [key for key in every if key not in COLUMNS]


def _cell(record: RunRecord, key: str) -> str:
    _, _, factor, form = COLUMNS.get(key, ("", "", 1.0, ".5g"))
    return format(record.numbers[key] * factor, form) if key in record.numbers else "–"


def _spent(record: RunRecord) -> float:
    return sum(step.seconds for step in record.steps)


def _csv(records: Sequence[RunRecord]) -> str:
    variables = sorted({name for record in records for name in record.variables})
    text = io.StringIO()
    made = csv.writer(text, lineterminator="\n")
    keys = [*COLUMNS, *(key for key in _numbers(records) if key not in COLUMNS)]
    titles = [COLUMNS[key][1] if key in COLUMNS else _plain(key) for key in keys]
    made.writerow(["job", *map(_plain, variables), "status", *titles, "seconds", "warnings", "report", "error"])
    for record in records:
        made.writerow(
            [
                _plain(record.name),
                *(_plain(record.variables.get(name, "")) for name in variables),
                record.status,
                *(repr(record.numbers[key]) if key in record.numbers else "" for key in keys),
                f"{_spent(record):.3f}",
                sum(len(step.warnings) for step in record.steps),
                link(record.name, "report.html"),
                _plain(record.cause),
            ]
        )
    return text.getvalue()


def _plain(text: str) -> str:
    """Keep a spreadsheet from reading a name as a formula; numbers stay numbers."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
    return text
