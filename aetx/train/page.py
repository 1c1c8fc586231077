"""The report of a training: learning curves, sections of an input, of what became of it and of the target, the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from aetx.core.weights import Card
from aetx.draw import Picture, style
from aetx.kernels.inference import evaluate
from aetx.kernels.neural_networks import Published, Residual
from aetx.kernels.unit_peaks import unit_peaks
from aetx.report.page import render, write
from aetx.report.shown import kept
from aetx.train.pairs import F32, Pair
from aetx.train.settings import Training
from aetx.train.state import History
from aetx.train.validation import Score

LOWEST = 1e-3
"""Least share of wrong atoms that has a place on a logarithmic axis, per cent."""


def write_page(
    folder: Path,
    card: Card,
    history: History,
    found: Score,
    network: Published | Residual,
    judge: Sequence[Pair],
    training: Training,
) -> Path:
    """Write ``report.html`` with its figures, and return its path."""
    pictures = [_curves(history, training)]
    if judge:
        pictures.append(_sections(network, judge[0], training))
    numbers = [
        (f"{found.wrong_percent:.3f} %", f"of {found.atoms} atoms missed or false"),
        (f"{found.rmsd_pm:.1f} pm", "root mean square error in space"),
        (f"{found.rmse:.4f}", "root mean square error of the output"),
        (f"{card.parameters}", "parameters"),
        (f"{history.seconds / 60:.1f} min", "processor time"),
    ]
    stated = [
        ("Network", ", ".join([card.form, *(f"{name} {value}" for name, value in card.options.items())])),
        ("Start", str(card.training["start"])),
        ("Pairs", f"{card.training['pairs']} for training with {card.training['atoms']} atoms; {len(judge)} held out"),
        ("Specimens", ", ".join(card.specimens)),
        ("Pixel size", f"{card.pixel_size[0]:g} to {card.pixel_size[1]:g} Å"),
        ("Largest tilt", f"{card.largest_tilt[0]:g} to {card.largest_tilt[1]:g}°"),
        ("Atoms in the output", f"Gaussians of height {card.output_peak:g}, standard deviation {card.width:g} Å"),
        ("Machine", card.machine),
        ("sha256", card.sha256),
        ("Licence", card.licence),
    ]
    settings = [
        (name, _flat(value) if isinstance(value, dict) else str(value))
        for name, value in card.training["settings"].items()
        if name != "sources"
    ]
    sources = [
        (f"sources[{number}], {one['count']} pairs", _flat({**one["sets"], **one["vary"]}))
        for number, one in enumerate(card.training["settings"]["sources"])
    ]
    values: dict[str, object] = {
        "title": card.title,
        "name": card.name,
        "numbers": numbers,
        "pictures": [kept("training", one, folder) for one in pictures],
        "stated": stated,
        "settings": settings + sources,
    }
    return write(folder / "report.html", render("training.html", values).encode())


def _flat(values: dict[str, Any]) -> str:
    def text(one: Any) -> str:
        if not isinstance(one, dict):
            return str(one)
        return " to ".join(one["between"]) if "between" in one else " | ".join(one["among"])

    return "; ".join(f"{name}: {text(one)}" for name, one in values.items()) or "as the recipe has it"


def _curves(history: History, training: Training) -> Picture:
    """Draw the error of training and validation, the wrong atoms and their distance, over the steps."""
    made = style.figure(3.0)
    first, second, third = made.subplots(1, 3)
    style.chart(first, "step", "root mean square error of the output", "Error")
    steps = np.array([row[0] for row in history.loss], float)
    errors = np.sqrt(np.array([row[1] for row in history.loss], float))
    first.plot(steps, errors, color=style.SKY, linewidth=0.9, label="training")
    judged = np.array(history.judged, float).reshape(-1, 4)
    first.plot(judged[:, 0], judged[:, 1], "o-", color=style.BLUE, markersize=3.5, linewidth=1.2, label="validation")
    style.legend(first)
    style.chart(second, "step", "wrong atoms (%)", "Missed and false, validation")
    second.plot(judged[:, 0], np.maximum(judged[:, 2], LOWEST), "o-", color=style.BLUE, markersize=3.5, linewidth=1.2)
    style.chart(third, "step", "root mean square error in space (pm)", "Positions, validation")
    third.plot(judged[:, 0], judged[:, 3], "o-", color=style.BLUE, markersize=3.5, linewidth=1.2)
    for axes in (first, second, third):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            axis.set_major_locator(LogLocator(subs=_marks(high / low)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    caption = (
        f"Training: mean over {history.loss[0][0] if history.loss else 0} steps, inside the margin of random cubes. "
        f"Validation: {training.validation.traced} volumes that are not trained on, whole; atoms traced as "
        f"trace.peaks does. Both axes are logarithmic; no wrong atom is drawn at {LOWEST:g} %."
    )
    return Picture("curves", "Learning curves", caption, made)


def _marks(ratio: float) -> tuple[float, ...]:
    """Return which multiples of powers of ten are marked on a logarithmic axis that spans a ratio."""
    return (
        (1.0,) if ratio > 300 else (1.0, 2.0, 5.0) if ratio > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    )


def _sections(network: Published | Residual, pair: Pair, training: Training) -> Picture:
    """Draw sections through the middle of a volume, of what the network makes of it and of the target."""
    given = pair.volume.astype(np.float32)
    network.eval()
    shown: list[tuple[str, F32]] = [
        ("input", given),
        ("output", evaluate(network, given, network.multiple, mirrors=False)),
        ("target", unit_peaks(pair.atom.astype(np.float64), training.width / pair.step, *given.shape)),
    ]
    depth, rows, columns = given.shape
    wide = style.WIDTH / 3
    made = style.figure(wide * (rows + depth) / columns + 0.3)
    panels = made.subplots(2, 3, height_ratios=[rows, depth])
    for column, (name, volume) in enumerate(shown):
        high = float(np.quantile(given, 0.9995)) if name == "input" else 1.0
        for row, (section, across, up) in enumerate(((volume[depth // 2], "x", "y"), (volume[:, rows // 2], "x", "z"))):
            extent = (0.0, section.shape[1] * pair.step, 0.0, section.shape[0] * pair.step)
            style.image(panels[row, column], section, extent, style.DENSITY, (0.0, high))
            style.arrows(panels[row, column], across, up)
            if row == 0:
                style.title(panels[row, column], name)
    made.align_titles()
    caption = (
        "Middle sections across the beam (top) and along it (bottom, z up) of a volume that is not trained on. The "
        "missing wedge lies along z."
    )
    return Picture("sections", "Input, output, target", caption, made)
