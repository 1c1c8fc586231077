"""Pictures of what a model leaves of the images: measured, model, difference."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.score import per_tilt_and_convergence
from aetx.draw.tilt_series import extent_of, reduced

FAR = 4.0
"""Standard deviations at the ends of the colours of a difference."""


def residual(series: xr.Dataset) -> list[Picture]:
    """Return the pictures of a series that brings its model: three images beside theirs, and R of all.

    Reads one image at a time.
    """
    return [_side_by_side(series), *per_tilt_and_convergence(series[["r1"]])]


def chosen(r1: np.ndarray) -> dict[str, int]:
    """Return the image that agrees worst, the middle one and the best, each once; those without an R1 are left out."""
    known = np.flatnonzero(np.isfinite(r1))
    order = known[np.argsort(-r1[known], kind="stable")] if known.size else np.array([0])
    found: dict[int, str] = {}
    for name, place in (("worst", 0), ("best", order.size - 1), ("middle", order.size // 2)):
        found.setdefault(int(order[place]), name)
    return {found[i]: i for i in order.tolist() if i in found}


def _side_by_side(series: xr.Dataset) -> Picture:
    r1 = series["r1"].values.astype(float)
    picked = chosen(r1)
    extent = extent_of(series, "x", "y")
    cell = style.WIDTH / 3.4
    made = style.figure(len(picked) * (cell * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.28) + 0.1)
    grid = made.subplots(len(picked), 3, squeeze=False)
    for row, (name, i) in zip(grid, picked.items(), strict=True):
        images = [reduced(np.asarray(series[part].isel(tilt=i).values, np.float32)) for part in ("image", "model")]
        limits = style.limits(np.concatenate([image.ravel() for image in images]))
        drawn = [style.image(axes, image, extent, style.GREY, limits) for axes, image in zip(row, images, strict=False)]
        rest = reduced(np.nan_to_num(np.asarray(series["residual"].isel(tilt=i).values, np.float32)))
        signed = style.image(row[2], rest, extent, style.SIGNED, (-FAR, FAR), style.INK)
        number, theta = int(series["tilt"].values[i]), style.degrees(float(series["theta"].values[i]))
        style.title(row[0], f"{name}: image {number}, θ = {theta}, R1 {r1[i]:.3g}")
        style.title(row[1], "model")
        style.title(row[2], "measured − model, standard deviations")
        style.colour_bar(made, drawn[1], row[1], style.label("intensity", series["image"].attrs["units"]))
        style.colour_bar(made, signed, row[2], "σ")
    told = "Measured images, those of the atoms, and the difference over the standard deviation of the noise. What is "
    told += "right leaves grain without form; an atom that is missing leaves a red spot, one too many a blue one."
    chi = series["chi_square"].values.astype(float)
    told += f" Mean chi square {np.nanmean(chi):.4g}." if np.isfinite(chi).any() else ""
    return Picture("residual", "What the atoms leave unexplained", told, made)
