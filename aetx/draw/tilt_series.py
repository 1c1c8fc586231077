"""Pictures of a tilt series: some of its images, its intensity, its angles."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture

SHOWN = 6
"""Most images shown."""
SHAPES = "osx^v"
"""Shapes of points that share a panel."""
EDGE = 512
"""An image is averaged down where a side is twice this, in pixels."""


def tilt_series(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of a tilt series, with the errors that were drawn if it is simulated.

    Reads one image at a time.
    """
    return [_images(series), _intensity(series), angles(series), *_errors(series)]


def single_axis(series: xr.Dataset) -> bool:
    """Tell whether the tilts of a series turn about y alone, within a few degrees."""
    return bool(np.abs(np.concatenate([series["phi"].values, series["psi"].values])).max(initial=0.0) < 5)


def reduced(image: np.ndarray, edge: int = EDGE) -> np.ndarray:
    """Return an image averaged down by a whole number, so that neither side is above twice `edge`."""
    by = max(1, max(image.shape) // edge)
    rows, columns = (size // by * by for size in image.shape)
    blocks = image[:rows, :columns].reshape(rows // by, by, columns // by, by)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def extent_of(dataset: xr.Dataset, across: str, up: str) -> tuple[float, float, float, float]:
    """Return left, right, low, high of an image with whole pixels, in the unit of the axes."""
    found: list[float] = []
    for axis in (across, up):
        values = dataset[axis].values
        half = (values[-1] - values[0]) / max(1, values.size - 1) / 2 or 0.5
        found += [float(values[0] - half), float(values[-1] + half)]
    return found[0], found[1], found[2], found[3]


def _chosen(series: xr.Dataset) -> list[int]:
    """First, last, zero tilt and some between, in order of tilt, or of number where tilts turn about many axes."""
    count = series.sizes["tilt"]
    order = np.argsort(series["theta"].values, kind="stable") if single_axis(series) else np.arange(count)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
    zero = int(np.argmin(_tilt_from_beam(series)[order]))
    if zero not in places and places.size > 2:
        inner = places[1:-1]
        inner[np.argmin(np.abs(inner - zero))] = zero
        places[1:-1] = inner
    return [int(order[place]) for place in np.unique(places)]


def beam_directions(series: xr.Dataset) -> np.ndarray:
    """Return the beam of each image in the frame of the specimen: R e_z, shape (tilts, 3), order x, y, z."""
    phi, theta = (np.deg2rad(series[name].values.astype(float)) for name in ("phi", "theta"))
    psi = np.deg2rad(series["psi"].values.astype(float))
    # R = Rz(phi) Ry(theta) Rx(psi); Rx(psi) e_z = (0, -sin psi, cos psi)
    x, y, z = np.sin(theta) * np.cos(psi), -np.sin(psi), np.cos(theta) * np.cos(psi)
    return np.stack([np.cos(phi) * x - np.sin(phi) * y, np.sin(phi) * x + np.cos(phi) * y, z], axis=1)


def _tilt_from_beam(series: xr.Dataset) -> np.ndarray:
    return np.rad2deg(np.arccos(np.clip(beam_directions(series)[:, 2], -1, 1)))


def _images(series: xr.Dataset) -> Picture:
    chosen = _chosen(series)
    images = [reduced(series["image"].isel(tilt=i).values) for i in chosen]
    limits = style.limits(np.concatenate([image.ravel() for image in images]))
    extent = extent_of(series, "x", "y")
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    cell = style.WIDTH / 3.25
    made = style.figure(rows * (cell * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.28) + 0.1)
    grid = np.atleast_1d(made.subplots(rows, columns)).ravel()
    drawn = None
    for axes, i, image in zip(grid, chosen, images, strict=False):
        drawn = style.image(axes, image, extent, style.GREY, limits)
        style.title(axes, f"image {int(series['tilt'].values[i])}, {_pose(series, i)}")
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    style.colour_bar(made, drawn, list(grid[: len(chosen)]), style.label("intensity", series["image"].attrs["units"]))
    caption = (
        f"{len(chosen)} of {series.sizes['tilt']} images on one grey scale (0.5 to 99.8 percentile); "
        "x to the right, y up, the tilt axis is y."
    )
    return Picture("images", "Images", caption, made)


def _pose(series: xr.Dataset, i: int) -> str:
    theta = float(series["theta"].values[i])
    if single_axis(series):
        return f"θ = {style.degrees(theta)}"
    return f"φ, θ, ψ = {float(series['phi'].values[i]):+.0f}, {theta:+.0f}, {float(series['psi'].values[i]):+.0f}°"


def _intensity(series: xr.Dataset) -> Picture:
    bands = np.full((series.sizes["tilt"], 4), np.nan)
    for i in range(len(bands)):
        image = np.asarray(series["image"].isel(tilt=i).values, np.float32)
        finite = image[np.isfinite(image)]
        if finite.size:
            bands[i] = [finite.mean(dtype=float), *np.percentile(finite[:: max(1, finite.size // 10**6)], [5, 50, 95])]
    across, text = tilt_axis(series)
    order = np.argsort(across, kind="stable")
    made = style.figure(2.7)
    axes = style.chart(made.subplots(), text, style.label("intensity", series["image"].attrs["units"]))
    axes.fill_between(across[order], bands[order, 1], bands[order, 3], color=style.BLUE, alpha=0.15, linewidth=0)
    axes.plot(across[order], bands[order, 2], color=style.BLUE, linewidth=1, linestyle=(0, (4, 2)), label="median")
    points(axes, across, bands[:, 0], style.BLUE, "mean")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.12)
    style.legend(axes, loc="upper right", ncols=2)
    caption = "Mean and median of each image; the band holds 90 % of its pixels. A specimen that leaves the field, a "
    caption += "drifting beam or a wrong background shows as a slope or a step."
    return Picture("intensity", "Intensity of each image", caption, made)


def tilt_axis(series: xr.Dataset) -> tuple[np.ndarray, str]:
    """Return what to draw tilts against, and its label: the angle where they turn about one axis, else the number."""
    if {"theta", "phi", "psi"} <= set(series.variables) and not single_axis(series):
        return series["tilt"].values.astype(float), "image number"
    return (
        (series["theta"].values.astype(float), "tilt θ (°)")
        if "theta" in series.variables
        else (np.arange(series.sizes["tilt"], dtype=float), "image number")
    )


def points(axes: Any, across: np.ndarray, up: np.ndarray, colour: str, name: str = "") -> None:
    """Draw points joined by a thin line, in the order of `across`."""
    order = np.argsort(across, kind="stable")
    axes.plot(across[order], up[order], color=colour, linewidth=0.9, alpha=0.6)
    axes.plot(
        across, up, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.6, label=name or None
    )


def angles(series: xr.Dataset) -> Picture:
    """Return the picture of the angles of a series."""
    made = style.figure(3.1)
    left, right = made.subplots(1, 2, width_ratios=[1, 1.35])
    caption = _fan(left, series["theta"].values.astype(float)) if single_axis(series) else _hemisphere(left, series)
    style.chart(right, "image number", "angle (°)", "Angles in the order of the series")
    style.whole(right)
    number = series["tilt"].values
    marks = (("theta", style.BLUE, "θ", "o"), ("phi", style.ORANGE, "φ", "s"), ("psi", style.GREEN, "ψ", "x"))
    for name, colour, letter, shape in marks:
        filled = colour if shape == "o" else "none"
        right.plot(
            number,
            series[name].values,
            shape,
            color=colour,
            markersize=4,
            markerfacecolor=filled,
            label=letter,
            linewidth=1,
        )
    style.legend(right, loc="upper left", ncols=3)
    return Picture("angles", "Tilt angles", caption, made)


def _errors(series: xr.Dataset) -> list[Picture]:
    """Return what is true of simulated images beside what they say: angles, and lengths in the plane of the image."""
    angles = {
        text: series[f"true_{name}"].values - series[name].values
        for name, text in (("theta", "θ"), ("phi", "φ"), ("psi", "ψ"))
        if f"true_{name}" in series
    }
    names = ("shift_x", "shift_y", "drift_x", "drift_y", "blur")
    lengths = {name.replace("_", " "): series[f"true_{name}"].values for name in names if f"true_{name}" in series}
    panels = [("true less stated angle (°)", angles), ("length (Å)", lengths)]
    panels = [(up, {text: values for text, values in some.items() if np.any(values)}) for up, some in panels]
    panels = [one for one in panels if one[1]]
    if not panels:
        return []
    made = style.figure(2.7)
    for axes, (up, some) in zip(np.atleast_1d(made.subplots(1, len(panels))), panels, strict=True):
        style.chart(axes, "image number", up)
        style.whole(axes)
        for shape, colour, (text, values) in zip(SHAPES, style.SERIES, some.items(), strict=False):
            axes.plot(series["tilt"].values, values, shape, color=colour, markersize=4, label=text)
        low, high = axes.get_ylim()
        axes.set_ylim(top=high + 0.25 * (high - low))
        style.legend(axes, loc="upper left", ncols=3)
    return [Picture("errors", "Errors of the simulated images", "Drawn for each image; no later step is told.", made)]


def _fan(axes: Any, theta: np.ndarray) -> str:
    from matplotlib.patches import Wedge

    style.bare(axes)
    style.title(axes, "Directions of the beam in the specimen, seen along y")
    low, high = float(theta.min()), float(theta.max())
    covered = min(180.0, high - low)
    # The beam is R e_z = (sin theta, 0, cos theta): drawn x to the right and z up, theta counts from the vertical.
    if covered < 180:
        axes.add_patch(Wedge((0, 0), 1, 90 - low, 90 - low + (180 - covered), facecolor=style.AMBER, alpha=0.22))
        axes.add_patch(Wedge((0, 0), 1, 270 - low, 270 - low + (180 - covered), facecolor=style.AMBER, alpha=0.22))
    for angle in np.deg2rad(theta):
        x, z = np.sin(angle), np.cos(angle)
        axes.plot([-x, x], [-z, z], color=style.BLUE, linewidth=0.8, alpha=0.75)
    axes.add_patch(Wedge((0, 0), 1, 0, 360, width=0.004, facecolor=style.MUTED))
    for angle in (low, high):
        x, z = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
        side = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        axes.text(
            1.06 * x, 1.06 * z, style.degrees(angle), ha=side, va="bottom", fontsize=style.SIZE - 1, color=style.INK
        )
    axes.set_xlim(-1.45, 1.45)
    axes.set_ylim(-1.15, 1.2)
    axes.set_aspect("equal")
    step = np.diff(np.sort(theta))
    said = f"{theta.size} tilts from {style.degrees(low)} to {style.degrees(high)}"
    if step.size:
        said += f", steps of {np.median(step):.2f}° (largest {step.max():.2f}°)"
    return said + (f"; no image within the wedge of {180 - covered:.1f}° (amber)." if covered < 180 else ".")


def _hemisphere(axes: Any, series: xr.Dataset) -> str:
    style.bare(axes)
    style.title(axes, "Directions of the beam in the specimen")
    beam = beam_directions(series)
    beam *= np.where(beam[:, 2:] < 0, -1, 1)
    radius = np.sqrt(2) * np.sqrt((1 - beam[:, 2]) / 2)  # Lambert's equal areas; the rim is the horizon
    flat = np.hypot(beam[:, 0], beam[:, 1])
    scale = np.divide(radius, flat, out=np.zeros_like(flat), where=flat > 0)
    turn = np.linspace(0, 2 * np.pi, 181)
    for angle in (30, 60, 90):
        size = np.sqrt(2) * np.sin(np.deg2rad(angle) / 2)
        axes.plot(
            size * np.cos(turn), size * np.sin(turn), color=style.MUTED if angle == 90 else style.LINE, linewidth=0.8
        )
        axes.text(0, size + 0.02, f"{angle}°", fontsize=style.SIZE - 2, color=style.MUTED, ha="center", va="bottom")
    axes.plot(scale * beam[:, 0], scale * beam[:, 1], "o", color=style.BLUE, markersize=4, alpha=0.85)
    axes.set_xlim(-1.15, 1.15)
    axes.set_ylim(-1.15, 1.2)
    axes.set_aspect("equal")
    return f"{len(beam)} beam directions on the upper half of the sphere (equal areas; x right, y up, z to the reader)."
