"""Shifts of images from the line that any two projections have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from aetx.kernels.image_shift import F32
from aetx.kernels.projection import F64, Grid

C128 = NDArray[np.complex128]
I64 = NDArray[np.intp]

FINE = 0.05
"""Step of the search for the shift along a common line, pixel."""
NEAR = 5
"""Neighbouring frequencies over which the power of differences is averaged."""
ROUNDS = 4
"""How often displacements and weights of frequencies are found in turn."""


@dataclass(frozen=True)
class Pairs:
    """Images i and j, and the direction of their common line in each, shape (pairs, 2): x, y, of length one."""

    first: I64
    second: I64
    first_line: F64
    second_line: F64


@dataclass(frozen=True)
class Found:
    """Shift of each image (x, y) in pixels, shape (tilts, 2), and its covariance, shape (tilts, 2, 2)."""

    shift: F64
    covariance: F64


def common_lines(turned: F64, least: float) -> Pairs:
    """Return the common lines of all pairs of images whose beams differ by at least an angle, in radian.

    The planes normal to the beams n_i and n_j meet in n_i x n_j, which shows in image i along the x and y of
    transpose(R_i) (n_i x n_j).
    """
    beam = turned[:, :, 2]
    first, second = np.triu_indices(len(turned), 1)
    along = np.cross(beam[first], beam[second])
    length = np.linalg.norm(along, axis=1)
    kept = length > math.sin(least)
    first, second, along = first[kept], second[kept], along[kept] / length[kept, None]
    lines = [np.einsum("nij,ni->nj", turned[i], along)[:, :2] for i in (first, second)]
    return Pairs(first, second, *lines)


def frequencies(size: int, limit: float) -> F64:
    """Return the spatial frequencies of lines that are `size` pixels long, in 1/pixel, above zero up to a limit."""
    return np.arange(1, max(2, math.floor(limit * size) + 1)) / size


def transforms(images: F32, grid: Grid, lines: F64, frequency: F64) -> C128:
    """Return sum I(r) exp(-2 pi i k e.r) along lines e through the rotation centre.

    By the projection theorem it is the transform of the image summed across the line.

    Parameters
    ----------
    images
        Shape (tilts, y, x).
    grid
        Of the images, in pixels from the rotation centre.
    lines
        Directions x, y of length one, shape (lines, 2).
    frequency
        1/pixel.

    Returns
    -------
    Shape (tilts, lines, frequencies).
    """
    y, x = (start + np.arange(size) for start, size in zip(grid.start, grid.shape, strict=True))
    rows = images.reshape(-1, x.size).astype(np.float64)
    made = np.empty((len(images), len(lines), len(frequency)), np.complex128)
    for number, (across, up) in enumerate(lines):
        phase = 2 * math.pi * across * np.outer(x, frequency)
        even, odd = ((rows @ part).reshape(len(images), y.size, -1) for part in (np.cos(phase), np.sin(phase)))
        down = 2 * math.pi * up * np.outer(y, frequency)
        c, s = np.cos(down), np.sin(down)
        made[:, number].real = (c * even - s * odd).sum(axis=1)
        made[:, number].imag = -(s * even + c * odd).sum(axis=1)
    return made


def profiles(image: F32, grid: Grid, lines: F64, place: F64) -> F64:
    """Return an image summed across lines through the rotation centre, shape (lines, places).

    Each pixel is shared out between the two nearest places.
    """
    y, x = (start + np.arange(size) for start, size in zip(grid.start, grid.shape, strict=True))
    made = np.empty((len(lines), len(place)))
    for row, (across, up) in enumerate(lines):
        where = (across * x + up * y[:, None] - place[0]).ravel()
        below = np.floor(where).astype(int)
        part = where - below
        for step, weight in ((0, 1 - part), (1, part)):
            inside = (below + step >= 0) & (below + step < len(place))
            values = (weight * image.ravel())[inside]
            if step == 0:
                made[row] = np.bincount((below + step)[inside], values, len(place))
            else:
                made[row] += np.bincount((below + step)[inside], values, len(place))
    return made


def displacements(first: C128, second: C128, frequency: F64, reach: float) -> tuple[F64, F64]:
    """Return how far lines lie from others, and the variances, in Fourier space, shapes (pairs,).

    The sum of weighted |first exp(-2 pi i k d) - second|**2 is least at d; each frequency is weighted by one over the
    power of the differences there, averaged over all pairs. With the weighted difference r and slope g along a line,
    the variance is sum of r**2 g**2 over the square of sum g**2: it holds for noise that is stronger where the
    specimen is.

    Parameters
    ----------
    first, second
        Shape (pairs, frequencies).
    frequency
        1/pixel.
    reach
        Greatest displacement, pixel.
    """
    trial, angular = np.arange(-reach, reach + FINE / 2, FINE), 2 * math.pi * frequency
    waves = np.exp(1j * np.outer(angular, trial))
    weight, variance = np.ones(len(frequency)), np.zeros(len(first))
    apart = trial[((weight * first.conj() * second) @ waves).real.argmax(axis=1)]
    for _ in range(ROUNDS):
        laid = first * np.exp(-1j * np.outer(apart, angular))
        power = uniform_filter1d((np.abs(laid - second) ** 2).mean(axis=0), NEAR, mode="nearest")
        weight = 1 / np.maximum(power, 1e-12 * float((np.abs(first) ** 2).max()) + np.finfo(float).tiny)
        cross = weight * laid.conj() * second
        curvature = np.abs(cross) @ angular**2
        step = -(cross.imag @ angular) / np.where(curvature > 0, curvature, 1.0)
        apart = np.clip(apart + step, -reach, reach)
    laid = first * np.exp(-1j * np.outer(apart, angular))
    left, slope = (_along(np.sqrt(weight) * part) for part in (laid - second, 1j * angular * laid))
    square = (slope**2).sum(axis=1)
    variance = (left**2 * slope**2).sum(axis=1) / np.where(square > 0, square, 1.0) ** 2
    return apart, np.where(square > 0, variance, math.inf)


def differences(first: F64, second: F64, reach: float) -> tuple[F64, F64]:
    """Return how far profiles lie from others, and the variances, in real space, shapes (pairs,).

    Parameters
    ----------
    first, second
        Shape (pairs, places).
    reach
        Greatest displacement, pixel.
    """
    found = np.array([_difference(*pair, reach) for pair in zip(first, second, strict=True)])
    return found[:, 0], found[:, 1]


def _difference(first: F64, second: F64, reach: float) -> tuple[float, float]:
    """Return how far a profile lies from another, and the variance: the sum of absolute differences is least.

    Profiles have totals of one; between their places they are linear. The variance is that of the median: pi / 2 times
    the mean square difference over the sum of squared slopes.
    """
    place = np.arange(len(first), dtype=float)
    one, other = (values / (np.abs(values).sum() or 1.0) for values in (first, second))

    def misfit(step: float) -> float:
        return float(np.abs(np.interp(place - step, place, one) - other).sum())

    trial = np.arange(-reach, reach + FINE / 2, FINE)
    values = np.array([misfit(step) for step in trial])
    i = int(np.clip(values.argmin(), 1, len(trial) - 2))
    before, here, after = values[i - 1 : i + 2]
    bend = before - 2 * here + after
    best = float(trial[i] + (0.5 * FINE * (before - after) / bend if bend > 0 else 0.0))
    slope = np.gradient(np.interp(place - best, place, one))
    square = float((slope**2).sum())
    if square == 0:
        return best, math.inf
    left = np.interp(place - best, place, one) - other
    return best, 0.5 * math.pi * float((left**2).mean()) / square


def shifts(pairs: Pairs, apart: F64, variance: F64, turned: F64, prior: float) -> Found:
    """Return the shift of each image from how far common lines lie from each other.

    Each pair says e_j . s_j - e_i . s_i; the weighted squares of what is left are least, with a standard deviation
    before. Half the variance of a pair is that of either image, whose noise moves it as a whole and so is shared by all
    its pairs, along their lines. Shifts that one translation of the specimen makes are taken out of result and
    covariance.

    Parameters
    ----------
    pairs
        As `common_lines` returns them.
    apart, variance
        How far the second line lies from the first, and its variance, shape (pairs,).
    turned
        R of each image, shape (tilts, 3, 3).
    prior
        Standard deviation of the shifts before the fit, pixel.
    """
    count, rows = len(turned), np.arange(len(apart))
    gauge = turned[:, :, :2].transpose(0, 2, 1).reshape(-1, 3)
    design = np.zeros((len(apart), count, 2))
    design[rows, pairs.first] -= pairs.first_line
    design[rows, pairs.second] += pairs.second_line
    flat = design.reshape(len(apart), -1)
    weight = np.where(np.isfinite(variance) & (variance > 0), 1 / np.where(variance > 0, variance, 1.0), 0.0)
    normal = flat.T @ (weight[:, None] * flat) + np.eye(2 * count) / prior**2
    inverse = np.linalg.inv(normal)
    shift = (inverse @ (flat.T @ (weight * apart))).reshape(count, 2)
    spread = inverse / prior**2 @ inverse
    for i in range(count):
        mine = np.flatnonzero(((pairs.first == i) | (pairs.second == i)) & (weight > 0))
        if not mine.size:
            continue
        of_first = (pairs.first[mine] == i)[:, None]
        line = np.where(of_first, -pairs.first_line[mine], pairs.second_line[mine])
        size = np.sqrt(variance[mine] / 2)
        noise = (line @ line.T) * np.outer(size, size)
        lever = inverse @ (flat[mine] * weight[mine, None]).T
        spread += lever @ noise @ lever.T
    told = np.eye(2 * count) - gauge @ np.linalg.pinv(gauge, rcond=1e-6)
    blocks = (told @ spread @ told.T).reshape(count, 2, count, 2)
    shift = (told @ shift.ravel()).reshape(count, 2)
    return Found(shift, np.stack([blocks[i, :, i] for i in range(count)]))


def _along(waves: C128) -> F64:
    """Return what has these coefficients above zero frequency, along each line."""
    ends = np.zeros((len(waves), 1))
    return np.asarray(np.fft.irfft(np.concatenate([ends, waves, ends], axis=1), axis=1))
