"""Pictures of atoms against others: how far off, which are wrong, and how well they come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize

from aetx.draw import style
from aetx.draw.picture import Picture

PM = 100.0
"""Picometres in an angstrom."""
REGIONS = {"surface": style.ORANGE, "core": style.BLUE}


def comparison(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a comparison of atoms with the truth."""
    made = [_errors(dataset)] if dataset.sizes["pair"] else []
    if dataset.sizes["pair"] + dataset.sizes["missing"] + dataset.sizes["extra"]:
        made.append(_wrong(dataset))
    if (dataset["true_species"].values > 0).sum() > 1 or (dataset["found_species"].values > 0).sum() > 1:
        made.append(_confusion(dataset))
    return made


def repeats(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of bias and scatter over repeats."""
    if not np.isfinite(dataset["bias"].values).any():
        return []
    return [_parts(dataset), _map_of_scatter(dataset)]


def _errors(dataset: xr.Dataset) -> Picture:
    made = style.figure(2.9)
    distances, axes_errors, alignments = made.subplots(1, 3, width_ratios=[1.2, 1.2, 1.0])
    style.chart(distances, "distance from the true place (pm)", "atoms", "Each atom")
    distance, outer = PM * dataset["distance"].values, dataset["on_surface"].values.astype(bool)
    edges = style.histogram_edges(distance)
    for (name, colour), part in zip(REGIONS.items(), (outer, ~outer), strict=True):
        if part.any():
            rmsd = PM * float(dataset["rmsd_region"].sel(region=name))
            style.histogram(distances, distance[part], colour, name=f"{name}, RMSD {rmsd:.3g}", edges=edges)
    style.legend(distances)
    style.chart(axes_errors, "found minus true (pm)", "atoms", "Along each axis")
    residual = PM * dataset["residual"].values
    edges = style.histogram_edges(residual)
    for i, (axis, colour) in enumerate(zip("xyz", style.SERIES, strict=False)):
        name = f"{axis}, {PM * float(dataset['rmsd_axis'][i]):.3g}"
        style.histogram(axes_errors, residual[:, i], colour, name=name, edges=edges)
    style.legend(axes_errors)
    _alignment_bars(alignments, dataset)
    low, high = PM * dataset["rmsd_interval"].values
    said = f"RMSD {PM * float(dataset['rmsd']):.3g} pm"
    said += f" (95 %: {low:.3g} to {high:.3g})" if np.isfinite(low) else ""
    fitted = dataset["rmsd"].attrs.get("fitted", "none")
    what = "nothing fitted" if fitted == "none" else f"{fitted} fitted"
    text = f"{said}, {int(dataset['common'])} pairs within {float(dataset['radius']):g} Å one to one, {what}."
    return Picture("errors", "Distances from the truth", text, made)


def _alignment_bars(axes: Any, dataset: xr.Dataset) -> None:
    style.chart(axes, "RMSD (pm)", "", "What fitting takes away")
    names = [str(name) for name in dataset["alignment"].values]
    values = PM * dataset["rmsd_aligned"].values
    used = [name == dataset["rmsd"].attrs.get("fitted") for name in names]
    axes.barh(names, values, height=0.62, color=[style.BLUE if one else style.NEUTRAL for one in used], alpha=0.75)
    for row, value in enumerate(values):
        if np.isfinite(value):
            axes.annotate(
                f"{value:.3g}",
                (value, row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=style.SIZE - 1,
                color=style.INK,
            )
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.grid(visible=False, axis="y")


def _wrong(dataset: xr.Dataset) -> Picture:
    """Draw paired atoms pale by distance, missed ones as rings and false ones as crosses."""
    pairs, missed, false = (dataset[f"{name}_position"].values for name in ("true", "missed", "false"))
    everything = np.concatenate([pairs, missed, false])
    size = _diameter(dataset)
    made, panels = _views(everything, size)
    distance = PM * dataset["distance"].values
    mapped = _mapped(distance, "Greys", 0.25)
    for axes, a, b, depth in panels:
        order = np.argsort(depth(pairs), kind="stable")
        _balls(axes, pairs[order][:, [a, b]], size, mapped.to_rgba(distance[order])[:, :3] if len(order) else None)
        for points, mark, colour in ((missed, "o", style.ORANGE), (false, "x", style.BLUE)):
            for width, edge in ((5.0, style.PAPER), (2.2, colour)):  # on a white halo
                shape = {"fillstyle": "none", "markersize": 9.0, "markeredgewidth": width, "linestyle": "none"}
                axes.plot(*points[:, [a, b]].T, marker=mark, color=edge, zorder=4, **shape)
    style.colour_bar(made, mapped, [axes for axes, *_ in panels], "distance (pm)")
    error = 100 * float(dataset["tracing_error"])
    text = (
        f"{len(missed)} atoms missed (rings) and {len(false)} false (crosses) of {int(dataset['true'])}: {error:.3g} %."
    )
    return Picture("wrong-atoms", "Where atoms are wrong", text, made)


def _confusion(dataset: xr.Dataset) -> Picture:
    counts = dataset["confusion"].values
    rows, columns = ([style.symbol(int(n)) for n in dataset[f"{name}_species"].values] for name in ("true", "found"))
    made = style.figure(0.5 * len(rows) + 1.3, 0.75 * len(columns) + 2.6)
    axes = style.chart(made.subplots(), "found", "true")
    axes.grid(visible=False)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    for (row, column), count in np.ndenumerate(counts):
        ink = style.PAPER if share[row, column] > 0.6 else style.INK
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=style.SIZE, color=ink)
    right = float(dataset["right_element"])
    text = f"{100 * right:.4g} % of the pairs whose elements are known have the right one." if right == right else ""
    return Picture("elements", "Elements, true and found", text or "No pair has two known elements.", made)


def _parts(dataset: xr.Dataset) -> Picture:
    made = style.figure(2.9)
    bars, spread = made.subplots(1, 2, width_ratios=[1.0, 1.5])
    style.chart(bars, "", "root mean square (pm)", "Along each axis")
    for i, (name, colour) in enumerate((("rms_bias", style.SKY), ("rms_scatter", style.BLUE))):
        values = PM * np.nan_to_num(dataset[name].values)
        bars.bar(np.arange(3) + 0.38 * (i - 0.5), values, 0.36, color=colour, label=name[4:])
    bars.set_xticks(range(3), ["x", "y", "z"])
    bars.grid(visible=False, axis="x")
    style.legend(bars)
    values, what = _amount(dataset)
    style.chart(spread, f"{what} in space (pm)", "atoms", "Each atom")
    outer = dataset["on_surface"].values.astype(bool)
    edges = style.histogram_edges(values[np.isfinite(values)])
    for (name, colour), part in zip(REGIONS.items(), (outer, ~outer), strict=True):
        chosen = values[part & np.isfinite(values)]
        if chosen.size:
            style.histogram(spread, chosen, colour, name=f"{name}, median {np.median(chosen):.3g}", edges=edges)
    style.legend(spread)
    error = 100 * float(dataset["tracing_error"])
    rmsd = f"RMSD {PM * float(dataset['rmsd']):.3g} pm"
    text = f"{rmsd} and {error:.3g} % wrong atoms over {dataset.sizes['repeat']} repeats."
    return Picture("precision", "How well atoms come back", text, made)


def _map_of_scatter(dataset: xr.Dataset) -> Picture:
    place, (values, what) = dataset["position"].values, _amount(dataset)
    size = _diameter(dataset)
    made, panels = _views(place, size)
    mapped = _mapped(values)
    for axes, a, b, depth in panels:
        order = np.argsort(depth(place), kind="stable")
        colours = np.where(np.isfinite(values)[order, None], mapped.to_rgba(values[order])[:, :3], 0.85)
        _balls(axes, place[order][:, [a, b]], size, colours)
    style.colour_bar(made, mapped, [axes for axes, *_ in panels], f"{what} (pm)")
    lost = int((dataset["identified"].values < 1).sum())
    text = f"{what.capitalize()} of each atom over the repeats; {lost} atoms are not found in all of them."
    return Picture("precision-map", f"{what.capitalize()} atom by atom", text, made)


def _amount(dataset: xr.Dataset) -> tuple[np.ndarray, str]:
    """Return the scatter of each atom in space, pm, or the bias where there is one repeat only."""
    name = "scatter" if np.isfinite(dataset["scatter"].values).any() else "bias"
    return PM * np.sqrt((dataset[name].values ** 2).sum(1)), name


def _diameter(dataset: xr.Dataset) -> float:
    radius = float(dataset["surface_radius"])
    return 0.8 * radius if np.isfinite(radius) else 2.0


def _mapped(values: np.ndarray, colours: str = style.VALUES, darkest: float = 0.0) -> Any:
    """Return the colours of values, without that share of the map at its dark end."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    steps = np.linspace(0.08 if darkest else 0.0, 1 - darkest, 256)
    low, high = style.limits(values, 0, 99)
    return ScalarMappable(Normalize(low, high, clip=True), ListedColormap(colormaps[colours](steps)))


def _views(place: np.ndarray, size: float) -> tuple[Any, list[Any]]:
    """Return a figure and its three panels, each with the columns across and up and what gives the depth."""
    low, high = place.min(axis=0) - size, place.max(axis=0) + size
    span = dict(zip("xyz", np.maximum(high - low, 1.0), strict=True))
    widths = [span[across] for across, _, _ in style.VIEWS]
    room = style.WIDTH - 1.2
    foot = 0.45 * sum(widths) / room
    height = max(span[up] for _, up, _ in style.VIEWS) + foot
    made = style.figure(min(8.0, room * height / sum(widths) + 0.4))
    panels = []
    for axes, (across, up, along) in zip(made.subplots(1, 3, width_ratios=widths), style.VIEWS, strict=True):
        a, b, c = ("xyz".index(one) for one in (across, up, along))
        extent = (low[a], high[a], low[b] - foot, high[b])
        style.bare(axes)
        axes.set_xlim(*extent[:2])
        axes.set_ylim(*extent[2:])
        axes.set_aspect("equal")
        style.scale_bar(axes, extent, style.INK)
        style.arrows(axes, across, up, style.INK)
        style.title(axes, f"along {along}")
        sign = -1 if along in "yx" else 1
        panels.append((axes, a, b, lambda points, c=c, sign=sign: sign * points[:, c]))
    return made, panels


def _balls(axes: Any, place: np.ndarray, size: float, colours: Any) -> None:
    if not len(place):
        return
    across = np.full(len(place), size * 0.8)
    axes.add_collection(
        EllipseCollection(
            across,
            across,
            np.zeros(len(place)),
            units="xy",
            offsets=place,
            offset_transform=axes.transData,
            facecolors=colours,
            edgecolors=np.asarray(colours) * 0.65,
            linewidths=0.25 if len(place) < 20_000 else 0.0,
            alpha=0.75,
        )
    )
