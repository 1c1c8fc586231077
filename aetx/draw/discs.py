"""Atoms as discs in three panels, one for each direction along which one looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.lines import Line2D
from scipy.spatial import cKDTree

from aetx.draw import style
from aetx.model import positions

INDEX = {"x": 0, "y": 1, "z": 2}
THICKNESS = 0.9
"""Thickness of a section in distances of nearest atoms."""
NARROWEST = 0.3
"""Least width of a panel, as a fraction of the widest: room for title and scale bar beside a flat specimen."""


def placed(dataset: xr.Dataset) -> tuple[xr.Dataset, np.ndarray]:
    """Return the atoms that have a place, and their places, shape (atoms, 3), angstrom."""
    place = positions(dataset)
    good = np.isfinite(place).all(axis=1)
    return dataset.isel(atom=good), place[good]


@dataclass(frozen=True)
class Panel:
    """One panel: its axes, the names of the specimen's axes across, up and along, and the radius of the discs."""

    axes: Any
    across: str
    up: str
    along: str
    radius: float

    def flat(self, place: np.ndarray) -> np.ndarray:
        """Return the two coordinates in the panel of positions or vectors, shape (atoms, 2)."""
        return place[:, [INDEX[self.across], INDEX[self.up]]]

    def towards_reader(self, place: np.ndarray) -> np.ndarray:
        """Return the third coordinate, shape (atoms,).

        Seen from +z and from -y and -x: right, up and towards the reader are right-handed in each panel.
        """
        return place[:, INDEX[self.along]] * (-1.0 if self.along in "yx" else 1.0)


def nearest(place: np.ndarray) -> float:
    """Return the median distance to the nearest atom, 3.2 angstrom where there is one atom."""
    if len(place) < 2:
        return 3.2
    return float(np.median(np.asarray(cKDTree(place).query(place, k=2)[0])[:, 1]))


def panels(place: np.ndarray, colour_bar: bool) -> tuple[Any, list[Panel]]:
    """Return a figure with three empty panels that hold all atoms, with scale bars, arrows and titles."""
    size = 0.62 * nearest(place)
    middle, half = (place.max(axis=0) + place.min(axis=0)) / 2, np.ptp(place, axis=0) / 2 + size
    half = np.maximum(half, max(0.5, NARROWEST * half.max()))
    low, high = middle - half, middle + half
    span = dict(zip("xyz", 2 * half, strict=True))
    widths = [span[across] for across, _, _ in style.VIEWS]
    across_all = style.WIDTH - (1.2 if colour_bar else 0.5)
    foot = 0.45 * sum(widths) / across_all  # room below the atoms for the scale bar, in angstrom
    height = max(span[up] for _, up, _ in style.VIEWS) + foot
    made = style.figure(min(8.0, across_all * height / sum(widths) + (0.35 if colour_bar else 0.6)))
    found = []
    for axes, (across, up, along) in zip(made.subplots(1, 3, width_ratios=widths), style.VIEWS, strict=True):
        style.bare(axes)
        a, b = INDEX[across], INDEX[up]
        extent = (low[a], high[a], low[b] - foot, high[b])
        axes.set_xlim(*extent[:2])
        axes.set_ylim(*extent[2:])
        axes.set_aspect("equal")
        style.scale_bar(axes, extent, style.INK)
        style.arrows(axes, across, up, style.INK)
        style.title(axes, f"along {along}")
        found.append(Panel(axes, across, up, along, size))
    return made, found


def draw(panel: Panel, place: np.ndarray, rgb: np.ndarray) -> None:
    """Draw discs at positions of shape (atoms, 3), later ones on top, in colours of shape (atoms, 3)."""
    size = np.full(len(place), panel.radius * 1.25)
    panel.axes.add_collection(
        EllipseCollection(
            size,
            size,
            np.zeros(len(place)),
            units="xy",
            offsets=panel.flat(place),
            offset_transform=panel.axes.transData,
            facecolors=rgb,
            edgecolors=rgb * 0.62,
            linewidths=0.25 if len(place) < 20_000 else 0.0,
        )
    )


def arrows(panel: Panel, place: np.ndarray, vector: np.ndarray) -> None:
    """Draw vectors in angstrom, shape (atoms, 3), as arrows whose middle is at the atom; none where not finite."""
    known = np.isfinite(vector).all(axis=1)
    panel.axes.quiver(
        *panel.flat(place[known]).T,
        *panel.flat(vector[known]).T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        pivot="middle",
        width=0.0035,
        headwidth=4,
        headlength=4.5,
        headaxislength=4,
        color=style.INK,
        zorder=3,
    )


def magnification(vector: np.ndarray, length: float) -> float:
    """Return the round factor by which the longer vectors, shape (atoms, 3), become about `length`."""
    sizes = np.linalg.norm(vector[np.isfinite(vector).all(axis=1)], axis=1)
    return style.round_length(max(1.0, length / max(1e-9, float(np.quantile(sizes[sizes > 0], 0.95)))))


def plane(depth: np.ndarray, thick: float) -> float:
    """Return the height near the middle about which a slab holds most atoms, so that no cut falls between layers."""
    middle = float(np.median(depth))
    tried = middle + thick * np.linspace(-0.5, 0.5, 21)
    ordered = np.sort(depth)
    held = np.searchsorted(ordered, tried + thick / 2) - np.searchsorted(ordered, tried - thick / 2)
    best = np.flatnonzero(held >= 0.98 * held.max())
    return float(tried[best[np.argmin(np.abs(tried[best] - middle))]])


def cut(panel: Panel, place: np.ndarray, thick: float) -> np.ndarray:
    """Return the atoms of a section through the middle, the nearest to the reader last."""
    depth = panel.towards_reader(place)
    near = np.flatnonzero(np.abs(depth - plane(depth, thick)) <= thick / 2)
    return near[np.argsort(depth[near], kind="stable")]


def sections(place: np.ndarray, rgb: np.ndarray, colour_bar: bool) -> tuple[Any, list[Panel]]:
    """Return a figure with three sections through the middle of atoms, in colours of shape (atoms, 3)."""
    made, found = panels(place, colour_bar)
    thick = THICKNESS * nearest(place)
    for panel in found:
        near = cut(panel, place, thick)
        draw(panel, place[near], rgb[near])
    return made, found


def legend(made: Any, names: Mapping[str, str]) -> None:
    """Add a legend above the panels: names with their colours."""
    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, markersize=6, label=name)
        for name, colour in names.items()
    ]
    made.legend(
        handles=marks,
        loc="outside upper right",
        ncols=8,
        frameon=False,
        fontsize=style.SIZE - 0.5,
        labelcolor=style.INK,
    )
