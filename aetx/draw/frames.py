"""Pictures of a sequence of images in time: some of them, and how bright and how sharp each is."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import extent_of, points, reduced

SHOWN = 6
"""Most images shown."""


def frames(sequence: xr.Dataset) -> list[Picture]:
    """Return the pictures of a sequence. Reads one image at a time."""
    return [_images(sequence), _course(sequence)]


def _images(sequence: xr.Dataset) -> Picture:
    count = sequence.sizes["frame"]
    chosen = [int(i) for i in np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round())]
    images = [reduced(sequence["image"].isel(frame=i).values) for i in chosen]
    limits = style.limits(np.concatenate([image.ravel() for image in images]))
    extent = extent_of(sequence, "x", "y")
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    cell = style.WIDTH / 3.25
    made = style.figure(rows * (cell * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.28) + 0.1)
    grid = np.atleast_1d(made.subplots(rows, columns)).ravel()
    drawn = None
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    for axes, image, number in zip(grid, images, chosen, strict=False):
        drawn = style.image(axes, image, extent, style.GREY, limits)
        style.title(axes, f"frame {number}")
    style.colour_bar(made, drawn, list(grid), style.label("intensity", str(sequence["image"].attrs["units"])))
    return Picture("images", "Images", f"{len(chosen)} of {count} frames on one grey scale.", made)


def _course(sequence: xr.Dataset) -> Picture:
    values = np.array([_summary(sequence["image"].isel(frame=i).values) for i in range(sequence.sizes["frame"])])
    number = np.arange(len(values), dtype=float)
    made = style.figure(2.7)
    left, right = made.subplots(1, 2)
    unit = str(sequence["image"].attrs["units"])
    points(style.chart(left, "frame", style.label("mean intensity", unit)), number, values[:, 0], style.BLUE)
    points(style.chart(right, "frame", "contrast"), number, values[:, 1], style.ORANGE)
    caption = "Mean of each frame, and its standard deviation over the mean. A beam that fades or a specimen that "
    caption += "drifts out of view shows as a slope; a frame that was shaken has less contrast."
    return Picture("course", "Course in time", caption, made)


def _summary(image: np.ndarray) -> tuple[float, float]:
    mean = float(np.nanmean(image, dtype=float))
    return mean, float(np.nanstd(image, dtype=float)) / abs(mean) if mean else float("nan")
