"""Pictures of data compared with other data: shell correlations of half sets, R of held-out tilts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture

DIRECTIONS = {"all": ("all directions", style.INK), "z": ("along z", style.ORANGE), "xy": ("across z", style.BLUE)}


def shells(dataset: xr.Dataset) -> list[Picture]:
    """Return the curves of a Fourier shell correlation, with its thresholds."""
    masked = "fsc_unmasked" in dataset
    made = style.figure(3.1)
    panels = np.atleast_1d(made.subplots(1, 2 if masked else 1, sharey=True))
    _curves(panels[0], dataset)
    if masked:
        _mask(panels[1], dataset)
    found = dataset["resolution"]
    level = float(found["threshold"][0])
    said = []
    for name, (words, _) in DIRECTIONS.items():
        value = float(found.sel(direction=name)[0])
        said.append(f"{words} {value:.3g} Å" if np.isfinite(value) else f"{words} never crossed")
    text = f"Resolution at {level:g}: {', '.join(said)}. The band is the scatter of pure noise."
    for name, words in (("elongation", "a missing wedge stretches by {:.3g} along z"), ("crowther", "{:.3g} Å")):
        if np.isfinite(dataset[name]):
            words = words.format(float(dataset[name]))
            text += f" The tilts: {words}" if name == "elongation" else f", and their number allows {words} (Crowther)."
    return [Picture("shells", "Fourier shell correlation", text, made)]


def _curves(axes: Any, dataset: xr.Dataset) -> None:
    frequency = dataset["frequency"].values
    style.chart(axes, style.label("spatial frequency", "1/angstrom"), "correlation", "By direction")
    band = 2 * dataset["noise"].sel(direction="all").values
    axes.fill_between(frequency, -band, band, color=style.LINE, linewidth=0)
    for name, (words, colour) in DIRECTIONS.items():
        values = dataset["fsc"].sel(direction=name).values
        axes.plot(frequency, values, color=colour, linewidth=1.8 if name == "all" else 1.3, label=words)
    _thresholds(axes, dataset)
    style.legend(axes, loc="upper right")


def _mask(axes: Any, dataset: xr.Dataset) -> None:
    style.chart(axes, style.label("spatial frequency", "1/angstrom"), "", "What the mask does, all directions")
    frequency = dataset["frequency"].values
    for name, words, colour in (
        ("fsc_unmasked", "without mask", style.NEUTRAL),
        ("fsc_masked", "with mask", style.SKY),
        ("fsc_random", "with mask, random phases", style.PINK),
        ("fsc", "corrected", style.INK),
    ):
        values = dataset[name].sel(direction="all").values
        axes.plot(frequency, values, color=colour, linewidth=1.4, label=words)
    _thresholds(axes, dataset)
    style.legend(axes, loc="upper right")


def _thresholds(axes: Any, dataset: xr.Dataset) -> None:
    axes.set_ylim(-0.25, 1.12)
    axes.set_xlim(0, float(dataset["frequency"][-1]))
    for level in dataset["threshold"].values:
        axes.axhline(level, color=style.MUTED, linewidth=0.9, linestyle=(0, (5, 3)))
        axes.annotate(
            f"{level:g}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            fontsize=style.SIZE - 1.5,
            color=style.MUTED,
        )


def iterations(dataset: xr.Dataset) -> list[Picture]:
    """Return R work and R free against the iterations, and R free of each tilt at the best."""
    from aetx.draw.tilt_series import tilt_axis

    made = style.figure(3.0)
    left, right = made.subplots(1, 2, width_ratios=[1.2, 1.0])
    steps, best = dataset["iteration"].values, int(dataset["best"])
    style.chart(left, "iterations", "R factor", "Images used and held out")
    for name, words, colour in (("r_free", "held out", style.ORANGE), ("r_work", "used", style.BLUE)):
        left.plot(steps, dataset[name].values, "o-", color=colour, markersize=3.5, linewidth=1.5, label=words)
    left.set_xscale("log")
    left.set_xticks(steps, [str(step) for step in steps])
    left.minorticks_off()
    style.marker(left, best, "best")
    style.legend(left, loc="upper right")
    across, text = tilt_axis(dataset)
    style.chart(right, text, "R free", f"Each image held out, {best} iterations")
    values = dataset["r_free_tilt"].sel(iteration=best).values
    order = np.argsort(across, kind="stable")
    right.plot(across[order], values[order], "o", color=style.ORANGE, markersize=4)
    right.axhline(float(dataset["least_r_free"]), color=style.ORANGE, linewidth=0.9, linestyle=(0, (5, 3)))
    right.set_ylim(0, 1.08 * float(np.nanmax(values)))
    work, free = (float(dataset[name].sel(iteration=best)) for name in ("r_work", "r_free"))
    said = f"R free is least after {best} iterations: {free:.4g} held out, {work:.4g} used; mean of the tilts dashed."
    return [Picture("held-out", "Held-out images", said, made)]


def choice(dataset: xr.Dataset) -> Picture:
    """Return how held-out tilts chose the iterations, or the weight of a prior, of a reconstruction."""
    steps, best = dataset["step"].values, int(dataset["best_iterations"])
    weights = dataset["strength"].values if "strength" in dataset.variables else None
    chosen = 0 if weights is None else int(np.flatnonzero(weights == float(dataset["best_strength"]))[0])
    made = style.figure(3.0)
    panels = np.atleast_1d(made.subplots(1, 1 if weights is None else 2))
    left = style.chart(panels[0], "iterations", "R factor", "Images used and held out")
    others = [row for row in range(dataset.sizes["trial"]) if row != chosen]
    for row in others:
        label = "held out, other strengths" if row == others[0] else None
        left.plot(steps[1:], dataset["r_free"].values[row, 1:], color=style.LINE, linewidth=1.0, label=label)
    for name, words, colour in (("r_free", "held out", style.ORANGE), ("r_work", "used", style.BLUE)):
        left.plot(steps[1:], dataset[name].values[chosen, 1:], color=colour, linewidth=1.6, label=words)
    if steps[-1] > 30:
        left.set_xscale("log")
    free = float(dataset["mean_r_free"])
    left.set_ylim(0, min(left.get_ylim()[1], 3 * free))  # the first steps may lie above
    style.marker(left, best, "used")
    style.legend(left, loc="best")
    text = f"R free is {free:.4g} after {best} iterations, those of the volume, which is made of all images."
    if weights is not None:
        right = style.chart(panels[1], "strength", "R free", "Weight of the prior")
        right.plot(weights, dataset["r_free_trial"].values, "o-", color=style.ORANGE, markersize=4, linewidth=1.4)
        right.set_xscale("log")
        right.set_xticks(weights, [f"{weight:.2g}" for weight in weights])
        right.minorticks_off()
        style.marker(right, float(weights[chosen]), "best")
        text += f" Of {len(weights)} strengths, {weights[chosen]:.4g} has the least."
    return Picture("choice", "What held-out images chose", text, made)
