"""Pictures of a 4D-STEM series: its patterns, and the images that virtual detectors make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import angles, extent_of
from aetx.kernels.scattering import wavelength

TILTS, POSITIONS = 3, 4
"""Most tilts of which patterns are shown; edge of the grid of positions that is averaged."""
EDGE = 48
"""Most rows and columns of probe positions that are read for the virtual images."""
READ = 2**23
"""Pixels of patterns that are read together."""


def scan_series(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of a 4D-STEM series. Reads some patterns, and one tilt row by row."""
    pictures = [_patterns(series), _virtual(series)]
    return [*pictures, angles(series)] if series.sizes["tilt"] > 1 else pictures


def _patterns(series: xr.Dataset) -> Picture:
    order = np.argsort(series["theta"].values, kind="stable")
    chosen = order[np.unique(np.linspace(0, order.size - 1, min(TILTS, order.size)).round().astype(int))]
    rows, columns = (_even(series.sizes[axis], POSITIONS) for axis in ("scan_y", "scan_x"))
    extent, radius = extent_of(series, "kx", "ky"), _disc(series)
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])
    cell = style.WIDTH / 3.2
    made = style.figure(2 * (cell * shape + 0.3) + 0.1, min(style.WIDTH, cell * len(chosen) + 1.2))
    grid = np.atleast_2d(np.asarray(made.subplots(2, len(chosen))).reshape(2, len(chosen)))
    power, drawn = [], []
    for tilt in chosen:
        block = series["pattern"].isel(tilt=tilt)
        one = block.isel(scan_y=series.sizes["scan_y"] // 2, scan_x=series.sizes["scan_x"] // 2).values
        some = [block.isel(scan_y=i, scan_x=j).values for i in rows for j in columns]
        power.append((np.asarray(one, float), np.mean(some, axis=0, dtype=float)))
    unit = str(series["pattern"].attrs["units"])
    for row in range(2):
        shown = np.stack([np.cbrt(np.maximum(pair[row], 0)) for pair in power])
        top = float(np.nanmax(shown)) or 1.0
        for column, tilt in enumerate(chosen):
            axes = grid[row, column]
            drawn = _reciprocal(axes, shown[column], extent, radius, (0.0, top))
            style.title(axes, f"θ = {style.degrees(float(series['theta'].values[tilt]))}, {('centre', 'mean')[row]}")
        style.colour_bar(made, drawn, list(grid[row]), style.label("cube root of intensity", unit))
    count = len(rows) * len(columns)
    caption = f"Pattern of the probe position in the middle (top), and the mean over {count} positions (bottom)"
    caption += f"; the circle is the aperture, {float(series['semi_angle']):.3g} mrad." if radius else "."
    caption += f" {series.sizes['ky']} by {series.sizes['kx']} pixels, {extent[1] - extent[0]:.3g} Å⁻¹ across."
    return Picture("patterns", "Diffraction patterns", caption, made)


def _reciprocal(
    axes: Any, values: np.ndarray, extent: tuple[float, float, float, float], radius: float, limits: tuple[float, float]
) -> Any:
    style.bare(axes)
    drawn = axes.imshow(
        values, origin="lower", extent=extent, cmap=style.POWER, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    turn = np.linspace(0, 2 * np.pi, 181)
    if radius:
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color="white", linewidth=0.8, linestyle=(0, (4, 3)))
    style.scale_bar(axes, extent, unit="1/angstrom")
    return drawn


def _virtual(series: xr.Dataset) -> Picture:
    tilt = int(np.argmin(np.abs(series["theta"].values)))
    rows, columns = (_even(series.sizes[axis], EDGE) for axis in ("scan_y", "scan_x"))
    ky, kx = (series[name].values.astype(float) for name in ("ky", "kx"))
    radius = _disc(series) or 0.25 * float(kx[-1] - kx[0])
    q = np.hypot(ky[:, None], kx[None, :])
    masks = np.stack([q <= radius, q > 1.1 * radius, *np.broadcast_arrays(kx[None, :], ky[:, None])])
    signal = np.empty((4, len(rows), len(columns)))
    together = max(1, READ // (len(columns) * q.size))
    for start in range(0, len(rows), together):
        some = series["pattern"].isel(tilt=tilt, scan_y=rows[start : start + together], scan_x=columns)
        patterns = np.asarray(some.values, np.float32)
        sums = np.einsum("ijyx,dyx->dij", patterns, masks.astype(np.float32))
        total = patterns.sum((2, 3))
        sums[2:] /= np.where(total > 0, total, np.nan)
        signal[:, start : start + together] = sums
    extent = _scan_extent(series, rows, columns)
    unit = str(series["pattern"].attrs["units"])
    names = ("bright field", "dark field", "centre of mass, $k_x$", "centre of mass, $k_y$")
    labels = [style.label("sum", unit)] * 2 + [style.label("mean", "1/angstrom")] * 2
    cell = 0.5 * style.WIDTH - 0.9
    made = style.figure(2 * (cell * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.3) + 0.1)
    for axes, values, name, text in zip(made.subplots(2, 2).ravel(), signal, names, labels, strict=True):
        centred = name.startswith("centre")
        reach = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        limits = (-reach, reach) if centred else style.limits(values, 0, 100)
        dark = style.INK if name != "dark field" else "white"
        drawn = style.image(axes, values, extent, style.SIGNED if centred else style.GREY, limits, dark)
        style.title(axes, name)
        style.colour_bar(made, drawn, axes, text)
    caption = f"θ = {style.degrees(float(series['theta'].values[tilt]))}: sums within {radius:.3g} Å⁻¹ and beyond "
    caption += f"{1.1 * radius:.3g} Å⁻¹, and the mean frequency, which follows the electric field. "
    caption += f"{len(rows)} by {len(columns)} of {series.sizes['scan_y']} by {series.sizes['scan_x']} positions."
    return Picture("virtual", "Images of virtual detectors", caption, made)


def _even(size: int, most: int) -> list[int]:
    """Return at most `most` indices of an axis, at one even step."""
    return list(range(0, size, -(-size // most)))


def _scan_extent(series: xr.Dataset, rows: list[int], columns: list[int]) -> tuple[float, float, float, float]:
    found: list[float] = []
    for axis, taken in (("scan_x", columns), ("scan_y", rows)):
        values = series[axis].values[taken].astype(float)
        half = (values[-1] - values[0]) / max(1, values.size - 1) / 2 or 0.5
        found += [float(values[0] - half), float(values[-1] + half)]
    return found[0], found[1], found[2], found[3]


def _disc(series: xr.Dataset) -> float:
    """Return the radius of the aperture in the patterns, 1/angstrom; 0 where the series does not say."""
    if not {"energy", "semi_angle"} <= set(series.variables):
        return 0.0
    return float(series["semi_angle"]) * 1e-3 / wavelength(float(series["energy"]))
