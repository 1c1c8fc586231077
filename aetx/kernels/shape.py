"""The shape of atoms in a volume: Gaussians fitted to the average atom, second moments of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares

from aetx.kernels.scattering import kirkland

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

UNKNOWNS = 11
"""Of a Gaussian with its background: height, background, three of its centre, six of its covariance."""
MOST = 40
"""Most evaluations of a fit: a peak needs some ten."""
HIGHEST = 3.5
"""Spatial frequency beyond which no atom of 0.1 angstrom or more has anything, 1/angstrom."""
FREQUENCIES = 1500
"""Frequencies at which a scattering factor is integrated."""
NARROWEST, WIDEST = 0.1, 3.0
"""Between which Gaussian widths are looked for, angstrom."""


@dataclass(frozen=True)
class Shape:
    """A Gaussian: height, background, centre, shape (3,), and covariance, shape (3, 3), in units of the places."""

    height: float
    background: float
    centre: F64
    covariance: F64

    @property
    def known(self) -> bool:
        """Whether there is one."""
        return bool(np.isfinite(self.height))


UNDEFINED = Shape(np.nan, np.nan, np.full(3, np.nan), np.full((3, 3), np.nan))


def gaussian(values: F64, place: F64) -> Shape:
    """Fit ``height * exp(-(r - c) . inverse(C) (r - c) / 2) + background`` in least squares.

    Parameters
    ----------
    values
        Shape (points,).
    place
        Where they are, from about the middle of the peak, shape (points, 3).

    Returns
    -------
    The Gaussian, or an undefined one where there are too few values, or the best fit is no peak.
    """
    if len(values) <= UNKNOWNS or not np.isfinite(values).all():
        return UNDEFINED
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return UNDEFINED
    reach = float(np.sqrt((place**2).sum(axis=1).max()))
    scaled, values = place / reach, (values - low) / (high - low)
    rows, columns = np.tril_indices(3)

    def factor(state: F64) -> F64:
        lower = np.zeros((3, 3))
        lower[rows, columns] = state[5:]
        return lower

    def residual(state: F64) -> F64:
        turned = (scaled - state[2:5]) @ factor(state)
        model: F64 = state[0] * np.exp(-0.5 * (turned**2).sum(axis=1)) + state[1]
        return model - values

    start = np.concatenate([[1.0, 0.0], np.zeros(3), 2.5 * np.eye(3)[rows, columns]])
    found = least_squares(residual, start, x_scale="jac", max_nfev=MOST)
    inverse = factor(found.x) @ factor(found.x).T
    least = float(np.linalg.eigvalsh(inverse).min())
    if not found.success or found.x[0] <= 0 or least < 1e-2:
        return UNDEFINED
    return Shape(
        height=float(found.x[0]) * (high - low),
        background=float(found.x[1]) * (high - low) + low,
        centre=found.x[2:5] * reach,
        covariance=np.asarray(np.linalg.inv(inverse) * reach**2, np.float64),
    )


def along_and_across(covariance: F64, beam: F64) -> tuple[float, float]:
    """Return the widths along a direction, and across it (the root of the product of the two), of a covariance."""
    along = float(np.sqrt(beam @ covariance @ beam))
    plane = np.linalg.svd(beam[None])[2][1:]
    return along, float(np.linalg.det(plane @ covariance @ plane.T) ** 0.25)


def moments(boxes: F32, place: F64, average: Shape) -> F64:
    """Return the covariance of each atom, shape (atoms, 3, 3), as an average atom of this shape would have its own.

    Second moments under the window of the average atom, without its background, and then without the window: exact for
    Gaussians, and close to it where a box cuts their tails. NaN where they are not those of any peak.

    Parameters
    ----------
    boxes
        Density around each atom, shape (atoms, points).
    place
        Where the points are from the atom, shape (points, 3).
    average
        Shape of the average atom.
    """
    precision = np.linalg.inv(average.covariance)
    off = place - average.centre
    window = np.exp(-0.5 * np.einsum("pi,ij,pj->p", off, precision, off))
    under = _windowed((window * average.height)[None], off, window)[0]
    found = np.full((len(boxes), 3, 3), np.nan)
    seen = _windowed(boxes.astype(np.float64) - average.background, off, window)
    peak = np.flatnonzero(np.isfinite(seen).all(axis=(1, 2)))
    peak = peak[np.linalg.eigvalsh(seen[peak])[:, 0] > 0]
    inverse = np.linalg.inv(seen[peak]) - (np.linalg.inv(under) - precision)
    values, vectors = np.linalg.eigh(inverse)
    good = values[:, 0] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.einsum("nik,nk,njk->nij", vectors, 1 / values, vectors)
    made[~good] = np.nan
    found[peak] = made
    return found


def _windowed(values: F64, off: F64, window: F64) -> F64:
    weight = values * window
    total = weight.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(total > 0, total, np.nan)
        mean = weight @ off / total[:, None]
        square = np.einsum("np,pi,pj->nij", weight, off, off, optimize=True) / total[:, None, None]
    return np.asarray(square - mean[:, :, None] * mean[:, None, :])


def stretches(covariance: F64, average: F64) -> tuple[F64, F64]:
    """Return by how much each atom is longest over the average one, shape (atoms,), and in which direction.

    Parameters
    ----------
    covariance
        Of each atom, shape (atoms, 3, 3); NaN where it is not known.
    average
        Shape (3, 3).
    """
    size, turned = np.linalg.eigh(average)
    half = turned * np.sqrt(size) @ turned.T
    whitened = np.linalg.inv(half)
    known = np.isfinite(covariance).all(axis=(1, 2))
    values, vectors = np.linalg.eigh(whitened @ covariance[known] @ whitened)
    most, axis = np.full(len(covariance), np.nan), np.full((len(covariance), 3), np.nan)
    most[known] = np.sqrt(values[:, -1])
    longest = vectors[:, :, -1] @ half
    longest /= np.linalg.norm(longest, axis=1, keepdims=True)
    axis[known] = longest * np.where(longest[:, 2:] < 0, -1, 1)
    return most, axis


def outliers(values: F64) -> F64:
    """Return how far each value is above the median, over the spread of those above it; NaN stays."""
    known = values[np.isfinite(values)]
    if not known.size:
        return values.copy()
    middle = float(np.median(known))
    above = known[known > middle] - middle
    spread = 1.4826 * float(np.median(above)) if above.size else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(values == middle, 0.0, (values - middle) / spread))


def apparent(number: int, width: float, radius: F64, background: bool) -> float:
    """Return the width of the Gaussian that fits an atom best, which a Gaussian and its scattering factor blur.

    The density is the three-dimensional transform of exp(-2 pi**2 width**2 q**2) f(q) / f(0).

    Parameters
    ----------
    number
        Atomic number.
    width
        Of the Gaussian that is applied, angstrom.
    radius
        Distances from the atom at which the density is fitted, with equal weights, angstrom, shape (points,).
    background
        Fit a constant too.
    """
    q = np.linspace(0.0, HIGHEST, FREQUENCIES)
    power = q**2 * kirkland(number, q) * np.exp(-2 * (np.pi * width * q) ** 2)
    distance, back = np.unique(np.round(radius, 6), return_inverse=True)
    values = (np.sinc(2 * q * distance[:, None]) @ power)[back.reshape(-1)]
    values /= values.max()

    def residual(state: F64) -> F64:
        basis = np.stack([np.exp(-0.5 * (radius / state[0]) ** 2)] + [np.ones(radius.size)] * background, axis=1)
        model: F64 = basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
        return model - values

    return float(least_squares(residual, [width + 0.07], bounds=(0.02, np.inf)).x[0])


def applied(number: int, width: float, radius: F64, background: bool) -> float:
    """Return the width to apply so that the apparent one is `width`; NaN where none is. Arguments as for `apparent`."""

    def off(trial: float) -> float:
        return apparent(number, trial, radius, background) - width

    if not np.isfinite(width) or off(NARROWEST) > 0 or off(WIDEST) < 0:
        return float("nan")
    return float(brentq(off, NARROWEST, WIDEST, xtol=1e-4))
