"""The composition across the interface of a core and its shell."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy.special import erfc

from aetx.draw import style
from aetx.draw.picture import Picture

WIDTH = 2 * 1.6448536269514722
"""From 95 % to 5 % of an error function, in its standard deviations."""


def interface(dataset: xr.Dataset) -> list[Picture]:
    """Return the picture of an interface, where atoms have a depth from one."""
    if not {"layer_concentration", "interface_width", "interface_depth"} <= set(dataset.variables):
        return []
    depth, share = dataset["layer"].values, dataset["layer_concentration"].values
    element = style.symbol(int(dataset["interface_width"].attrs.get("core", 0)))
    width, error = float(dataset["interface_width"]), float(dataset["interface_width_error"])
    made = style.figure(4.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    style.chart(upper, "", f"fraction of {element}", "Composition by depth")
    upper.axvspan(-width / 2, width / 2, color=style.AMBER, alpha=0.22, linewidth=0)
    upper.errorbar(
        depth,
        100 * share,
        100 * dataset["layer_concentration_error"].values,
        fmt="o",
        color=style.BLUE,
        markersize=3.5,
        elinewidth=1.0,
        label="layers",
    )
    fine = np.linspace(depth.min(), depth.max(), 400)
    stray, lost = float(dataset["interface_stray"]), float(dataset["interface_lost"])
    curve = stray + (1 - stray - lost) * erfc(fine * WIDTH / width / math.sqrt(2)) / 2
    upper.plot(fine, 100 * curve, color=style.INK, linewidth=1.2, label="fitted to the atoms")
    upper.set_ylabel(f"{element} (%)", fontsize=style.SIZE - 0.5, color=style.INK)
    upper.set_ylim(-3, 103)
    style.legend(upper, loc="upper right")
    style.chart(lower, "depth from the interface, outwards (Å)", "atoms")
    count = dataset["layer_count"].values
    step = float(depth[1] - depth[0]) if depth.size > 1 else 1.0
    edges = np.append(depth - step / 2, depth[-1] + step / 2)
    of_core = np.nan_to_num(share * count)
    lower.stairs(count - of_core, edges, color=style.NEUTRAL, linewidth=1.2, label="others")
    lower.stairs(of_core, edges, color=style.BLUE, linewidth=1.2, label=element)
    style.legend(lower, loc="upper right")
    caption = (
        f"95 % to 5 % within {width:.2f} ± {error:.2f} Å (shaded), {float(dataset['interface_width_profile']):.2f} Å "
        f"from the layers. The shell is {float(dataset['shell_thickness']):.1f} Å thick on the mean (scatter "
        f"{float(dataset['shell_thickness_spread']):.1f} Å) around a core as large as a ball of radius "
        f"{float(dataset['core_radius']):.1f} Å; {100 * stray:.1f} % of the atoms far outside are {element}."
    )
    return [Picture("interface", "Interface of core and shell", caption, made)]
