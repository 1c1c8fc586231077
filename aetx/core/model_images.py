"""Atoms and measured images as the problem that a refinement solves, and the refined atoms as a dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.fft import fftfreq, next_fast_len, rfftfreq

from aetx.core.atoms import finite_positions, require_elements
from aetx.core.tilts import NAMES, pose_coords
from aetx.core.tomography import origin, pixel_size, rotations
from aetx.errors import InputError, Problem
from aetx.kernels.drawing import HOST
from aetx.kernels.mixtures import gaussians
from aetx.kernels.projection import Grid
from aetx.kernels.reconstruction import whole_rays
from aetx.kernels.refinement import Scene, State
from aetx.kernels.rendering import TAIL
from aetx.kernels.scattering import kirkland
from aetx.kernels.sensitivity_torch import on_device
from aetx.model import units

F64 = NDArray[np.float64]
Profile = Literal["kirkland", "gaussian"]

EDGE = 2.0
"""How far from the sides of the known part of a specimen the atoms beyond it still show, angstrom."""
LOWEST = 5.0
"""Percentile of the pixels of an image that its background starts from."""
START = 0.5
"""Width that atoms start with, angstrom."""


@dataclass(frozen=True)
class Problem3D:
    """Atoms and images, ready to be fitted, and what the way back needs."""

    scene: Scene
    state: State
    species: NDArray[np.int32]
    """Atomic number of each sort."""
    centre: F64
    """Specimen position of the rotation centre, angstrom."""
    corner: tuple[slice, slice]
    """Rows and columns of the images that the scene holds."""
    weight: F64
    """Weights of the Gaussians whose sum is the profile of each sort, (sorts, Gaussians)."""
    spread: F64
    """Their standard deviations, angstrom."""


def problem_of(
    stage: str,
    atoms: xr.Dataset,
    series: xr.Dataset,
    profile: Profile,
    width: float | None,
    margin: float,
    extended: bool = False,
    device: str = "cpu",
) -> Problem3D:
    """Return atoms and images as they begin.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        At least one; refined poses, shifts, scales and backgrounds of as many images are taken over, and so are
        `width` and `intensity` where every atom has one.
    series
        The images; `mask` is honoured.
    profile
        Shape of an atom: with its scattering factor, or a Gaussian.
    width
        That atoms start with, angstrom; None for their own column, or 0.5.
    margin
        How far around the atoms the images are looked at, angstrom.
    extended
        The specimen goes on beyond the atoms: trust only pixels whose whole ray lies among them.
    device
        Where images are drawn; on ``cpu`` by compiled loops, elsewhere by torch.
    """
    step = pixel_size(series)
    place = origin(series)
    centre = np.array([place[axis] for axis in "xyz"])
    position = finite_positions(f"{stage}: atoms", atoms) - centre
    if not len(position):
        raise InputError(Problem(f"{stage}: atoms", "atom", "0", "at least one atom", "trace atoms first"))
    numbers = np.asarray(atoms["species"].values, np.int32)
    if profile == "kirkland":
        require_elements(stage, numbers, "set profile: gaussian")
    species, sort = np.unique(numbers, return_inverse=True)
    turned, shift, scale, background, stretch = _poses(atoms, series)
    shown = np.einsum("nk,tkl->tnl", position, turned)[:, :, :2] + shift[:, None]
    part = _part(shown, series, step, margin)
    images, seen = _images(stage, series, part)
    corner = np.array([float(series[axis][part[i].start]) for axis, i in (("x", 1), ("y", 0))])
    if extended:
        seen = _among(stage, position / step, turned, Grid(images.shape[1:], tuple(corner[::-1] / step)), step, seen)
    wide = _widths(atoms, width)
    weight, spread = _mixtures(species, profile, float(wide.min()))
    spare = _spare(shown - corner, images.shape[1:], step) - margin / 2  # for atoms that move or come
    padding, padded, transfer = _transfer(species, profile, images.shape[1:], step, spare)
    scene = Scene(
        images,
        step,
        corner,
        transfer,
        padding,
        padded,
        np.array([_effective(*pair, float(np.median(wide))) for pair in zip(weight, spread, strict=True)]),
        seen,
        torch.get_num_threads(),
        HOST if device == "cpu" else on_device(device),
    )
    if background is None:
        background = np.percentile(images.reshape(len(images), -1), LOWEST, axis=1).astype(float)
    height = _heights(atoms, numbers, images - background[:, None, None].astype(np.float32), step)
    state = State(
        position,
        height,
        wide,
        sort.astype(np.int64),
        np.asarray(atoms["atom"].values, np.int64),
        turned,
        shift,
        scale,
        background,
        stretch,
    )
    return Problem3D(scene, state, species, centre, part, weight, spread)


def refined(series: xr.Dataset, problem: Problem3D, state: State) -> xr.Dataset:
    """Return fitted atoms and poses as a dataset of the kind atoms, in the frame of the specimen.

    The coordinates phi, theta and psi are the fitted angles; `stated_phi` and so on are those that the series states.
    """
    length, one = {"units": "angstrom"}, {"units": "1"}
    unit = str(series["image"].attrs["units"])
    squared = problem.scene.step**2
    angles = np.stack([series[name].values.astype(float) for name in ("phi", "theta", "psi")], axis=1)
    variables: dict[str, Any] = {
        "position": (("atom", "axis"), state.position + problem.centre, length),
        "species": ("atom", problem.species[state.sort].astype(np.int32), one),
        "intensity": ("atom", state.height * squared, {"units": units.canonical(f"({unit})*angstrom**2")}),
        "width": ("atom", state.width, length),
        "shift_x": ("tilt", state.shift[:, 0], length),
        "shift_y": ("tilt", state.shift[:, 1], length),
        "scale": ("tilt", state.scale, one),
        "background": ("tilt", state.background, {"units": unit}),
        "stretch": (("tilt", "component"), state.stretch, one),
        **{f"stated_{name}": ("tilt", series[name].values.astype(float), {"units": "degree"}) for name in NAMES},
    }
    coords = {
        "atom": ("atom", state.number, one),
        "axis": ["x", "y", "z"],
        "component": ["xx", "yy", "xy"],
        **pose_coords(euler(state.turned, angles)),
        "tilt": series["tilt"].variable,
    }
    return xr.Dataset(variables, coords)


def euler(turned: F64, near: F64) -> F64:
    """Return phi, theta, psi of R = Rz(phi) Ry(theta) Rx(psi), degree: (tilts, 3, 3) to (tilts, 3).

    Of all that make the same R, those nearest to `near`, shape (tilts, 3).
    """
    theta = np.arcsin(np.clip(-turned[:, 2, 0], -1.0, 1.0))
    phi = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    psi = np.arctan2(turned[:, 2, 1], turned[:, 2, 2])
    one = np.rad2deg(np.stack([phi, theta, psi], axis=1))
    other = one * [1, -1, 1] + 180
    one, other = (angles - 360 * np.round((angles - near) / 360) for angles in (one, other))
    nearer = np.abs(one - near).sum(axis=1) <= np.abs(other - near).sum(axis=1)
    return np.where(nearer[:, None], one, other)


def _poses(atoms: xr.Dataset, series: xr.Dataset) -> tuple[F64, F64, F64, F64 | None, F64]:
    """Return R, shifts, scales, backgrounds and stretches: refined ones where the atoms have them."""
    count = series.sizes["tilt"]
    if "shift_x" in atoms and atoms.sizes.get("tilt") == count:
        shift = np.stack([atoms[f"shift_{axis}"].values.astype(float) for axis in "xy"], axis=1)
        stretch = atoms["stretch"].values.astype(float) if "stretch" in atoms else np.zeros((count, 3))
        return rotations(atoms), shift, atoms["scale"].values.astype(float), atoms["background"].values, stretch
    return rotations(series), np.zeros((count, 2)), np.ones(count), None, np.zeros((count, 3))


def _part(seen: F64, series: xr.Dataset, step: float, margin: float) -> tuple[slice, slice]:
    """Return the rows and columns that atoms, seen at (tilts, atoms, 2), reach at any tilt."""
    made = []
    for axis, column in (("y", 1), ("x", 0)):
        first, size = float(series[axis][0]), series.sizes[axis]
        low = math.floor((seen[:, :, column].min() - margin - first) / step)
        high = math.ceil((seen[:, :, column].max() + margin - first) / step) + 1
        start = min(max(low, 0), size - 1)
        made.append(slice(start, max(min(high, size), start + 1)))
    return made[0], made[1]


def _images(
    stage: str, series: xr.Dataset, part: tuple[slice, slice]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    values = series["image"].transpose("tilt", "y", "x")[:, part[0], part[1]].values.astype(np.float32)
    seen = None
    if "mask" in series:
        trusted = series["mask"].transpose("tilt", "y", "x")[:, part[0], part[1]].values.astype(bool)
        values, seen = np.where(trusted, values, np.float32(0)), trusted.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if bad.size:
        found = f"values that are not finite in tilt {', '.join(map(str, bad[:5]))}"
        fix = "mask those pixels or leave the images out"
        raise InputError(Problem(f"{stage}: series", "image", found, "finite values", fix))
    return np.ascontiguousarray(values), seen


def _among(
    stage: str, position: F64, turned: F64, image: Grid, step: float, seen: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the pixels that are trusted and whose rays stay in the box of the atoms, away from its sides."""
    away = np.array([0.0, EDGE, EDGE]) / step
    first, last = np.ceil(position[:, ::-1].min(0) + away), np.floor(position[:, ::-1].max(0) - away)
    box = Grid(tuple(int(size) for size in last - first + 1), tuple(float(value) for value in first))
    whole = whole_rays(turned, image, box).astype(np.float32)
    whole = whole if seen is None else whole * seen
    if not whole.any():
        found, fix = "no ray that stays among the atoms", "trace a larger part of the specimen"
        raise InputError(Problem(f"{stage}: atoms", "position", found, "at least one", fix))
    return whole


def _widths(atoms: xr.Dataset, width: float | None) -> F64:
    count = atoms.sizes["atom"]
    if width is not None:
        return np.full(count, width)
    if "width" in atoms and "shift_x" in atoms and bool((atoms["width"] > 0).all()):
        return atoms["width"].values.astype(float)
    return np.full(count, START)


def _heights(atoms: xr.Dataset, numbers: NDArray[np.int32], images: NDArray[np.float32], step: float) -> F64:
    """Return heights: those of a fit, or in proportion to Z**1.7 such that they explain the sum of the images."""
    if "intensity" in atoms and "shift_x" in atoms and bool((atoms["intensity"] > 0).all()):
        return atoms["intensity"].values.astype(float) / step**2
    share = np.maximum(numbers, 1) ** 1.7
    total = max(float(images.sum(dtype=np.float64)) / len(images), 1e-12)
    return np.asarray(total * share / share.sum(), float)


def _spare(seen: F64, shape: tuple[int, ...], step: float) -> float:
    """Return how far inside the images atoms stay at all tilts, angstrom; below 0 where one is outside.

    `seen` are their places from the first pixel, (tilts, atoms, 2).
    """
    far = step * (np.array(shape[::-1]) - 1)
    return float(min(seen.min(), (far - seen).min()))


def _transfer(
    species: NDArray[np.int32], profile: Profile, shape: tuple[int, ...], step: float, spare: float
) -> tuple[int, tuple[int, int], list[Any]]:
    """Return the padding, the padded size, and f(q) / f(0) of each sort on its half grid of frequencies.

    Periodic images meet at their sides: atoms that stay `spare` (angstrom) inside need less room for their tails.
    """
    room = TAIL if spare < 0 else max(TAIL - spare, 0.0) / 2
    padding = math.ceil(room / step) if profile == "kirkland" else 0
    rows, columns = (next_fast_len(size + 2 * padding, real=True) for size in shape)
    if profile == "gaussian":
        return 0, (rows, columns), [None] * len(species)
    q = np.hypot(fftfreq(rows, step)[:, None], rfftfreq(columns, step))
    return padding, (rows, columns), [(kirkland(int(z), q) / kirkland(int(z), 0.0)).astype(np.float32) for z in species]


def _mixtures(species: NDArray[np.int32], profile: Profile, width: float) -> tuple[F64, F64]:
    """Return weights and spreads of the Gaussians whose sum is the profile of each sort, (sorts, Gaussians) each."""
    if profile == "gaussian":
        return np.ones((len(species), 1)), np.zeros((len(species), 1))
    pairs = [gaussians(lambda q, z=int(z): kirkland(z, q) / kirkland(z, 0.0), width) for z in species]  # type: ignore[misc]
    weight, spread = (np.zeros((len(pairs), max(len(one[0]) for one in pairs))) for _ in range(2))
    for row, (share, wide) in enumerate(pairs):
        weight[row, : share.size], spread[row, : wide.size] = share, wide
    return weight, spread


def _effective(weight: F64, spread: F64, width: float) -> float:
    """Return by how much a profile spreads a Gaussian, as one Gaussian of the same peak sees it, angstrom."""
    peak = (weight / (width**2 + spread**2)).sum()
    return math.sqrt(max(1.0 / peak - width**2, 0.0))
