"""Where the lines of scans lie if the specimen drifts evenly: from scans of one direction or of several."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2
from scipy.optimize import minimize

from aetx.kernels.registration import Band, frequencies, padded, registered, shift_between, windowed
from aetx.kernels.scan_distortion import drifting_lines, straightened, turned_back

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

EDGE = 64
"""Frames are averaged down to sides of about this many pixels while their drift is searched."""
STEPS = 9
"""Drifts tried along each axis before the best one is refined."""
EXACT = 0.02
"""Accuracy of a searched drift, in averaged pixels in the time of a frame."""


def turn(turns: F64) -> F64:
    """Return the matrices from (down, right) in the axes of each frame to (y, x) in the specimen, (frames, 2, 2)."""
    c, s = np.cos(turns), np.sin(turns)
    return np.stack([np.stack([c, s], axis=-1), np.stack([-s, c], axis=-1)], axis=-2)


def drifting_scans(
    frames: F32, turns: F64, pause: float, bands: tuple[Band, Band], reach: tuple[float, float], largest: float
) -> tuple[F64, F64]:
    """Return where each line of each scan lies, if the specimen drifts evenly, and how well the frames are placed.

    Scans of one direction tell the drift by how far they lie from each other. Of scans that all differ in direction
    the drift is searched with which they agree best, once straightened; then they are placed.

    Parameters
    ----------
    frames
        Shape (frames, rows, columns).
    turns
        Direction of the rows of each frame, radian from x towards y, shape (frames,).
    pause
        Time between two frames, in times of a frame.
    bands, reach
        What is correlated, and the largest shift: in the end and at first, as `registration.registered` has it.
    largest
        Largest drift along either axis in the time of a frame that is searched, pixel.

    Returns
    -------
    Down and right in the axes of each frame, pixel, shape (frames, rows, 2); covariances of the places of the frames
    about their mean, down and right likewise, shape (frames, 2, 2), NaN where a frame has no peak in reach.
    """
    count, rows = frames.shape[:2]
    alike = [np.flatnonzero(np.abs(turns - one) < 1e-6) for one in turns]
    if len(alike[0]) == count:
        places, covariance = registered(frames, *bands, reach[1], reach[0])
        return drifting_lines(places, pause, rows, True), covariance
    largest_group = max(alike, key=len)
    if len(largest_group) > 1:
        drift = _from_places(frames, turns, largest_group, pause, bands, reach)
    else:
        drift = _searched(frames, turns, pause, bands[0], reach[1], largest)
    lines = _even(drift, turns, rows, pause)
    places, covariance = registered(_upright(frames, turns, lines), *bands, reach[1], reach[0])
    matrix = turn(turns)
    lines = lines + np.einsum("kji,kj->ki", matrix, places)[:, None]
    return lines, np.einsum("kji,kjl,klm->kim", matrix, covariance, matrix)


def _even(drift: F64, turns: F64, rows: int, pause: float) -> F64:
    """Return where lines lie if the drift in the time of a frame is (y, x), in the axes of each: (frames, rows, 2)."""
    number = np.arange(len(turns))[:, None] - (len(turns) - 1) / 2
    time = number * (1 + pause) + (np.arange(rows) - rows // 2) / rows
    return np.asarray(time[..., None] * np.einsum("kji,j->ki", turn(turns), drift)[:, None])


def _upright(frames: F32, turns: F64, lines: F64) -> F32:
    """Return frames straightened and in the axes of the specimen."""
    made = [
        turned_back(*straightened(frame, line[:, 0], line[:, 1]), float(angle))[0]
        for frame, line, angle in zip(frames, lines, turns, strict=True)
    ]
    return np.stack(made)


def _from_places(
    frames: F32,
    turns: F64,
    chosen: NDArray[np.intp],
    pause: float,
    bands: tuple[Band, Band],
    reach: tuple[float, float],
) -> F64:
    """Return the drift (y, x) in the time of a frame from scans of one way: v = s / (1 + pause + s_down / rows)."""
    places, _ = registered(frames[chosen], *bands, reach[1], reach[0])
    late = chosen - chosen.mean()
    step = (late[:, None] * places).sum(axis=0) / (late**2).sum()
    return np.asarray(turn(turns)[chosen[0]] @ step / (1 + pause + step[0] / frames.shape[1]))


def _searched(frames: F32, turns: F64, pause: float, band: Band, reach: float, largest: float) -> F64:
    by = max(1, round(min(frames.shape[1:]) / EDGE))
    rows, columns = (size // by * by for size in frames.shape[1:])
    small = frames[:, :rows, :columns].reshape(len(frames), rows // by, by, columns // by, by).mean(axis=(2, 4))
    coarse = Band(max(band.fine / by, 1.0), band.coarse / by, band.whitening, band.taper)
    pairs = list(itertools.combinations(range(len(frames)), 2))

    size = padded(small.shape[1:], reach / by)
    kept = frequencies(size, coarse)

    def roughly(drift: F64) -> float:
        made = _upright(small, turns, _even(drift, turns, small.shape[1], pause))
        spectra = [fft2(windowed(one, np.zeros(2), np.zeros(2), coarse.taper), size) for one in made]
        return -float(sum(ifft2(spectra[i].conj() * spectra[j] * kept).real.max() for i, j in pairs))

    def disagreement(drift: F64) -> float:
        made = _upright(small, turns, _even(drift, turns, small.shape[1], pause))
        return -sum(shift_between(made[i], made[j], coarse, reach / by, np.zeros(2)).peak for i, j in pairs)

    tried = np.linspace(-largest, largest, STEPS) / by
    grid = [np.array(one) for one in itertools.product(tried, tried)]
    best = min(grid, key=roughly)
    side = 0.6 * largest / by * 2 / (STEPS - 1)
    simplex = best + np.array([[0, 0], [side, 0], [0, side]])
    found = minimize(
        disagreement,
        best,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": EXACT, "fatol": 1e-5, "maxfev": 40},
    )
    return np.asarray(found.x * by)
