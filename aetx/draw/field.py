"""Pictures of fields on a grid: sections through the centre, with their outline and what of them is significant."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import extent_of, reduced

UNDEFINED = "#c9ced4"
INVARIANTS = ("volumetric", "von_mises", "radial", "hoop")
"""Scalars that are drawn in one picture, as they share a scale."""
PERCENT, TURN = (100.0, "%"), (180 / np.pi, "°")
DISPLAY = {"strain": PERCENT, **dict.fromkeys(INVARIANTS, PERCENT), "rotation": TURN}
"""By what a variable is multiplied to be shown, and the unit that it then has."""
BESIDE = ("weight", "grain", "significant")
"""Variables that are drawn into the pictures of others."""
LAB = "the axes of the images"
"""What the stages of strain call components along x, y and z."""
VEIL = 0.62
"""Share of white over what is not significant."""
View = tuple[str, str, str]
Panel = tuple[str, tuple[int, ...], str]
"""A variable, which component of it, and its title."""


def field(dataset: xr.Dataset) -> list[Picture]:
    """Return a picture of each variable on the grid, vectors and tensors by component; errors tell what is pale."""
    made = []
    for key, one in dataset.data_vars.items():
        name = str(key)
        spatial = one.dims[:3] == ("z", "y", "x") and one.dtype.kind == "f" and all(s == 3 for s in one.shape[3:])
        if not spatial or name in BESIDE or name in INVARIANTS or name.endswith("_error"):
            continue
        made.append(_picture(dataset, name, _components(name, one.ndim - 3)))
    scalars: list[Panel] = [(name, (), name.replace("_", " ")) for name in INVARIANTS if name in dataset]
    return [*made, _picture(dataset, "invariants", scalars)] if scalars else made


def _components(name: str, rank: int) -> list[Panel]:
    pairs: list[tuple[int, ...]] = [()]
    if rank == 1:
        pairs = [(i,) for i in range(3)]
    elif rank == 2:
        pairs = [*((i, i) for i in range(3) if name != "rotation"), *((0, 1), (0, 2), (1, 2))]
    text = name.replace("_", " ")
    return [(name, pair, text + " " * bool(pair) + "".join("xyz"[i] for i in pair)) for pair in pairs]


def _section(dataset: xr.Dataset, view: View, name: str, pick: tuple[int, ...] = ()) -> np.ndarray:
    across, up, along = view
    one = dataset[name].isel({along: dataset.sizes[along] // 2}).transpose(up, across, ...)
    return np.asarray(one.isel(dict(zip(one.dims[2:], pick, strict=True))).values, np.float32)


def _view(dataset: xr.Dataset, name: str, pick: tuple[int, ...]) -> View:
    """Return axis across, up and along which is looked, of the section through the centre that holds most."""
    known = [int(np.isfinite(_section(dataset, view, name, pick)).sum()) for view in style.VIEWS]
    return style.VIEWS[int(np.argmax(known))]


def _picture(dataset: xr.Dataset, name: str, panels: list[Panel]) -> Picture:
    view = _view(dataset, *panels[0][:2])
    across, up, along = view
    factor, unit = DISPLAY.get(panels[0][0], (1.0, style.spell(str(dataset[panels[0][0]].attrs["units"]))))
    images = [reduced(factor * _section(dataset, view, variable, pick)) for variable, pick, _ in panels]
    extent = extent_of(dataset, across, up)
    columns = 3 if len(panels) != 4 else 4
    rows = -(-len(panels) // columns)
    width = style.WIDTH / (columns + 0.3)
    made = style.figure(rows * (width * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.3) + 0.1)
    every = np.concatenate([image.ravel() for image in images])
    top = max(abs(v) for v in style.limits(every, 1, 99))
    signed = bool((every < 0).any())
    colours, low = (style.SIGNED, -top) if signed else (style.VALUES, 0.0)
    drawn, grid = None, np.atleast_1d(made.subplots(rows, columns)).ravel()
    veiled, errors = False, []
    for axes, (variable, pick, heading), image in zip(grid, panels, images, strict=False):
        drawn = style.image(axes, np.ma.masked_invalid(image), extent, colours, (low, top), style.INK)
        axes.set_facecolor(UNDEFINED)
        style.title(axes, heading)
        style.arrows(axes, across, up, style.INK)
        if f"{variable}_error" in dataset:
            error = reduced(factor * _section(dataset, view, f"{variable}_error", pick))
            errors.append(error[np.isfinite(error)])
            veiled |= _veil(axes, image, _sure(dataset) * error, extent)
        _outlines(axes, dataset, view)
    for unused in grid[len(panels) :]:
        unused.remove()
    text = name.replace("_", " ")
    style.colour_bar(made, drawn, list(grid[: len(panels)]), f"{'strain' if name == 'invariants' else text} ({unit})")
    height = float(dataset[along].values[dataset.sizes[along] // 2])
    said = [f"Section at {along} = {height:.1f} Å; grey: not defined"]
    said += [f"pale: less than {_sure(dataset):g} standard errors"] * veiled
    known = np.concatenate(errors) if errors else np.empty(0)
    if known.size:
        said.append(f"median standard error {np.median(known):.2g} {unit}")
    if unit == "%" and "strain_reference" in dataset.attrs:
        said.append(f"from {dataset.attrs['strain_reference']}; {dataset.attrs['strain_method']}")
    if panels[0][1] and dataset.attrs.get("strain_frame", LAB) != LAB:
        said.append(f"components: {dataset.attrs['strain_frame']}")
    return Picture(f"field-{name}", text.capitalize(), "; ".join(said) + ".", made)


def _sure(dataset: xr.Dataset) -> float:
    stated = dataset["significant"].attrs.get("standard_errors", 2.0) if "significant" in dataset else 2.0
    return float(stated)


def _veil(axes: Any, image: np.ndarray, limit: np.ndarray, extent: tuple[float, float, float, float]) -> bool:
    """Lay white over what is within its error; tell whether there is any."""
    within = np.abs(image) <= limit
    white = np.ones((*image.shape, 4))
    white[..., 3] = VEIL * within
    axes.imshow(white, origin="lower", extent=extent, interpolation="nearest", aspect="equal", zorder=1.5)
    return bool(within.any())


def _outlines(axes: Any, dataset: xr.Dataset, view: View) -> None:
    """Draw where the density of atoms is half of that inside, and where one grain meets another."""
    x, y = dataset[view[0]].values, dataset[view[1]].values
    if "weight" in dataset and min(x.size, y.size) > 1:
        weight = _section(dataset, view, "weight")
        if weight.min() < 0.5 < weight.max():
            axes.contour(x, y, weight, [0.5], colors=style.INK, linewidths=0.8, zorder=2)
    if "grain" in dataset and min(x.size, y.size) > 1:
        grain = _section(dataset, view, "grain")
        parts = np.unique(grain[grain >= 0])
        for one in parts[:-1]:
            inside = np.where(grain >= 0, (grain == one).astype(float), np.nan)
            axes.contour(x, y, inside, [0.5], colors=style.INK, linewidths=0.6, linestyles=[(0, (3, 2))], zorder=2)
