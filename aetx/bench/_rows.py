"""The table: particles pooled into rows, rows into lines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypedDict

from aetx.bench._benchmark import Benchmark, Case, Measured, Published

PM = 100.0
"""Picometres in an angstrom."""


class Row(TypedDict):
    """One line of a benchmark; None where a thing does not apply. The keys of ``--json``."""

    case: str
    particles: int
    atoms: int | None
    wrong_percent: float | None
    rmsd_pm: float | None
    surface_rmsd_pm: float | None
    bound_pm: float | None
    cpu_seconds: float | None
    wall_seconds: float | None
    peak_bytes: int | None


def pooled(case: str, particles: Sequence[Measured]) -> Row:
    """Return the row of several particles: errors over all their atoms, median times, the greatest memory."""
    atoms = sum(one.atoms or 0 for one in particles)
    scored = [one for one in particles if one.atoms and one.wrong is not None]
    return Row(
        case=case,
        particles=len(particles),
        atoms=atoms or None,
        wrong_percent=100.0 * sum(one.wrong or 0 for one in scored) / sum(one.atoms or 0 for one in scored)
        if scored
        else None,
        rmsd_pm=_root_mean((one.rmsd, one.pairs) for one in particles),
        surface_rmsd_pm=_root_mean((one.surface_rmsd, one.surface_pairs) for one in particles),
        bound_pm=_root_mean((one.bound, one.atoms) for one in particles),
        cpu_seconds=statistics.median(one.cpu_seconds for one in particles) if particles else None,
        wall_seconds=statistics.median(one.wall_seconds for one in particles) if particles else None,
        peak_bytes=max((one.peak_bytes for one in particles), default=None),
    )


def _root_mean(values: Iterable[tuple[float | None, int | None]]) -> float | None:
    """Return the root mean square of root mean squares over numbers of atoms, picometres."""
    known = [(value, count) for value, count in values if value is not None and count]
    if not known:
        return None
    return PM * math.sqrt(sum(count * value**2 for value, count in known) / sum(count for _, count in known))


Cell = Callable[[Row, Published], float | None]


def _over(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


COLUMNS: tuple[tuple[str, str, Cell], ...] = (
    ("particles", "d", lambda row, _: row["particles"]),
    ("atoms", "d", lambda row, _: row["atoms"]),
    ("wrong %", ".3f", lambda row, _: row["wrong_percent"]),
    ("published", ".3f", lambda _, told: told.wrong_percent),
    ("RMSD pm", ".2f", lambda row, _: row["rmsd_pm"]),
    ("bound pm", ".2f", lambda row, _: row["bound_pm"]),
    ("ratio", ".2f", lambda row, _: _over(row["rmsd_pm"], row["bound_pm"])),
    ("published", ".4g", lambda _, told: told.rmsd_pm),
    ("ratio", ".2f", lambda row, told: _over(row["rmsd_pm"], told.rmsd_pm)),
    ("surface pm", ".2f", lambda row, _: row["surface_rmsd_pm"]),
    ("published", ".4g", lambda _, told: told.surface_rmsd_pm),
    ("CPU s", ".4g", lambda row, _: row["cpu_seconds"]),
    ("published", ".4g", lambda _, told: told.cpu_seconds),
    ("ratio", ".3f", lambda row, told: _over(row["cpu_seconds"], told.cpu_seconds)),
    ("wall s", ".4g", lambda row, _: row["wall_seconds"]),
    ("peak MB", ".0f", lambda row, _: _over(row["peak_bytes"], 1e6)),
)
"""Heading, format and value of each column; a column without any value is not printed."""


def table(benchmark: Benchmark, rows: Sequence[Row]) -> list[str]:
    """Return the table as a person reads it, with the published numbers and their sources below."""
    cases = {case.name: case for case in benchmark.cases}
    first = {name: case.published[0] if case.published else Published("") for name, case in cases.items()}
    columns = [["case", *(row["case"] for row in rows)]]
    for head, form, value in COLUMNS:
        cells = [value(row, first[row["case"]]) for row in rows]
        if any(cell is not None for cell in cells):
            columns.append([head, *("-" if cell is None else format(cell, form) for cell in cells)])
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in zip(*columns, strict=True)
    ]
    shared: dict[Published, list[str]] = {}
    for row in rows:
        for one in cases[row["case"]].published:
            shared.setdefault(one, []).append(row["case"])
    told = [f"  {_told(', '.join(names), one)}" for one, names in shared.items()]
    return lines + (["published, the first of each case in the table:", *told] if told else [])


def _told(name: str, one: Published) -> str:
    parts = (
        (one.wrong_percent, "{:g} % wrong"),
        (one.rmsd_pm, "{:g} pm"),
        (one.surface_rmsd_pm, "surface {:g} pm"),
        (one.cpu_seconds, "{:g} CPU s"),
    )
    return f"{name}: {', '.join(form.format(value) for value, form in parts if value is not None)}: {one.source}"


def published(cases: Iterable[Case]) -> Mapping[str, list[dict[str, object]]]:
    """Return the published numbers of each case for ``--json``."""
    return {case.name: [dict(vars(one)) for one in case.published] for case in cases}
