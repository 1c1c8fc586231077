"""Pictures of a volume: slices, projections, Fourier power with the missing wedge, R of the reconstruction."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.fourier_points import fourier_points
from aetx.draw.held_out import choice
from aetx.draw.picture import Picture
from aetx.draw.score import per_tilt_and_convergence
from aetx.draw.tilt_series import beam_directions, extent_of, reduced

CUBE = 128
"""Greatest edge of the central block whose Fourier power is drawn, in voxels."""
MOST = 384
"""Greatest edge of the central block that is projected, in voxels."""
SLAB = 32
"""Planes that are read at a time for the projections."""
BAND = 64
"""Rows of a slice that are read at a time."""


def volume(dataset: xr.Dataset) -> list[Picture]:
    """Return the pictures of a volume. Reads three slices and central blocks; holds no more than a few planes."""
    found = [_slices(dataset), _projections(dataset)]
    if min(dataset["density"].shape) >= 8:  # a thinner one has no spectrum worth the name
        found.append(_power(dataset))
    found += per_tilt_and_convergence(dataset) + fourier_points(dataset)
    return [*found, choice(dataset)] if {"r_free", "best_iterations"} <= set(dataset.variables) else found


def central(values: xr.DataArray, edge: int) -> xr.DataArray:
    """Return the central block of a (z, y, x) array, no side above `edge`, unread."""
    picks = {}
    for axis in ("z", "y", "x"):
        size = values.sizes[axis]
        kept = min(size, edge)
        picks[axis] = slice((size - kept) // 2, (size - kept) // 2 + kept)
    return values.isel(picks)


def _orthogonal(dataset: xr.Dataset, images: list[np.ndarray], colours: str, titles: list[str], text: str) -> Any:
    """Three views side by side at one scale in angstrom and one colour scale."""
    extents = [extent_of(dataset, across, up) for across, up, _ in style.VIEWS]
    widths = [e[1] - e[0] for e in extents]
    height = max(e[3] - e[2] for e in extents)
    made = style.figure(min(8.0, (style.WIDTH - 1.0) * height / sum(widths) + 0.35))
    grid = made.subplots(1, 3, width_ratios=widths)
    limits = style.limits(np.concatenate([image.ravel() for image in images]))
    drawn = None
    for axes, image, extent, heading, (across, up, _) in zip(grid, images, extents, titles, style.VIEWS, strict=True):
        drawn = style.image(axes, image, extent, colours, limits)
        style.title(axes, heading)
        style.arrows(axes, across, up)
    style.colour_bar(made, drawn, list(grid), text)
    return made


def _slices(dataset: xr.Dataset) -> Picture:
    density = dataset["density"]
    images, titles = [], []
    for across, up, along in style.VIEWS:
        plane, place = middle_plane(dataset, across, up, along)
        images.append(reduced(plane))
        titles.append(f"{along} = {place:.1f} Å")
    made = _orthogonal(dataset, images, style.DENSITY, titles, style.label("density", density.attrs["units"]))
    shape = " × ".join(str(density.sizes[axis]) for axis in "xyz")
    step = (dataset["x"].values[-1] - dataset["x"].values[0]) / max(1, density.sizes["x"] - 1)
    caption = f"One voxel thick, through the centre of {shape} voxels (x, y, z) of {step:.4g} Å; one colour scale."
    return Picture("slices", "Slices in three directions", caption, made)


def middle_plane(dataset: xr.Dataset, across: str, up: str, along: str) -> tuple[np.ndarray, float]:
    """Return the plane (up, across) of a volume through its centre, and where along the third axis that is."""
    middle = int(np.argmin(np.abs(dataset[along].values - _centre(dataset, along))))
    return _plane(dataset["density"], along, middle, up, across), float(dataset[along].values[middle])


def _plane(density: xr.DataArray, along: str, index: int, up: str, across: str) -> np.ndarray:
    """Read one plane a band at a time, so that few blocks of the store are in memory at once."""
    plane = density.isel({along: index}).transpose(up, across)
    made = np.empty(plane.shape, np.float32)
    for start in range(0, plane.shape[0], BAND):
        made[start : start + BAND] = plane.isel({up: slice(start, start + BAND)}).values
    return made


def _centre(dataset: xr.Dataset, axis: str) -> float:
    values = dataset[axis].values
    return 0.0 if values[0] <= 0 <= values[-1] else float(values[values.size // 2])


def _projections(dataset: xr.Dataset) -> Picture:
    part = central(dataset["density"], MOST)
    sizes = part.sizes
    sums = {along: np.zeros((sizes[up], sizes[across]), np.float64) for across, up, along in style.VIEWS}
    for start in range(0, sizes["z"], SLAB):
        rows = slice(start, start + SLAB)
        slab = np.nan_to_num(np.asarray(part.isel(z=rows).transpose("z", "y", "x").values, np.float32))
        sums["z"] += slab.sum(axis=0, dtype=np.float64)
        sums["y"][rows] = slab.sum(axis=1, dtype=np.float64)
        sums["x"][:, rows] = slab.sum(axis=2, dtype=np.float64).T
    steps = {a: (part[a].values[-1] - part[a].values[0]) / max(1, sizes[a] - 1) for a in "xyz"}
    images = [sums[along] * steps[along] for _, _, along in style.VIEWS]
    grid = part.to_dataset(name="density")
    units = _times_length(dataset["density"].attrs["units"])
    titles = [f"along {along}" for _, _, along in style.VIEWS]
    made = _orthogonal(grid, images, style.GREY, titles, style.label("projection", units))
    whole = all(part.sizes[axis] == dataset.sizes[axis] for axis in "xyz")
    caption = "Sum of the density along each axis times its step" + (
        "." if whole else f", of the central {' × '.join(str(sizes[a]) for a in 'xyz')} voxels."
    )
    return Picture("projections", "Projections in three directions", caption, made)


def _times_length(units: str) -> str:
    if units == "1/angstrom":
        return "1"
    return units.removesuffix("/angstrom") if units.endswith("/angstrom") else f"{units} angstrom"


def _power(dataset: xr.Dataset) -> Picture:
    part = central(dataset["density"], CUBE).transpose("z", "y", "x")
    values = np.nan_to_num(np.asarray(part.values, np.float32))
    values = values - values.mean()
    for i, size in enumerate(values.shape):
        shape = [1, 1, 1]
        shape[i] = size
        values = values * np.hanning(size + 2)[1:-1].astype(np.float32).reshape(shape)
    power = np.abs(np.fft.fftshift(np.fft.fftn(values))) ** 2
    frequency = {
        axis: np.fft.fftshift(np.fft.fftfreq(size, (part[axis].values[-1] - part[axis].values[0]) / max(1, size - 1)))
        for axis, size in zip("zyx", power.shape, strict=True)
    }
    near = np.abs(frequency["y"]) <= 0.1
    views = [("kx", "kz", power[:, near].mean(axis=1)), ("kx", "ky", power[np.abs(frequency["z"]) <= 0.1].mean(axis=0))]
    made = style.figure(4.3)
    grid = made.subplots(1, 2)
    drawn = None
    reach = min(float(-values[0]) for values in frequency.values())
    floor = np.median(power) + 1e-30
    for axes, (across, up, view) in zip(grid, views, strict=True):
        edges = [frequency[name[1]] for name in (across, up)]
        extent = [end for f in edges for end in (1.5 * f[0] - 0.5 * f[1], 1.5 * f[-1] - 0.5 * f[-2])]
        drawn = axes.imshow(
            np.log10(view / floor + 1e-6),
            origin="lower",
            extent=extent,
            cmap=style.POWER,
            vmin=-0.5,
            vmax=max(2.0, float(np.log10(np.quantile(view, 0.9995) / floor + 1e-6))),
            aspect="equal",
        )
        style.chart(axes, f"k{across[1]} (Å⁻¹)", f"k{up[1]} (Å⁻¹)")
        axes.grid(visible=False)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
    style.title(grid[0], "across the tilt axis, |ky| ≤ 0.1 Å⁻¹")
    style.title(grid[1], "along the tilt axis, |kz| ≤ 0.1 Å⁻¹")
    style.colour_bar(made, drawn, list(grid), "log₁₀ (power / median)")
    caption = f"Fourier power of the central {' × '.join(str(s) for s in reversed(values.shape))} voxels (Hann window)."
    caption += _wedge(grid[0], dataset, reach)
    return Picture("power", "Fourier power", caption, made)


def _wedge(axes: Any, dataset: xr.Dataset, reach: float) -> str:
    """Draw the planes that were measured and the largest gap between them, where the dataset knows its tilts."""
    if "theta" not in dataset.variables:
        return " The volume does not say its tilts, so that no wedge is drawn."
    zero = xr.zeros_like(dataset["theta"])
    poses = xr.Dataset({name: dataset[name] if name in dataset.variables else zero for name in ("phi", "theta", "psi")})
    beam = beam_directions(poses)
    beam = beam[np.hypot(beam[:, 0], beam[:, 2]) > 0.2]  # a beam along y has no line in this section
    # Image i measures the plane across its beam; that plane cuts ky = 0 along (beam_z, -beam_x).
    angle = np.unique(np.rad2deg(np.arctan2(-beam[:, 0], beam[:, 2])) % 180)
    gaps = np.diff(np.append(angle, angle[:1] + 180))
    if angle.size < 2 or gaps.max() < 2.5 * np.median(gaps):
        return " The tilts leave no wedge in this section."
    start, width = angle[gaps.argmax()], gaps.max()
    for edge in np.deg2rad([start, start + width]):
        x, z = 2 * reach * np.cos(edge), 2 * reach * np.sin(edge)
        axes.plot([-x, x], [-z, z], color="white", linewidth=1.1, linestyle=(0, (5, 3)))
    middle = np.deg2rad(start + width / 2)
    for side in (-1, 1):
        axes.text(
            side * 0.86 * reach * np.cos(middle),
            side * 0.86 * reach * np.sin(middle),
            "not measured",
            color="white",
            fontsize=style.SIZE - 1.5,
            ha="center",
            va="center",
        )
    return f" Between the dashed lines lies the missing wedge of {width:.1f}°: what is there was not measured."
