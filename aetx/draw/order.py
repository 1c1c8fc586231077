"""Maps of order: sections whose atoms are coloured by chemical order, stacking, template or nucleus."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from aetx.draw import discs, style
from aetx.draw.picture import Picture

MARGIN = 98.0
"""Percentile of the sizes of a signed value at which its colours end."""


def order(dataset: xr.Dataset) -> list[Picture]:
    """Return a section for each kind of order that atoms have."""
    kept, place = discs.placed(dataset)
    if len(place) == 0:
        return []
    found = []
    if "warren_cowley" in kept:
        found += [_chemical(kept, place)]
    if "twin_order" in kept:
        value = kept["twin_order"].values
        said = "Blue: stacked as in fcc; red: as in hcp. Grey: not known. "
        known = np.isfinite(value)
        said += f"{int((value > 0).sum())} of {int(known.sum())} known atoms are nearer to hcp."
        found += [_section(place, value, "Twin order", "rmsd to fcc - rmsd to hcp (Å)", "twin-order", said, True)]
    if "template_mean" in kept:
        value = kept["template_mean"].values
        name = str(kept["template_mean"].attrs.get("structure", "template"))
        said = f"Mean distance of the neighbours from those of {name}: {np.nanmean(value):.3f} Å over the atoms."
        title = f"Deviation from {name}"
        found += [_section(place, value, title, "mean deviation (Å)", "template", said, False)]
    if "nucleus" in kept:
        title = f"{kept.sizes['nucleus_id']} nuclei"
        found += [_parts(place, kept["nucleus"].values, "nuclei", "Crystal nuclei", title)]
    if "network" in kept:
        kinds = kept["network_structure"].values.astype(str)
        told = ", ".join(f"{int((kinds == one).sum())} {one}" for one in np.unique(kinds))
        title = f"Networks of solutes ({told})" if told else "Networks of solutes"
        found += [_parts(place, kept["network"].values, "networks", "Medium-range order", title)]
    return found


def _chemical(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    """Draw the pair of species whose order departs most from chance."""
    whole, chance = dataset["warren_cowley_global"].values, dataset["warren_cowley_global_error"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        pull = np.nan_to_num(np.abs(whole / chance))
    i, j = np.unravel_index(int(pull.argmax()), pull.shape)
    names = [style.symbol(int(one)) for one in dataset["species_i"].values]
    value = dataset["warren_cowley"].values[:, i, j]
    told = [
        f"{names[a]}-{names[b]} {whole[a, b]:+.3f} ± {chance[a, b]:.3f}"
        for a in range(len(names))
        for b in range(a, len(names))
    ]
    meaning = "clustering" if i == j else "fewer unlike neighbours than at random"
    said = f"Above 0: {meaning}. Of all atoms, with what chance makes: {'; '.join(told)}. Grey: surface, or not known."
    pair = f"{names[i]}-{names[j]}"
    title = f"Warren-Cowley order of {pair}"
    return _section(place, value, title, f"α of {pair}", "chemical-order", said, True)


def _section(
    place: np.ndarray, value: np.ndarray, title: str, label: str, name: str, said: str, signed: bool
) -> Picture:
    known = value[np.isfinite(value)]
    if signed:
        top = float(np.percentile(np.abs(known), MARGIN)) if known.size else 1.0
        scale, colours = Normalize(-(top or 1.0), top or 1.0, clip=True), style.SIGNED
    else:
        scale, colours = Normalize(*style.limits(value, 1, 99), clip=True), style.VALUES
    mapped = ScalarMappable(scale, colormaps[colours])
    rgb = np.asarray(mapped.to_rgba(np.nan_to_num(value))[:, :3], float)
    rgb[~np.isfinite(value)] = to_rgb(style.LINE)
    made, panels = discs.sections(place, rgb, True)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], label)
    thick = discs.THICKNESS * discs.nearest(place)
    caption = f"Atoms within {thick / 2:.1f} Å of the plane through the middle. {said}"
    return Picture(name, title, caption, made)


def _parts(place: np.ndarray, part: np.ndarray, name: str, title: str, what: str) -> Picture:
    colours = np.array([to_rgb(one) for one in style.SERIES])
    rgb = np.where((part >= 0)[:, None], colours[part % len(colours)], np.array(to_rgb(style.LINE)))
    made, _ = discs.sections(place, rgb, False)
    inside = int((part >= 0).sum())
    caption = (
        f"{what} hold {inside} of {len(part)} atoms; colours repeat. Grey: in none. "
        f"Atoms within {discs.THICKNESS * discs.nearest(place) / 2:.1f} Å of the plane through the middle."
    )
    return Picture(name, title, caption, made)
