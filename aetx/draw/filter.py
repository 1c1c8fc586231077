"""Pictures of what a filter did to a volume: agreement with the images, and Fourier power in the missing wedge."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import extent_of, reduced, tilt_axis

FORMS = {"raw": ("before", style.ORANGE), "filtered": ("after", style.BLUE)}


def filtered(dataset: xr.Dataset) -> list[Picture]:
    """Return the images beside those of the filtered volume, R of each image, and the power before and after."""
    return [_agreement(dataset), _images(dataset), _wedge(dataset)]


def _agreement(dataset: xr.Dataset) -> Picture:
    across, text = tilt_axis(dataset)
    made = style.figure(2.8)
    said = []
    names = {"r1": "As they are", "r1_matched": "Shape of an atom matched"}
    for axes, (name, heading) in zip(made.subplots(1, 2, sharey=True), names.items(), strict=True):
        style.chart(axes, text, "R1", heading)
        parts = []
        for form, (words, colour) in FORMS.items():
            values, mean = dataset[name].sel(form=form).values, float(dataset[f"mean_{name}"].sel(form=form))
            axes.plot(across, values, "o", color=colour, markersize=4, label=f"{words}, mean {mean:.3g}")
            axes.axhline(mean, color=colour, linewidth=0.9, linestyle=(0, (5, 3)))
            parts.append(f"{mean:.3g} {words}")
        said.append(f"{heading[0].lower()}{heading[1:]} {', '.join(parts)}")
        axes.set_ylim(0, 1.25 * float(np.nanmax([dataset[one].values for one in names])))
        style.legend(axes, loc="upper right")
    caption = f"R of the projections of the volume before and after the filter: {'; '.join(said)}. The "
    caption += "volume before was fitted to these very images, noise and all: what counts is whether the rest has form."
    return Picture("agreement", "Agreement with the images before and after the filter", caption, made)


def _images(dataset: xr.Dataset) -> Picture:
    extent, count = extent_of(dataset, "x", "y"), dataset.sizes["shown"]
    cell = style.WIDTH / 3.4
    made = style.figure(count * (cell * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.28) + 0.1)
    for row, i in zip(made.subplots(count, 3, squeeze=False), range(count), strict=True):
        images = [reduced(np.asarray(dataset[name].values[i], np.float32)) for name in ("measured", "projected")]
        known = np.concatenate([one.ravel() for one in images])
        limits = style.limits(known[np.isfinite(known)])
        drawn = [style.image(axes, one, extent, style.GREY, limits) for axes, one in zip(row, images, strict=False)]
        far = 0.25 * (limits[1] - limits[0])
        rest = style.image(row[2], np.nan_to_num(images[0] - images[1]), extent, style.SIGNED, (-far, far), style.INK)
        number = int(dataset["shown_tilt"].values[i])
        here = dataset.isel(tilt=int(np.flatnonzero(dataset["tilt"].values == number)[0]))
        r1 = float(here["r1_matched"].sel(form="filtered"))
        style.title(row[0], f"image {number}, θ = {style.degrees(float(here['theta']))}, R1 {r1:.3g}")
        style.title(row[1], "filtered volume, projected")
        style.title(row[2], "measured − projected")
        unit = style.label("intensity", dataset["measured"].attrs["units"])
        style.colour_bar(made, drawn[1], row[1], unit)
        style.colour_bar(made, rest, row[2], unit)
    caption = "The images that agree worst, in the middle and best, the projections of the filtered volume with their "
    caption += "shape matched, and the difference: an atom that the filter invented leaves a blue spot, one that it "
    caption += "took away a red one."
    return Picture("residual", "The filtered volume against the images", caption, made)


def _wedge(dataset: xr.Dataset) -> Picture:
    made = style.figure(5.6)
    grid = made.subplots(2, 2, height_ratios=[1.25, 1.0])
    planes = {form: np.log10(np.maximum(dataset["section"].sel(form=form).values, 1e-12)) for form in FORMS}
    high = max(float(np.quantile(one, 0.9995)) for one in planes.values())
    low = max(high - 6.0, min(float(np.quantile(one, 0.05)) for one in planes.values()))
    edges = [dataset[name].values for name in ("kx", "kz")]
    extent = [end for f in edges for end in (1.5 * f[0] - 0.5 * f[1], 1.5 * f[-1] - 0.5 * f[-2])]
    drawn = None
    for axes, (form, (words, _)) in zip(grid[0], FORMS.items(), strict=True):
        drawn = axes.imshow(
            planes[form], origin="lower", extent=extent, cmap=style.POWER, vmin=low, vmax=high, aspect="equal"
        )
        style.chart(axes, "kx (Å⁻¹)", "kz (Å⁻¹)", f"{words} the filter")
        axes.grid(visible=False)
    style.colour_bar(made, drawn, list(grid[0]), "log₁₀ power")
    _shells(grid[1, 0], dataset)
    _filled(grid[1, 1], dataset)
    raw, after = (float(dataset["median_filled"].sel(form=form)) for form in FORMS)
    caption = (
        f"Power near the plane of kx and kz, and shell by shell. What nobody measured holds {raw:.2g} of the power "
    )
    caption += f"of what was measured before the filter, and {after:.2g} after it: what is there is what the filter "
    caption += "knows about atoms."
    return Picture("wedge", "Fourier power before and after the filter", caption, made)


def _shells(axes: Any, dataset: xr.Dataset) -> None:
    style.chart(axes, style.label("spatial frequency", "1/angstrom"), "power", "Mean of each shell")
    for form, (words, colour) in FORMS.items():
        for region, line in (("measured", "-"), ("missing", (0, (2, 1.5)))):
            values = dataset["power"].sel(form=form, region=region).values
            axes.plot(
                dataset["frequency"], values, color=colour, linewidth=1.3, linestyle=line, label=f"{region}, {words}"
            )
    axes.set_yscale("log")
    style.legend(axes, loc="upper right")


def _filled(axes: Any, dataset: xr.Dataset) -> None:
    style.chart(axes, style.label("spatial frequency", "1/angstrom"), "missing over measured", "How full the wedge is")
    for form, (words, colour) in FORMS.items():
        axes.plot(dataset["frequency"], dataset["filled"].sel(form=form), color=colour, linewidth=1.5, label=words)
    axes.axhline(1.0, color=style.MUTED, linewidth=0.9, linestyle=(0, (5, 3)))
    axes.set_ylim(0, max(1.5, min(3.0, float(np.nanmax(dataset["filled"].values[:, 6:], initial=1.0)))))
    style.legend(axes, loc="upper right")
