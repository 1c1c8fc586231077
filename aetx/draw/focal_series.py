"""Pictures of an HRTEM focal series: its images, and their spectra with the rings that the focus makes."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import angles, extent_of, reduced

TILTS, FOCI = 2, 4
"""Most tilts and defoci that are shown."""


def focal_series(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of a focal series. Reads one image at a time."""
    pictures = [_images(series), _spectra(series)]
    return [*pictures, angles(series)] if series.sizes["tilt"] > 1 else pictures


def _even(size: int, most: int) -> list[int]:
    """Return the first, the last and some between, at most `most`."""
    return [int(i) for i in np.unique(np.linspace(0, size - 1, min(most, size)).round())]


def _images(series: xr.Dataset) -> Picture:
    tilts = np.argsort(series["theta"].values, kind="stable")[_even(series.sizes["tilt"], TILTS)]
    foci = _even(series.sizes["focus"], FOCI)
    extent = extent_of(series, "x", "y")
    cell = style.WIDTH / max(3.2, len(foci) + 0.35)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])
    made = style.figure(len(tilts) * (cell * shape + 0.28) + 0.1, min(style.WIDTH, cell * len(foci) + 0.9))
    grid = np.asarray(made.subplots(len(tilts), len(foci))).reshape(len(tilts), len(foci))
    shown = [[reduced(series["image"].isel(tilt=tilt, focus=focus).values) for focus in foci] for tilt in tilts]
    limits = style.limits(np.concatenate([image.ravel() for row in shown for image in row]), 0.2, 99.8)
    drawn = None
    for i, tilt in enumerate(tilts):
        for j, focus in enumerate(foci):
            drawn = style.image(grid[i, j], shown[i][j], extent, style.GREY, limits)
            named = f"Δf = {_signed(float(series['defocus'].values[tilt, focus]))} Å"
            if series.sizes["tilt"] > 1:
                named = f"θ = {style.degrees(float(series['theta'].values[tilt]))}, " + named
            style.title(grid[i, j], named)
    style.arrows(grid[-1, -1], "x", "y")
    style.colour_bar(made, drawn, list(grid.ravel()), style.label("intensity", str(series["image"].attrs["units"])))
    count = series.sizes["tilt"] * series.sizes["focus"]
    caption = f"{len(tilts) * len(foci)} of {count} images on one grey scale; Δf above 0 is under focus, where "
    caption += "atoms of a thin specimen are dark."
    return Picture("images", "Images", caption, made)


def _signed(value: float) -> str:
    return f"{round(value, 1):+g}".replace("-", "\u2212") if round(value, 1) else "0"


def _spectra(series: xr.Dataset) -> Picture:
    tilt = int(np.argmin(np.abs(series["theta"].values)))
    foci = _even(series.sizes["focus"], FOCI)
    step = float(series["x"].values[-1] - series["x"].values[0]) / max(1, series.sizes["x"] - 1) or 1.0
    made = style.figure(3.0)
    axes = style.chart(made.subplots(), "spatial frequency (Å⁻¹)", "power over mean")
    seen = False
    for colour, focus in zip(style.SERIES, foci, strict=False):
        q, power = _radial(series["image"].isel(tilt=tilt, focus=focus).values.astype(float), step)
        defocus = float(series["defocus"].values[tilt, focus])
        axes.plot(q, power, color=colour, linewidth=1.2, label=f"Δf = {_signed(defocus)} Å")
        seen |= bool((power > 0).any())
    if seen:
        axes.set_yscale("log")
    axes.set_xlim(0, 0.5 / step)
    style.legend(axes, loc="upper right")
    caption = "Squared Fourier amplitude of the deviation from the mean, over the mean, averaged around rings. "
    if str(series["image"].attrs["units"]) == "count":
        caption += "Electrons alone would lie at 1: the fall towards high frequencies is the transfer of the camera."
    else:
        caption += "Minima move with the focus: there the lens transfers nothing."
    return Picture("spectra", "Spectra", caption, made)


def _radial(image: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies in 1/angstrom and the mean power of the contrast around them."""
    mean = float(image.mean()) or 1.0
    power = np.abs(np.fft.fft2(image - mean)) ** 2 / (image.size * abs(mean))
    rows, columns = image.shape
    q = np.hypot(np.fft.fftfreq(rows, step)[:, None], np.fft.fftfreq(columns, step)[None])
    width = 1 / (min(rows, columns) * step)
    ring = np.round(q / width).astype(int).ravel()
    count = np.bincount(ring)
    total = np.bincount(ring, weights=power.ravel())
    kept = np.arange(1, max(2, min(rows, columns) // 2))
    kept = kept[(kept < count.size) & (count[np.minimum(kept, count.size - 1)] > 0)]
    return kept * width, total[kept] / count[kept]
