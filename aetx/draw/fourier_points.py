"""Picture of how a volume fits the measured points of a Fourier grid, those used and those held out."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture

CURVES = (("r_free", "held out", style.ORANGE), ("r_work", "used", style.BLUE))


def fourier_points(dataset: xr.Dataset) -> list[Picture]:
    """Return R work and R free against iterations and against frequency; none for a volume that knows neither."""
    if not {"r_work", "r_free", "r_work_shell", "r_free_shell", "measured_shell"} <= set(dataset.variables):
        return []
    made = style.figure(3.0)
    left, right = made.subplots(1, 2, width_ratios=[1.0, 1.4])
    style.chart(left, "iteration", "R factor", "Measured Fourier points")
    for name, words, colour in CURVES:
        left.plot(dataset["iteration"].values, dataset[name].values, "o-", color=colour, markersize=3.5, label=words)
    left.set_ylim(bottom=0)
    style.legend(left)
    style.chart(right, style.label("spatial frequency", "1/angstrom"), "R factor, share", "By shell, at the end")
    frequency = dataset["frequency"].values
    share = np.minimum(dataset["measured_shell"].values, 1.0)
    right.fill_between(frequency, 0, share, color=style.LINE, linewidth=0, label="share measured")
    for name, words, colour in CURVES:
        right.plot(frequency, dataset[f"{name}_shell"].values, color=colour, linewidth=1.5, label=words)
    right.set_ylim(bottom=0)
    right.set_xlim(0, float(frequency[-1]))
    style.legend(right)
    work, free = (float(dataset[name][-1]) for name in ("r_work", "r_free"))
    held = f"{free:.4g} held out, " if np.isfinite(free) else "no points were held out, "
    text = f"R of grid points near the images' planes, at the last look: {held}{work:.4g} used."
    text += " Where R free rises while R work falls, noise is being fitted."
    return [Picture("fourier-points", "Fourier points, used and held out", text, made)]
