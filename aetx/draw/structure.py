"""Pictures of local structure: which crystal, how ordered, how many neighbours, which Voronoi cells."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

from aetx.draw import discs, style
from aetx.draw.picture import Picture
from aetx.draw.surface import outside, scaled

COLOURS = {
    "other": "#c6ccd3",
    "fcc": style.BLUE,
    "hcp": style.ORANGE,
    "bcc": style.GREEN,
    "ico": style.PINK,
    "sc": style.AMBER,
    "diamond": style.SKY,
}
"""Colours of the structures."""
IDEAL = {"fcc": (0.1909, 0.5745), "hcp": (0.0972, 0.4848), "bcc": (0.0364, 0.5107), "ico": (0.0, 0.6633)}
"""q4 and q6 of perfect crystals, bcc with 14 neighbours."""
ORDERS = ("bond_order", "q6_mean", "q6")
"""Order parameters that colour atoms, the first that is there."""
LEADING = 10
"""Voronoi indices that are told apart, the commonest ones."""


def structure(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of local structure, as far as atoms know it."""
    kept, place = discs.placed(dataset)
    if len(place) == 0:
        return []
    made = []
    if "structure" in kept and "flag_meanings" in kept["structure"].attrs:
        made += [_crystals(kept, place)]
    shown = next((name for name in ORDERS if name in kept and np.isfinite(kept[name].values).any()), None)
    if shown is not None:
        made += [_order(kept, place, shown)]
    planes = [suffix for suffix in ("", "_mean") if {f"q4{suffix}", f"q6{suffix}"} <= set(kept.variables)]
    if planes:
        made += [_plane(kept, planes)]
    if "generalised_coordination" in kept:
        made += [_coordination(kept, place)]
    if "voronoi_index" in kept and np.isfinite(kept["voronoi_volume"].values).any():
        made += [_cells(kept)]
    return made


def _crystals(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    rgb, counts = _by_structure(dataset)
    made = discs.sections(place, rgb, False)[0]
    discs.legend(made, {f"{name}: {count}": COLOURS[name] for name, count in counts.items()})
    method = str(dataset["structure"].attrs.get("method", "")).upper()
    told = ", ".join(f"{100 * count / len(place):.1f} % {name}" for name, count in counts.items())
    caption = f"Of all atoms {told}{f', by {method}' if method else ''}. {_cut(place)}"
    return Picture("crystal-structure", "Crystal structure", caption, made)


def _by_structure(dataset: xr.Dataset) -> tuple[np.ndarray, dict[str, int]]:
    """Return the colour of each atom, and how many there are of each structure that is there."""
    code, rgb = dataset["structure"].values, np.tile(to_rgb(COLOURS["other"]), (dataset.sizes["atom"], 1))
    counts = {}
    values = np.atleast_1d(dataset["structure"].attrs["flag_values"])
    for value, name in zip(values, str(dataset["structure"].attrs["flag_meanings"]).split(), strict=True):
        here = code == value
        if here.any():
            counts[name] = int(here.sum())
            rgb[here] = to_rgb(COLOURS[name])
    return rgb, counts


def _order(dataset: xr.Dataset, place: np.ndarray, name: str) -> Picture:
    value = dataset[name].values
    rgb, mapped = scaled(value, style.VALUES, style.limits(value, 1, 99))
    made, panels = discs.sections(place, rgb, True)
    text = "order over that of fcc" if name == "bond_order" else name.replace("_", " ")
    style.colour_bar(made, mapped, [panel.axes for panel in panels], text)
    known = value[np.isfinite(value)]
    said = f"median {np.median(known):.3f}"
    if name == "bond_order":
        said = (
            f"sqrt(q4² + q6²) averaged over neighbours: {said}; {100 * (known > 0.5).mean():.1f} % of atoms above 0.5"
        )
    return Picture("bond-order", "Bond-orientational order", f"{said[:1].upper()}{said[1:]}. {_cut(place)}", made)


def _plane(dataset: xr.Dataset, planes: list[str]) -> Picture:
    rgb = np.tile(to_rgb(style.BLUE), (dataset.sizes["atom"], 1))
    counts: dict[str, int] = {}
    if "structure" in dataset and "flag_meanings" in dataset["structure"].attrs:
        rgb, counts = _by_structure(dataset)
    made = style.figure(3.6, width=style.WIDTH if len(planes) > 1 else style.WIDTH * 0.6)
    opaque = float(np.clip(600 / dataset.sizes["atom"], 0.05, 0.6))
    order = np.random.default_rng(0).permutation(dataset.sizes["atom"])
    for axes, suffix in zip(np.atleast_1d(made.subplots(1, len(planes))), planes, strict=True):
        style.chart(axes, "q4", "q6", "averaged over neighbours" if suffix else "each atom alone")
        x, y = dataset[f"q4{suffix}"].values, dataset[f"q6{suffix}"].values
        axes.scatter(x[order], y[order], s=5, c=rgb[order], alpha=opaque, linewidths=0, rasterized=True)
        for name, (a, b) in IDEAL.items():
            axes.plot(a, b, marker="+", markersize=9, markeredgewidth=1.6, color=style.INK)
            axes.annotate(name, (a, b), (4, 4), textcoords="offset points", fontsize=style.SIZE - 1, color=style.INK)
        far = np.nanpercentile(x, 99) if np.isfinite(x).any() else 0.2
        axes.set_xlim(-0.01, max(0.23, 1.05 * float(far)))
        low, high = style.limits(y, 0.5, 99.5)
        axes.set_ylim(max(0.0, min(low, 0.4) - 0.03), max(high, IDEAL["ico"][1]) + 0.03)
    if counts:
        discs.legend(made, {name: COLOURS[name] for name in counts})
    return Picture("q4-q6", "The plane of q4 and q6", "Crosses: perfect crystals. One dot for each atom.", made)


def _coordination(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    value = dataset["generalised_coordination"].values
    rgb, mapped = scaled(value, style.VALUES, style.limits(value, 0, 100))
    made, panels = outside(place, rgb, True)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], "generalised coordination")
    count = dataset["coordination"].values
    names, many = np.unique(count, return_counts=True)
    common = many.argsort()[::-1][:6]
    told = ", ".join(f"{many[k]} have {names[k]}" for k in sorted(common, key=lambda k: -names[k]))
    caption = f"Atoms seen from outside. Neighbours: mean {count.mean():.2f}; {told}."
    return Picture("coordination", "Coordination", caption, made)


def _cells(dataset: xr.Dataset) -> Picture:
    volume, index = dataset["voronoi_volume"].values, dataset["voronoi_index"].values
    closed = np.isfinite(volume)
    made = style.figure(2.9)
    left, right = made.subplots(1, 2, width_ratios=[1, 1.3])
    style.chart(left, "volume (Å³)", "atoms", "Voronoi cells")
    style.histogram(left, volume[closed])
    style.marker(left, float(np.median(volume[closed])), "median")
    kinds, many = np.unique(index[closed], axis=0, return_counts=True)
    first = many.argsort(kind="stable")[::-1][:LEADING]
    share = 100 * many[first] / closed.sum()
    style.chart(right, "", "% of closed cells", "Faces with 3, 4, 5 and 6 edges")
    right.grid(visible=False, axis="x")
    right.bar(range(len(first)), share, color=style.BLUE, width=0.7)
    names = ["⟨" + " ".join(map(str, kinds[k])) + "⟩" for k in first]
    right.set_xticks(range(len(first)), names, rotation=35, ha="right")
    faces = dataset["voronoi_faces"].values[closed]
    caption = (
        f"{closed.sum()} closed cells, median volume {np.median(volume[closed]):.3f} Å³, {faces.mean():.2f} faces on "
        f"the mean; {len(kinds)} indices, the {len(first)} commonest of which are drawn. "
        f"{(~closed).sum()} cells are open, as at the surface."
    )
    return Picture("voronoi", "Voronoi cells", caption, made)


def _cut(place: np.ndarray) -> str:
    return f"Atoms within {discs.THICKNESS * discs.nearest(place) / 2:.1f} Å of the plane through the middle."
