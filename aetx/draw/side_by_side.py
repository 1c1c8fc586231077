"""One picture of several volumes of the same thing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import extent_of, reduced
from aetx.draw.volume import middle_plane

COLUMNS = 5
"""Most volumes in a row."""


def side_by_side(volumes: Mapping[str, xr.Dataset]) -> Picture:
    """Return the slices across y of volumes, by name, each on its own colour scale from zero."""
    planes = {name: middle_plane(one, "x", "z", "y") for name, one in volumes.items()}
    wide = min(COLUMNS, len(volumes))
    down = -(-len(volumes) // wide)
    first = extent_of(next(iter(volumes.values())), "x", "z")
    height = style.WIDTH / wide * (first[3] - first[2]) / (first[1] - first[0]) + 0.3
    made = style.figure(min(12.0, down * height))
    grid = np.atleast_1d(made.subplots(down, wide)).ravel()
    for axes, (name, (plane, _)) in zip(grid, planes.items(), strict=False):
        top = max(style.limits(plane)[1], float(np.finfo(np.float32).tiny))
        style.image(axes, reduced(plane), extent_of(volumes[name], "x", "z"), style.DENSITY, (0.0, top))
        style.title(axes, name)
        style.arrows(axes, "x", "z")
    for axes in grid[len(volumes) :]:
        axes.set_visible(False)
    places = ", ".join(f"{place:.1f}" for place in sorted({round(place, 1) for _, place in planes.values()}))
    caption = f"Sections at y = {places} Å, one voxel thick, each from zero to its own brightest."
    return Picture("slices", "The volumes side by side", caption, made)
