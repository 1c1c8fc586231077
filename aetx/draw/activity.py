"""Pictures of activity for oxygen reduction; each says which parametrised model it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.surface import FAMILIES, outside, scaled
from aetx.model import positions

NAME = "ln(j / j of Pt(111))"
COLOURS = "viridis"


def activity(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of the activity of atoms, none where they have none."""
    if "activity" not in dataset or not np.isfinite(dataset["activity"].values).any():
        return []
    return [_atoms(dataset), _spread(dataset)]


def _signed(made: Any, dataset: xr.Dataset) -> None:
    """Write the model on the picture."""
    text = str(dataset["activity"].attrs.get("model", "model not told"))
    made.supxlabel(text, x=0.01, ha="left", fontsize=style.SIZE - 1.5, color=style.MUTED)


def _atoms(dataset: xr.Dataset) -> Picture:
    place = positions(dataset)
    good = np.isfinite(place).all(axis=1)
    values = dataset["activity"].values[good].astype(float)
    rgb, mapped = scaled(values, COLOURS, style.limits(values, 2, 98))
    made, panels = outside(place[good], rgb, True)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], NAME)
    _signed(made, dataset)
    caption = f"{int(np.isfinite(values).sum())} atoms with an activity; grey: none."
    return Picture("activity", "Activity for oxygen reduction", f"{caption} {_averages(dataset)}", made)


def _averages(dataset: xr.Dataset) -> str:
    if "activity_group" not in dataset.coords:
        return ""
    said = []
    for name in dataset["activity_group"].values:
        one = dataset.sel(activity_group=name)
        if int(one["activity_atoms"]):
            error = float(one["activity_mean_error"])
            text = f"{float(one['activity_mean']):.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
            title = f"{{{name}}}" if str(name).isdigit() else str(name)
            said.append(f"{title} {text} (median {float(one['activity_median']):.2f}, of j {_total(one)})")
    return f"Mean of ln j: {'; '.join(said)}.".replace("-", "\u2212")


def _total(one: xr.Dataset) -> str:
    return f"{float(one['activity_total']):.2f}"


def _spread(dataset: xr.Dataset) -> Picture:
    """Draw histograms by family, and activity over what it depends on."""
    values = dataset["activity"].values.astype(float)
    made = style.figure(3.2)
    left, right = made.subplots(1, 2)
    style.chart(left, NAME, "atoms", "Activities")
    groups = _groups(dataset, values)
    edges = style.histogram_edges(values[np.isfinite(values)])
    name = next((one for one in ("surface_strain", "bond_strain", "generalised_coordination") if one in dataset), None)
    text = {"generalised_coordination": "generalised coordination"}.get(str(name), "strain of the surface (%)")
    style.chart(right, text, NAME, "What it comes from")
    for label, colour, mask in groups:
        style.histogram(left, values[mask], colour, name=label, edges=edges)
        if name is None:
            continue
        across = dataset[name].values[mask] * (1.0 if name == "generalised_coordination" else 100.0)
        error = dataset["activity_error"].values[mask]
        right.errorbar(
            across,
            values[mask],
            np.where(np.isfinite(error), error, 0.0),
            linestyle="",
            marker="o",
            markersize=2.5,
            color=colour,
            ecolor=style.pale(colour),
            elinewidth=0.6,
        )
    if groups[0][0]:
        style.legend(left)
    _signed(made, dataset)
    median = np.nanmedian(dataset["activity_error"].values)
    caption = f"Bars: standard errors, median {median:.2g}" if np.isfinite(median) else "Standard errors are not known"
    return Picture("activity-spread", "Activities and where they come from", f"{caption}.", made)


def _groups(dataset: xr.Dataset, values: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    known = np.isfinite(values)
    if "facet" not in dataset or "facet_family" not in dataset:
        return [("", style.BLUE, known)]
    family = np.append(dataset["facet_family"].values.astype(str), "")[dataset["facet"].values]
    found = [(f"{{{name}}}", colour, known & (family == name)) for name, colour in FAMILIES.items()]
    return [one for one in found if one[2].any()] or [("", style.BLUE, known)]


def activity_map(dataset: xr.Dataset) -> list[Picture]:
    """Return pictures of a map of activity, and of the strain it comes from, as seen from outside."""
    made = [_seen(dataset, "activity", NAME, COLOURS, 1.0)]
    if "surface_strain" in dataset:
        made.append(_seen(dataset, "surface_strain", "strain of the surface (%)", style.SIGNED, 100.0))
    return made


def _seen(dataset: xr.Dataset, name: str, text: str, colours: str, factor: float) -> Picture:
    """Show, along three directions, the value where the ray from the reader first meets the surface."""
    values = factor * dataset[name].transpose("z", "y", "x").values.astype(float)
    low, high = style.limits(values, 2, 98)
    if colours == style.SIGNED:
        high = max(abs(low), abs(high))
        low = -high
    made = style.figure(style.WIDTH / 3.3 + 0.7)
    drawn, shown = None, []
    for axes, (across, up, along) in zip(made.subplots(1, 3), style.VIEWS, strict=True):
        axis = ("z", "y", "x").index(along)
        ordered = np.flip(values, axis) if along == "z" else values
        first = np.isfinite(ordered).argmax(axis=axis)
        image = np.take_along_axis(ordered, np.expand_dims(first, axis), axis).squeeze(axis)
        image = image if ("z", "y", "x").index(up) < ("z", "y", "x").index(across) else image.T
        extent = _extent(dataset, across, up)
        drawn = style.image(axes, np.ma.masked_invalid(image), extent, colours, (low, high), style.INK)
        style.arrows(axes, across, up, style.INK)
        style.title(axes, f"along {along}")
        shown.append(axes)
    style.colour_bar(made, drawn, shown, text)
    _signed(made, dataset)
    error = factor * np.nanmedian(dataset[f"{name}_error"].values)
    told = f"median standard error {error:.2g}" if np.isfinite(error) else "standard errors not known"
    title = {"activity": "Map of activity"}.get(name, "Map of the strain of the surface")
    caption = f"Where each line of sight first meets the surface; {told}."
    return Picture({"activity": "surface-activity"}.get(name, "surface-strain"), title, caption, made)


def _extent(dataset: xr.Dataset, across: str, up: str) -> tuple[float, float, float, float]:
    found = []
    for name in (across, up):
        values = dataset[name].values
        half = (values[1] - values[0]) / 2
        found += [float(values[0] - half), float(values[-1] + half)]
    return found[0], found[1], found[2], found[3]
