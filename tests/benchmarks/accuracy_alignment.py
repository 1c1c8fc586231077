"""Align simulated series step by step, and print what is left of shifts, angles and the direction of the axis.

Run as ``python -m tests.benchmarks.accuracy_alignment [CASE ...]`` with cases ``small`` (1,146 atoms), ``large`` (some
6,000), ``axis`` (the direction of the axis alone, with all angles wrong or only theta), ``atoms`` (what the alignment
does to the atoms of the small one, beside the true poses), ``asi`` and ``glass`` (published simulations, misaligned
here). In all but these two, atoms are drawn analytically at tilts of -65 to 65 degrees about an axis 1.5 degrees off y
and 2 pixels off the centre, all three angles wrong by up to 0.4 degrees, with shifts of a standard deviation of 1.73
pixels (that of even ones up to 3), and counted at 1.6e5 e/angstrom**2. What a motion of the whole specimen does is no
error and is taken out.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.core.alignment import aligned as placed
from aetx.core.model_images import euler
from aetx.core.tilts import NAMES, centred_axis, pose_coords
from aetx.core.tomography import pixel_size, rotations
from aetx.errors import AetxWarning
from aetx.kernels.image_shift import shifted
from aetx.kernels.pose_matching import translation_of
from aetx.kernels.projection import rotation
from aetx.stages.align.axis import axis
from aetx.stages.align.centre import centre
from aetx.stages.align.common_line import common_line
from aetx.stages.align.correlate import correlate
from aetx.stages.align.reproject import reproject
from aetx.stages.measure.compare import compare
from aetx.stages.prepare.background import background
from aetx.stages.reconstruct.resire import resire
from aetx.stages.refine.images import images as refine
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images as simulate
from aetx.stages.simulate.particle import particle
from aetx.stages.trace.peaks import peaks
from tests.benchmarks.accuracy_asi import counts
from tests.benchmarks.accuracy_volumes import glass_series

F64 = NDArray[np.float64]
HEAD = f"{'after':24s} {'x':>7s} {'y':>7s} {'most':>7s} {'axis':>9s}   turn x, y, z (deg)   seconds   told errors"
STEP, TILTS, AZIMUTH, OFFSET, DOSE, SHIFT = 0.358, 21, 1.5, 2, 1.6e5, 3 / 3**0.5


def scene(diameter: float, pixels: int, seed: int, theta_alone: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """Return atoms, and a series that states tilts about y and keeps what is true; all angles are wrong, or theta."""
    atoms = particle(smallest=diameter, largest=diameter + 2, seed=seed)
    theta, none = np.linspace(-65, 65, TILTS), np.zeros(TILTS)
    off_axis = rotation(np.deg2rad([-AZIMUTH]), none[:1], none[:1])
    wrong = np.random.default_rng(seed).uniform(-0.4, 0.4, TILTS) if theta_alone else none
    turned = rotation(none, np.deg2rad(theta + wrong), none) @ off_axis  # p = Rz(azimuth) transpose(Ry(theta)) r
    stated = np.stack([none, theta, none], axis=1)
    grid = {name: centred_axis(name, pixels, STEP) for name in ("y", "x")}
    empty = ("tilt", "y", "x"), np.zeros((TILTS, pixels, pixels), np.float32), {"units": "1"}
    like = xr.Dataset({"image": empty}, {**pose_coords(euler(turned, stated)), **grid})
    ideal = simulate(atoms, like, tilt_error=0.0 if theta_alone else 0.4, seed=seed)
    series = acquisition(ideal, dose=DOSE, shift=SHIFT * STEP, seed=seed + 10).compute()
    series = series.roll(x=OFFSET, roll_coords=False)
    moved = series["true_shift_x"] + OFFSET * STEP
    return atoms, series.assign(true_shift_x=moved.assign_attrs(units="angstrom")).assign_coords(pose_coords(stated))


def truth(series: xr.Dataset) -> tuple[F64, F64]:
    """Return R of each image and its shift in pixels, as they were drawn."""
    turned = rotation(*(np.deg2rad(series[f"true_{name}"].values) for name in NAMES))
    return turned, np.stack([series[f"true_shift_{name}"].values for name in "xy"], axis=1) / pixel_size(series)


def azimuth(turned: F64) -> float:
    """Return the angle from y of the axis about which images turn into each other, degree; no frame is needed."""
    turns = [turned[j].T @ turned[i] for i, j in combinations(range(len(turned)), 2)]
    axes = Rotation.from_matrix(np.array(turns)).as_rotvec()
    mean = (axes * np.sign(axes[:, 1:2])).sum(axis=0)
    return float(np.rad2deg(np.arctan2(-mean[0], mean[1])))


def left(series: xr.Dataset) -> tuple[F64, F64]:
    """Return the shifts in pixels and the turns about the camera's axes in degree that are still wrong."""
    true, moved = truth(series)
    found, shift = rotations(series), np.zeros_like(moved)
    if "shift_x" in series:
        shift = np.stack([series[f"shift_{name}"].values for name in "xy"], axis=1) / pixel_size(series)
    u, _, vt = np.linalg.svd(np.einsum("tij,tkj->ik", found, true))
    turn = np.einsum("tji,jk,tkl->til", true, (u @ vt).T, found)
    off = shift - moved
    return off - translation_of(off, true), np.rad2deg(Rotation.from_matrix(turn).as_rotvec())


def misaligned(series: xr.Dataset, seed: int) -> xr.Dataset:
    """Return an aligned series with shifts and with angles that are not the stated ones, both kept as true."""
    generator, count, step = np.random.default_rng(seed), series.sizes["tilt"], pixel_size(series)
    shift = generator.normal(0, SHIFT, (count, 2))
    angles = np.stack([series[name].values.astype(float) for name in NAMES], axis=1)
    images = [shifted(one.astype(np.float32), move) for one, move in zip(series["image"].values, shift, strict=True)]
    stated = angles - generator.uniform(-0.4, 0.4, angles.shape)
    kept: dict[str, Any] = {}
    for k, name in enumerate("xy"):
        kept[f"true_shift_{name}"] = ("tilt", shift[:, k] * step, {"units": "angstrom"})
    for k, name in enumerate(NAMES):
        kept[f"true_{name}"] = ("tilt", angles[:, k], {"units": "degree"})
    moved = series.assign(image=(series["image"].dims, np.stack(images), series["image"].attrs), **kept)
    return moved.assign_coords(pose_coords(stated))


def published(series: xr.Dataset, pixel: float) -> None:
    """Misalign a series of others, align it again from centres of mass on, and tell what is left."""
    series = misaligned(series, 5)
    print(HEAD)
    tell("as stated", series, 0.0)
    for name, step in (
        ("align.centre", centre),
        ("align.reproject", lambda one: reproject(one, pixel=pixel)),
    ):
        begun = time.process_time()
        series = step(series)
        tell(name, series, time.process_time() - begun)


def rms(values: F64) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.nanmean(values**2)))


def tell(name: str, series: xr.Dataset, seconds: float) -> None:
    """Print one line: what is left, and the standard errors that the stage told."""
    shift, turn = left(series)
    off_axis = azimuth(rotations(series)) - azimuth(truth(series)[0])
    told = ""
    if "shift_x_error" in series:
        error = [series[f"shift_{axis}_error"].values / pixel_size(series) for axis in "xy"]
        told = " ".join("  -  " if np.isnan(one).all() else f"{rms(one):.3f}" for one in error)
    if "turn_error" in series:
        told += " | " + " ".join(f"{rms(one):.3f}" for one in series["turn_error"].values.T)
    print(
        f"{name:24s} {rms(shift[:, 0]):7.3f} {rms(shift[:, 1]):7.3f} {np.abs(shift).max():7.3f}"
        f" {off_axis:+9.3f}  {rms(turn[:, 0]):6.3f} {rms(turn[:, 1]):6.3f} {rms(turn[:, 2]):6.3f}"
        f" {seconds:8.1f}   {told}",
        flush=True,
    )


def chain(series: xr.Dataset, fine: bool) -> xr.Dataset:
    """Align step by step, telling what is left."""
    print(HEAD)
    tell("as stated", series, 0.0)
    steps: list[tuple[str, Callable[[xr.Dataset], xr.Dataset]]] = [
        ("align.correlate", correlate),
        ("align.axis", lambda one: axis(one, position=False)),
        ("align.centre", centre),
        ("align.common_line", common_line),
        ("align.common_line real", lambda one: common_line(one, space="real")),
        ("align.reproject", reproject),
        ("align.axis, again", lambda one: axis(one, position=False)),
    ]
    if fine:
        steps.append(("align.reproject, fine", lambda one: reproject(one, pixel=STEP, iterations=100, rounds=3)))
    for name, step in steps:
        begun = time.process_time()
        made = step(series)
        tell(name, made, time.process_time() - begun)
        if not name.startswith("align.common_line"):  # these are shown beside the centres, and not kept
            series = made
    return series


def atoms_of(series: xr.Dataset, true: xr.Dataset, name: str) -> None:
    """Reconstruct, trace, refine, and print how far the atoms are from the true ones."""
    traced = peaks(resire(series, iterations=100))
    made = refine(traced, series, profile="gaussian")
    for what, one in (("traced", traced), ("refined", made)):
        score = compare(one, true, align="rigid")
        numbers = {key: round(float(score[key]), 4) for key in ("rmsd", "missed", "false")}
        print(f"{name:12s} {what:8s}", numbers, flush=True)


def main(cases: list[str]) -> None:
    """Print the cases."""
    warnings.simplefilter("ignore", AetxWarning)
    if "small" in cases:
        for seed in (1, 2):
            chain(scene(32.0, 144, seed)[1], fine=True)
    if "axis" in cases:
        for theta_alone, seed in product((True, False), range(1, 7)):
            series = scene(32.0, 144, seed, theta_alone)[1]
            made = axis(series, position=False)
            off, error = float(made["azimuth"]) - azimuth(truth(series)[0]), float(made["azimuth_error"])
            print(f"{'theta' if theta_alone else 'all angles'} wrong: axis off by {off:+.4f}, told {error:.4f} degrees")
    if "large" in cases:
        chain(scene(56.0, 288, 3)[1], fine=False)
    for dose in ("1p6e5", "1p6e4"):
        if "asi" in cases:
            print(f"multislice images of 208 Si atoms, {dose}")
            published(background(counts(dose), margin=1.5), 0.6)
    if "glass" in cases:
        published(glass_series(), 1.0)
    if "atoms" in cases:
        true, series = scene(32.0, 144, 1)
        aligned = chain(series, fine=False)
        turned, moved = truth(series)
        angles = pose_coords(euler(turned, np.stack([series[n].values for n in NAMES], axis=1)))
        atoms_of(aligned, true, "aligned")
        ideal = placed(series.assign_coords(angles), moved * STEP, moved * np.nan)
        atoms_of(ideal, true, "true poses")


if __name__ == "__main__":
    main(sys.argv[1:] or ["small"])
