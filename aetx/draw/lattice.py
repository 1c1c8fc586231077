"""Pictures of a lattice: its grains seen along their twin planes, and what its layers are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_rgb

from aetx.draw import discs, style
from aetx.draw.picture import Picture
from aetx.model import positions

DRAWN = 40_000
"""Most atoms drawn."""


def lattice(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of grains and layers, as far as they are there."""
    return [*_twins(dataset), *_layers(dataset)]


def _twins(dataset: xr.Dataset) -> list[Picture]:
    """Look along the <110> that lies best in all twin planes, so that columns of atoms show the stacking."""
    if dataset.sizes.get("plane", 0) == 0 or "twin_plane" not in dataset:
        return []
    place, grain, plane = positions(dataset), dataset["grain"].values, dataset["twin_plane"].values
    axes = _view(dataset)
    seen = place @ axes
    made = style.figure(4.6)
    panels = made.subplots(1, 2, width_ratios=[1.25, 1])
    shown = np.argsort(seen[:, 2], kind="stable")
    if shown.size > DRAWN:
        shown = shown[np.sort(np.random.default_rng(0).choice(shown.size, DRAWN, replace=False))]
    _columns(panels[0], seen[shown], _colours(grain, plane)[shown])
    _pairs(panels[1], dataset)
    parts = dataset["plane_atoms"].values
    caption = f"Left: along a common <110>, dark atoms on {parts.size} twin plane{'s' if parts.size > 1 else ''} "
    caption += f"({', '.join(map(str, parts[:8]))} atoms). Right: {_told(dataset)}"
    names = {f"grain {k}": style.SERIES[k % len(style.SERIES)] for k in range(min(dataset.sizes["grain_id"], 6))}
    discs.legend(made, {**names, "twin plane": style.INK})
    return [Picture("twins", "Grains and twin planes", caption, made)]


def _view(dataset: xr.Dataset) -> np.ndarray:
    """Return axes in columns: across, up (a plane normal, turned into the view) and towards the reader."""
    normals = dataset["plane_normal"].sel(axis=["x", "y", "z"]).transpose("plane", "axis").values
    basis = dataset["basis"].sel(axis=["x", "y", "z"]).transpose("grain_id", "vector", "axis").values[0]
    pairs = np.array([(0, 1, 1), (0, 1, -1), (1, 0, 1), (1, 0, -1), (1, 1, 0), (1, -1, 0)]) @ basis
    pairs = pairs / np.linalg.norm(pairs, axis=1, keepdims=True)
    along = pairs[((pairs @ normals.T) ** 2).sum(axis=1).argmin()]
    up = normals[0] - (normals[0] @ along) * along
    up = up / np.linalg.norm(up) * (-1.0 if up[2] < 0 else 1.0)
    return np.stack([np.cross(up, along), up, along], axis=1)


def _colours(grain: np.ndarray, plane: np.ndarray) -> np.ndarray:
    rgb = np.tile(to_rgb(style.LINE), (grain.size, 1))
    for number in range(int(grain.max(initial=-1)) + 1):
        rgb[grain == number] = to_rgb(style.SERIES[number % len(style.SERIES)])
    rgb[plane >= 0] = to_rgb(style.INK)
    return rgb


def _columns(axes: Any, seen: np.ndarray, rgb: np.ndarray) -> None:
    style.bare(axes)
    size = 0.7 * discs.nearest(seen)
    low, high = seen[:, :2].min(axis=0) - size, seen[:, :2].max(axis=0) + size
    foot = 0.1 * float(high[1] - low[1])
    extent = (low[0], high[0], low[1] - foot, high[1])
    axes.set_xlim(*extent[:2])
    axes.set_ylim(*extent[2:])
    axes.set_aspect("equal")
    axes.add_collection(
        EllipseCollection(
            np.full(len(seen), size),
            np.full(len(seen), size),
            np.zeros(len(seen)),
            units="xy",
            offsets=seen[:, :2],
            offset_transform=axes.transData,
            facecolors=rgb,
            edgecolors=rgb * 0.6,
            linewidths=0.2,
        )
    )
    style.scale_bar(axes, extent, style.INK)
    style.title(axes, "along ⟨110⟩")


def _pairs(axes: Any, dataset: xr.Dataset) -> None:
    """Write the misorientation of each pair of the greatest grains, in bold where they are twins."""
    count = min(dataset.sizes["grain_id"], 6)
    angle = dataset["misorientation"].values[:count, :count]
    twin = np.isfinite(dataset["twin_deviation"].values[:count, :count])
    style.bare(axes)
    style.title(axes, "misorientation of grains (°), twins in blue")
    axes.imshow(np.where(twin, 1.0, 0.0), cmap="Blues", vmin=0, vmax=2.5, aspect="equal")
    for i in range(count):
        for j in range(count):
            text = "" if i == j else f"{angle[i, j]:.1f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=style.SIZE, color=style.INK)
    labels = [f"{k}" for k in range(count)]
    axes.set_xticks(range(count), labels, fontsize=style.SIZE - 1, color=style.INK)
    axes.set_yticks(range(count), labels, fontsize=style.SIZE - 1, color=style.INK)
    axes.tick_params(length=0)


def _told(dataset: xr.Dataset) -> str:
    twist, error = dataset["twist"].values, dataset["twist_error"].values
    known = [(i, j) for i, j in np.argwhere(np.isfinite(twist)) if i < j]
    if not known:
        return "smallest turn from grain to grain."
    said = [f"{i} and {j} {twist[i, j]:+.2f} ± {error[i, j]:.2f}°".replace("-", "\u2212") for i, j in known[:4]]
    return f"smallest turn from grain to grain; twist about the common normal: {', '.join(said)}."


def _layers(dataset: xr.Dataset) -> list[Picture]:
    if dataset.sizes.get("layer_id", 0) < 2:
        return []
    number = np.arange(dataset.sizes["layer_id"])
    made = style.figure(4.4)
    upper, lower = made.subplots(2, 1, sharex=True)
    style.chart(upper, "", "RMSD in the plane (Å)", "Disorder of each layer")
    for name, colour, text in (
        ("layer_rmsd", style.INK, "all"),
        ("layer_rmsd_surface", style.ORANGE, "surface"),
        ("layer_rmsd_core", style.BLUE, "core"),
    ):
        upper.plot(number, dataset[name].values, color=colour, marker="o", markersize=3.5, linewidth=1.1, label=text)
    style.legend(upper, ncols=3)
    top = float(np.nanmax(dataset[["layer_rmsd", "layer_rmsd_surface"]].to_array().values))
    upper.set_ylim(0, 1.3 * top if top > 0 else 1.0)
    hcp = np.flatnonzero(dataset["layer_stacking"].values == 2)
    for axes in (upper, lower):
        for one in hcp:
            axes.axvspan(one - 0.5, one + 0.5, color=style.AMBER, alpha=0.25, linewidth=0)
    style.chart(lower, "layer along the normal", "turned by (°)", "Rotation of each layer")
    angle = dataset["layer_angle"].values
    lower.errorbar(
        number,
        angle - np.nanmedian(angle),
        dataset["layer_angle_error"].values,
        color=style.BLUE,
        fmt="o",
        markersize=3.5,
        linewidth=1.0,
    )
    lower.set_xticks(number, ["?ABC"[one + 1] for one in dataset["layer_letter"].values], fontsize=style.SIZE - 2)
    atoms = int((dataset["layer"].values < 0).sum())
    caption = f"{number.size} layers, {dataset.attrs.get('stacking', '')} from the lowest up; "
    caption += f"shaded: {hcp.size} stacked as in hcp. {atoms} atoms are in no layer. Angles from their median."
    return [Picture("layers", "Layers", caption, made)]
