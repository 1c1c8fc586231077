"""Whether the angles of a series were meant as they are read."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, optional, stage
from aetx.core.drawing import AtomParams, drawn, placed, species_of, widths
from aetx.core.tomography import (
    IterativeParams,
    grid,
    pixel_size,
    reconstruction_forecast,
    reconstruction_task,
    rotations,
)
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.agreement import agreement
from aetx.kernels.hand import MEANINGS, angles, apart, difference, meant
from aetx.kernels.projection import Projector
from aetx.kernels.reconstruction import Scheme, descend, mean_of_seen, r1_by_tilt, whole_rays
from aetx.model import ATOMS, SCORE, TILT_SERIES

F64 = NDArray[np.float64]
ONE, DEGREE = {"units": "1"}, {"units": "degree"}
POSES = ("phi", "theta", "psi")
SAME = 0.02
"""Degrees, root mean square, below which poses are the same."""


class HandParams(AtomParams):
    """Parameters of `hand`."""

    coarse: Length = Field(1.5, gt=0, le=100, description="pixel size to which images are binned at most")
    iterations: int = Field(15, ge=1, le=10_000, description="steps of each reconstruction")
    folds: int = Field(3, ge=2, le=1000, description="times that every so many tilts are held out in turn")
    thickness: Length | None = Field(None, gt=0, description="extent along z; none for the width of the images")
    extended: bool = Field(
        False, description="the specimen fills the field of view: compare held-out pixels whose rays lie in the box"
    )
    level: float = Field(0.005, gt=0, lt=0.5, description="chance of error at which a difference counts as decided")

    def iterative(self, width: int, step: float) -> IterativeParams:
        """Return the same for one reconstruction from images of that many pixels of that edge, angstrom.

        An odd number of voxels along z: the box of the mirror image is that of the specimen.
        """
        depth = (width if self.thickness is None else round(self.thickness / step)) // 2 * 2 + 1
        return IterativeParams(iterations=self.iterations, thickness=depth * step, extended=self.extended)


def _forecast(inputs: InputSizes, params: HandParams) -> Forecast:
    series = inputs["series"][0]
    one = reconstruction_forecast(inputs, params.iterative(series.get("x", 1), 1.0))
    sizes = {"tilt": series.get("tilt", 1), "meaning": len(MEANINGS)}
    return Forecast(sizes, one.memory, one.seconds * params.folds * len(MEANINGS))


@stage(
    "measure.hand",
    takes={"series": TILT_SERIES, "atoms": optional(ATOMS)},
    gives=SCORE,
    params=HandParams,
    version=1,
    forecast=_forecast,
)
def hand(
    series: xr.Dataset, atoms: xr.Dataset | None, params: HandParams, *, device: str, memory: int | None
) -> xr.Dataset:
    """Free R factors of the angles as given, and of the other ways in which they may have been meant.

    Meanings: `given`, R = Rz(phi) Ry(theta) Rx(psi) and p = transpose(R) r; `-theta`, `-phi` and both, with these
    signs turned; `exchanged`, phi and psi; `inverse`, p = R r; `transposed`, rows and columns of the images exchanged.
    For each the images are binned, every `folds`-th is held out in turn, and the volume from the others is compared
    with it: `r_free_tilt`, and its mean `r_free`. `difference` is the mean over the tilts of that minus the one of
    `given`, with its standard error and `chance`, the two-sided p of Student's t. `verdict` is 1 where the given
    angles fit better (chance below `level`), 0 where the other meaning does, NaN where it is not decided.

    What projections cannot tell: one made from behind is the same, so that the images of a specimen at the rotations R
    are exactly those of its mirror image at Q R B, with B = diag(1, 1, -1), for any improper Q. Hence (phi, -theta,
    -psi) always fits as well as (phi, theta, psi): **no series of perfect projections tells the hand of a specimen**,
    whatever its angles. What it can tell is whether the signs of the angles fit each other. `-theta` alone is such a
    mirror image where psi is 0, even if phi varies; `-psi` is the same as `-theta`, and `-phi -theta` the same as
    images that are mirrored in x or in y. `turned_apart` and `mirrored_apart` say how far (root mean square angle) the
    poses of a meaning are from the given ones of the specimen turned as one, and of its mirror image; where either is
    below 0.02 degrees, the meaning makes the same images and is not tried. The hand itself needs something else: a
    specimen of known hand, atoms that are known (below), or images that depend on depth (defocus, a convergent probe,
    channelling).

    `given_fits` is 0 if another meaning fits better; 1 if the given angles fit better than every other one that is
    not the same poses; else NaN, above all where -theta gives the mirror image.

    Known `atoms` decide also what projections of an unknown specimen do not: `atoms_r1` is that of their images with
    one common height, fitted, in each meaning, without moving them, and `atoms_fit` says as above whether the given
    angles go with them. Atoms that were found with the given angles go with these, right or wrong.

    References
    ----------
    R. A. Crowther, D. J. DeRosier, A. Klug, Proc. R. Soc. A 317, 319 (1970), doi:10.1098/rspa.1970.0119; free R:
    A. T. Bruenger, Nature 355, 472 (1992), doi:10.1038/355472a0.
    """
    count = series.sizes["tilt"]
    if count < params.folds:
        found = f"{params.folds} for {count} images"
        raise InputError(Problem("measure.hand", "folds", found, f"at most {count}", "lower folds"))
    coarse, poses = _binned(series, params.coarse), [np.deg2rad(series[name].values.astype(float)) for name in POSES]
    given = rotations(series)
    turned = {name: meant(name, *poses) for name in MEANINGS}
    distance = [apart(given, one) for one in turned.values()]
    degrees = np.rad2deg([(one.turned, one.mirrored) for one in distance])
    tried = (degrees >= SAME).all(axis=1)
    free = np.full((len(MEANINGS), count), np.nan)
    free[0] = _free(coarse, params, device, memory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # what the first reconstruction said holds for all
        for i in np.flatnonzero(tried):
            free[i] = _free(_posed(coarse, turned[MEANINGS[i]]), params, device, memory)
    made = _compared(free, "r_free")
    made["verdict"] = _verdict(made, params.level)
    mirrored = (degrees[:, 1] < SAME) & (degrees[:, 0] >= SAME)
    made["given_fits"] = ((), _all(made["verdict"][1][tried], bool(mirrored.any())), ONE)
    made["turned_apart"], made["mirrored_apart"] = (
        ("meaning", degrees[:, 0], DEGREE),
        ("meaning", degrees[:, 1], DEGREE),
    )
    if mirrored.any():
        names = ", ".join(name for name, one in zip(MEANINGS, mirrored, strict=True) if one)
        text = f"no projection tells the given angles from {names}: they make the mirror image of the specimen"
        warnings.warn(text, AetxWarning, stacklevel=2)
    if atoms is not None:
        made |= _known(coarse, atoms, turned, params)
    table = {name: series[name].variable for name in ("tilt", *POSES)}
    return xr.Dataset(made, {**table, "meaning": list(MEANINGS)})


def _binned(series: xr.Dataset, coarse: float) -> xr.Dataset:
    """Return the images with pixels up to `coarse` wide, each the mean of whole ones; the poses are as they were."""
    by = max(1, int(coarse / pixel_size(series) + 1e-9))
    small = series[[name for name in ("image", "mask", "origin") if name in series]]
    binned = small.coarsen(y=by, x=by, boundary="trim").mean(keep_attrs=True) if by > 1 else small
    if "mask" in series:
        binned["mask"] = (binned["mask"] > 1 - 1e-6).assign_attrs(series["mask"].attrs)
    for axis in "yx":
        binned[axis] = binned[axis].assign_attrs(series[axis].attrs)
    return binned


def _posed(series: xr.Dataset, turned: F64) -> xr.Dataset:
    degrees = np.rad2deg(angles(turned))
    return series.assign_coords({name: ("tilt", degrees[:, i], DEGREE) for i, name in enumerate(POSES)})


def _free(series: xr.Dataset, params: HandParams, device: str, memory: int | None) -> F64:
    """Return R1 of each image when it was held out, shape (tilts,)."""
    fold = np.arange(series.sizes["tilt"]) % params.folds
    free = np.full(fold.size, np.nan)
    scheme = Scheme(params.iterations, tolerance=0.0, step=1.0, positive=True)
    iterative = params.iterative(series.sizes["x"], pixel_size(series))
    for number in range(params.folds):
        task = reconstruction_task(series.isel(tilt=fold != number), None, iterative, device=device, memory=memory)
        found = descend(task.projector, task.images, scheme, momentum=True, trusted=task.trusted)
        held = series.isel(tilt=fold == number)
        turned, image = rotations(held), grid(held, "yx", task.step)
        projector = Projector(turned, task.projector.volume, image, device)
        trusted = np.ones((len(turned), *image.shape), bool)
        if params.extended:
            trusted &= whole_rays(turned, image, task.projector.volume)
        if "mask" in held:
            trusted &= held["mask"].transpose("tilt", "y", "x").values.astype(bool)
        values = np.where(trusted, held["image"].transpose("tilt", "y", "x").values, 0).astype(np.float32)
        seen = projector.images_in(trusted.astype(np.float32))
        free[fold == number] = r1_by_tilt(projector.project(found.volume), projector.images_in(values), seen)
    return free


def _compared(values: F64, name: str) -> dict[str, tuple[Any, ...]]:
    """Return R of each meaning and tilt, their means, and their differences from the given angles."""
    told = np.array([difference(one, values[0]) for one in values])
    told[0] = 0.0, 0.0, 1.0
    prefix = name.removesuffix("r_free").removesuffix("r1")
    means = np.array([mean_of_seen(one) for one in values])
    return {
        f"{name}_tilt": (("meaning", "tilt"), values, ONE),
        name: ("meaning", means, ONE),
        f"{prefix}difference": ("meaning", told[:, 0], ONE),
        f"{prefix}difference_error": ("meaning", told[:, 1], ONE),
        f"{prefix}chance": ("meaning", told[:, 2], ONE),
    }


def _verdict(made: dict[str, tuple[Any, ...]], level: float, prefix: str = "") -> tuple[Any, ...]:
    worse, chance = made[f"{prefix}difference"][1], made[f"{prefix}chance"][1]
    return "meaning", np.where(chance < level, np.where(worse > 0, 1.0, 0.0), np.nan), ONE


def _all(verdict: F64, open_question: bool) -> float:
    """Return 0 if any verdict is against the given angles, 1 if all are for them, else NaN."""
    if (verdict == 0).any():
        return 0.0
    return 1.0 if verdict.size and (verdict == 1).all() and not open_question else float("nan")


def _known(
    series: xr.Dataset, atoms: xr.Dataset, turned: dict[str, F64], params: HandParams
) -> dict[str, tuple[Any, ...]]:
    """Return how the images of atoms agree in each meaning."""
    place, width = placed("measure.hand", atoms, series), widths("measure.hand", atoms, params.width)
    height = atoms["intensity"].values.astype(float) if "intensity" in atoms else np.ones(len(place))
    wide = np.hypot(width, pixel_size(series) / np.sqrt(12))
    observed = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    trusted = np.ones(observed.shape, bool)
    if "mask" in series:
        trusted = series["mask"].transpose("tilt", "y", "x").values.astype(bool)
    species = species_of("measure.hand", atoms, params)
    still = np.zeros((len(observed), 2))
    rows = []
    for one in turned.values():
        images = drawn(place, height, wide, species, series, one, still)
        rows.append(agreement(images, observed, trusted, "global").r1)
    made = _compared(np.array(rows), "atoms_r1")
    made["atoms_verdict"] = _verdict(made, params.level, "atoms_")
    differs = np.array([np.abs(one - turned["given"]).max() > np.deg2rad(SAME) for one in turned.values()])
    made["atoms_fit"] = ((), _all(made["atoms_verdict"][1][differs], open_question=False), ONE)
    return made
