"""Pictures of Cramer-Rao bounds: of the atoms of a specimen, and of the plans of an experiment."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.ticker import FixedLocator, NullLocator

from aetx.draw import style
from aetx.draw.picture import Picture

PM = 100.0
"""Picometres in an angstrom."""


def bound(dataset: xr.Dataset) -> list[Picture]:
    """Return how well the atoms could be known along each axis, and the poses of the images."""
    poses = [name for name in dataset.data_vars if dataset[name].dims == ("tilt",) and dataset[name].dtype.kind == "f"]
    made = style.figure(2.7)
    ratios = [1.3] + [1.0] * bool(poses)
    panels = list(np.atleast_1d(made.subplots(1, len(ratios), width_ratios=ratios)))
    sigma = PM * dataset["sigma"].sel(axis=["x", "y", "z"]).values
    axes = style.chart(panels.pop(0), "least standard error (pm)", "atoms", "Each atom")
    edges = style.histogram_edges(sigma[np.isfinite(sigma)])
    for k, colour in enumerate(style.SERIES[:3]):
        mean = float(np.sqrt((sigma[:, k] ** 2).mean()))
        style.histogram(axes, sigma[:, k], colour, name=f"{'xyz'[k]}: {mean:.3g} pm", edges=edges)
    style.legend(axes)
    total = PM * float(dataset["bound"])
    said = [f"No unbiased method can come closer than {total:.3g} pm (root mean square in space) to these atoms."]
    if poses:
        _poses(panels.pop(0), dataset, [str(name) for name in poses])
        said.append("Right: the same of what is unknown of each image.")
    return [Picture("bound", "The limit set by counting noise", " ".join(said), made)]


def _poses(axes: Any, dataset: xr.Dataset, names: list[str]) -> None:
    """Draw the bounds of the angles where there are any, else of the shifts, else of the scale."""
    degrees = [name for name in names if dataset[name].attrs["units"] == "degree"]
    lengths = [name for name in names if dataset[name].attrs["units"] == "angstrom"]
    shown = degrees or lengths or names
    factor, unit = (1.0, "°") if degrees else (PM, "pm") if lengths else (100.0, "%")
    style.chart(axes, "tilt (°)", f"least standard error ({unit})", "Each image")
    theta = dataset["theta"].values
    order = np.argsort(theta, kind="stable")
    for name, colour in zip(shown, style.SERIES, strict=False):
        label = name.removeprefix("sigma_").replace("_", " ")
        axes.plot(theta[order], factor * dataset[name].values[order], "o-", color=colour, markersize=3, label=label)
    axes.set_ylim(bottom=0)
    style.legend(axes)


def experiment(dataset: xr.Dataset) -> list[Picture]:
    """Return what more dose, more images and a wider range would buy."""
    return [_against_dose(dataset), _over_wedge(dataset)]


def _against_dose(dataset: xr.Dataset) -> Picture:
    made = style.figure(3.1)
    panels = made.subplots(1, 2, sharey=True)
    middle_tilts, middle_range = (dataset.sizes[name] // 2 for name in ("tilts", "range"))
    tilts, ranges = dataset["tilts"].values, dataset["range"].values
    middle = dataset.isel(dose=(dataset.sizes["dose"] - 1) // 2)
    style.chart(panels[0], _dose_of(dataset), "bound (pm)", f"Numbers of images, within ±{ranges[middle_range]:g}°")
    style.chart(panels[1], _dose_of(dataset), "", f"Tilt ranges, {tilts[middle_tilts]} images")
    for i, (count, colour) in enumerate(zip(tilts, style.SERIES, strict=False)):
        wide = 1.4 + 1.8 * (len(tilts) - 1 - i)
        _line(panels[0], dataset, middle, {"tilts": i, "range": middle_range}, colour, f"{count} images", wide)
    for j, (most, colour) in enumerate(zip(ranges, style.SERIES, strict=False)):
        _line(panels[1], dataset, middle, {"tilts": middle_tilts, "range": j}, colour, f"±{most:g}°", 1.4)
    values, doses = PM * dataset["bound"].values, dataset["dose"].values / 1e3
    for axes in panels:
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(list(doses[:: -(-len(doses) // 8)])))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        _plain_ticks(axes.yaxis, values)
        style.legend(axes)
    said = "How close to the true positions any unbiased method can come: root mean square in space over all atoms."
    said += f" Numbers beside the names: at {float(middle['dose']) / 1e3:.3g} thousand e/Å²."
    return Picture("plan-dose", "What dose and images buy", said, made)


def _dose_of(dataset: xr.Dataset) -> str:
    whole = dataset.attrs.get("dose_of", "series") == "series"
    return f"dose of {'the series' if whole else 'each image'} (10³ e Å⁻²)"


def _line(
    axes: Any, dataset: xr.Dataset, middle: xr.Dataset, at: dict[str, int], colour: str, name: str, wide: float
) -> None:
    across, up = dataset["dose"].values / 1e3, PM * dataset["bound"].isel(at).values
    label = f"{name}: {PM * float(middle['bound'].isel(at)):.3g} pm"
    axes.plot(across, up, "o-", color=colour, markersize=3 + 0.8 * wide, linewidth=wide, label=label)


def _plain_ticks(axis: Any, values: np.ndarray) -> None:
    """Put ticks at 1, 2 and 5 times powers of ten, as plain numbers."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()) / 1.15, float(finite.max()) * 1.15
    steps = [d * 10.0**p for p in range(-3, 6) for d in (1, 1.5, 2, 3, 5, 7) if low <= d * 10.0**p <= high]
    axis.set_major_locator(FixedLocator(steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.axes.set_ylim(low, high)


def _over_wedge(dataset: xr.Dataset) -> Picture:
    made = style.figure(2.9)
    panels = made.subplots(1, 2, width_ratios=[1.25, 1.0])
    middle = (dataset.sizes["dose"] - 1) // 2
    plan = dataset.isel(dose=middle)
    height = PM * plan["bound_axis"].sel(axis="z").values
    tilts, ranges = dataset["tilts"].values, dataset["range"].values
    axes = style.chart(panels[0], "tilt range (°)", "images", "Standard error along the beam, z (pm)")
    axes.grid(visible=False)
    low, high = style.limits(height, 0, 100)
    drawn = axes.imshow(height, origin="lower", aspect="auto", cmap=style.VALUES, vmin=low, vmax=high)
    axes.set_xticks(range(len(ranges)), [f"±{most:g}" for most in ranges])
    axes.set_yticks(range(len(tilts)), [str(count) for count in tilts])
    for (i, j), value in np.ndenumerate(height):
        dark = np.isfinite(value) and value < 0.5 * (low + high)
        text = f"{value:.3g}" if np.isfinite(value) else "–"
        axes.text(j, i, text, ha="center", va="center", fontsize=style.SIZE - 0.5, color="white" if dark else style.INK)
    style.colour_bar(made, drawn, axes, "pm")
    count = tilts[len(tilts) // 2]
    ratio = style.chart(panels[1], "tilt range (°)", "ratio", f"The wedge, {count} images")
    each = plan.isel(tilts=len(tilts) // 2)["bound_axis"]
    ratio.plot(
        ranges,
        (each.sel(axis="z") / each.sel(axis="x")).values,
        "o-",
        color=style.BLUE,
        markersize=4,
        label="error along z over that along x",
    )
    ratio.plot(
        ranges,
        dataset["elongation"].values,
        "s--",
        color=style.ORANGE,
        markersize=4,
        label="elongation of a voxel by the wedge",
    )
    ratio.set_xticks(ranges)
    ratio.set_ylim(bottom=1.0)
    style.legend(ratio, loc="lower left")
    dose = float(dataset["dose"][middle])
    whole = dataset.attrs.get("dose_of", "series") == "series"
    said = f"At {dose:.3g} e/Å² for {'the whole series' if whole else 'each image'}."
    return Picture("plan-wedge", "What the missing wedge costs", said, made)
