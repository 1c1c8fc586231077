"""Pictures of columns of atoms seen from above: where they are, how many atoms each has, how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import BoundaryNorm
from scipy.spatial import cKDTree

from aetx.draw import style
from aetx.draw.picture import Picture

DISC = 0.7
"""Diameter of a disc over the median distance of nearest columns."""
ALONE = 2.0
"""Diameter of a disc where there is one column, angstrom."""


def columns(dataset: xr.Dataset) -> list[Picture]:
    """Return the picture of a table of columns; none where no column has a place."""
    place = dataset["position"].sel(axis=["x", "y"]).transpose("column", "axis").values.astype(float)
    good = np.isfinite(place).all(axis=1)
    if not good.any():
        return []
    return [_counts(place[good], dataset["count"].values[good], dataset["probability"].values[good].astype(float))]


def _counts(place: np.ndarray, count: np.ndarray, probability: np.ndarray) -> Picture:
    size = ALONE
    if len(place) > 1:
        size = DISC * float(np.median(np.asarray(cKDTree(place).query(place, k=2)[0])[:, 1]))
    low, high = place.min(axis=0) - size, place.max(axis=0) + size
    span = np.maximum(high - low, 1.0)
    foot = 0.12 * span[1]  # room below the columns for the scale bar
    made = style.figure(min(8.0, max(2.6, 0.55 * style.WIDTH * (span[1] + foot) / span[0] + 0.4)))
    left, right = made.subplots(1, 2, width_ratios=[1.6, 1])
    edges = np.arange(count.min(), count.max() + 2) - 0.5
    colours = colormaps[style.VALUES].resampled(edges.size - 1)
    mapped = ScalarMappable(BoundaryNorm(edges, edges.size - 1), colours)
    _discs(left, place, size, mapped.to_rgba(count)[:, :3], np.clip(np.nan_to_num(probability), 0, 1))
    extent = (low[0], low[0] + span[0], low[1] - foot, low[1] + span[1])
    left.set_xlim(*extent[:2])
    left.set_ylim(*extent[2:])
    left.set_aspect("equal")
    style.scale_bar(left, extent, style.INK)
    style.arrows(left, "x", "y", style.INK)
    style.title(left, "Columns, by number of atoms")
    style.chart(right, "atoms in a column", "columns", "How many columns have how many atoms")
    numbers, found = np.unique(count, return_counts=True)
    right.bar(numbers, found, width=0.8, color=mapped.to_rgba(numbers))
    right.set_xticks(numbers if numbers.size <= 12 else numbers[:: -(-numbers.size // 12)])
    said = f"{len(place)} columns with {int(count.sum())} atoms. "
    known = probability[np.isfinite(probability)]
    if known.size:
        said += f"Probability of the count: mean {known.mean():.3g}, least {known.min():.3g}; the paler, the less sure."
    return Picture("columns", "Columns of atoms", said.strip(), made)


def _discs(axes: Any, place: np.ndarray, size: float, rgb: np.ndarray, sure: np.ndarray) -> None:
    style.bare(axes)
    strength = 0.2 + 0.8 * sure[:, None]
    sizes = np.full(len(place), size)
    axes.add_collection(
        EllipseCollection(
            sizes,
            sizes,
            np.zeros(len(place)),
            units="xy",
            offsets=place,
            offset_transform=axes.transData,
            facecolors=rgb * strength + 1 - strength,
            edgecolors=rgb * 0.62,
            linewidths=0.4,
        )
    )
