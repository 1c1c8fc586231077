"""Pictures of how far atoms are supported: by the images, and by other models."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from aetx.draw import discs, style
from aetx.draw.picture import Picture

RED = "#c8102e"
"""Colour of what is not supported."""
REST = "#d5dae0"
"""Colour of all other atoms beside it."""


def support(dataset: xr.Dataset) -> list[Picture]:
    """Return what is known of the support of atoms; nothing where nothing is."""
    kept, place = discs.placed(dataset)
    removed = _removed(dataset)
    if len(place) + len(removed) == 0:
        return []
    made = []
    if {"support", "unsupported", "height", "height_tilt"} <= set(kept.variables):
        made += [_flagged(kept, place, removed), _heights(kept)]
    if {"agreement", "spread", "model_distance"} <= set(kept.variables) and len(place):
        made += [_agreement(kept, place)]
    return made


def _removed(dataset: xr.Dataset) -> np.ndarray:
    """Return where atoms were that were left out for want of support, shape (atoms, 3), angstrom."""
    if "ledger_reason" not in dataset:
        return np.zeros((0, 3))
    place = dataset["ledger_position"].sel(axis=["x", "y", "z"]).transpose("entry", "axis")
    return np.asarray(place.values[_left_out(dataset)], float)


def _left_out(dataset: xr.Dataset) -> np.ndarray:
    """Tell which entries of the ledger are atoms that were left out for want of support."""
    return np.asarray(dataset["ledger_reason"].values.astype(str) == "the images do not support it")


def _flagged(dataset: xr.Dataset, place: np.ndarray, removed: np.ndarray) -> Picture:
    flagged = np.append(dataset["unsupported"].values.astype(bool), np.ones(len(removed), bool))
    unknown = int(np.isnan(dataset["support"].values).sum())
    caption = (
        f"The images do not support {flagged.sum()} of {flagged.size} atoms ({100 * flagged.mean():.2g} %), drawn "
    )
    caption += "red and in front of all others."
    caption += f" {len(removed)} of them are left out." if len(removed) else ""
    caption += f" Too few images show {unknown} more: nothing is known of them." if unknown else ""
    drawn = _in_front(np.concatenate([place, removed]), flagged, RED, "not supported")
    return Picture("unsupported", "Atoms without support", caption, drawn)


def _in_front(place: np.ndarray, chosen: np.ndarray, colour: str, name: str) -> Figure:
    """Draw all atoms pale in three directions, and the chosen ones on top of them."""
    made, panels = discs.panels(place, False)
    for panel in panels:
        order = np.argsort(panel.towards_reader(place) + np.where(chosen, 1e6, 0), kind="stable")
        rgb = np.where(chosen[order, None], to_rgb(colour), to_rgb(REST))
        discs.draw(panel, place[order], rgb)
    discs.legend(made, {f"{name}: {int(chosen.sum())}": colour, f"all others: {int((~chosen).sum())}": REST})
    return made


def _heights(dataset: xr.Dataset) -> Picture:
    height, middle = dataset["height"].values, dataset["height_tilt"].values
    flagged = dataset["unsupported"].values.astype(bool)
    empty = dataset["vacancy_height"].values if "vacancy_height" in dataset else np.zeros(0)
    gone = dataset["ledger_score"].values[_left_out(dataset)] if "ledger_score" in dataset else np.zeros(0)
    groups = {
        "atoms": (height[~flagged], style.BLUE),
        "empty places": (empty, style.NEUTRAL),
        "not supported": (np.append(height[flagged], gone), RED),
    }
    groups = {name: (one[np.isfinite(one)], colour) for name, (one, colour) in groups.items()}
    made = style.figure(3.0)
    left, right = made.subplots(1, 2, width_ratios=[1.35, 1.0])
    style.chart(left, "height in the images (usual atom = 1)", "number", "All images together")
    edges = np.histogram_bin_edges(np.concatenate([one for one, _ in groups.values()]), 60)
    for name, (one, colour) in groups.items():
        if one.size:
            style.histogram(left, one, colour, name=f"{name}: {one.size}", edges=edges)
    left.set_yscale("symlog", linthresh=10)
    style.legend(left)
    style.chart(right, "height, all images", "median over the images", "Image by image")
    for chosen, colour in ((~flagged, style.BLUE), (flagged, RED)):
        right.plot(height[chosen], middle[chosen], ".", color=colour, markersize=4, alpha=0.7)
    right.axline((0.0, 0.0), slope=1.0, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    known = height[np.isfinite(height) & ~flagged]
    caption = "What the images hold where each atom is, and at empty places in and about the specimen"
    if known.size and empty.size:
        caption += (
            f": {np.median(known):.2f} ± {known.std():.2f} of an atom, and {empty.mean():.2f} ± {empty.std():.2f}"
        )
    return Picture("support", "What the images hold", caption + ".", made)


def _agreement(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    share = dataset["agreement"].values
    alone = share < 1.0
    count = dataset.sizes["model"]
    away = 100 * dataset["model_distance"].values
    root = [np.sqrt(np.nanmean(one**2)) if np.isfinite(one).any() else np.nan for one in away]
    said = [
        f"model {i + 1} lacks {int(missing)}, has {int(extra)} more, {rms:.3g} pm apart"
        for i, (missing, extra, rms) in enumerate(
            zip(dataset["model_missing"].values, dataset["model_extra"].values, root, strict=True)
        )
    ]
    lacking = "the other model has not" if count == 1 else f"not all {count} other models have"
    caption = f"Red: {int(alone.sum())} of {len(place)} atoms that {lacking}. The others: {'; '.join(said)}."
    made = _in_front(place, alone, RED, "not in every model")
    return Picture("agreement", "Agreement of models", caption, made)
