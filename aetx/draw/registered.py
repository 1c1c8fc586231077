"""Pictures of how the frames of each tilt were moved, and their lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import SHAPES, tilt_axis


def registered(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of a series that was made of frames; none of another."""
    if not {"frame_x", "frame_y"} <= set(series.variables):
        return []
    return [_frames(series), *([_lines(series)] if "line_x" in series else [])]


def _frames(series: xr.Dataset) -> Picture:
    across, text = tilt_axis(series)
    made = style.figure(2.9)
    for axes, axis in zip(made.subplots(1, 2), "xy", strict=True):
        style.chart(axes, text, f"shift along {axis} (Å)")
        places = series[f"frame_{axis}"].values
        errors = series[f"frame_{axis}_error"].values if f"frame_{axis}_error" in series else None
        for frame in range(min(places.shape[1], len(SHAPES))):
            colour, shape = style.SERIES[frame], SHAPES[frame]
            error = None if errors is None else errors[:, frame]
            axes.errorbar(
                across,
                places[:, frame],
                error,
                fmt=shape,
                color=colour,
                markersize=4,
                elinewidth=1,
                label=f"frame {frame}",
            )
        _room(axes)
        style.legend(axes, loc="upper left", ncols=3)
    caption = "How far the content of each frame lay from the mean of all frames of its tilt; that was undone. "
    caption += "Frames in even steps drifted evenly."
    return Picture("frames", "Shifts of the frames", caption, made)


def _lines(series: xr.Dataset) -> Picture:
    tilt = int(np.argmin(np.abs(series["theta"].values)))
    made = style.figure(2.9)
    left, right = made.subplots(1, 2, width_ratios=[1.5, 1])
    style.chart(left, "height of the row in the frame (Å)", "less an even drift (Å)")
    height = series["y"].values
    along = _uneven(series, tilt)
    apart = 6 * float(np.nanstd(along)) or 1.0
    for frame, line in enumerate(along[: len(style.SERIES)]):
        left.plot(height, line + frame * apart, color=style.SERIES[frame], linewidth=0.8, label=f"frame {frame}")
    _room(left)
    style.legend(left, loc="upper left", ncols=3)
    across, text = tilt_axis(series)
    style.chart(right, text, "standard deviation (Å)")
    errors = np.sqrt(np.nanmean(series["line_error"].values.astype(float) ** 2, axis=(1, 2)))
    right.plot(across, series["jitter"].values, "o", color=style.BLUE, markersize=4, label="jitter of the rows")
    right.plot(across, errors, "s", color=style.ORANGE, markersize=4, label="error of a row")
    right.set_ylim(bottom=0)
    _room(right)
    style.legend(right, loc="upper left")
    caption = f"How far each row lay along itself, at θ = {style.degrees(float(series['theta'].values[tilt]))}, "
    caption += "less a straight line; the frames are drawn above each other. Beside it, how much rows jump along "
    caption += "themselves, and how well a single one is known."
    return Picture("lines", "Lines of the scans", caption, made)


def _uneven(series: xr.Dataset, tilt: int) -> np.ndarray:
    """Return what is left of where lines lie without a straight line, along its largest component, (frames, rows)."""
    row = np.arange(series.sizes["y"], dtype=float)
    found = []
    for frame in range(series.sizes["frame"]):
        lines = np.stack([series[f"line_{axis}"].values[tilt, frame].astype(float) for axis in "xy"])
        left = np.array([one - np.polyval(np.polyfit(row, one, 1), row) for one in lines])
        found.append(left[int(left.std(axis=1).argmax())])
    return np.array(found)


def _room(axes: Any) -> None:
    """Leave room for a legend above."""
    low, high = axes.get_ylim()
    axes.set_ylim(top=high + 0.25 * (high - low))
