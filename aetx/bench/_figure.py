"""The picture of a benchmark: what was measured, the bound and what others published, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from aetx.bench._benchmark import Benchmark, Case, Measured
from aetx.bench._rows import Row, pooled
from aetx.draw import style
from aetx.draw.picture import Picture

F64 = NDArray[np.float64]
HALF = 0.18
"""Half the length of the bar of a case, where cases stand side by side."""


def figure(benchmark: Benchmark, cases: Sequence[Case], measured: Mapping[str, Mapping[int, Measured]]) -> bytes:
    """Return a PNG file: errors and wrong atoms of each case, or its processor time."""
    rows = [pooled(case.name, list(measured[case.name].values())) for case in cases]
    each = [[pooled(case.name, [one]) for one in measured[case.name].values()] for case in cases]
    if benchmark.shown == "cpu_seconds":
        made = style.figure(0.55 + 0.34 * len(cases))
        _times(made.subplots(), cases, rows)
        return _png(benchmark, made)
    made = style.figure(3.4)
    left, right = made.subplots(1, 2, width_ratios=[1.5, 1.0])
    ordered = all(case.at is not None for case in cases)
    place = np.array([case.at if ordered else i for i, case in enumerate(cases)], float)
    across = benchmark.across if ordered else ""
    style.chart(left, across, "root mean square error in space (pm)")
    style.chart(right, across, "wrong atoms (%)", "Missed and false, of the true")
    _panel(left, place, rows, each, "rmsd_pm", ordered)
    _mark(left, place, [row["surface_rmsd_pm"] for row in rows], style.SKY, "^", "at the surface")
    _mark(left, place, [row["bound_pm"] for row in rows], style.ORANGE, "_", "least possible")
    _mark(left, place, [_first(case, "rmsd_pm") for case in cases], style.MUTED, "x", "published")
    _panel(right, place, rows, each, "wrong_percent", ordered)
    _mark(right, place, [_first(case, "wrong_percent") for case in cases], style.MUTED, "x", "published")
    for axes in (left, right):
        _dress(axes, place, cases, ordered, benchmark.logarithmic)
        if axes is left and ordered and benchmark.logarithmic and any(row["rmsd_pm"] for row in rows):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            top = max(axes.get_ylim()[1], 0.05)
            axes.set_ylim(-0.03 * top, top)
    style.legend(left, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0, columnspacing=1.2)
    return _png(benchmark, made)


def _panel(axes: Any, place: F64, rows: Sequence[Row], each: Sequence[Sequence[Row]], name: str, ordered: bool) -> None:
    """Draw one number of every particle as dots, that of all as a bar, or as a line where cases have an order."""
    for i, particles in enumerate(each):
        values = [row[name] for row in particles if row[name] is not None]  # type: ignore[literal-required]
        wide = 0.04 * place[i] if ordered else 0.5 * HALF
        beside = place[i] + wide * np.linspace(-1, 1, len(values) + 2)[1:-1]
        axes.plot(beside, values, "o", color=style.BLUE, markersize=3.5, alpha=0.45, markeredgewidth=0)
    values = [row[name] for row in rows]  # type: ignore[literal-required]
    known = [i for i, value in enumerate(values) if value is not None]
    if ordered:
        axes.plot(
            place[known],
            [values[i] for i in known],
            "-o",
            markersize=4,
            color=style.BLUE,
            linewidth=1.4,
            label="measured",
        )
        return
    for i in known:
        label = "measured" if i == known[0] else None
        axes.plot(place[i] + HALF * np.array([-1, 1]), [values[i]] * 2, color=style.BLUE, linewidth=2.2, label=label)
        axes.annotate(
            f"{values[i]:.3g}",
            (place[i] + HALF, values[i]),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.SIZE - 1,
            color=style.INK,
        )


def _mark(axes: Any, place: F64, values: Sequence[float | None], colour: str, sign: str, name: str) -> None:
    known = [i for i, value in enumerate(values) if value is not None]
    if known:
        wide = {"markersize": 18, "markeredgewidth": 2} if sign == "_" else {"markersize": 5, "markeredgewidth": 1.4}
        axes.plot(place[known], [values[i] for i in known], sign, color=colour, label=name, **wide)


def _first(case: Case, name: str) -> float | None:
    """Return the published number beside which the table stands."""
    return getattr(case.published[0], name) if case.published else None


def _dress(axes: Any, place: F64, cases: Sequence[Case], ordered: bool, logarithmic: bool) -> None:
    if ordered:
        axes.set_xscale("log" if logarithmic else "linear")
        return
    axes.set_xticks(place, [case.name for case in cases])
    axes.set_xlim(-0.6, len(cases) - 0.4)
    axes.grid(visible=False, axis="x")


def _times(axes: Any, cases: Sequence[Case], rows: Sequence[Row]) -> None:
    """Draw processor seconds of each case on a logarithmic scale, with those of others."""
    style.chart(axes, "processor seconds", "", "Time of one core")
    place = -np.arange(len(cases), dtype=float)
    told = [(-i, one.cpu_seconds) for i, case in enumerate(cases) for one in case.published if one.cpu_seconds]
    known = [i for i, row in enumerate(rows) if row["cpu_seconds"] is not None]
    axes.plot([rows[i]["cpu_seconds"] for i in known], place[known], "o", color=style.BLUE, label="aetx")
    if told:
        axes.plot([x for _, x in told], [y for y, _ in told], "x", color=style.MUTED, label="others")
    axes.set_xscale("log")
    axes.set_yticks(place, [case.name for case in cases])
    axes.set_ylim(place[-1] - 0.6, 0.6)
    style.legend(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)


def _png(benchmark: Benchmark, made: Any) -> bytes:
    return Picture(benchmark.name, benchmark.name, benchmark.summary, made).png()
