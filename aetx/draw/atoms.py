"""Pictures of atoms: where they are, how bright, how far apart, how well known."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from scipy.spatial import cKDTree

from aetx.draw import discs, style
from aetx.draw.picture import Picture

DRAWN = 25_000
"""Most atoms drawn."""
SAMPLE = 4_000
"""Most atoms from which pair distances are counted."""
VECTORS = ("polar", "displacement")
"""Vectors of each atom that are drawn as arrows, the first that is there."""
LABELS = ("grain", "sector")
"""Numbers of parts that are told apart by colour, the first that is there; below 0 where an atom is in none."""
MOST_LABELS = 6
"""Most parts that are told apart: there are no more colours."""
FAR = 12.0
"""Greatest pair distance, angstrom."""


def atoms(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a table of atoms."""
    kept, place = discs.placed(dataset)
    if len(place) == 0:
        return []
    return [_projections(kept, place), *_section(kept, place), _distances(place), *_columns(kept)]


def _projections(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    species = dataset["species"].values
    colour, scale = _colours(dataset, species)
    made, panels = discs.panels(place, scale is not None)
    shown = np.arange(len(place))
    if shown.size > DRAWN:
        shown = np.sort(np.random.default_rng(0).choice(shown, DRAWN, replace=False))
    for panel in panels:
        depth = panel.towards_reader(place[shown])
        order = shown[np.argsort(depth, kind="stable")]
        faded = np.clip((np.sort(depth) - depth.min()) / max(np.ptp(depth), 1e-9), 0, 1)[:, None]
        rgb = colour[order] * (0.45 + 0.55 * faded) + 0.55 * (1 - faded) * np.array([0.93, 0.94, 0.96])
        discs.draw(panel, place[order], rgb)
    said = f"{len(place)} atoms ({species_text(species)})"
    said += f", {shown.size} of them drawn" if shown.size < len(place) else ""
    if scale is None:
        discs.legend(made, {style.symbol(number): one for number, one in style.species_colours(species).items()})
    else:
        style.colour_bar(made, scale[0], [panel.axes for panel in panels], scale[1])
    return Picture("projections", "Atoms along three directions", f"{said}; atoms further away are paler.", made)


def _section(dataset: xr.Dataset, place: np.ndarray) -> list[Picture]:
    """Cut through the middle, where there is more to see inside than one species in one colour."""
    species = dataset["species"].values
    names, colour = _labels(dataset, species)
    arrows = next((name for name in VECTORS if name in dataset and _varies(dataset[name])), None)
    if len(names) < 2 and arrows is None:
        return []
    if arrows is not None:  # paler, so that the arrows stand out
        names, colour = {name: style.pale(one) for name, one in names.items()}, style.PALE + (1 - style.PALE) * colour
    made, panels = discs.panels(place, False)
    thick = discs.THICKNESS * discs.nearest(place)
    said = [f"Atoms within {thick / 2:.1f} Å of the plane through the middle"]
    vector = None if arrows is None else dataset[arrows].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values
    magnified = 1.0 if vector is None else discs.magnification(vector, discs.nearest(place))
    for panel in panels:
        near = discs.cut(panel, place, thick)
        discs.draw(panel, place[near], colour[near])
        if vector is not None:
            discs.arrows(panel, place[near], vector[near] * magnified)
    if len(names) > 1:
        discs.legend(made, names)
    if arrows is not None:
        said.append(f"arrows: {arrows}, {magnified:g} times as long")
    return [Picture("section", "Sections through the middle", "; ".join(said) + ".", made)]


def _labels(dataset: xr.Dataset, species: np.ndarray) -> tuple[dict[str, str], np.ndarray]:
    """Return names with their colours, and the colour of each atom: by species, or by what tells parts apart."""
    from matplotlib.colors import to_rgb

    for name in LABELS:
        if name not in dataset or np.unique(species).size > 1:
            continue
        values = dataset[name].values
        parts = np.unique(values[values >= 0])
        if 2 <= parts.size <= MOST_LABELS:
            found = {f"{name} {part}": style.SERIES[i % len(style.SERIES)] for i, part in enumerate(parts)}
            rgb = np.tile(to_rgb(style.NEUTRAL), (values.size, 1))
            for part, one in zip(parts, found.values(), strict=True):
                rgb[values == part] = to_rgb(one)
            return ({f"no {name}": style.NEUTRAL, **found} if (values < 0).any() else found), rgb
    rgb, _ = _colours(dataset.drop_vars("intensity", errors="ignore"), species)
    return {style.symbol(number): one for number, one in style.species_colours(species).items()}, rgb


def species_text(species: np.ndarray) -> str:
    """Return how many atoms there are of each species, in words."""
    numbers, counts = np.unique(species, return_counts=True)
    if numbers.size == 1:
        return style.symbol(int(numbers[0])) + (" species" if numbers[0] <= 0 else "")
    return ", ".join(f"{count} {style.symbol(int(number))}" for number, count in zip(numbers, counts, strict=True))


def _colours(dataset: xr.Dataset, species: np.ndarray) -> tuple[np.ndarray, tuple[Any, str] | None]:
    """Colour by species where there are two or more, else by intensity where it varies, else in one colour."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import to_rgb

    if np.unique(species).size < 2 and "intensity" in dataset and _varies(dataset["intensity"]):
        values = dataset["intensity"].values.astype(float)
        mapped = ScalarMappable(Normalize(*style.limits(values, 1, 99), clip=True), colormaps[style.VALUES])
        rgb = mapped.to_rgba(np.nan_to_num(values))[:, :3]
        return rgb, (mapped, style.label("intensity", str(dataset["intensity"].attrs["units"])))
    found = style.species_colours(species)
    rgb = np.empty((species.size, 3))
    for number, colour in found.items():
        rgb[(species == number) if number else (species <= 0)] = to_rgb(colour)
    return rgb, None


def _nearest(place: np.ndarray) -> np.ndarray:
    if len(place) < 2:
        return np.empty(0)
    return np.asarray(cKDTree(place).query(place, k=2)[0])[:, 1]


def _distances(place: np.ndarray) -> Picture:
    made = style.figure(2.8)
    left, right = made.subplots(1, 2, width_ratios=[1, 1.5])
    style.chart(left, "distance (Å)", "atoms", "To the nearest atom")
    near = _nearest(place)
    style.histogram(left, near)
    caption = "Fewer than two atoms: there is no distance."
    if near.size:
        style.marker(left, float(np.median(near)), "median")
        caption = f"Nearest atoms: median {np.median(near):.3f} Å, closest pair {near.min():.3f} Å. "
    style.chart(right, "distance (Å)", "atoms per Å³ seen by an atom", "Pair distances")
    centres, height, sampled = _pairs(place)
    right.fill_between(centres, height, color=style.BLUE, alpha=0.25, linewidth=0)
    right.plot(centres, height, color=style.BLUE, linewidth=1.2)
    right.set_xlim(0, FAR)
    right.set_ylim(bottom=0)
    caption += f"Right: density of other atoms around an atom, by distance, not corrected for the surface{sampled}."
    return Picture("distances", "Distances", caption, made)


def _pairs(place: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    edges = np.linspace(0, FAR, 161)
    centres = (edges[1:] + edges[:-1]) / 2
    chosen = np.arange(len(place))
    if chosen.size > SAMPLE:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, SAMPLE, replace=False))
    tree = cKDTree(place)
    count = np.zeros(centres.size)
    for start in range(0, chosen.size, 500):
        some = place[chosen[start : start + 500]]
        for point, others in zip(some, tree.query_ball_point(some, FAR), strict=True):
            distance = np.linalg.norm(place[others] - point, axis=1)
            count += np.histogram(distance[distance > 1e-9], edges)[0]
    shell = 4 / 3 * np.pi * np.diff(edges**3)
    text = f", from {chosen.size} of the atoms" if chosen.size < len(place) else ""
    return centres, count / shell / max(1, chosen.size), text


def _columns(dataset: xr.Dataset) -> list[Picture]:
    """Histograms of intensity, width, standard error and the probability to exist, as far as they are there."""
    panels = [name for name in ("intensity", "width", "sigma", "exists") if name in dataset and _varies(dataset[name])]
    if not panels:
        return []
    columns = len(panels)
    made = style.figure(2.8)
    said = []
    for axes, name in zip(np.atleast_1d(made.subplots(1, max(columns, 2))), panels, strict=False):
        text = {"sigma": "standard error", "exists": "probability to exist"}.get(name, name)
        style.chart(axes, style.label(text, str(dataset[name].attrs["units"])), "atoms")
        said.append(_sigma(axes, dataset) if name == "sigma" else _by_species(axes, dataset, name, text))
    for unused in made.axes[columns:]:
        unused.remove()
    caption = ". ".join(said) + "."
    return [Picture("properties", "Properties of the atoms", caption[:1].upper() + caption[1:], made)]


def _varies(one: xr.DataArray) -> bool:
    values = one.values[np.isfinite(one.values)]
    return values.size > 1 and float(np.ptp(values)) > 0


def _sigma(axes: Any, dataset: xr.Dataset) -> str:
    values = dataset["sigma"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values
    edges = style.histogram_edges(values[np.isfinite(values)])
    for i, colour in enumerate(style.SERIES[:3]):
        part = values[:, i]
        style.histogram(axes, part[np.isfinite(part)], colour, name="xyz"[i], edges=edges)
    style.legend(axes)
    unknown = int((~np.isfinite(values).all(axis=1)).sum())
    said = "standard error: medians " + ", ".join(
        f"{np.nanmedian(values[:, i]) * 100:.2g} pm ({'xyz'[i]})" for i in range(3)
    )
    return said + (f", unknown for {unknown} atoms" if unknown else "")


def _by_species(axes: Any, dataset: xr.Dataset, name: str, text: str) -> str:
    values = dataset[name].values.astype(float)
    species = dataset["species"].values
    edges = style.histogram_edges(values[np.isfinite(values)])
    found = style.species_colours(species)
    for number, colour in found.items():
        part = values[((species == number) if number else (species <= 0)) & np.isfinite(values)]
        style.histogram(axes, part, colour if len(found) > 1 else style.BLUE, name=style.symbol(number), edges=edges)
    if len(found) > 1:
        style.legend(axes)
    return f"{text}: median {np.nanmedian(values):.4g}"
