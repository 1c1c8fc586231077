"""One page and one table for all jobs of a plan."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aetx.model import SCORE, kind_of
from aetx.run.job import JobRun
from aetx.store import SCRATCH, open_store, write_atomically

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; color: #222; }}
table {{ border-collapse: collapse; }} th, td {{ border-bottom: 1px solid #ccc; padding: .3em .8em; text-align: left; }}
td.failed {{ color: #a00; }}
</style></head><body><h1>{title}</h1>
<table><thead><tr>{head}</tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def write_summary(title: str, runs: Sequence[JobRun], output: Path) -> None:
    """Write ``summary.csv`` and ``summary.html``: each job with its variables, how it ended, and its scores."""
    rows = [_row(one) for one in runs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    scratch = output / SCRATCH
    write_atomically(output / "summary.csv", table.getvalue().encode(), scratch)
    page = _PAGE.format(
        title=html.escape(title),
        head="".join(f"<th>{html.escape(name)}</th>" for name in columns),
        rows="\n".join(f"<tr>{''.join(_cell(name, row) for name in columns)}</tr>" for row in rows),
    )
    write_atomically(output / "summary.html", page.encode(), scratch)


def _row(run: JobRun) -> dict[str, str]:
    record = run.record
    row = {"job": record.name, "status": record.status, **record.variables}
    row["seconds"] = f"{sum(step.seconds for step in record.steps):.1f}"
    for name, decision in run.decisions.items():
        if decision.step.stage.gives is SCORE and record.status == "finished":
            scores = open_store(decision.path)
            assert kind_of(scores) is SCORE
            for key, one in scores.data_vars.items():
                if one.ndim == 0 and one.dtype.kind in "fiu":
                    row[f"{name}.{key} ({one.attrs.get('units', '1')})"] = f"{np.asarray(one.values).item():.6g}"
    row["warnings"] = str(sum(len(step.warnings) for step in record.steps))
    row["error"] = record.error.partition("\n")[0] if record.status == "failed" else ""
    return row


def _cell(name: str, row: dict[str, str]) -> str:
    text = html.escape(row.get(name, ""))
    if name == "job" and row["status"] == "finished":
        return f'<td><a href="{html.escape(row[name], quote=True)}/report.html">{text}</a></td>'
    return f'<td class="{html.escape(row["status"])}">{text}</td>' if name == "status" else f"<td>{text}</td>"
