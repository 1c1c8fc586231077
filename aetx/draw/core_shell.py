"""Pictures of the strain of a core and its shell: surface against interface, and by depth along directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture


def core_shell(dataset: xr.Dataset) -> list[Picture]:
    """Return the picture of what strain.core_shell found."""
    made = style.figure(3.3)
    left, right = made.subplots(1, 2, width_ratios=[1, 1.5])
    _rays(style.chart(left, "interface strain (%)", "surface strain (%)", "Along the same ray"), dataset)
    style.chart(right, "depth from the interface (Å)", "radial strain (%)", "By depth and direction")
    for name, colour in zip(dataset["direction"].values, (style.INK, *style.SERIES), strict=False):
        one = dataset.sel(direction=name)
        right.errorbar(
            one["layer"].values,
            100 * one["radial_profile"].values,
            100 * one["radial_profile_error"].values,
            color=colour,
            linewidth=2.0 if name == "all" else 1.1,
            elinewidth=0.8,
            label=str(name),
        )
    right.axhline(0, color=style.MUTED, linewidth=0.6)
    right.axvline(0, color=style.MUTED, linewidth=0.6, linestyle=(0, (3, 2)))
    style.legend(right)
    caption = (
        f"Left: each point a ray through an atom of the surface; slope {_told(dataset, 'slope')}, correlation "
        f"{_told(dataset, 'correlation')}. Right: means of atoms with their standard errors, shell to the right."
    )
    return [Picture("core-shell-strain", "Strain of core and shell", caption, made)]


def _rays(axes: Any, dataset: xr.Dataset) -> None:
    x, y = (100 * dataset[name].values for name in ("interface_strain", "surface_strain"))
    axes.plot(x, y, ".", color=style.BLUE, markersize=3, alpha=0.5)
    slope = float(dataset["slope"])
    if np.isfinite(slope):
        axes.axline((np.nanmean(x), np.nanmean(y)), slope=slope, color=style.ORANGE, linewidth=1.2)


def _told(dataset: xr.Dataset, name: str) -> str:
    return f"{float(dataset[name]):.2f} ± {float(dataset[f'{name}_error']):.2g}"
