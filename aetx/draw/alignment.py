"""Pictures of an aligned tilt series: before and after, what was changed, how well it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.refined import LETTERS, turns
from aetx.draw.tilt_series import tilt_axis


def alignment(series: xr.Dataset) -> list[Picture]:
    """Return what an alignment left in a series; nothing where none has."""
    if not {"shift_x", "shift_y"} <= set(series.variables):
        return []
    return [_before_and_after(series), _changes(series), *_axis(series), *_held_out(series)]


def _before_and_after(series: xr.Dataset) -> Picture:
    """Draw the sums of each image along x and along y, as taken and as they are now; reads one image at a time."""
    across, text = tilt_axis(series)
    order = np.argsort(across, kind="stable")
    made = style.figure(4.6)
    panels = made.subplots(2, 2, sharex=True)
    drawn = None
    for row, (side, along) in enumerate((("y", "x"), ("x", "y"))):
        place = series[side].values.astype(float)
        now = np.stack([series["image"].isel(tilt=int(i)).sum(along).values.astype(float) for i in order])
        now /= np.maximum(np.abs(now).max(axis=1, keepdims=True), np.finfo(float).tiny)
        shift = series[f"shift_{side}"].values[order]
        before = np.stack([np.interp(place - step, place, one) for step, one in zip(shift, now, strict=True)])
        limits = style.limits(np.concatenate([before.ravel(), now.ravel()]))
        for axes, values, heading in zip(panels[row], (before, now), ("as taken", "aligned"), strict=True):
            title = f"sums along {along}, {heading}"
            style.chart(axes, text if row else "", f"{side} (Å)" if heading == "as taken" else "", title)
            axes.grid(visible=False)
            drawn = axes.pcolormesh(
                np.arange(len(order)), place, values.T, cmap=style.GREY, vmin=limits[0], vmax=limits[1], rasterized=True
            )
            shown = np.unique(np.linspace(0, len(order) - 1, min(7, len(order))).round().astype(int))
            axes.set_xticks(shown, [f"{across[order[i]]:.0f}" for i in shown])
    style.colour_bar(made, drawn, list(panels.ravel()), "part of the greatest")
    said = "Sums along x are the same at all tilts about y, where the whole specimen is in view; sums along y wander as"
    said += " one point of it does. As taken: the same, moved by the shifts that were found."
    return Picture("alignment", "Before and after alignment", said, made)


def _changes(series: xr.Dataset) -> Picture:
    """Draw shifts and changes of angles with their standard errors."""
    across, text = tilt_axis(series)
    stated = all(f"stated_{name}" in series for name in LETTERS)
    made = style.figure(2.7)
    panels = np.atleast_1d(made.subplots(1, 2 if stated else 1))
    axes = style.chart(panels[0], text, "shift (Å)", "Where images lay")
    said = []
    for axis, colour, shape in (("x", style.BLUE, "o"), ("y", style.ORANGE, "s")):
        error = (
            series[f"shift_{axis}_error"].values if f"shift_{axis}_error" in series else np.full(across.size, np.nan)
        )
        _with_errors(axes, across, series[f"shift_{axis}"].values, error, colour, shape, axis)
        if np.isfinite(error).any():
            said.append(f"{axis} {np.nanmedian(error):.2g} Å")
    _room(axes)
    if stated:
        axes = style.chart(panels[1], text, "now less stated angle (°)", "Angles")
        marks = zip(LETTERS.values(), turns(series), style.SERIES, "os^", strict=False)
        for letter, values, colour, shape in marks:
            axes.plot(across, values, shape, color=colour, markersize=4, label=letter)
        _room(axes)
    if "turn_error" in series:
        known = series["turn_error"].values
        parts = [f"{name} {np.median(one):.2g}°" for name, one in zip("xyz", known.T, strict=True) if (one > 0).any()]
        said += [f"turn about {part}" for part in parts]
    caption = "The content of each image lay that far from where it belongs."
    caption += f" Median standard errors of the last stage: {', '.join(said)}." if said else ""
    return Picture("alignment-changes", "What the alignment changed", caption, made)


def _axis(series: xr.Dataset) -> list[Picture]:
    if not {"azimuth", "azimuth_error", "misfit", "trial"} <= set(series.variables):
        return []
    made = style.figure(2.5)
    axes = style.chart(made.subplots(), "angle from y (°)", "part that differs", "Sums across the axis")
    axes.plot(series["trial"].values, series["misfit"].values, color=style.BLUE, linewidth=1.2)
    value, error = float(series["azimuth"]), float(series["azimuth_error"])
    style.marker(axes, value, "axis")
    axes.axvspan(value - error, value + error, color=style.AMBER, alpha=0.3, linewidth=0)
    said = f"Images summed across the tilt axis differ least where it is {value:+.3f} ± {error:.2g}° from y."
    return [Picture("tilt-axis", "Direction of the tilt axis", said, made)]


def _held_out(series: xr.Dataset) -> list[Picture]:
    if not {"r_free", "r_free_before"} <= set(series.variables):
        return []
    across, text = tilt_axis(series)
    made = style.figure(2.6)
    axes = style.chart(made.subplots(), text, "R free", "Each image against a volume that does not know it")
    for name, words, colour, shape in (
        ("r_free_before", "before", style.NEUTRAL, "o"),
        ("r_free", "after", style.BLUE, "D"),
    ):
        values = series[name].values
        axes.plot(across, values, shape, color=colour, markersize=4.5, label=f"{words}, mean {np.nanmean(values):.4g}")
    axes.set_ylim(0, None)
    _room(axes)
    rounds = ", ".join(f"{value:.4g}" for value in series["r_free_history"].values)
    return [Picture("alignment-r-free", "Agreement with held-out images", f"Mean in each round: {rounds}.", made)]


def _with_errors(axes: Any, across: np.ndarray, up: np.ndarray, error: np.ndarray, *look: str) -> None:
    colour, shape, name = look
    bars = np.where(np.isfinite(error), error, 0.0)
    axes.errorbar(across, up, bars, fmt=shape, color=colour, markersize=4, elinewidth=1.0, label=name)


def _room(axes: Any) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(top=high + 0.25 * (high - low))
    style.legend(axes, loc="upper left", ncols=3)
