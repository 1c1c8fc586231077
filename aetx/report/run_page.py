"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import xarray as xr

from aetx.core.params import unit_of
from aetx.core.record import InputRecord, RunRecord, StepRecord
from aetx.core.registry import Registry
from aetx.core.stage import Stage
from aetx.core.words import seconds, size
from aetx.draw import style
from aetx.errors import AetxError
from aetx.report.headline import headline
from aetx.report.page import link, render, write
from aetx.report.shown import Shown, shown
from aetx.report.side_by_side import side_by_side

UNFINISHED = {
    "failed": "This run failed. What is below was finished before it did; the same command goes on from there.",
    "stopped": "This run was stopped. What is below was finished before; the same command goes on from there.",
    "running": "This run had not finished when this page was written.",
}


@dataclass(frozen=True)
class InputSection:
    """One input in the page."""

    record: InputRecord
    shown: Shown


@dataclass(frozen=True)
class StepSection:
    """One step in the page."""

    record: StepRecord
    sources: str
    summary: str
    params: list[tuple[str, str, bool, str]]
    cost: str
    shown: Shown


@dataclass(frozen=True)
class ExportRow:
    """One exported file in the page."""

    name: str
    link: str
    size: str
    stage: str
    warnings: list[str]


def write_report(
    record: RunRecord, results: Mapping[str, xr.Dataset], folder: Path, registry: Registry | None = None
) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into a run's folder and return the path of the page.

    The page is one file that fetches nothing. Only slices and blocks of the results are read. Where `record.numbers` is
    empty, it is filled with the `headline` of the results.

    Parameters
    ----------
    record
        What the run did.
    results
        Datasets by the name of their step or input, lazily opened. Where the recipe has a ``report:`` list, the others
        are not drawn.
    folder
        The folder of the run.
    registry
        Where the stages are found whose parameters are explained; without it, those of aetx.
    """
    known = registry or Registry()
    record.numbers = record.numbers or headline(record, results)
    drawn = {
        name: shown(name, dataset, folder)
        for name, dataset in results.items()
        if not record.report or name in record.report or _stem(name) in record.report
    }
    steps = [step for step in record.steps if not step.store or step.store not in record.exports]
    values: dict[str, object] = {
        "record": record,
        "when": _when(record),
        "unfinished": UNFINISHED.get(record.status, ""),
        "numbers": _numbers(record, record.numbers),
        "warnings": [(step.name, text) for step in steps for text in step.warnings],
        "beside": side_by_side(record, results, folder),
        "inputs": [InputSection(one, drawn.get(one.name, Shown())) for one in record.inputs],
        "steps": [_section(step, drawn.get(step.name, Shown()), known) for step in steps],
        "results": record.steps,
        "exports": [_export(name, record, folder) for name in record.exports],
    }
    return write(folder / "report.html", render("report.html", values).encode())


def _section(step: StepRecord, drawn: Shown, registry: Registry) -> StepSection:
    """Return the section of a step."""
    found = _stage(step.stage, registry)
    sources = ", ".join(name for names in step.sources.values() for name in names)
    return StepSection(step, sources, found.summary if found else "", _params(step, found), _cost(step), drawn)


def _stem(name: str) -> str:
    return name.partition("/")[0]


def _stage(name: str, registry: Registry) -> Stage | None:
    try:
        return registry.stage(name)
    except AetxError:  # a stage of a package that is not here any more
        return None


def _params(step: StepRecord, found: Stage | None) -> list[tuple[str, str, bool, str]]:
    rows = []
    for name, value in step.params.items():
        known = found.params.model_fields.get(name) if found else None
        usual = known.get_default(call_default_factory=True) if known else None
        default = known is not None and value == (list(usual) if isinstance(usual, tuple) else usual)
        unit = unit_of(known) if known else None
        rows.append((name, _value(value, unit), default, (known.description or "") if known else ""))
    return rows


def _value(value: object, unit: str | None) -> str:
    """Write a parameter with its unit."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(f"{one:.8g}" if isinstance(one, float) else str(one) for one in value)
    else:
        text = f"{value:.8g}" if isinstance(value, float) else str(value)
    return f"{text}°" if unit == "degree" else f"{text} {style.spell(unit or '1')}".strip()


def _cost(step: StepRecord) -> str:
    if step.state in ("waiting", "fused"):
        return "Not stored: part of the steps that take it." if step.state == "fused" else "Not begun."
    parts = []
    if step.seconds:
        processor = f" ({seconds(step.cpu_seconds)} of processor time)" if step.cpu_seconds else ""
        parts.append(f"Took {seconds(step.seconds)}{processor}")
    if step.peak_bytes:
        parts.append(f"peak memory {size(step.peak_bytes)}")
    if step.forecast_bytes:
        parts.append(f"forecast {size(step.forecast_bytes)}")
    return ("; ".join(parts) + ".") if parts else ""


def _when(record: RunRecord) -> str:
    try:
        start = datetime.fromisoformat(record.started)
        text = f"started {start:%Y-%m-%d %H:%M:%S} {start.tzname() or ''}".rstrip()
        if record.finished:
            text += f", took {seconds((datetime.fromisoformat(record.finished) - start).total_seconds())}"
    except (ValueError, TypeError):
        return f"started {record.started}"
    return text


def _numbers(record: RunRecord, found: Mapping[str, float]) -> list[tuple[str, str]]:
    tiles = []
    if "atoms" in found:
        tiles.append((f"{found['atoms']:.0f}", "atoms"))
    if "r1" in found:
        tiles.append((f"{found['r1']:.4f}", "mean R1"))
    if "r_free" in found:
        tiles.append((f"{found['r_free']:.4f}", "mean R free"))
    pairs = [(key, f"{key.removesuffix('common')}true") for key in found if key.endswith(".common")]
    for common, true in pairs[-1:]:
        tiles.append((f"{found[common]:.0f}/{found.get(true, 0):.0f}", "true atoms found"))
    if "rmsd" in found:
        tiles.append((f"{100 * found['rmsd']:.1f} pm", "RMSD from the truth"))
    if "sigma" in found:
        tiles.append((f"{100 * found['sigma']:.1f} pm", "median standard error"))
    peak = max((step.peak_bytes for step in record.steps), default=0)
    if peak:
        tiles.append((size(peak), "peak memory"))
    return tiles


def _export(name: str, record: RunRecord, folder: Path) -> ExportRow:
    place = name if name.startswith("exports/") else f"exports/{name}"
    path = folder / place
    step = next((one for one in record.steps if one.store == place), None)
    length = size(path.stat().st_size) if path.is_file() else "not there"
    stage, warnings = (step.stage, step.warnings) if step else ("", [])
    return ExportRow(place.removeprefix("exports/"), link(place), length, stage, warnings)
