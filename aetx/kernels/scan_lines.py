"""Where every line of every scan lies, from the picture that all other lines make together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TRUNCATE = 4.0
"""Standard deviations at which the kernel of the picture ends."""
EMPTY = 1e-3
"""Share of the full weight below which the other lines do not show a pixel."""
START = 0.5
"""Jitter that is assumed at first, pixel."""
FLATTEST = 0.05
"""Least variance of a pixel, as a share of the mean."""
BLIND = 1.75
"""Widths of the picture over which motion that scans of one direction share is taken for the specimen's shape."""
LEAST = 1e-3
"""Jitter that is always assumed, pixel: so that it can grow."""


@dataclass(frozen=True)
class Lines:
    """Where lines lie.

    Attributes
    ----------
    place
        How far the content had moved when each row was scanned, down and right in the axes of its frame, in pixels,
        shape (frames, rows, 2).
    error
        Standard errors of what is not smooth of that, the same shape.
    jitter
        Standard deviations of it, down and right, shape (2,).
    """

    place: F64
    error: F64
    jitter: F64


def found_lines(frames: F32, turns: F64, start: F64, width: float, smooth: float, across: bool, rounds: int) -> Lines:
    """Return where each line of each scan lies.

    In each round, every line is compared with a picture made of all other lines where they now lie: the mean of their
    pixels with a Gaussian weight of the distance (Nadaraya and Watson). To first order line = b picture(r - delta), so
    that least squares give delta along and across the line, with a covariance from the residuals. What the lines of a
    frame have in common over `smooth` lines is kept as it is; the rest is drawn towards zero as its standard error
    demands of something normally distributed, of a variance that is estimated with it (Dempster 1977).

    What all scans of one direction have in common over a few lines, as slowly as the picture changes across them,
    cannot be told from the shape of the specimen; nor can a common shift. It stays as it is in the start.

    Parameters
    ----------
    frames
        Shape (frames, rows, columns).
    turns
        Direction of the rows of each frame, radian from x towards y, shape (frames,).
    start
        Where the lines lie at first, down and right, pixel, shape (frames, rows, 2).
    width
        Standard deviation of the Gaussian weight, pixel, at least 1.
    smooth
        Standard deviation of the Gaussian that tells smooth motion from jitter, lines.
    across
        Whether lines jump across themselves too, or only along.
    rounds
        How often the picture is made.

    References
    ----------
    C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016), doi:10.1016/j.ultramic.2015.12.002 (the idea);
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39, 1 (1977), doi:10.1111/j.2517-6161.1977.tb01600.x.
    """
    place, prior = start.copy(), np.full(2, START**2)
    free = np.array([across, True])
    prior = np.where(free, prior, LEAST**2)
    error = np.zeros_like(place)
    one_way = bool(np.abs(np.sin(turns - turns[0])).max() < math.sin(0.1))
    for _ in range(rounds):
        information, pull = _compared(frames, turns, place, width)
        wanted = place - start
        target = np.einsum("krij,krj->kri", information, wanted) + pull
        common = _smoothed(target, information, smooth)
        posterior = np.linalg.inv(information + np.diag(1 / prior))
        wanted = np.einsum("krij,krj->kri", posterior, target + common / prior)
        variance = np.diagonal(posterior, axis1=2, axis2=3)
        informed = np.diagonal(information, axis1=2, axis2=3)
        weight = informed / (informed + 1 / prior)
        spread = ((wanted - common) ** 2 + variance) * weight
        spread = spread.sum(axis=(0, 1)) / np.maximum(weight.sum(axis=(0, 1)), 1e-12)
        prior = np.where(free, np.maximum(spread, LEAST**2), LEAST**2)
        if one_way:
            wanted = wanted - _shared(wanted, turns, place[..., 0], BLIND * width)
        place = start + _without_shift(wanted, turns)
        error = np.sqrt(variance)
    return Lines(place, error, np.sqrt(prior))


def _compared(frames: F32, turns: F64, place: F64, width: float) -> tuple[F64, F64]:
    """Return what each line says of its place: inverse covariances, shape (frames, rows, 2, 2), and times the shift."""
    count, rows, columns = frames.shape
    margin = math.ceil(np.abs(place).max() + TRUNCATE * width) + 2
    total, weight = (np.zeros((rows + 2 * margin, columns + 2 * margin)) for _ in range(2))
    for frame, lines, turn in zip(frames, place, turns, strict=True):
        _scatter(frame, lines, math.cos(turn), math.sin(turn), width / math.sqrt(2), margin, total, weight)
    full = count * (math.pi * width**2) * 2
    information, pull = np.empty((count, rows, 2, 2)), np.empty((count, rows, 2))
    picture, slope = np.empty((rows, columns)), np.empty((rows, columns, 2))
    for k in range(count):
        c, s = math.cos(turns[k]), math.sin(turns[k])
        _picture(frames[k], place[k], c, s, width / math.sqrt(2), margin, total, weight, EMPTY * full, picture, slope)
        seen = np.isfinite(picture)
        here = np.where(seen, frames[k], 0).astype(np.float64)
        there, slopes = np.where(seen, picture, 0), np.where(seen[..., None], slope, 0)
        mean_here, mean_there = here.sum() / max(seen.sum(), 1), there.sum() / max(seen.sum(), 1)
        scale = ((here - mean_here) * (there - mean_there) * seen).sum() / max(
            ((there - mean_there) ** 2 * seen).sum(), 1e-300
        )
        residual = np.where(seen, here - mean_here - scale * (there - mean_there), 0)
        slopes = scale * slopes
        trust = _trust(residual, there, seen)
        steep = np.einsum("rc,rci,rcj->rij", trust, slopes, slopes)
        spread = np.einsum("rc,rci,rcj->rij", (trust * residual) ** 2, slopes, slopes)
        spread += 1e-9 * (np.trace(spread, axis1=1, axis2=2).max() + 1e-300) * np.eye(2)
        weighed = np.linalg.solve(spread, steep)  # spread**-1 steep
        information[k] = np.einsum("rji,rjk->rik", weighed, steep)
        pull[k] = -np.einsum("rji,rj->ri", weighed, np.einsum("rc,rci->ri", trust * residual, slopes))
    return information, pull


def _trust(residual: F64, picture: F64, seen: NDArray[np.bool_]) -> F64:
    """Return the inverse variance of each pixel, if variances rise evenly with the picture; shape of `picture`."""
    if not seen.any():
        return np.zeros(picture.shape)
    square, bright = residual[seen] ** 2, picture[seen]
    rise = float(np.cov(bright, square)[0, 1] / max(bright.var(), 1e-300))
    level = float(square.mean() - rise * bright.mean())
    variance = np.maximum(level + rise * picture, FLATTEST * square.mean() + 1e-300)
    return np.asarray(np.where(seen, 1 / variance, 0.0))


def _smoothed(target: F64, information: F64, smooth: float) -> F64:
    """Return the shifts that neighbouring lines agree upon, shape (frames, rows, 2)."""
    weight = np.diagonal(information, axis1=2, axis2=3)
    least = 1e-6 * weight.max(initial=0.0) + 1e-300
    over = gaussian_filter1d(target, smooth, axis=1, mode="nearest")
    return np.asarray(over / (gaussian_filter1d(weight, smooth, axis=1, mode="nearest") + least))


def _shared(moved: F64, turns: F64, down: F64, blind: float) -> F64:
    """Return the smooth part of what lines at one height of the specimen have in common; shape of `moved`.

    Of scans that run forth and back, the axes of the first count.
    """
    rows = moved.shape[1]
    sign = np.where(np.cos(turns - turns[0]) > 0, 1.0, -1.0)
    height = sign[:, None] * (np.arange(rows) - rows // 2 - down)
    even = np.arange(rows) - float(rows // 2)
    forth = np.array(
        [
            [way * np.interp(even, at[:: int(way)], one[:: int(way), axis]) for axis in range(2)]
            for at, one, way in zip(height, moved, sign, strict=True)
        ]
    )
    mean = gaussian_filter1d(forth.mean(axis=0), blind, axis=-1, mode="nearest")
    return np.array(
        [
            np.stack([way * np.interp(at, even, mean[axis]) for axis in range(2)], axis=-1)
            for at, way in zip(height, sign, strict=True)
        ]
    )


def _without_shift(place: F64, turns: F64) -> F64:
    """Take off the shift that all lines of all frames share in the specimen."""
    c, s = np.cos(turns), np.sin(turns)
    down, right = place[..., 0].mean(axis=1), place[..., 1].mean(axis=1)
    x, y = (c * right - s * down).mean(), (s * right + c * down).mean()
    return np.asarray(place - np.stack([c * y - s * x, c * x + s * y], axis=-1)[:, None])


@njit(nogil=True, cache=True)
def _scatter(frame: F32, lines: F64, c: float, s: float, width: float, margin: int, total: F64, weight: F64) -> None:
    """Add the pixels of a frame, each with a Gaussian weight around where it lies, to `total` and `weight`."""
    rows, columns = frame.shape
    reach = math.ceil(TRUNCATE * width)
    across, along = np.empty(2 * reach + 1), np.empty(2 * reach + 1)
    for i in range(rows):
        v = i - rows // 2 - lines[i, 0]
        for j in range(columns):
            u = j - columns // 2 - lines[i, 1]
            x, y = u * c - v * s + columns // 2 + margin, u * s + v * c + rows // 2 + margin
            column, row = round(x), round(y)
            if not (reach <= column < total.shape[1] - reach and reach <= row < total.shape[0] - reach):
                continue
            for k in range(-reach, reach + 1):
                along[k + reach] = math.exp(-0.5 * ((column + k - x) / width) ** 2)
                across[k + reach] = math.exp(-0.5 * ((row + k - y) / width) ** 2)
            value = frame[i, j]
            for p in range(2 * reach + 1):
                for q in range(2 * reach + 1):
                    share = across[p] * along[q]
                    total[row + p - reach, column + q - reach] += share * value
                    weight[row + p - reach, column + q - reach] += share


@njit(nogil=True, cache=True)
def _picture(
    frame: F32,
    lines: F64,
    c: float,
    s: float,
    width: float,
    margin: int,
    total: F64,
    weight: F64,
    least: float,
    picture: F64,
    slope: F64,
) -> None:
    """Write what all other lines show at each pixel of a frame, and its slope down and right in the frame's axes.

    The Gaussians of scattering and gathering make one that is wider by sqrt(2): a line's own share is subtracted in
    that form. NaN where too little is left.
    """
    rows, columns = frame.shape
    reach = math.ceil(TRUNCATE * width)
    wide = math.ceil(2 * TRUNCATE * width)
    across, along = np.empty(2 * reach + 1), np.empty(2 * reach + 1)
    own, tilt = np.empty(2 * wide + 1), np.empty(2 * wide + 1)
    for k in range(-wide, wide + 1):
        square = 0.25 * (k / width) ** 2
        own[k + wide] = math.pi * width**2 * math.exp(-square) * (2 - square)
        tilt[k + wide] = math.pi * math.exp(-square) * (3 - square) * k / 2
    for i in range(rows):
        v = i - rows // 2 - lines[i, 0]
        for j in range(columns):
            picture[i, j] = np.nan
            u = j - columns // 2 - lines[i, 1]
            x, y = u * c - v * s + columns // 2 + margin, u * s + v * c + rows // 2 + margin
            column, row = round(x), round(y)
            if not (reach <= column < total.shape[1] - reach and reach <= row < total.shape[0] - reach):
                continue
            for k in range(-reach, reach + 1):
                along[k + reach] = math.exp(-0.5 * ((column + k - x) / width) ** 2)
                across[k + reach] = math.exp(-0.5 * ((row + k - y) / width) ** 2)
            n, nx, ny, d, dx, dy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for p in range(2 * reach + 1):
                away_y = row + p - reach - y
                for q in range(2 * reach + 1):
                    away_x = column + q - reach - x
                    square = (away_x**2 + away_y**2) / width**2
                    share = across[p] * along[q] * (3 - square)
                    steep = across[p] * along[q] * (5 - square) / width**2
                    value = total[row + p - reach, column + q - reach]
                    much = weight[row + p - reach, column + q - reach]
                    n += share * value
                    d += share * much
                    nx += steep * value * away_x
                    ny += steep * value * away_y
                    dx += steep * much * away_x
                    dy += steep * much * away_y
            nu, du = nx * c + ny * s, dx * c + dy * s
            nv, dv = ny * c - nx * s, dy * c - dx * s
            for k in range(-wide, wide + 1):
                if 0 <= j + k < columns:
                    n -= own[k + wide] * frame[i, j + k]
                    d -= own[k + wide]
                    nu -= tilt[k + wide] * frame[i, j + k]
                    du -= tilt[k + wide]
            if d > least:
                picture[i, j] = n / d
                slope[i, j, 0] = (nv - n / d * dv) / d
                slope[i, j, 1] = (nu - n / d * du) / d
