"""The Cramer-Rao bound: how well the atoms of a specimen could be known from given images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Dose, Forecast, InputSizes, optional, stage
from aetx.core.information import F64, InformationParams, forecast_of, information, solved
from aetx.core.tilts import TiltParams, count_of, pose_coords, poses, refuse_twice
from aetx.core.tomography import origin
from aetx.kernels.bound import Bound
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS, SCORE, TILT_SERIES, positions

ONE, ANGSTROM, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}
DOSE = 7656.0
"""Electrons per angstrom**2 of an image where nothing says another: 13.1 pA, 12 us, pixels of 0.358 angstrom."""
FLAT = 1e-3
"""Least cosine of theta at which phi and psi are told apart."""


class BoundParams(InformationParams, TiltParams):
    """Parameters of `bound`."""

    dose: Dose | None = Field(
        None, gt=0, le=1e9, description="electrons per area of each image; left out, that of the series, else 7656"
    )
    surface: float = Field(
        1.26,
        gt=0.5,
        le=10,
        description="radius of the alpha shape that tells surface from core, in median distances of nearest neighbours",
    )


def _forecast(inputs: InputSizes, params: BoundParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    images = next((one.get("tilt", 1) for one in inputs.get("like", ())), count_of(params))
    memory, seconds = forecast_of(atoms, images, params, params.chosen(atoms), params.samples)
    return Forecast({"atom": atoms, "axis": 3, "tilt": images}, memory, seconds)


@stage(
    "measure.bound",
    takes={"atoms": ATOMS, "like": optional(TILT_SERIES)},
    gives=SCORE,
    params=BoundParams,
    version=2,
    forecast=_forecast,
)
def bound(atoms: xr.Dataset, like: xr.Dataset | None, params: BoundParams) -> xr.Dataset:
    """Least standard errors that any unbiased method can reach for these atoms from such images (Cramer-Rao).

    The images are those of `simulate.images` times the dose and the pixel's area, plus the background; with mean
    counts m in a pixel, of Poisson noise and of reading noise of variance r**2, the unknowns a, b have the information

        F[a, b] = sum over images and pixels of (d m/d a) (d m/d b) / (m + r**2),     covariance >= inverse(F).

    Where m and r vanish, so does (d m/d a)**2 / m, and such pixels count for nothing. Unknown are the positions, and
    what the parameters set free: angles and shifts of each image by default.

    What no image can tell is taken out, which is the bound after alignment: a turn of the specimen together with all
    angles (with `angles`), its translation together with all shifts (with `shifts`), the height of all atoms together
    with all scales. The pseudo-inverse on what is left is what remains after rigid alignment on all atoms.

    `sigma` is the bound of each atom along each axis, `bound` the root of the mean over atoms of its summed squares,
    to be compared with an RMSD, `bound_axis` the same along x, y, z, `surface_bound` and `core_bound` the same for
    atoms on the outer alpha shape and the others. `electrons` are those expected of each atom in a mean image.
    `sigma_phi`, `sigma_theta`, `sigma_psi`, `sigma_shift_x`, `sigma_shift_y` and `sigma_scale` are the bounds of the
    poses, NaN where the images do not tell them; `sigma_height` (a fraction) and `sigma_width` those of heights and
    widths, of each atom or each element. `method` is 1 where the whole matrix was inverted; else (0) `sigma_error` is
    the standard error of `sigma`, `bound_error` that of `bound`.

    A bound is for a model that is right: channelling, drift within an image, and atoms that were not found add to it.

    References
    ----------
    A. van den Bos, Parameter Estimation for Scientists and Engineers (2007), doi:10.1002/9780470173862, chapter 4;
    S. Van Aert et al., J. Struct. Biol. 138, 21 (2002), doi:10.1016/S1047-8477(02)00016-3 (electron tomography).
    """
    refuse_twice("measure.bound", params, like, "pixel_size")
    angles = poses(params, like)
    dose = _dose(params, like, len(angles))
    place = None if like is None else origin(like)
    made = information("measure.bound", atoms, params, angles, dose, like, place)
    method = params.chosen(atoms.sizes["atom"])
    found = solved("measure.bound", made, params, method, params.samples)
    sigma = _deviation(np.diagonal(found.atoms, axis1=1, axis2=2)[:, :3])
    position = positions(atoms)
    outer = surface(position, params.surface * neighbour_distance(position))
    total = _root_mean(sigma)
    variables: dict[str, Any] = {
        "sigma": (("atom", "axis"), sigma, ANGSTROM),
        "sigma_error": (("atom", "axis"), _half(found.error, sigma), ANGSTROM),
        "bound": ((), total, ANGSTROM),
        "bound_error": ((), 0.5 * found.total_error * total, ANGSTROM),
        "bound_axis": ("axis", np.sqrt((sigma**2).mean(0)), ANGSTROM),
        "surface_bound": ((), _root_mean(sigma[outer]), ANGSTROM),
        "core_bound": ((), _root_mean(sigma[~outer]), ANGSTROM),
        "on_surface": ("atom", outer, ONE),
        "electrons": ("atom", made.scene.height.mean(0), {"units": "count"}),
        "method": ((), int(method == "exact"), ONE),
        **_of_images(found.images, angles, params),
        **_of_atoms(found, params),
    }
    coords = {
        "atom": atoms["atom"].variable,
        "axis": ["x", "y", "z"],
        **pose_coords(angles),
        **_elements(atoms, params),
    }
    told = {"free": params.in_words(), "solved": method}
    return xr.Dataset(variables, coords, told)


def _dose(params: BoundParams, like: xr.Dataset | None, images: int) -> F64:
    if params.dose is None and like is not None and "dose" in like:
        return like["dose"].values.astype(float)
    return np.full(images, DOSE if params.dose is None else params.dose)


def _root_mean(sigma: F64) -> float:
    return float(np.sqrt((sigma**2).sum(1).mean())) if len(sigma) else math.nan


def _deviation(variance: F64) -> F64:
    """Return the root; what rounding left below zero is zero, what is not known NaN."""
    return np.sqrt(np.maximum(variance, 0.0))


def _half(error: F64, sigma: F64) -> F64:
    """Return the standard error of a root from that of its square."""
    return np.divide(0.5 * error, sigma, out=np.zeros_like(error), where=sigma > 0)


def _of_images(each: F64, angles: F64, params: BoundParams) -> dict[str, Any]:
    """Return the bounds of the poses: of Euler angles from those of turns about the axes of the camera."""
    made: dict[str, Any] = {}
    column = 0
    if params.angles:
        psi, theta = np.deg2rad(angles[:, 2]), np.deg2rad(angles[:, 1])
        for name, row in zip(("phi", "theta", "psi"), euler_rates(theta, psi), strict=True):
            square = np.einsum("ta,tab,tb->t", row, each[:, :3, :3], row)
            made[f"sigma_{name}"] = ("tilt", np.rad2deg(_deviation(square)), DEGREE)
        column = 3
    names = (["shift_x", "shift_y"] if params.shifts else []) + (["scale"] if params.scale else [])
    for i, name in enumerate(names, column):
        made[f"sigma_{name}"] = ("tilt", _deviation(each[:, i, i]), ONE if name == "scale" else ANGSTROM)
    return made


def euler_rates(theta: F64, psi: F64) -> tuple[F64, F64, F64]:
    """Return how phi, theta and psi change by small turns about the axes of the camera, each of shape (images, 3).

    A turn w moves p by the cross product of w and p, which R absorbs as R (1 - [w]); its sign does not matter here. In
    the frame of the camera, phi turns about Rx(-psi) Ry(-theta) z, theta about Rx(-psi) y and psi about x. At theta
    near 90 degree phi and psi are one, and NaN.
    """
    zero, flat = np.zeros_like(theta), np.abs(np.cos(theta)) < FLAT
    cosine = np.where(flat, np.nan, np.cos(theta))
    by_phi = np.stack([zero, np.sin(psi) / cosine, np.cos(psi) / cosine], axis=1)
    by_theta = np.stack([zero, np.cos(psi), -np.sin(psi)], axis=1)
    slope = np.sin(theta) / cosine
    by_psi = np.stack([np.where(flat, np.nan, 1.0), slope * np.sin(psi), slope * np.cos(psi)], axis=1)
    return by_phi, by_theta, by_psi


def _of_atoms(found: Bound, params: BoundParams) -> dict[str, Any]:
    """Return the bounds of heights and widths, of each atom or of each element."""
    made: dict[str, Any] = {}
    column, row = 3, 0
    for name, choice, units in (("height", params.heights, ONE), ("width", params.widths, ANGSTROM)):
        if choice == "each":
            made[f"sigma_{name}"] = ("atom", _deviation(found.atoms[:, column, column]), units)
            column += 1
        elif choice == "shared":
            made[f"sigma_{name}"] = ("species", _deviation(found.shared[row]), units)
            row += 1
    return made


def _elements(atoms: xr.Dataset, params: BoundParams) -> dict[str, Any]:
    if "shared" not in (params.heights, params.widths):
        return {}
    return {"species": ("species", np.unique(atoms["species"].values), ONE)}
