"""Pictures of refined atoms: R of each image, error bars, what was corrected, how far atoms moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize

from aetx.draw import discs, style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import tilt_axis
from aetx.model import positions

PM = 100.0
"""Picometres in an angstrom."""
SHAPES = "os^"
"""Shapes of points that share a panel."""
LETTERS = {"phi": "φ", "theta": "θ", "psi": "ψ"}


def refined(dataset: xr.Dataset) -> list[Picture]:
    """Return what is known of atoms that were refined against images; nothing of what is not there."""
    known = dataset.isel(atom=np.isfinite(positions(dataset)).all(axis=1))
    if not known.sizes["atom"]:
        return []
    return [*_error_bars(known), *_moved(known), *_agreement(dataset), *_corrections(dataset)]


def _agreement(dataset: xr.Dataset) -> list[Picture]:
    """Draw R1 of each image at the end, and R free of those that were held out before."""
    if not _by_tilt(dataset, "r1"):
        return []
    across, text = tilt_axis(dataset)
    made = style.figure(2.7)
    axes = style.chart(made.subplots(), text, "R1", "Each image")
    said, highest = [], 0.0
    for name, words, colour, shape in (
        ("r1", "at the end", style.BLUE, "o"),
        ("r_free", "held out", style.ORANGE, "D"),
    ):
        if not _by_tilt(dataset, name):
            continue
        values = dataset[name].values.astype(float)
        known = np.isfinite(values)
        mean, worst = float(values[known].mean()), float(values[known].max())
        axes.vlines(across[known], 0, values[known], color=style.LINE, linewidth=1)
        axes.plot(across[known], values[known], shape, color=colour, markersize=4.5, label=f"{words}, mean {mean:.4g}")
        axes.axhline(mean, color=colour, linewidth=0.9, linestyle=(0, (5, 3)))
        what = "R1 of {} images at the end" if name == "r1" else "R free of {} images while they were held out"
        said.append(f"{what.format(int(known.sum()))}: mean {mean:.4g}, worst {worst:.4g}")
        highest = max(highest, worst)
    axes.set_ylim(0, 1.3 * highest)
    style.legend(axes, loc="upper right", ncols=2)
    note = "" if len(said) > 1 else " No image was held out: there is no R free."
    return [Picture("r-factors", "Agreement with the images", "; ".join(said) + f".{note}", made)]


def _by_tilt(dataset: xr.Dataset, name: str) -> bool:
    return name in dataset and dataset[name].dims == ("tilt",) and bool(np.isfinite(dataset[name].values).any())


def _error_bars(dataset: xr.Dataset) -> list[Picture]:
    """Colour each atom by its standard error in space."""
    if "sigma" not in dataset or np.isfinite(dataset["sigma"].values).sum() < 6:  # one atom has no map
        return []
    sigma = PM * dataset["sigma"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values
    total = np.sqrt((sigma**2).sum(axis=1))
    mapped = _mapped(total)
    rgb = mapped.to_rgba(np.nan_to_num(total))[:, :3]
    rgb[~np.isfinite(total)] = _rgb(style.NEUTRAL)
    made = _views(positions(dataset), rgb, mapped, "standard error in space (pm)")
    finite = total[np.isfinite(total)]
    axes = ", ".join(f"{name} {np.sqrt(np.nanmean(sigma[:, i] ** 2)):.3g}" for i, name in enumerate("xyz"))
    text = f"Standard error in space: root mean square {np.sqrt((finite**2).mean()):.3g} pm ({axes}), "
    text += f"median {np.median(finite):.3g}, worst {finite.max():.3g} pm."
    unknown = int((~np.isfinite(total)).sum())
    text += f" Grey: unknown, {unknown} atoms." if unknown else ""
    return [Picture("error-bars", "Error bars", text, made)]


def _moved(dataset: xr.Dataset) -> list[Picture]:
    """Draw how far atoms moved from where the refinement found them."""
    if "displacement" not in dataset or not _by_tilt(dataset, "r1"):
        return []
    step = PM * dataset["displacement"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values.astype(float)
    known = np.isfinite(step).all(axis=1)
    if not known.any():
        return []
    made = style.figure(2.8)
    left, right = made.subplots(1, 2, width_ratios=[1.0, 1.0])
    away = np.linalg.norm(step[known], axis=1)
    style.chart(left, "distance from the start (pm)", "atoms", "In space")
    style.histogram(left, away)
    style.marker(left, float(np.median(away)), "median")
    style.chart(right, "refined minus start (pm)", "atoms", "Along each axis")
    edges = style.histogram_edges(step[known])
    for i, colour in enumerate(style.SERIES[:3]):
        name = f"{'xyz'[i]}, rms {np.sqrt((step[known, i] ** 2).mean()):.3g}"
        style.histogram(right, step[known, i], colour, name=name, edges=edges)
    style.legend(right)
    text = f"Median {np.median(away):.3g} pm, farthest {away.max():.3g} pm, over {int(known.sum())} atoms"
    new = int((~known).sum())
    text += f"; {new} were added and have no start." if new else "."
    return [Picture("moved", "Before and after the refinement", text, made)]


def _corrections(dataset: xr.Dataset) -> list[Picture]:
    """Draw angles, shifts and factors of the images, as far as the refinement changed them."""
    panels = [(up, some) for up, some in _known_corrections(dataset) if any(np.any(one) for one in some.values())]
    if not panels:
        return []
    across, text = tilt_axis(dataset)
    made = style.figure(2.7)
    said = []
    for axes, (up, some) in zip(np.atleast_1d(made.subplots(1, len(panels))), panels, strict=True):
        style.chart(axes, text, up)
        for shape, colour, (name, values) in zip(SHAPES, style.SERIES, some.items(), strict=False):
            axes.plot(across, values, shape, color=colour, markersize=4, label=name)
            said.append(f"{name} {np.sqrt(np.nanmean(values**2)):.3g}")
        low, high = axes.get_ylim()
        axes.set_ylim(top=high + 0.25 * (high - low))
        if len(some) > 1:
            style.legend(axes, loc="upper left", ncols=3)
    return [Picture("corrections", "What was corrected in the images", f"Root mean squares: {', '.join(said)}.", made)]


def _known_corrections(dataset: xr.Dataset) -> list[tuple[str, dict[str, np.ndarray]]]:
    def values(name: str) -> np.ndarray:
        return np.asarray(dataset[name].values, float)

    angles = dict(zip(LETTERS.values(), turns(dataset), strict=True)) if _stated(dataset) else {}
    shifts = {name.replace("_", " "): values(name) for name in ("shift_x", "shift_y") if name in dataset}
    factor = {"scale": 100 * (values("scale") - 1)} if "scale" in dataset else {}
    shown = [("refined less stated angle (°)", angles), ("shift (Å)", shifts), ("scale less 1 (%)", factor)]
    return [(up, some) for up, some in shown if some]


def _stated(dataset: xr.Dataset) -> bool:
    return all(name in dataset.variables for angle in LETTERS for name in (angle, f"stated_{angle}"))


def turns(dataset: xr.Dataset) -> np.ndarray:
    """Return refined less stated phi, theta, psi of each image, degree, shape (3, tilts), from -180 to 180.

    (phi + 180, 180 - theta, psi + 180) is the same rotation as (phi, theta, psi): the nearer one counts.
    """
    stated, found = (
        np.stack([dataset[f"{prefix}{name}"].values.astype(float) for name in LETTERS]) for prefix in ("stated_", "")
    )
    other = np.stack([found[0] + 180, 180 - found[1], found[2] + 180])
    one, two = (np.mod(angles - stated + 180, 360) - 180 for angles in (found, other))
    return np.where((one**2).sum(0) <= (two**2).sum(0), one, two)


def _views(place: np.ndarray, rgb: np.ndarray, mapped: Any, label: str) -> Any:
    """Draw all atoms in three directions, those further away paler."""
    made, panels = discs.panels(place, True)
    for panel in panels:
        depth = panel.towards_reader(place)
        order = np.argsort(depth, kind="stable")
        faded = np.clip((depth[order] - depth.min()) / max(np.ptp(depth), 1e-9), 0, 1)[:, None]
        discs.draw(panel, place[order], rgb[order] * (0.45 + 0.55 * faded) + 0.55 * (1 - faded) * 0.94)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], label)
    return made


def _mapped(values: np.ndarray) -> Any:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(Normalize(*style.limits(values, 1, 99), clip=True), colormaps[style.VALUES])


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
