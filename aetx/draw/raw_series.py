"""Pictures of the frames as a microscope takes them, several for each tilt."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import angles, extent_of, points, reduced

TILTS, FRAMES = 2, 4
"""Most tilts and frames that are shown."""


def raw_series(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of raw frames. Reads one frame at a time."""
    pictures = [_images(series), _course(series)]
    return [*pictures, angles(series)] if series.sizes["tilt"] > 1 else pictures


def _even(size: int, most: int) -> list[int]:
    return [int(i) for i in np.unique(np.linspace(0, size - 1, min(most, size)).round())]


def _images(series: xr.Dataset) -> Picture:
    tilts, frames = _even(series.sizes["tilt"], TILTS), _even(series.sizes["frame"], FRAMES)
    extent = extent_of(series, "x", "y")
    cell = style.WIDTH / max(3.2, len(frames) + 0.35)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])
    made = style.figure(len(tilts) * (cell * shape + 0.28) + 0.1, min(style.WIDTH, cell * len(frames) + 0.9))
    grid = np.asarray(made.subplots(len(tilts), len(frames))).reshape(len(tilts), len(frames))
    shown = [[reduced(series["image"].isel(tilt=i, frame=j).values) for j in frames] for i in tilts]
    limits = style.limits(np.concatenate([image.ravel() for row in shown for image in row]))
    turns = series["scan_direction"].values if "scan_direction" in series else np.zeros(series.sizes["frame"])
    drawn = None
    for i, tilt in enumerate(tilts):
        for j, frame in enumerate(frames):
            drawn = style.image(grid[i, j], shown[i][j], extent, style.GREY, limits)
            named = f"θ = {style.degrees(float(series['theta'].values[tilt]))}, frame {frame}"
            style.title(grid[i, j], named + (f", scan {turns[frame]:g}°" if np.any(turns) else ""))
    style.colour_bar(made, drawn, list(grid.ravel()), style.label("intensity", str(series["image"].attrs["units"])))
    count = series.sizes["tilt"] * series.sizes["frame"]
    caption = (
        f"{len(tilts) * len(frames)} of {count} frames on one grey scale, as they were scanned row by row, before "
    )
    caption += "they are registered."
    return Picture("images", "Frames", caption, made)


def _course(series: xr.Dataset) -> Picture:
    count, each = series.sizes["tilt"], series.sizes["frame"]
    means = np.array(
        [[series["image"].isel(tilt=i, frame=j).values.mean(dtype=float) for j in range(each)] for i in range(count)]
    )
    made = style.figure(2.7)
    unit = str(series["image"].attrs["units"])
    axes = style.chart(made.subplots(), "number of the tilt", style.label("mean intensity", unit))
    style.whole(axes)
    for colour, frame in zip(style.SERIES, _even(each, FRAMES), strict=False):
        points(axes, np.arange(count, dtype=float), means[:, frame], colour, f"frame {frame}")
    style.legend(axes, loc="best", ncols=2)
    caption = "Mean of each frame. Frames of one tilt that differ tell of a beam that fades, of contamination, or of a "
    caption += "specimen that drifts out of view."
    return Picture("course", "Intensity of each frame", caption, made)
