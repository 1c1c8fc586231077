"""Pictures of strain at the atoms: sections through the middle."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from aetx.draw import discs, style
from aetx.draw.picture import Picture

NAMES = {
    "volumetric": "volumetric strain",
    "radial": "radial strain",
    "local_strain": "local strain",
    "surface_strain": "surface strain",
}
"""Strains of atoms that are drawn, as far as they are there."""
SURE = 2.0
"""Standard errors above which the caption counts atoms."""
UNKNOWN = "#c9ced4"


def strain(dataset: xr.Dataset) -> list[Picture]:
    """Return a picture of each strain of the atoms, three sections coloured about zero."""
    kept, place = discs.placed(dataset)
    found = [name for name in NAMES if name in kept and kept[name].dims == ("atom",)]
    return [_sections(kept, place, name) for name in found if np.isfinite(kept[name].values).any()]


def _sections(dataset: xr.Dataset, place: np.ndarray, name: str) -> Picture:
    values = 100 * dataset[name].values.astype(float)
    top = max(abs(v) for v in style.limits(values, 2, 98))
    mapped = ScalarMappable(Normalize(-top, top, clip=True), colormaps[style.SIGNED])
    rgb = mapped.to_rgba(np.nan_to_num(values))[:, :3]
    rgb[~np.isfinite(values)] = to_rgb(UNKNOWN)
    made, panels = discs.sections(place, rgb, True)
    style.colour_bar(made, mapped, [panel.axes for panel in panels], f"{NAMES[name]} (%)")
    said = [f"Atoms within {discs.THICKNESS * discs.nearest(place) / 2:.1f} Å of the plane through the middle"]
    if not np.isfinite(values).all():
        said.append("grey: not known")
    error = 100 * dataset[f"{name}_error"].values if f"{name}_error" in dataset else np.full(values.shape, np.nan)
    sure = np.isfinite(error) & np.isfinite(values)
    if sure.any():
        share = (np.abs(values[sure]) > SURE * error[sure]).mean()
        said.append(
            f"median standard error {np.median(error[sure]):.2g} %, {100 * share:.0f} % of the atoms above two of them"
        )
    return Picture(f"strain-{name}", NAMES[name].capitalize(), "; ".join(said) + ".", made)
