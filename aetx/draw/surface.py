"""Pictures of the surface from outside: its facets, what touches the support, its curvature, and its shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from aetx.draw import discs, style
from aetx.draw.picture import Picture

FAMILIES = {"111": style.BLUE, "100": style.ORANGE, "110": style.GREEN}
"""Colours of families of facets."""
ROUGH, INNER = "#b9c1ca", "#e4e8ec"
"""Colours of surface atoms on no facet, and of the others."""


def surface(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of facets, contact and curvature, as far as atoms know them."""
    kept, place = discs.placed(dataset)
    made = []
    if {"facet", "facet_family", "facet_atoms", "on_facet"} <= set(kept.variables) and len(place):
        made += [_facets(kept, place)]
    if "contact" in kept and len(place):
        made += [_contact(kept, place)]
    if "mean_curvature" in kept and np.isfinite(kept["mean_curvature"].values).any():
        made += [_curvature(kept, place)]
    return made


def outside(place: np.ndarray, rgb: np.ndarray, bar: bool) -> tuple[Any, list[discs.Panel]]:
    """Draw all atoms seen from outside along three directions, nearest on top, in colours of shape (atoms, 3)."""
    made, panels = discs.panels(place, bar)
    for panel in panels:
        depth = panel.towards_reader(place)
        order = np.argsort(depth, kind="stable")
        faded = ((depth - depth.min()) / max(np.ptp(depth), 1e-9))[:, None]
        shown = rgb * (0.55 + 0.45 * faded) + 0.45 * (1 - faded)
        discs.draw(panel, place[order], shown[order])
    return made, panels


def scaled(values: np.ndarray, colours: str, limits: tuple[float, float]) -> tuple[np.ndarray, ScalarMappable]:
    """Return the colour of each value, shape (atoms, 3), grey where there is none, and what a colour bar shows."""
    mapped = ScalarMappable(Normalize(*limits, clip=True), colormaps[colours])
    rgb = np.asarray(mapped.to_rgba(np.nan_to_num(values))[:, :3])
    rgb[~np.isfinite(values)] = to_rgb(INNER)
    return rgb, mapped


def _facets(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    family = dataset["facet_family"].values.astype(str)
    on = dataset["on_facet"].transpose("atom", "facet_id").values > 0
    rgb = np.tile(to_rgb(INNER), (len(place), 1))
    if "surface" in dataset:
        rgb[dataset["surface"].values > 0] = to_rgb(ROUGH)
    shared = on / np.maximum(on.sum(axis=1, keepdims=True), 1)
    colour = np.array([to_rgb(FAMILIES.get(name, style.INK)) for name in family]).reshape(-1, 3)
    any_facet = on.any(axis=1)
    rgb[any_facet] = (shared @ colour)[any_facet]
    rgb[on.sum(axis=1) > 1] *= 0.72
    made, _ = outside(place, rgb, False)
    names = {f"{{{name}}}": FAMILIES[name] for name in FAMILIES if name in family}
    discs.legend(made, {**names, "edge": style.MUTED, "rough": ROUGH, "inner": INNER})
    said = [f"{int((family == name).sum())} facets {{{name}}}" for name in FAMILIES if name in family]
    caption = ", ".join(said) if said else "No facets"
    if "facet_threshold" in dataset:
        caption += f", each of more than {float(dataset['facet_threshold']):.3g} atoms"
    if "family_atoms" in dataset:
        parts = zip(dataset["family"].values, dataset["family_atoms"].values, strict=True)
        caption += "; share of the surface atoms: " + ", ".join(f"{{{name}}} {100 * one:.0f} %" for name, one in parts)
    return Picture("facets", "Facets", f"{caption}. Atoms of edges are darker, those further away paler.", made)


def _contact(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    touching = dataset["contact"].values > 0
    rgb = np.tile(to_rgb(INNER), (len(place), 1))
    outer = dataset["surface"].values > 0 if "surface" in dataset else dataset["facet"].values >= 0
    rgb[outer] = to_rgb(style.SKY)
    rgb[touching] = to_rgb(style.ORANGE)
    made, _ = outside(place, rgb, False)
    discs.legend(made, {"in contact": style.ORANGE, "free surface": style.SKY, "inner": INNER})
    said = str(dataset["contact"].attrs.get("support", "not told"))
    caption = f"{int(touching.sum())} of {int(outer.sum())} surface atoms touch the support ({said})."
    return Picture("contact", "Contact with the support", caption, made)


def _curvature(dataset: xr.Dataset, place: np.ndarray) -> Picture:
    values = dataset["mean_curvature"].values.astype(float)
    top = max(abs(v) for v in style.limits(values, 5, 95))
    rgb, mapped = scaled(values, style.SIGNED, (-top, top))
    made, panels = outside(place, rgb, True)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], "mean curvature (Å⁻¹)")
    known = values[np.isfinite(values)]
    caption = f"Red bulges outwards, blue is hollow: median {np.median(known):.4f} Å⁻¹, "
    caption += f"{100 * (known < 0).mean():.0f} % of the surface atoms below zero."
    return Picture("curvature", "Curvature of the surface", caption, made)


def whole_shape(dataset: xr.Dataset) -> list[Picture]:
    """Return a picture of the ellipsoid of a particle: its outline along three directions, with its axes."""
    axes, semi = dataset["axes"].values, dataset["semi_axes"].values
    if not np.isfinite(axes).all():
        return []
    form = axes.T @ np.diag(semi**2) @ axes
    centre = dataset["centre"].values
    made, panels = discs.panels(np.concatenate([centre + 1.05 * row * size for row, size in _ends(axes, semi)]), False)
    for panel in panels:
        pair = [discs.INDEX[panel.across], discs.INDEX[panel.up]]
        values, vectors = np.linalg.eigh(form[np.ix_(pair, pair)])
        turn = np.linspace(0, 2 * np.pi, 200)
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.sqrt(values) @ vectors.T + centre[pair]
        panel.axes.fill(*ring.T, facecolor=style.pale(style.SKY), edgecolor=style.BLUE, linewidth=1.2)
        for row, size, colour in zip(axes, semi, (style.ORANGE, style.GREEN, style.PINK), strict=True):
            ends = centre + np.outer([-1, 1], row * size)
            panel.axes.plot(*panel.flat(ends).T, color=colour, linewidth=1.6)
    error = dataset["semi_axes_error"].values
    names = zip(semi, error, dataset["tilt"].values, (style.ORANGE, style.GREEN, style.PINK), strict=True)
    discs.legend(made, {f"{a:.2f} ± {e:.2f} Å, {t:.0f}° from z": colour for a, e, t, colour in names})
    caption = f"Ellipsoid of {int(dataset['atoms'])} atoms, aspect ratio {float(dataset['aspect_ratio']):.3f}; "
    caption += f"alpha shape: {float(dataset['volume']):.0f} Å³, {float(dataset['area']):.0f} Å², "
    caption += f"sphericity {float(dataset['sphericity']):.3f}."
    return [Picture("shape", "Shape of the particle", caption, made)]


def _ends(axes: np.ndarray, semi: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Return directions and distances whose ends span the ellipsoid along x, y and z."""
    form = axes.T @ np.diag(semi**2) @ axes
    return [(sign * np.eye(3)[[k]], float(np.sqrt(form[k, k]))) for k in range(3) for sign in (1.0, -1.0)]


def out_of_plane(dataset: xr.Dataset) -> list[Picture]:
    """Return a picture of how far facets are out of their planes: each facet, and the spread of their atoms."""
    if dataset.sizes.get("member", 0) == 0:
        return []
    made = style.figure(3.2)
    left, right = made.subplots(1, 2, width_ratios=[1.5, 1])
    family = dataset["facet_family"].values.astype(str)
    touching = dataset["facet_contact"].values > 0 if "facet_contact" in dataset else np.zeros(family.size, bool)
    order = np.lexsort((np.arange(family.size), touching, family))
    mean, error = 100 * dataset["facet_mean"].values[order], 100 * dataset["facet_mean_error"].values[order]
    style.chart(left, "facet", "out of plane (pm)", "Mean of each facet, with standard error")
    for number, (value, spread) in enumerate(zip(mean, error, strict=True)):
        colour = FAMILIES.get(family[order][number], style.INK)
        held = touching[order][number]
        left.errorbar(
            number, value, spread, color=colour, marker="s" if held else "o", markersize=5,
            markerfacecolor="white" if held else colour, linewidth=1.2, capsize=2,
        )  # fmt: skip
    left.axhline(0, color=style.INK, linewidth=0.8)
    left.set_xticks(range(family.size), [str(dataset["facet_id"].values[k]) for k in order])
    style.chart(right, "out of plane (pm)", "atoms", "All atoms")
    values = 100 * dataset["out_of_plane"].values
    edges = style.histogram_edges(values)
    of = family[dataset["member_facet"].values]
    for name, colour in FAMILIES.items():
        if (of == name).any():
            style.histogram(right, values[of == name], colour, name=f"{{{name}}}", edges=edges)
    style.legend(right)
    said = []
    for name in dataset["family"].values:
        for part in dataset["part"].values:
            one = dataset.sel(family=name, part=part)
            if int(one["count"]):
                text = f"{{{name}}} {part} {100 * float(one['mean']):+.1f} ± {100 * float(one['mean_error']):.1f} pm"
                said.append(text.replace("-", "\u2212"))
    caption = "Outwards is positive; mean ± standard error: " + ", ".join(said)
    caption += ". Open squares touch the support." if touching.any() else "."
    return [Picture("out-of-plane", "Displacement out of facets", caption, made)]
