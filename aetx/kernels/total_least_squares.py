"""Straight lines through points with errors in both coordinates, and how sure they are where errors are shared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class Line(NamedTuple):
    """Slope of a line and Pearson's correlation, with standard errors."""

    slope: float
    slope_error: float
    correlation: float
    correlation_error: float


def fit(x: F64, y: F64, ratio: float, block: I64, draws: F64) -> Line:
    """Return the line that is nearest to points, errors of y being sqrt(ratio) times those of x.

    With the variances sxx, syy and the covariance sxy of the points the slope is
    (syy - ratio sxx + sqrt((syy - ratio sxx)**2 + 4 ratio sxy**2)) / (2 sxy). Ordinary least squares, which takes x
    for exact, has too flat a line. Errors are half of what holds 68 % of the resamples, in which blocks of neighbours
    are drawn with replacement, so that what neighbours share is not taken for agreement.

    Parameters
    ----------
    x, y
        Finite, shape (points,).
    ratio
        Variance of the errors of y over that of x.
    block
        Which block each point is in, from 0, shape (points,).
    draws
        How often each block is in each resample, shape (resamples, blocks).

    Returns
    -------
    The line; NaN where there are fewer than three points, and errors of NaN where there are fewer than three blocks.

    References
    ----------
    W. E. Deming, Statistical Adjustment of Data (1943); W. A. Fuller, Measurement Error Models (1987),
    doi:10.1002/9780470316665, section 1.3.
    """
    if len(x) < 3:
        return Line(*[float("nan")] * 4)
    x, y = x - x.mean(), y - y.mean()
    parts = np.zeros((draws.shape[1], 6))
    np.add.at(parts, block, np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1))
    slope, correlation = _line(parts.sum(axis=0)[None], ratio)
    errors = np.full(2, np.nan)
    if draws.shape[1] >= 3:
        drawn = np.stack(_line(draws @ parts, ratio))
        drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
        if drawn.shape[1] > 1:
            low, high = np.quantile(drawn, [0.1587, 0.8413], axis=1)
            errors = 0.5 * (high - low)
    return Line(float(slope[0]), float(errors[0]), float(correlation[0]), float(errors[1]))


def _line(sums: F64, ratio: float) -> tuple[F64, F64]:
    """Return slope and correlation from sums of 1, x, y, x x, y y, x y, shape (sets, 6)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[:, 1:] / sums[:, :1]
        square_x, square_y = mean[:, 2] - mean[:, 0] ** 2, mean[:, 3] - mean[:, 1] ** 2
        both = mean[:, 4] - mean[:, 0] * mean[:, 1]
        off = square_y - ratio * square_x
        slope = (off + np.sqrt(off**2 + 4 * ratio * both**2)) / (2 * both)
        return np.asarray(slope), np.asarray(both / np.sqrt(square_x * square_y))


def blocks(position: F64, edge: float) -> I64:
    """Return in which cube of an edge each point is, numbered from 0, shape (points,)."""
    cube = np.floor((position - position.min(axis=0, initial=np.inf)) / edge).astype(np.int64)
    return np.unique(cube, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def resamples(block: I64, count: int, seed: int) -> F64:
    """Return how often each block is in each of so many draws with replacement, shape (count, blocks)."""
    many = int(block.max(initial=-1)) + 1
    generator = np.random.default_rng(seed)
    if not many:
        return np.zeros((count, 0))
    return np.asarray(generator.multinomial(many, np.full(many, 1 / many), count), float)
