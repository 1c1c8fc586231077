"""Pictures of atoms: where they are, how bright, how far apart, how well known."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from scipy.spatial import cKDTree

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.model import positions

DRAWN = 25_000
"""Most atoms drawn."""
SAMPLE = 4_000
"""Most atoms from which pair distances are counted."""
FAR = 12.0
"""Greatest pair distance, angstrom."""


def atoms(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a table of atoms."""
    place = positions(dataset)
    good = np.isfinite(place).all(axis=1)
    kept = dataset.isel(atom=good)
    place = place[good]
    if len(place) == 0:
        return []
    found = [_projections(kept, place), _distances(place)]
    return found + _columns(kept)


def _projections(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    species = dataset["species"].values
    near = _nearest(place)
    size = 0.62 * float(np.median(near)) if near.size else 2.0
    low, high = place.min(axis=0) - size, place.max(axis=0) + size
    span = dict(zip("xyz", np.maximum(high - low, 1.0), strict=True))
    colour, scale = _colours(dataset, species)
    widths = [span[across] for across, _, _ in style.VIEWS]
    across_all = style.WIDTH - (1.2 if scale else 0.5)
    foot = 0.45 * sum(widths) / across_all  # room below the atoms for the scale bar, in angstrom
    height = max(span[up] for _, up, _ in style.VIEWS) + foot
    made = style.figure(min(8.0, across_all * height / sum(widths) + (0.35 if scale else 0.6)))
    grid = made.subplots(1, 3, width_ratios=widths)
    shown = np.arange(len(place))
    if shown.size > DRAWN:
        shown = np.sort(np.random.default_rng(0).choice(shown, DRAWN, replace=False))
    index = {"x": 0, "y": 1, "z": 2}
    for axes, (across, up, along) in zip(grid, style.VIEWS, strict=True):
        style.bare(axes)
        # Seen from +z and from -y and -x: right, up and towards the reader are right-handed in each panel.
        depth = place[shown, index[along]] * (-1 if along in "yx" else 1)
        order = shown[np.argsort(depth, kind="stable")]
        faded = np.clip((np.sort(depth) - depth.min()) / max(np.ptp(depth), 1e-9), 0, 1)[:, None]
        rgb = colour[order] * (0.45 + 0.55 * faded) + 0.55 * (1 - faded) * np.array([0.93, 0.94, 0.96])
        axes.add_collection(
            EllipseCollection(
                np.full(order.size, size * 1.25),
                np.full(order.size, size * 1.25),
                np.zeros(order.size),
                units="xy",
                offsets=place[order][:, [index[across], index[up]]],
                offset_transform=axes.transData,
                facecolors=rgb,
                edgecolors=rgb * 0.62,
                linewidths=0.25 if order.size < 20_000 else 0.0,
            )
        )
        a, b = index[across], index[up]
        extent = (low[a], high[a], low[b] - foot, high[b])
        axes.set_xlim(*extent[:2])
        axes.set_ylim(*extent[2:])
        axes.set_aspect("equal")
        style.scale_bar(axes, extent, style.INK)
        style.arrows(axes, across, up, style.INK)
        style.title(axes, f"along {along}")
    said = f"{len(place)} atoms ({species_text(species)})"
    said += f", {shown.size} of them drawn" if shown.size < len(place) else ""
    if scale is None:
        _species_legend(made, species)
    else:
        style.colour_bar(made, scale[0], list(grid), scale[1])
    return Picture("projections", "Atoms along three directions", f"{said}; atoms further away are paler.", made)


def species_text(species: np.ndarray) -> str:
    """Return how many atoms there are of each species, in words."""
    numbers, counts = np.unique(species, return_counts=True)
    if numbers.size == 1:
        return style.symbol(int(numbers[0])) + (" species" if numbers[0] <= 0 else "")
    return ", ".join(f"{count} {style.symbol(int(number))}" for number, count in zip(numbers, counts, strict=True))


def _colours(dataset: xr.Dataset, species: np.ndarray) -> tuple[np.ndarray, tuple[Any, str] | None]:
    """Colour by species where there are two or more, else by intensity, else in one colour."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import to_rgb

    if np.unique(species).size < 2 and "intensity" in dataset and np.isfinite(dataset["intensity"].values).any():
        values = dataset["intensity"].values.astype(float)
        mapped = ScalarMappable(Normalize(*style.limits(values, 1, 99), clip=True), colormaps[style.VALUES])
        rgb = mapped.to_rgba(np.nan_to_num(values))[:, :3]
        return rgb, (mapped, style.label("intensity", str(dataset["intensity"].attrs["units"])))
    found = style.species_colours(species)
    rgb = np.empty((species.size, 3))
    for number, colour in found.items():
        rgb[(species == number) if number else (species <= 0)] = to_rgb(colour)
    return rgb, None


def _species_legend(made: Any, species: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", linestyle="", color=colour, markersize=6, label=style.symbol(number))
        for number, colour in style.species_colours(species).items()
    ]
    made.legend(
        handles=marks,
        loc="outside upper right",
        ncols=8,
        frameon=False,
        fontsize=style.SIZE - 0.5,
        labelcolor=style.INK,
    )


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
    made = style.figure(2.8, width=style.WIDTH if columns > 1 else style.WIDTH * 0.6)
    said = []
    for axes, name in zip(np.atleast_1d(made.subplots(1, columns)), panels, strict=True):
        text = {"sigma": "standard error", "exists": "probability to exist"}.get(name, name)
        style.chart(axes, style.label(text, str(dataset[name].attrs["units"])), "atoms")
        said.append(_sigma(axes, dataset) if name == "sigma" else _by_species(axes, dataset, name, text))
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
