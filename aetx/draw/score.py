"""Pictures of scores: R of each image, convergence, distributions of errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.bound import bound, experiment
from aetx.draw.comparison import comparison, repeats
from aetx.draw.core_shell import core_shell
from aetx.draw.filter import filtered
from aetx.draw.held_out import iterations, shells
from aetx.draw.pairs import pairs
from aetx.draw.picture import Picture
from aetx.draw.self_checks import damage, hand, scale, shape
from aetx.draw.surface import out_of_plane, whole_shape

MOST = 6
"""Most histograms in one picture."""
NAMES = {"r1_history": "R1", "r_fourier": "R Fourier", "rmsd": "RMSD", "fsc": "FSC"}

PAINTERS: tuple[tuple[set[str], Callable[[xr.Dataset], list[Picture]]], ...] = (
    ({"residual", "true_position", "missed_position", "false_position"}, comparison),
    ({"bias", "scatter", "identified"}, repeats),
    ({"fsc", "resolution"}, shells),
    ({"r_free_tilt", "best"}, iterations),
    ({"bound", "sigma", "on_surface"}, bound),
    ({"bound", "image_dose", "elongation"}, experiment),
    ({"average", "stretch", "elongation_expected"}, shape),
    ({"crystal_bond", "scale_axis", "bond"}, scale),
    ({"meaning", "given_fits"}, hand),
    ({"changed", "misfit", "change"}, damage),
    ({"filled", "section", "r1_matched"}, filtered),
    ({"g", "pdf", "filled_share"}, pairs),
    ({"interface_strain", "surface_strain", "radial_profile"}, core_shell),
    ({"semi_axes", "sphericity"}, whole_shape),
    ({"out_of_plane", "member_facet"}, out_of_plane),
)
"""Who draws a score, by the variables that tell it from others."""


def score(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a score: its own where it has some, else what it says by tilt, iteration and as spread."""
    for names, painter in PAINTERS:
        if names <= set(dataset.variables):
            return painter(dataset)
    return per_tilt_and_convergence(dataset) + _distributions(dataset)


def name_of(dataset: xr.Dataset, name: str) -> str:
    """Return what to call a variable in a picture or a table."""
    said = dataset[name].attrs.get("long_name") or NAMES.get(name)
    return str(said) if said else re.sub(r"\br(?=\d)", "R", name.replace("_", " ")).replace("rmsd", "RMSD")


def per_tilt_and_convergence(dataset: xr.Dataset) -> list[Picture]:
    """Return one picture of what a dataset knows per tilt and per iteration; none where it knows neither."""
    from aetx.draw.tilt_series import tilt_axis

    tilts = _numeric(dataset, "tilt")
    steps = _numeric(dataset, "iteration")
    if not tilts and not steps:
        return []
    made = style.figure(2.8)
    ratios = [1.5] * bool(tilts) + [1.0] * bool(steps)
    panels = list(np.atleast_1d(made.subplots(1, len(ratios), width_ratios=ratios)))
    said = []
    if tilts:
        across, text = tilt_axis(dataset)
        axes = style.chart(panels.pop(0), text, _shared(dataset, tilts), "Each image")
        said.append(_tilts(axes, dataset, tilts, across))
    if steps:
        axes = style.chart(panels.pop(0), "iteration", _shared(dataset, steps), "Convergence")
        for name, colour in zip(steps, style.SERIES, strict=False):
            values = dataset[name].values.astype(float)
            number = dataset["iteration"].values if "iteration" in dataset.coords else np.arange(1, values.size + 1)
            axes.plot(number, values, color=colour, linewidth=1.5, label=name_of(dataset, name))
            axes.annotate(
                f"{values[-1]:.4g}",
                (number[-1], values[-1]),
                xytext=(0, 5),
                textcoords="offset points",
                ha="right",
                fontsize=style.SIZE - 1,
                color=colour,
            )
        positive = all((dataset[name].values > 0).all() for name in steps)
        if positive and max(float(dataset[n].max()) / float(dataset[n].min()) for n in steps) > 20:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0 if positive else None)
        if len(steps) > 1:
            style.legend(axes)
        said.append("The curve should end flat; one that still falls wants more iterations.")
    return [Picture("agreement", "Agreement with the images", " ".join(said), made)]


def _tilts(axes: Any, dataset: xr.Dataset, names: list[str], across: np.ndarray) -> str:
    said = []
    order = np.argsort(across, kind="stable")
    for name, colour in zip(names, style.SERIES, strict=False):
        values = dataset[name].values.astype(float)
        mean = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        if len(names) == 1:
            axes.vlines(across, 0, values, color=colour, linewidth=1, alpha=0.35)
        axes.plot(across[order], values[order], "o", color=colour, markersize=4, label=name_of(dataset, name))
        axes.axhline(mean, color=colour, linewidth=0.9, linestyle=(0, (5, 3)))
        said.append(f"{name_of(dataset, name)}: mean {mean:.4g} (dashed), worst {np.nanmax(values):.4g}")
    axes.set_ylim(bottom=min(0.0, *(float(np.nanmin(dataset[name].values)) for name in names)))
    if len(names) > 1:
        style.legend(axes)
    return "; ".join(said) + "."


def _shared(dataset: xr.Dataset, names: list[str]) -> str:
    units = {str(dataset[name].attrs.get("units", "1")) for name in names}
    factors = all(name.startswith("r") for name in names)
    text = name_of(dataset, names[0]) if len(names) == 1 else "R factor" if factors else "value"
    return style.label(text, units.pop()) if len(units) == 1 else text


def _numeric(dataset: xr.Dataset, dim: str) -> list[str]:
    """Return the R factors along a dimension; where there is none, every real number along it."""
    found = [
        str(name)
        for name, one in dataset.data_vars.items()
        if one.dims == (dim,) and one.dtype.kind == "f" and one.size > 1 and np.isfinite(one.values).any()
    ]
    factors = [name for name in found if name.startswith(("r1", "r2", "r_fourier"))]
    return (factors or found)[: len(style.SERIES)]


def _distributions(dataset: xr.Dataset) -> list[Picture]:
    """Histograms of what is known of many things, each axis in its own colour."""
    found = []
    for name, one in dataset.data_vars.items():
        if one.dtype.kind != "f" or {"tilt", "iteration"} & set(one.dims) or one.size < 8:
            continue
        if one.ndim == 1 or (one.ndim == 2 and one.dims[-1] == "axis" and one.sizes["axis"] == 3):
            found.append(str(name))
    found = found[:MOST]
    if not found:
        return []
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    made = style.figure(2.5 * rows)
    grid = np.atleast_1d(made.subplots(rows, columns)).ravel()
    for axes, name in zip(grid, found, strict=False):
        one = dataset[name]
        style.chart(axes, style.label(name_of(dataset, name), str(one.attrs.get("units", "1"))), "number")
        values = one.values[np.isfinite(one.values)]
        if one.ndim == 1:
            style.histogram(axes, values)
            style.marker(axes, float(np.median(values)) if values.size else 0.0, "median")
            continue
        edges = style.histogram_edges(values)
        for axis, colour in zip("xyz", style.SERIES, strict=False):
            part = one.sel(axis=axis).values
            style.histogram(axes, part[np.isfinite(part)], colour, name=axis, edges=edges)
        style.legend(axes)
    for axes in grid[len(found) :]:
        axes.set_visible(False)
    names = ", ".join(name_of(dataset, name) for name in found)
    return [Picture("distributions", "Distributions", f"How {names} are distributed.", made)]
