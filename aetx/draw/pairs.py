"""Pair distributions: g(r) with its errors, by pairs of species, and G(r)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture


def pairs(dataset: xr.Dataset) -> list[Picture]:
    """Return the picture of a pair distribution."""
    distance = dataset["distance"].values
    made = style.figure(5.2)
    upper, lower = made.subplots(2, 1, sharex=True)
    style.chart(upper, "", "g(r)", "Pair distribution")
    names = [str(one) for one in dataset["pair"].values]
    if len(names) > 1:
        for name, colour in zip(names, style.SERIES, strict=False):
            upper.plot(distance, dataset["partial_g"].sel(pair=name), color=colour, linewidth=1.0, label=name)
    colour = style.INK if len(names) > 1 else style.BLUE
    _curve(upper, distance, dataset["g"].values, dataset["g_error"].values, colour, "all")
    upper.axhline(1.0, color=style.MUTED, linewidth=0.7)
    for name, text in (("first_peak", "first peak"), ("first_minimum", "first minimum")):
        place = float(dataset[name])
        if np.isfinite(place) and place < distance[-1]:
            upper.axvline(place, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
            upper.annotate(
                f"{text} {place:.3f} Å",
                (place, 0.98 if name == "first_peak" else 0.88),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                va="top",
                fontsize=style.SIZE - 1,
                color=style.INK,
            )
    upper.set_ylim(bottom=0)
    if len(names) > 1:
        style.legend(upper, loc="upper right")
    style.chart(lower, "distance (Å)", style.label("G(r)", str(dataset["pdf"].attrs["units"])))
    _curve(lower, distance, dataset["pdf"].values, dataset["pdf_error"].values, style.BLUE, "")
    lower.axhline(0.0, color=style.MUTED, linewidth=0.7)
    lower.set_xlim(0, float(distance[-1]))
    known = np.abs(dataset["pdf"].values[distance > 0.5 * float(dataset["first_minimum"].fillna(0.0))])
    if np.isfinite(known).any():
        top = 1.1 * float(np.nanmax(known))
        lower.set_ylim(max(-top, 1.1 * float(np.nanmin(dataset["pdf"].values))), top)
    peak, error = float(dataset["first_peak"]), float(dataset["first_peak_error"])
    caption = (
        f"Relative to an even density of {float(dataset['density']):.4f} atoms per Å³ in the particle's own shape; "
        f"bands are standard errors of counting. First shell: {float(dataset['coordination_number']):.2f} atoms inside"
    )
    caption += f", first peak at {peak:.4f} ± {error:.4f} Å." if np.isfinite(peak) else "."
    return [Picture("pair-distribution", "Distances of pairs", caption, made)]


def _curve(axes: Any, across: np.ndarray, value: np.ndarray, error: np.ndarray, colour: str, name: str) -> None:
    spread = np.nan_to_num(error)
    axes.fill_between(across, value - spread, value + spread, color=colour, alpha=0.25, linewidth=0)
    axes.plot(across, value, color=colour, linewidth=1.3, label=name or None)
