"""Atoms drawn into the images of a series, with whatever the atoms know of its poses."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from aetx.core.atoms import column_of, elements_of, finite_positions
from aetx.core.params import Length, Params
from aetx.core.tomography import origin, pixel_size, rotations
from aetx.kernels import rendering
from aetx.kernels.projection import rotation

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
POSES = ("phi", "theta", "psi")
STEP = 1e-3
"""Radian and angstrom by which a pose is moved to see what changes."""


def placed(stage: str, atoms: xr.Dataset, series: xr.Dataset) -> F64:
    """Return the positions from the rotation centre of the series, shape (atoms, 3), x, y, z in angstrom.

    Parameters
    ----------
    stage
        Who asks.
    atoms, series
        Of those kinds.
    """
    place = origin(series)
    return finite_positions(f"{stage}: atoms", atoms) - np.array([place[axis] for axis in "xyz"])


class AtomParams(Params):
    """How atoms look."""

    profile: Literal["kirkland", "gaussian"] = Field(
        "kirkland",
        description="shape of an atom: a Gaussian with the element's scattering factor f(q)/f(0), or without",
    )
    width: Length = Field(0.45, gt=0, le=10, description="Gaussian standard deviation of atoms that have no own width")


def species_of(stage: str, atoms: xr.Dataset, params: AtomParams) -> NDArray[np.int32] | None:
    """Return the atomic number of each atom where its scattering factor matters, else None."""
    return elements_of(stage, atoms) if params.profile == "kirkland" else None


def widths(stage: str, atoms: xr.Dataset, width: float) -> F64:
    """Return the Gaussian width of each atom in angstrom: its own where it has one, else the one given."""
    if "width" in atoms:
        return column_of(stage, atoms, "width", above=0)
    return np.full(atoms.sizes["atom"], width)


def refined(atoms: xr.Dataset, series: xr.Dataset) -> tuple[F64, F64]:
    """Return R of each tilt, shape (tilts, 3, 3), and its shift in angstrom, shape (tilts, 2), x and y.

    They are those that a refinement has left with the atoms, matched by `tilt`; where it has left none, those of the
    series, and no shift.
    """
    turned, shift = rotations(series), np.zeros((series.sizes["tilt"], 2))
    if "tilt" not in atoms.coords:
        return turned, shift
    row = {int(number): i for i, number in enumerate(atoms["tilt"].values)}
    for i, number in enumerate(series["tilt"].values):
        j = row.get(int(number))
        if j is None:
            continue
        if all(name in atoms.coords for name in POSES):
            turned[i] = rotation(*(np.deg2rad(atoms[name].values[[j]].astype(float)) for name in POSES))[0]
        for k, name in enumerate(("shift_x", "shift_y")):
            if name in atoms:
                shift[i, k] = float(atoms[name].values[j])
    return turned, shift


def drawn(
    place: F64,
    height: F64,
    width: F64,
    species: NDArray[np.integer] | None,
    series: xr.Dataset,
    turned: F64,
    shift: F64,
) -> F32:
    """Draw atoms at all tilts, shape (tilts, y, x).

    Parameters
    ----------
    place
        From the rotation centre, shape (atoms, 3), angstrom.
    height
        Integral of each atom over the image, image units times angstrom**2.
    width
        Gaussian standard deviation of each atom, angstrom.
    species
        Atomic number of each, whose scattering factor f(q) / f(0) blurs it too; None for Gaussians.
    series
        Lends the grid of its images.
    turned, shift
        R of each tilt, shape (tilts, 3, 3), and where the rotation centre shows, shape (tilts, 2), angstrom.
    """
    step, shape = pixel_size(series), (series.sizes["y"], series.sizes["x"])
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    made = np.empty((len(turned), *shape), np.float32)
    for i, (turn, moved) in enumerate(zip(turned, shift, strict=True)):
        seen = np.ascontiguousarray(((place @ turn)[:, :2] + moved - corner).T / step)
        if species is None:
            made[i] = rendering.render(seen[0], seen[1], height / step**2, width / step, *shape)
        else:
            made[i] = rendering.scattered(seen[0], seen[1], height / step**2, width / step, species, step, *shape)
    return made


class Drawing(NamedTuple):
    """Atoms, ready to be drawn into images like those of a series; arguments of `drawn`."""

    place: F64
    height: F64
    width: F64
    species: NDArray[np.int32] | None
    series: xr.Dataset

    @classmethod
    def of(cls, stage: str, atoms: xr.Dataset, series: xr.Dataset, params: AtomParams) -> Drawing:
        """Take atoms with their own widths and intensities where they have some."""
        place = placed(stage, atoms, series)
        height = column_of(stage, atoms, "intensity") if "intensity" in atoms else np.ones(len(place))
        return cls(place, height, widths(stage, atoms, params.width), species_of(stage, atoms, params), series)

    def images(self, turned: F64, shift: F64, chosen: NDArray[np.bool_] | None = None) -> F32:
        """Draw all atoms, or those chosen, shape (tilts, y, x)."""
        keep = np.ones(len(self.place), bool) if chosen is None else chosen
        species = None if self.species is None else self.species[keep]
        return drawn(self.place[keep], self.height[keep], self.width[keep], species, self.series, turned, shift)


class Posed(NamedTuple):
    """R of an image, shape (3, 3), errors of its turn about the camera's x, y, z in radian, and R1 of the atoms."""

    turned: F64
    error: F64
    r1: float


def posed(drawing: Drawing, turned: F64, shift: F64, image: F64, trusted: NDArray[np.bool_]) -> Posed:
    """Fit turn, shift, scale and background of atoms to one image, in least squares.

    Parameters
    ----------
    drawing
        The atoms.
    turned, shift
        Where to begin: R, shape (3, 3), and x, y in angstrom, shape (2,).
    image, trusted
        Shape (y, x).
    """
    observed = image[trusted]

    def residual(state: F64) -> F64:
        moved = turned @ Rotation.from_rotvec(state[:3]).as_matrix()
        shown = drawing.images(moved[None], (shift + state[3:])[None])[0][trusted].astype(float)
        basis = np.stack([shown, np.ones(shown.size)], axis=1)
        return np.asarray(basis @ np.linalg.lstsq(basis, observed, rcond=None)[0] - observed)

    def slopes(state: F64) -> F64:
        steps = STEP * np.eye(5)
        return np.stack([(residual(state + one) - residual(state - one)) / (2 * STEP) for one in steps], axis=1)

    found = least_squares(residual, np.zeros(5), jac=slopes, x_scale="jac", max_nfev=20)
    slope = slopes(found.x)
    noise = float((found.fun**2).sum()) / max(1, observed.size - 7)
    covariance = np.linalg.pinv(slope.T @ slope) * noise
    total = float(np.abs(observed).sum())
    return Posed(
        turned=turned @ Rotation.from_rotvec(found.x[:3]).as_matrix(),
        error=np.sqrt(np.diag(covariance)[:3]),
        r1=float(np.abs(found.fun).sum()) / total if total > 0 else float("nan"),
    )
