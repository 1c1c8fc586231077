"""Scanned images whose lines lie elsewhere than on an even grid: brought back to one, and put together."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft, irfft2, rfft, rfft2, rfftfreq
from scipy.linalg import solve_banded
from scipy.ndimage import gaussian_filter, map_coordinates

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

STIFFNESS = 1e-3
"""Weight of squared third differences of a spline against squared deviations: 1 % is lost at half the Nyquist rate."""
NOTHING = 1e-6
"""Sum of weights below which no scan runs along a wave."""
NEIGHBOURHOOD = 1.5
"""Gaussian standard deviation over which the signal is averaged that the noise depends upon, pixel."""
FLATTEST = 0.05
"""Least variance of a pixel, as a share of the mean."""


def drifting_lines(places: F64, pause: float, rows: int, within: bool) -> F64:
    """Return how far the content had moved when each row of each frame was scanned, down and right, in pixels.

    Content that moves by s from one frame to the next moves by v = s / (1 + pause + s_down / rows) in the time of a
    frame, as the scan meets it again after 1 + pause + s_down / rows of that time. It lies at its place when the scan
    meets the middle of the specimen.

    Parameters
    ----------
    places
        Where the content of each frame lies, shape (frames, 2).
    pause
        Time between two frames, in times of a frame.
    rows
        Rows of a frame.
    within
        Whether it moves within a frame as it does between them.

    Returns
    -------
    Shape (frames, rows, 2).
    """
    step = np.gradient(places, axis=0) if within and len(places) > 1 else np.zeros_like(places)
    drift = step / (1 + pause + step[:, :1] / rows)
    time = (np.arange(rows) - rows // 2 - places[:, :1]) / rows
    return np.asarray(places[:, None] + drift[:, None] * time[..., None])


def straightened(frame: F32, down: F64, right: F64) -> tuple[F32, Flags]:
    """Return a frame as if nothing had moved while it was scanned, and which of its pixels were seen.

    Each row is moved along itself by a phase ramp; then each column is the cubic spline on even knots that comes
    nearest to its scattered samples in the sense of least squares, with a weak penalty on its third differences
    (Eilers and Marx 1996), so that rows may lie close, far apart or in another order.

    Parameters
    ----------
    frame
        Shape (rows, columns).
    down, right
        How far the content had moved when each row was scanned, in pixels, shape (rows,).

    Returns
    -------
    Frame and flags, shape (rows, columns). What was not seen goes on as if mirrored at the edge.

    References
    ----------
    P. H. C. Eilers, B. D. Marx, Statistical Science 11, 89 (1996), doi:10.1214/ss/1038425655.
    """
    rows, columns = frame.shape
    if not down.any() and not right.any():
        return frame.astype(np.float32), np.ones(frame.shape, np.bool_)
    along = rows_moved(frame, -right)
    height = np.arange(rows) - down
    made = spline_rows(along, height)
    place = np.arange(columns)
    reach = np.interp(np.arange(rows), np.sort(height), right[np.argsort(height)])
    before = place[None, :] + reach[:, None]
    seen = (before >= 0) & (before <= columns - 1)
    inside = (np.arange(rows) >= height.min() - 0.5) & (np.arange(rows) <= height.max() + 0.5)
    return made.astype(np.float32), seen & inside[:, None]


def rows_moved(image: F32, right: F64) -> F64:
    """Return an image whose rows are moved to the right, each by its own number of pixels; mirrored beyond the edges.

    A phase ramp: nothing is blurred, white noise stays white, whole pixels move exactly.
    """
    columns = image.shape[1]
    wide = np.concatenate([image, image[:, ::-1]], axis=1)
    ramp = np.exp(-2j * math.pi * np.multiply.outer(right, rfftfreq(2 * columns)))
    ramp[:, -1] = ramp[:, -1].real
    return np.asarray(irfft(rfft(wide.astype(np.float64), axis=1) * ramp, 2 * columns, axis=1)[:, :columns])


def spline_rows(image: F64, height: F64) -> F64:
    """Return rows on an even grid from rows at uneven heights, shape (rows, columns).

    Parameters
    ----------
    image
        Samples, shape (rows, columns).
    height
        Where each row lies, in rows of the result, shape (rows,).
    """
    rows, columns = image.shape
    first = math.floor(min(0.0, float(height.min()))) - 2
    count = math.ceil(max(rows - 1.0, float(height.max()))) + 3 - first
    place, weight = _basis(height - first)
    band = np.zeros((7, count))  # that of solve_banded: three diagonals on either side
    right = np.zeros((count, columns))
    for i in range(4):
        np.add.at(right, place + i, weight[:, i, None] * image)
    for i, j in itertools.product(range(4), range(4)):
        np.add.at(band[3 + i - j], place + j, weight[:, i] * weight[:, j])
    third = np.array([-1.0, 3.0, -3.0, 1.0])
    for i, j in itertools.product(range(4), range(4)):
        band[3 + i - j, j : j + count - 3] += STIFFNESS * third[i] * third[j]
    coefficients = solve_banded((3, 3), band, right)
    place, weight = _basis(np.arange(rows, dtype=np.float64) - first)
    return np.asarray(sum(weight[:, i, None] * coefficients[place + i] for i in range(4)))


def _basis(place: F64) -> tuple[NDArray[np.intp], F64]:
    """Return the first of the four cubic B-splines that reach each place, and their values there, shape (n, 4)."""
    whole = np.floor(place).astype(np.intp)
    t = place - whole
    weight = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    return whole - 1, weight


def turned_back(frame: F32, seen: Flags, turn: float) -> tuple[F32, Flags]:
    """Return a frame of a turned scan in the axes of the specimen, and which of its pixels were seen.

    Parameters
    ----------
    frame, seen
        Shape (rows, columns): pixel (u, v) from the centre n // 2 is at Rz(turn) (u, v) in the specimen.
    turn
        Radian, from x towards y.

    Returns
    -------
    The same shapes, by splines of fifth order; quarters of a turn move pixels as they are. What was not seen goes on as
    if mirrored at the edge.
    """
    if turn == 0:
        return frame, seen
    rows, columns = frame.shape
    c, s = round(math.cos(turn), 12), round(math.sin(turn), 12)
    y, x = (np.arange(rows) - rows // 2)[:, None], np.arange(columns) - columns // 2
    place = np.stack([y * c - x * s + rows // 2, y * s + x * c + columns // 2])
    row, column = nearest = np.round(place).astype(np.intp)
    inside = np.all([(at >= 0) & (at < size) for at, size in zip(nearest, frame.shape, strict=True)], axis=0)
    row, column = _mirrored(row, rows), _mirrored(column, columns)
    saw = inside & seen[row, column]
    if c * s == 0:
        return frame[row, column], saw
    return np.asarray(map_coordinates(frame, place, np.float32, order=5, mode="mirror")), saw


def _mirrored(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Fold indices into 0 to size - 1, mirrored at the centres of the first and the last pixel."""
    folded = np.mod(index, max(1, 2 * size - 2))
    return np.minimum(folded, max(1, 2 * size - 2) - folded)


def mean_of(frames: F32, seen: Flags) -> tuple[F32, F32, Flags]:
    """Return the mean of frames over those that saw a pixel, its variance, and which pixels any of them saw.

    The variance rises evenly with the signal, level + rise * signal, as that of counts does: both are fitted to the
    scatter of the frames about their mean, by least squares over all pixels, against the mean of a neighbourhood. It is
    that of one frame over the number of frames; NaN where no pixel was seen twice, as of a single frame.

    Parameters
    ----------
    frames, seen
        Shape (frames, rows, columns).
    """
    weight = seen.astype(np.float64)
    count = weight.sum(axis=0)
    usual = frames.mean(axis=0, dtype=np.float64)
    mean = np.where(count > 0, (weight * frames).sum(axis=0) / np.maximum(count, 1), usual)
    free = count - 1
    twice = free > 0
    if not twice.any():
        return mean.astype(np.float32), np.full(mean.shape, np.nan, np.float32), count > 0
    signal = gaussian_filter(mean, NEIGHBOURHOOD, mode="nearest")
    square = (weight * (frames - mean) ** 2).sum(axis=0)[twice] / free[twice]
    middle, centre = float(square.mean()), float(signal[twice].mean())
    away = signal[twice] - centre
    rise = max(0.0, float((away * square).sum() / max((away**2).sum(), 1e-300)))
    variance = np.maximum(middle + rise * (signal - centre), FLATTEST * middle) / np.maximum(count, 1)
    return mean.astype(np.float32), variance.astype(np.float32), count > 0


def along_the_rows(frames: F32, turns: F64) -> tuple[F32, float]:
    """Return frames combined wave by wave, by how nearly each was scanned along the wave, and the rise of the variance.

    The transform of a frame has the weight cos**2 of the angle between the wave and its rows, where a row is scanned
    too quickly to be distorted; the weights of all frames sum to one. The rise is that over a plain mean.

    Parameters
    ----------
    frames
        In the axes of the specimen, shape (frames, rows, columns).
    turns
        Direction of the rows of each, radian from x towards y, shape (frames,).

    References
    ----------
    C. Ophus, J. Ciston, C. T. Nelson, Ultramicroscopy 162, 1 (2016), doi:10.1016/j.ultramic.2015.12.002, section 2.
    """
    angle = np.arctan2(fftfreq(frames.shape[1])[:, None], rfftfreq(frames.shape[2]))
    weight = np.cos(angle - turns[:, None, None]) ** 2
    weight[:, 0, 0] = 1.0
    total = weight.sum(axis=0)
    weight = np.where(total > NOTHING, weight / np.maximum(total, NOTHING), 1 / len(turns))
    sum_of = (rfft2(frames) * weight).sum(axis=0)
    rise = float((weight**2).sum(axis=0).mean() * len(turns))
    return irfft2(sum_of, frames.shape[1:]).astype(np.float32), rise
