"""Pictures of what data tell of themselves: shape of atoms, pixel size, signs of angles, damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture

PM = 100.0
"""Picometres in an angstrom."""
VERDICTS = {1.0: ("given angles fit better", style.BLUE), 0.0: ("given angles fit worse", style.ORANGE)}


def shape(dataset: xr.Dataset) -> list[Picture]:
    """Return the average atom, its widths by group, and how long single atoms are."""
    whole = dataset.sel(group="all")
    return [_average(whole), _widths(dataset)] if np.isfinite(whole["width"]) else []


def _average(whole: xr.Dataset) -> Picture:
    made = style.figure(3.2)
    box = whole["average"]
    low, high = float(box.min()), float(box.max())
    panels = list(made.subplots(1, 3))
    for axes, (across, up, along) in zip(panels, style.VIEWS, strict=True):
        cut = box.sel({f"box_{along}": 0.0}, method="nearest").transpose(f"box_{up}", f"box_{across}")
        edges = [whole[f"box_{axis}"].values[[0, -1]] for axis in (across, up)]
        half = [float(np.diff(whole[f"box_{axis}"].values[:2])[0]) / 2 for axis in (across, up)]
        extent = tuple(
            float(edge[i] + sign * by) for edge, by in zip(edges, half, strict=True) for i, sign in ((0, -1), (1, 1))
        )
        drawn = style.image(axes, cut.values, (extent[0], extent[1], extent[2], extent[3]), style.DENSITY, (low, high))
        style.arrows(axes, across, up)
        one = [PM * float(whole["width_axis"].sel(axis=axis)) for axis in (across, up)]
        style.title(axes, f"width along {across} {one[0]:.3g}, {up} {one[1]:.3g} pm")
    style.colour_bar(made, drawn, panels, style.label("density", str(whole["average"].attrs["units"])))
    text = f"Mean of {int(whole['atoms'])} atoms, cut through its middle. Gaussian width across the beam"
    text += f" {PM * float(whole['width']):.4g} ± {PM * float(whole['width_error']):.2g} pm"
    if np.isfinite(whole["applied_width"]):
        text += f"; {PM * float(whole['applied_width']):.4g} pm before the scattering factor of the element"
    return Picture("average-atom", "The average atom", text + ".", made)


def _widths(dataset: xr.Dataset) -> Picture:
    made = style.figure(2.9)
    widths, ratios, lengths = made.subplots(1, 3, width_ratios=[1.3, 1.0, 1.2])
    groups = [str(name) for name in dataset["group"].values]
    style.chart(widths, "", "Gaussian width (pm)", "Widths along the axes")
    for k, (axis, colour) in enumerate(zip("xyz", style.SERIES, strict=False)):
        one, error = (PM * dataset[f"width_axis{end}"].sel(axis=axis).values for end in ("", "_error"))
        across = np.arange(len(groups)) + 0.2 * (k - 1)
        widths.errorbar(across, one, np.nan_to_num(error), fmt="o", color=colour, markersize=4, label=axis)
    style.chart(ratios, "", "along over across the beam", "Elongation")
    error = np.nan_to_num(dataset["elongation_error"].values)
    ratios.errorbar(range(len(groups)), dataset["elongation"].values, error, fmt="o", color=style.BLUE, markersize=4)
    expected = float(dataset["elongation_expected"])
    ratios.axhline(1.0, color=style.MUTED, linewidth=0.8)
    if np.isfinite(expected):
        ratios.axhline(expected, color=style.ORANGE, linewidth=1.2, linestyle=(0, (5, 3)), label="the wedge alone")
        style.legend(ratios)
    for axes in (widths, ratios):
        axes.set_xticks(range(len(groups)), groups)
        axes.set_xlim(-0.6, len(groups) - 0.4)
    style.legend(widths)
    style.chart(lengths, "length over that of the average atom", "atoms", "Each atom")
    stretch, flag = dataset["stretch"].values, dataset["flag"].values
    style.histogram(lengths, stretch[np.isfinite(stretch) & (flag == 0)])
    long = stretch[flag == 1]
    if long.size:
        lengths.plot(long, np.zeros(long.size), "v", color=style.ORANGE, markersize=6, clip_on=False, label="too long")
        style.legend(lengths)
    said = f"{long.size} atoms are too long, {int((flag == 2).sum())} have no shape, of {flag.size}."
    return Picture("atom-widths", "Widths of atoms", said, made)


def scale(dataset: xr.Dataset) -> list[Picture]:
    """Return the lengths of bonds against those of the crystal, and the scale along each axis."""
    if not dataset.sizes["bond"]:
        return []
    made = style.figure(2.8)
    lengths, axes = made.subplots(1, 2, width_ratios=[1.4, 1.0])
    style.chart(lengths, "bond (Å)", "bonds of bulk atoms", "Bonds as measured")
    style.histogram(lengths, dataset["bond"].values)
    style.marker(lengths, float(dataset["crystal_bond"]), "crystal")
    style.chart(axes, "", "scale − 1 (%)", "What lengths must be multiplied by")
    names = ["x", "y", "z", "all"]
    values = 100 * (np.append(dataset["scale_axis"].values, dataset["scale"]) - 1)
    for end, of, width, colour in (("_block_error", "parts", 1.2, style.SKY), ("_error", "atoms", 3.0, style.BLUE)):
        bars = 100 * np.append(dataset[f"scale_axis{end}"].values, dataset[f"scale{end}"])
        if np.isfinite(bars).all():
            label = f"scatter of {of}"
            axes.errorbar(range(4), values, bars, fmt="none", ecolor=colour, elinewidth=width, label=label)
    axes.plot(range(4), values, "o", color=style.INK, markersize=4)
    axes.axhline(0.0, color=style.MUTED, linewidth=0.8)
    axes.set_xticks(range(4), names)
    axes.set_xlim(-0.6, 3.6)
    style.legend(axes)
    size, error = (float(dataset[name]) for name in ("scale", "scale_error"))
    said = f"The pixel size times {size:.5f} ± {error:.5f} gives bonds the length of the crystal, by"
    said += f" {int(dataset['grain_atoms'].sum())} bulk atoms in {dataset.sizes['grain']} grains. Strain is part of it."
    return [Picture("pixel-size", "Pixel size from the lattice", said, made)]


def hand(dataset: xr.Dataset) -> list[Picture]:
    """Return the free R of the angles as given and of what else they may have meant."""
    known = "atoms_r1" in dataset
    made = style.figure(2.9)
    panels = list(np.atleast_1d(made.subplots(1, 2 if known else 1, sharey=True)))
    _meanings(panels[0], dataset, "r_free", "", "R of held-out images, reconstructed")
    if known:
        _meanings(panels[1], dataset, "atoms_r1", "atoms_", "R of the images of known atoms")
    keys = (*VERDICTS.values(), ("not decided", style.NEUTRAL))
    patches = [panels[0].barh(0, 0, color=colour, alpha=0.75, label=text) for text, colour in keys]
    made.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=style.SIZE - 1)
    fits = float(dataset["given_fits"])
    said = {1.0: "The given angles fit best.", 0.0: "Another meaning of the angles fits better."}.get(
        fits, "Whether the angles were meant as given is not decided."
    )
    alike = dataset["meaning"].values[(dataset["mirrored_apart"] < 0.02) & (dataset["turned_apart"] >= 0.02)]
    if alike.size:
        said += f" No projection tells them from {', '.join(map(str, alike))}: the mirror image looks the same."
    return [Picture("hand", "Signs of the angles", said, made)]


def _meanings(axes: Any, dataset: xr.Dataset, name: str, prefix: str, heading: str) -> None:
    style.chart(axes, style.label("R", "1"), "", heading)
    names = [str(one) for one in dataset["meaning"].values]
    values, verdict = dataset[name].values, dataset[f"{prefix}verdict"].values
    error = dataset[f"{prefix}difference_error"].values
    for row, value in enumerate(values):
        if not np.isfinite(value):
            axes.text(
                0.02, row, "the same images", transform=axes.get_yaxis_transform(), va="center", color=style.MUTED
            )
            continue
        colour = style.INK if row == 0 else VERDICTS.get(float(verdict[row]), ("", style.NEUTRAL))[1]
        axes.barh(row, value, height=0.6, color=colour, alpha=0.75)
        axes.errorbar(value, row, xerr=np.nan_to_num(error[row]), color=style.INK, elinewidth=1.0, capsize=2)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * float(np.nanmax(values)))


def damage(dataset: xr.Dataset) -> list[Picture]:
    """Return what was followed over the acquisition, and what images of one pose say."""
    shown = [str(name) for name in dataset["measure"].values if np.isfinite(dataset["value"].sel(measure=name)).any()]
    made = style.figure(2.9)
    panels = list(np.atleast_1d(made.subplots(1, 2, width_ratios=[1.6, 1.0])))
    along = _time(panels[0], dataset, shown)
    _pairs(panels[1], dataset)
    changed = float(dataset["changed"])
    said = {1.0: "Something changed.", 0.0: "No change is seen."}.get(changed, "Nothing here tells of damage.")
    for name in shown:
        one = dataset.sel(measure=name)
        if np.isfinite(one["change"]):
            said += f" {name}: {float(one['change']):+.2g} ± {float(one['change_error']):.1g} over the {along}."
    return [Picture("damage", "First against last", said, made)]


def _time(axes: Any, dataset: xr.Dataset, shown: list[str]) -> str:
    dose = np.isfinite(dataset["dose"]).all()
    across = dataset["dose"].values / 1e3 if dose else dataset["order"].values
    style.chart(axes, "dose before (10³ e Å⁻²)" if dose else "order", "over the mean", "Each image")
    order = np.argsort(across, kind="stable")
    for name, colour in zip(shown, style.SERIES, strict=False):
        value = dataset["value"].sel(measure=name).values
        value = value / np.nanmean(value)
        axes.plot(across[order], value[order], "o-", color=colour, markersize=3, linewidth=0.9, label=name)
    axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
    if shown:
        style.legend(axes)
    return "dose" if dose else "order"


def _pairs(axes: Any, dataset: xr.Dataset) -> None:
    style.chart(axes, "", "later over earlier", "Images of one pose")
    count = dataset.sizes["pair"]
    if not count:
        axes.text(0.5, 0.5, "no pose was taken twice", ha="center", transform=axes.transAxes, color=style.MUTED)
        axes.set_ylabel("")
        style.bare(axes)
        return
    names = {"total": "sum", "size": "size", "fine": "fine power", "misfit": "misfit"}
    for k, name in enumerate(names):
        values = dataset[name].values
        error = dataset[f"{name}_error"].values if f"{name}_error" in dataset else np.zeros(count)
        across = k + np.linspace(-0.15, 0.15, count) if count > 1 else np.array([float(k)])
        colour = style.SERIES[k]
        axes.errorbar(across, values, np.nan_to_num(error), fmt="o", color=colour, markersize=4, elinewidth=1.2)
    axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
    axes.set_xticks(range(len(names)), list(names.values()))
    axes.set_xlim(-0.5, len(names) - 0.5)
