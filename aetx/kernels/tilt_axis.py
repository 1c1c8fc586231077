"""Where the tilt axis lies in the images: its direction from common lines, its position from centres of mass."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation

from aetx.kernels.common_lines import C128, transforms
from aetx.kernels.image_shift import F32
from aetx.kernels.projection import F64, Grid

STEPS = 6
"""Rounds in which the shifts along the axis are fitted for one direction of it."""


NEAR = 3
"""Neighbouring frequencies over which the power of differences is averaged."""


class Azimuth(NamedTuple):
    """By how much the axis is turned from where it is stated, radian, from x to y; its error; trials, their misfit."""

    angle: float
    error: float
    trial: F64
    misfit: F64


def azimuth(images: F32, grid: Grid, stated: F64, frequency: F64, reach: float, step: float) -> Azimuth:
    """Return by how much the tilt axis of a single-axis series is turned in all images.

    The images summed across the axis are the same for all tilts, but for a shift. For each trial direction the
    transforms of these sums are shifted upon each other; the misfit is what then differs from their mean, as a
    fraction of all. Trials over the whole reach, first with all frequencies alike, then each weighted by one over the
    power of what differs at the best trial; then Brent's method. The error is the jackknife's over the images.

    Parameters
    ----------
    images
        Shape (tilts, y, x), each with the same total.
    grid
        Of the images, in pixels from the rotation centre.
    stated
        Where the axis is stated to lie in each image: angle from y, radian, shape (tilts,).
    frequency
        Spatial frequencies that are compared, 1/pixel.
    reach, step
        Greatest angle that is tried, and the step between trials, radian.
    """
    trial = np.asarray(np.arange(-round(reach / step), round(reach / step) + 1) * step, float)

    apart, member = np.unique(np.round(stated, 9), return_inverse=True)

    def lines(angle: float) -> C128:
        made = np.empty((len(images), len(frequency)), np.complex128)
        for number, one in enumerate(apart):
            axis = np.array([[-math.sin(one + angle), math.cos(one + angle)]])
            made[member == number] = transforms(images[member == number], grid, axis, frequency)[:, 0]
        return made

    first = [lines(angle) for angle in trial]
    rough = int(np.argmin([_misfit(_laid(one, frequency)) for one in first]))
    weight = _weight(_laid(first[rough], frequency))
    misfit = np.array([_misfit(_laid(one * weight, frequency)) for one in first])
    best = int(np.clip(misfit.argmin(), 1, len(trial) - 2))
    found = minimize_scalar(
        lambda angle: _misfit(_laid(lines(angle) * weight, frequency)),
        bounds=(trial[best - 1], trial[best + 1]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    around = float(found.x) + 0.5 * step * np.array([-1.0, 0.0, 1.0])
    spread = np.array([_without_each(_laid(lines(angle) * weight, frequency)) for angle in around])
    bend = spread[0] - 2 * spread[1] + spread[2]
    left = 0.25 * step * (spread[0] - spread[2]) / np.where(bend > 0, bend, np.nan)
    count = len(images)
    error = float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))
    return Azimuth(float(found.x), error, trial, misfit)


def azimuth_of(turned: F64) -> float:
    """Return the angle from y of the mean axis about which images turn into each other, radian, counted from x to y.

    Parameters
    ----------
    turned
        R of each image, shape (tilts, 3, 3); the frame of the specimen does not matter.
    """
    mean = _mean_axis(turned)
    return math.atan2(-mean[0], mean[1])


def axes_in(turned: F64) -> F64:
    """Return the angle from y at which one axis of the specimen, that of all turns, lies in each image, radian."""
    axis = _mean_axis(turned.transpose(0, 2, 1))
    seen = np.einsum("tij,i->tj", turned, axis)
    return np.asarray(np.arctan2(-seen[:, 0], seen[:, 1]))


def _mean_axis(turned: F64) -> F64:
    """Return the mean axis of transpose(R_i) R_j over all pairs, its y above zero."""
    first, second = np.triu_indices(len(turned), 1)
    turns = np.einsum("nji,njk->nik", turned[first], turned[second])
    axes = Rotation.from_matrix(turns).as_rotvec()
    return np.asarray((axes * np.where(axes[:, 1:2] < 0, -1.0, 1.0)).sum(axis=0))


def _laid(lines: C128, frequency: F64) -> C128:
    """Return lines shifted upon their mean."""
    laid, angular = lines.copy(), 2 * math.pi * frequency
    for _ in range(STEPS):
        mean = laid.mean(axis=0)
        phased = mean.conj() * laid
        slope = -(angular * phased.imag).sum(axis=1)
        bend = (angular**2 * np.abs(phased)).sum(axis=1)
        step = slope / np.where(bend > 0, bend, 1.0)
        laid *= np.exp(2j * math.pi * np.outer(step, frequency))
        if np.abs(step).max() < 1e-6:
            break
    return laid


def _weight(laid: C128) -> F64:
    """Return one over the root of the power by which lines differ at each frequency, averaged over neighbours."""
    power = (np.abs(laid - laid.mean(axis=0)) ** 2).mean(axis=0)
    smooth = uniform_filter1d(power, NEAR, mode="nearest")
    return np.asarray(1 / np.sqrt(np.maximum(smooth, 1e-12 * float((np.abs(laid) ** 2).max()) + np.finfo(float).tiny)))


def _misfit(laid: C128) -> float:
    total = float((np.abs(laid) ** 2).sum())
    return 1 - float((np.abs(laid.sum(axis=0)) ** 2).sum()) / (len(laid) * total) if total > 0 else 0.0


def _without_each(laid: C128) -> F64:
    """Return the misfit of the others for each line left out."""
    total, power = laid.sum(axis=0), (np.abs(laid) ** 2).sum(axis=1)
    rest = (np.abs(total - laid) ** 2).sum(axis=1)
    others = power.sum() - power
    return np.asarray(1 - rest / ((len(laid) - 1) * others))


class Position(NamedTuple):
    """How far the axis lies beside the rotation centre, its standard error, and what is left of each image."""

    offset: float
    error: float
    residual: F64


def position(across: F64, theta: F64, variance: F64) -> Position:
    """Return the offset of the axis from centres of mass across it, in the unit of these.

    A centre at x0, z0 in the specimen is seen at offset + x0 cos theta - z0 sin theta. Weighted least squares; the
    error is that by the scatter around the fit.

    Parameters
    ----------
    across
        Centres of mass, shape (tilts,).
    theta
        Tilts, radian.
    variance
        Of each centre.
    """
    basis = np.stack([np.ones_like(theta), np.cos(theta), -np.sin(theta)], axis=1)
    weight = 1 / np.sqrt(np.maximum(variance, 1e-6 * float(variance.max()) + 1e-30))
    best = np.linalg.lstsq(basis * weight[:, None], across * weight, rcond=None)[0]
    residual = across - basis @ best
    inverse = np.linalg.pinv((basis * weight[:, None]).T @ (basis * weight[:, None]))
    excess = float(((residual * weight) ** 2).sum()) / max(1, len(theta) - 3)
    return Position(float(best[0]), float(np.sqrt(inverse[0, 0] * excess)), residual)


def falling(theta: F64) -> NDArray[np.bool_]:
    """Tell which tilts are below the one before; equal ones go with that one, the first ones with the next."""
    way = np.sign(np.diff(theta))
    moved = np.flatnonzero(way)
    if not moved.size:
        return np.zeros(theta.size, bool)
    last = np.maximum.accumulate(np.where(way != 0, np.arange(way.size), moved[0]))
    return np.concatenate([[way[moved[0]] < 0], way[last] < 0])


def backlash(turn: F64, theta: F64, down: NDArray[np.bool_], error: F64) -> tuple[float, float]:
    """Return by how much more falling images are turned, beside a parabola in theta, and its standard error, radian.

    Parameters
    ----------
    turn, error
        About the tilt axis, and its standard error, radian, shape (tilts,).
    theta
        Stated tilts, radian.
    down
        Which of them fell.
    """
    basis = np.stack([np.ones_like(theta), theta, theta**2, down.astype(float)], axis=1)
    weight = 1 / np.maximum(error, 1e-3 * float(np.median(error)) + 1e-12)
    scaled = basis * weight[:, None]
    best = np.linalg.lstsq(scaled, turn * weight, rcond=None)[0]
    excess = float(((turn - basis @ best) ** 2 * weight**2).sum()) / max(1, theta.size - basis.shape[1])
    return float(best[3]), float(np.sqrt(np.linalg.pinv(scaled.T @ scaled)[3, 3] * excess))
