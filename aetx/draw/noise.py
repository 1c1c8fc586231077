"""Picture of the noise of a series: its variance against intensity, and the numbers that follow."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import tilt_axis

NUMBERS = {"gain": "gain", "offset": "offset", "read_noise": "read noise"}


def noise(series: xr.Dataset) -> list[Picture]:
    """Return the picture of the noise of a series that tells it, else none."""
    if not {"bin_level", "bin_variance", "gain", "offset", "read_noise"} <= set(series.variables):
        return []
    unit = str(series["image"].attrs["units"])
    made = style.figure(2.9)
    left, right = made.subplots(1, 2)
    style.chart(left, style.label("mean", unit), style.label("variance", str(series["bin_variance"].attrs["units"])))
    level, variance = series["bin_level"].values, series["bin_variance"].values
    left.plot(level, variance, "o", color=style.BLUE, markersize=4, label="blocks of pixels")
    gain, offset, read = (series[name].values for name in NUMBERS)
    if np.isfinite(level).any():
        ends = np.array([np.nanmin(level), np.nanmax(level)])
        fitted = np.nanmedian(gain) * (ends - np.nanmedian(offset)) + np.nanmedian(read) ** 2
        left.plot(ends, fitted, color=style.ORANGE, linewidth=1.2, label="gain (mean − offset) + read noise²")
        style.legend(left, loc="upper left")
    across, text = tilt_axis(series)
    style.chart(right, text, style.label("value", unit))
    for shape, colour, (name, words) in zip("osx", style.SERIES, NUMBERS.items(), strict=False):
        error = series[f"{name}_error"].values if f"{name}_error" in series else None
        right.errorbar(
            across, series[name].values, error, fmt=shape, color=colour, markersize=4, linewidth=1, label=words
        )
    low, high = right.get_ylim()
    right.set_ylim(min(low, 0), high + 0.3 * (high - low))
    style.legend(right, loc="upper left", ncols=3)
    caption = "Left: noise grows with intensity along a line where it is that of counting; blocks above it show "
    caption += "structure, and were left out of the fit. Right: what the line tells, with standard errors."
    return [Picture("noise", "Noise", caption, made)]
