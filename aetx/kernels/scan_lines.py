"""Where every line of every scan lies, from the picture that all other lines make together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from aetx.kernels.scan_picture import Picture, picture_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

START = 0.5
"""Jitter that is assumed at first, pixel."""
FLATTEST = 0.05
"""Least variance of a pixel, as a share of the mean."""
BLIND = 1.75
"""Widths of the picture over which motion that scans of one direction share is taken for the specimen's shape."""
LEAST = 1e-3
"""Jitter that is always assumed, pixel: so that it can grow."""
DAMPING = 2 / 3
"""Part of each change that is made: each line follows the others, so that whole changes would swing."""
TRIALS = 10
"""Steps in which the jitter is found from the scatter of the lines."""
SIGNAL = 1e-3
"""Least part of the steepness of a line that is taken for the specimen's and not for noise."""
FEW = 1e-9
"""What is added to the information of lines that say nothing."""


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


def found_lines(frames: F32, turns: F64, start: F64, smooth: float, across: bool, rounds: int) -> Lines:
    """Return where each line of each scan lies.

    In each round, every line is compared with the picture that all other lines make where they now lie, each of its
    waves as far as it stands out of the noise (Wiener). To first order line = b picture(r - delta), so that least
    squares give delta along and across the line. With J the steepness of the picture less what noise makes of it,
    and V the variance of the sums by what is left of the lines, the inverse covariance of delta is J V**-1 J. What the
    lines of a frame have in common over `smooth` lines is kept as it is; the rest is drawn towards zero as its standard
    error demands of something normally distributed, of the variance by which the lines scatter more than their errors.

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
    smooth
        Standard deviation of the Gaussian that tells smooth motion from jitter, lines.
    across
        Whether lines jump across themselves too, or only along.
    rounds
        How often the picture is made.

    References
    ----------
    C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016), doi:10.1016/j.ultramic.2015.12.002 (the idea).
    """
    place, free = start.copy(), np.array([across, True])
    prior = np.where(free, START**2, LEAST**2)
    error = np.zeros_like(place)
    one_way = bool(np.abs(np.sin(turns - turns[0])).max() < math.sin(0.1))
    for _ in range(rounds):
        picture = picture_of(frames, turns, place)
        information, pull = _compared(picture, frames, turns, place)
        before = place - start
        target = np.einsum("krij,krj->kri", information, before) + pull
        common = _smoothed(target, information, smooth)
        prior = _scatter(information, target, common, prior, free)
        posterior = np.linalg.inv(information + np.diag(1 / prior))
        wanted = np.einsum("krij,krj->kri", posterior, target + common / prior)
        wanted = before + DAMPING * (wanted - before)
        if one_way:
            wanted = wanted - _shared(wanted, turns, place[..., 0], BLIND * max(picture.width, 1.0))
        place = start + _without_shift(wanted, turns)
        error = np.sqrt(np.diagonal(posterior, axis1=2, axis2=3))
    return Lines(place, error, np.sqrt(prior))


def _scatter(information: F64, target: F64, common: F64, prior: F64, free: NDArray[np.bool_]) -> F64:
    """Return by what variance lines scatter about what is common, beyond their errors, down and right, shape (2,)."""
    alone = np.linalg.inv(information + np.diag(np.where(free, 0.0, LEAST**-2)) + FEW * np.eye(2))
    noise = np.diagonal(alone, axis1=2, axis2=3)
    excess = (np.einsum("krij,krj->kri", alone, target) - common) ** 2 - noise
    for _ in range(TRIALS):
        weight = (noise + prior) ** -2
        mean = (weight * excess).sum(axis=(0, 1)) / weight.sum(axis=(0, 1))
        prior = np.where(free, np.maximum(mean, LEAST**2), LEAST**2)
    return prior


def _compared(picture: Picture, frames: F32, turns: F64, place: F64) -> tuple[F64, F64]:
    """Return what each line says of its place: inverse covariances, shape (frames, rows, 2, 2), and times the shift."""
    count, rows = frames.shape[:2]
    information, pull = np.empty((count, rows, 2, 2)), np.empty((count, rows, 2))
    for k in range(count):
        others = picture.others(frames[k], place[k], float(turns[k]))
        seen, many = others.seen, max(int(others.seen.sum()), 1)
        here, there = np.where(seen, others.line, 0), others.picture
        mean_here, mean_there = here.sum() / many, there.sum() / many
        away = (there - mean_there) * seen
        scale = float(((here - mean_here) * away).sum() / max((away**2).sum(), 1e-300))
        residual = np.where(seen, here - mean_here - scale * (there - mean_there), 0)
        slopes = scale * others.slope
        trust = _trust(residual, there, seen)
        steep = np.einsum("rc,rci,rcj->rij", trust, slopes, slopes)
        spread = np.einsum("rc,rci,rci->", (trust * residual) ** 2, slopes, slopes)
        whole = np.trace(steep, axis1=1, axis2=2)
        variance = spread / max(whole.sum(), 1e-300) * steep + (FEW * whole.max() + 1e-300) * np.eye(2)
        noise = scale**2 * others.rough / (1 + scale**2 * others.noise)
        real = steep.copy()
        for i in range(2):
            real[:, i, i] = np.maximum(steep[:, i, i] - noise[i] * seen.sum(axis=1), SIGNAL * steep[:, i, i])
        weighed = np.linalg.solve(variance, real)  # variance**-1 real
        information[k] = np.einsum("rji,rjk->rik", weighed, real)
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
