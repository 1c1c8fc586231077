"""Several volumes made of the same inputs, beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core.record import RunRecord, StepRecord
from aetx.core.words import seconds
from aetx.draw import style
from aetx.draw.side_by_side import side_by_side as draw
from aetx.model import kind_of
from aetx.report.shown import Shown, Table, kept

FEWEST = 3
"""Volumes of the same inputs from which on they are put side by side."""
OF_VOLUMES = {"r1": "mean R1", "mean_r_free": "mean R free", "best_iterations": "iterations"}
"""What is told of a volume: variables, whose mean is taken, and their headings."""
OF_SCORES = {"common": "true atoms found", "missed": "missed", "false": "false", "rmsd": "RMSD"}
"""What is told of the scores of what was made from a volume, and their headings."""
COST = "processor time"


def side_by_side(record: RunRecord, results: Mapping[str, xr.Dataset], folder: Path) -> Shown:
    """Return a table and a picture of the largest group of volumes that were made of the same inputs.

    Nothing where fewer than `FEWEST` were, or where they are members of a list. Scores count for a volume if they
    follow from it and from no other volume of the group.
    """
    groups: dict[str, list[StepRecord]] = {}
    for step in record.steps:
        if step.name in results and "/" not in step.name and kind_of(results[step.name]).name == "volume":
            groups.setdefault(str(sorted(step.sources.items())), []).append(step)
    group = max(groups.values(), key=len, default=[])
    if len(group) < FEWEST or not all(any(step.sources.values()) for step in group):
        return Shown()
    scores = _scores(record, results, {step.name for step in group})
    rows = [_row(step, results, scores.get(step.name, [])) for step in group]
    head = [name for name in (*OF_VOLUMES.values(), *OF_SCORES.values(), COST) if any(name in row for row in rows)]
    lines = [
        [step.name, step.stage, *(row.get(name, "") for name in head)] for step, row in zip(group, rows, strict=True)
    ]
    picture = draw({step.name: results[step.name] for step in group})
    return Shown([kept("side-by-side", picture, folder)], [Table(["Step", "Stage", *head], lines, words=2)])


def _row(step: StepRecord, results: Mapping[str, xr.Dataset], scores: list[str]) -> dict[str, str]:
    """Return what is told of a volume, by heading."""
    volume, row = results[step.name], {COST: seconds(step.cpu_seconds)} if step.cpu_seconds else {}
    for name, heading in OF_VOLUMES.items():
        if name in volume.data_vars and np.isfinite(volume[name].values).any():
            mean = float(np.nanmean(volume[name].values))
            row[heading] = f"{mean:.4f}" if volume[name].dtype.kind == "f" else f"{mean:g}"
    for score in (results[name] for name in scores):
        for name, heading in OF_SCORES.items():
            if name in score.data_vars and score[name].ndim == 0:
                unit = style.spell(str(score[name].attrs.get("units", "1")))
                row[heading] = f"{float(score[name].values):.4g} {unit}".strip()
    return row


def _scores(record: RunRecord, results: Mapping[str, xr.Dataset], volumes: set[str]) -> dict[str, list[str]]:
    """Return the names of the scores that follow from each volume alone."""
    roots: dict[str, set[str]] = {}
    found: dict[str, list[str]] = {}
    for step in record.steps:
        before = {root for names in step.sources.values() for name in names for root in roots.get(name, set())}
        roots[step.name] = {step.name} if step.name in volumes else before
        if step.name in results and len(before) == 1 and kind_of(results[step.name]).name == "score":
            found.setdefault(next(iter(before)), []).append(step.name)
    return found
