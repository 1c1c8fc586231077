"""How noise grows with intensity: its variance on small blocks against their mean, and the line through both.

For counts z = gain * Poisson(electrons) + offset + Normal(0, read_noise) the variance is gain * (mean - offset) +
read_noise**2: a line, whose slope is the gain. Offset and read noise enter only its intercept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

ROUGH = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70)
"""Fourth difference of norm 1: along both axes it passes the corners of Fourier space, where images have noise only."""
ROUNDS = 30
CLIPPED = 4.0
"""Standard deviations above the line from which a block counts as structure, not noise."""
PARTS = 8
"""Ranges of intensity whose medians make the first line."""
FLOOR = 0.05
"""Least expected variance, as a fraction of the median: a line may fall below zero, where weights have no meaning."""
LEAST = 16
"""Fewest blocks that make a line."""


class NoiseLine(NamedTuple):
    """Variance = slope * mean + intercept, and the covariance of both, shape (2, 2)."""

    slope: float
    intercept: float
    covariance: F64


class Noise(NamedTuple):
    """Gain, offset and read noise, and their standard errors."""

    gain: float
    offset: float
    read_noise: float
    gain_error: float
    offset_error: float
    read_noise_error: float


def from_image(image: F32, trusted: NDArray[np.bool_], edge: int) -> tuple[F64, F64]:
    """Return mean and noise variance of the square blocks of one image whose noise is white.

    The variance is that of the fourth difference along both axes, which what a microscope resolves hardly reaches.

    Parameters
    ----------
    image
        Shape (rows, columns), finite where trusted.
    trusted
        Pixels to use, same shape; blocks with any other are NaN.
    edge
        Edge of a block in pixels.

    Returns
    -------
    Two arrays of shape (blocks,).
    """
    safe = np.where(trusted, image, 0).astype(np.float64)
    rough = correlate1d(correlate1d(safe, ROUGH, 0, mode="mirror"), ROUGH, 1, mode="mirror")
    margin = len(ROUGH) // 2
    usable = correlate1d(correlate1d((~trusted).astype(float), np.ones(5), 0, mode="constant"), np.ones(5), 1) == 0
    usable[:margin] = usable[len(usable) - margin :] = False
    usable[:, :margin] = usable[:, usable.shape[1] - margin :] = False
    return _means(safe, usable, edge), _means(rough**2, usable, edge)


def from_frames(frames: F32, trusted: NDArray[np.bool_], edge: int) -> tuple[F64, F64]:
    """Return mean and noise variance of the square blocks of frames that show the same, shape (frames, rows, columns).

    The variance is that between frames, pixel by pixel, so that no structure of the image is in it, and averaged.
    """
    safe = np.where(trusted, frames, 0).astype(np.float64)
    usable = np.asarray(np.broadcast_to(trusted, frames.shape).all(axis=0))
    return _means(safe.mean(axis=0), usable, edge), _means(safe.var(axis=0, ddof=1), usable, edge)


def _means(image: F64, usable: NDArray[np.bool_], edge: int) -> F64:
    """Return the mean of each block, NaN where a pixel of it is not usable, in order of rows."""
    rows, columns = (size // edge * edge for size in image.shape)
    shape = rows // edge, edge, columns // edge, edge
    mean = image[:rows, :columns].reshape(shape).mean(axis=(1, 3))
    whole = usable[:rows, :columns].reshape(shape).all(axis=(1, 3))
    return np.where(whole, mean, np.nan).ravel()


def line(mean: F64, variance: F64) -> NoiseLine | None:
    """Return the line through variances against means of blocks, neither below zero for counts; None without enough.

    Weighted least squares; the weights are one over the square of the line, in turns. Blocks that lie far above it
    show structure and are left out. In Poisson noise the mean of a block errs with its variance along the line itself
    (the covariance is gain times the variance), so that noisy means do not tilt it. The covariance is that of a
    regression whose residuals are what they are.
    """
    finite = np.isfinite(mean) & np.isfinite(variance)
    mean, variance = mean[finite], variance[finite]
    if mean.size < LEAST or not np.any(variance > 0):
        return None
    design = np.stack([mean, np.ones_like(mean)], axis=1)
    parts = np.array_split(np.argsort(mean, kind="stable"), PARTS)
    middle = np.array([[np.median(mean[part]), 1, np.median(variance[part])] for part in parts])
    found = np.linalg.lstsq(middle[:, :2], middle[:, 2], rcond=None)[0]
    used = np.zeros(mean.shape, bool)
    for _ in range(ROUNDS):
        expected = np.maximum(design @ found, FLOOR * np.median(variance))
        before, used = used, _plausible(variance / expected)
        weight = used / expected**2
        found = _solved(design, weight, variance)
        if np.array_equal(before, used):
            break
    inverse = np.linalg.pinv(design.T @ (weight[:, None] * design))
    residual = weight * (variance - design @ found)
    covariance = inverse @ (design.T @ (residual[:, None] ** 2 * design)) @ inverse
    return NoiseLine(float(found[0]), float(found[1]), covariance)


def _solved(design: F64, weight: F64, values: F64) -> F64:
    root = np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(root[:, None] * design, root * values, rcond=None)[0])


def _plausible(ratio: F64) -> NDArray[np.bool_]:
    """Tell which variances, over the expected ones, are not above what noise can make them.

    The cube root of a variance is close to normal (E. B. Wilson, M. M. Hilferty, Proceedings of the National Academy
    of Sciences 17, 684 (1931), doi:10.1073/pnas.17.12.684); structure only adds, so that the spread is taken from
    below the median.
    """
    root = np.cbrt(ratio)
    middle = np.median(root)
    spread = np.sqrt(np.mean((root[root <= middle] - middle) ** 2))
    return np.asarray(root <= middle + CLIPPED * spread)


def noise_of(line: NoiseLine, offset: float | None) -> Noise:
    """Return gain, offset and read noise that make a line, with standard errors to first order.

    A line has two numbers. With the offset given (its error is 0), the read noise follows; without, the offset is 0,
    or, where no read noise could explain so low a line, the level at which the line is zero, without read noise. A
    falling line means no gain.
    """
    slope, intercept, covariance = max(line.slope, 0.0), line.intercept, line.covariance
    gain_error = float(np.sqrt(covariance[0, 0]))
    if offset is None and intercept < 0 < slope:
        zero = -intercept / slope
        towards = np.array([zero, 1.0])
        return Noise(slope, zero, 0.0, gain_error, _root(towards @ covariance @ towards) / slope, 0.0)
    level = 0.0 if offset is None else offset
    square = intercept + slope * level
    towards = np.array([level, 1.0])
    error = _root(towards @ covariance @ towards)
    read = float(np.sqrt(max(square, 0.0)))
    read_error = min(error / (2 * read), float(np.sqrt(error))) if read > 0 else float(np.sqrt(error))
    return Noise(slope, level, read, gain_error, 0.0, read_error)


def _root(value: float) -> float:
    return float(np.sqrt(max(value, 0.0)))
