"""What a classification of atoms decided: intensities by class, where the classes part, how often they are mistaken."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture

BINS = 64
"""Bins of the histogram: fine enough for peaks that are narrow beside their distance."""


def classes(dataset: xr.Dataset) -> list[Picture]:
    """Return the picture of what a classification decided, where there was one."""
    if "threshold" not in dataset or dataset["threshold"].dims != ("boundary",):
        return []
    told = "probability" in dataset
    name = "flat_intensity" if told and "flat_intensity" in dataset else "intensity"
    if dataset["threshold"].attrs["units"] != dataset[name].attrs["units"]:
        return []
    values = dataset[name].values.astype(float)
    groups = _species(dataset, values) if told else _sites(dataset, values)
    groups = {key: (one[np.isfinite(one)], colour) for key, (one, colour) in groups.items()}
    if sum(one.size for one, _ in groups.values()) < 2:
        return []
    matrix = told and dataset.sizes["element"] > 1
    made = style.figure(2.9, width=style.WIDTH if matrix else style.WIDTH * 0.7)
    panels = np.atleast_1d(made.subplots(1, 1 + matrix, width_ratios=[1.9, 1][: 1 + matrix]))
    text = "intensity without its level" if name == "flat_intensity" else "intensity"
    axes = style.chart(panels[0], style.label(text, str(dataset[name].attrs["units"])), "atoms", "Classes")
    together = np.concatenate([one for one, _ in groups.values()])
    edges = np.histogram_bin_edges(together, BINS)
    for key, (one, colour) in groups.items():
        style.histogram(axes, one, colour, name=f"{one.size} {key}", edges=edges)
    for place in dataset["threshold"].values:
        if np.isfinite(place):
            axes.axvline(place, color=style.INK, linewidth=0.9, linestyle=(0, (4, 3)))
    style.legend(axes)
    caption = "Dashed: where neighbouring classes part. " + (_told(dataset) if told else "Grey: what was rejected.")
    if matrix:
        _confusion(panels[1], dataset)
    return [Picture("classes", "What the classification decided", caption, made)]


def _species(dataset: xr.Dataset, values: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    species = dataset["species"].values
    colours = style.species_colours(species)
    return {style.symbol(number): (values[species == number], colour) for number, colour in colours.items()}


def _sites(dataset: xr.Dataset, values: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    """Return atoms, and what was rejected: kept with a probability below one half, or written in the last round."""
    real = ~(dataset["exists"].values < 0.5) if "exists" in dataset else np.ones(values.size, bool)
    rejected = values[~real]
    if "ledger_score" in dataset and real.all():
        last = dataset["ledger_round"].values == dataset["ledger_round"].values.max()
        last &= dataset["ledger_action"].values.astype(str) == "removed"
        last &= np.isnan(dataset["ledger_r_before"].values)
        rejected = dataset["ledger_score"].values[last] * np.nanmean(values)
    return {"atoms": (values[real], style.BLUE), "rejected": (rejected, style.NEUTRAL)}


def _told(dataset: xr.Dataset) -> str:
    sure = dataset["probability"].max("element").values
    doubtful = int((sure < 0.9).sum())
    return (
        f"Expected to be right: {100 * np.nanmean(sure):.2f} % of the atoms; {doubtful} are of their species with a "
        "probability below 90 %."
    )


def _confusion(axes: Any, dataset: xr.Dataset) -> None:
    """Write the fraction of the atoms of each element (rows) that are called by each (columns)."""
    matrix = dataset["confusion"].transpose("element", "assigned").values
    names = [style.symbol(int(number)) for number in dataset["element"].values]
    style.bare(axes)
    style.title(axes, "Expected confusion, %")
    axes.imshow(np.sqrt(np.nan_to_num(matrix)), cmap="Blues", vmin=0, vmax=2.2, aspect="auto")
    for row, line in enumerate(matrix):
        for column, part in enumerate(line):
            axes.text(column, row, f"{100 * part:.2f}", ha="center", va="center", fontsize=style.SIZE, color=style.INK)
    axes.set_xticks(range(len(names)), [f"called {name}" for name in names], fontsize=style.SIZE - 1, color=style.INK)
    axes.set_yticks(range(len(names)), names, fontsize=style.SIZE - 1, color=style.INK)
    axes.tick_params(length=0)
