"""What a scanning microscope makes of an expected image: film, background, distortion of the scan, counts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, fftfreq, idctn, irfft2, next_fast_len, rfft2, rfftfreq
from scipy.ndimage import map_coordinates, spline_filter

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TAPS = 6
"""Samples that a spline of fifth order joins."""
WAVES = 32
"""Waves that make a random function of time."""
APART = 4.0
"""Correlation lengths after which a film is unlike itself: 1e-7 of its correlation is left."""


def smooth(rows: int, columns: int, generator: np.random.Generator) -> F32:
    """Return a random second-order polynomial whose greatest deviation from zero is one, shape (rows, columns)."""
    v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([u, v, u * u - 1 / 3, u * v, v * v - 1 / 3])
    shape = np.tensordot(generator.standard_normal(5), terms, axes=1)
    return np.asarray(shape / max(float(np.abs(shape).max()), 1e-12), np.float32)


def grain(rows: int, columns: int, length: float, generator: np.random.Generator) -> F32:
    """Return Gaussian noise of variance one that is alike over a length, shape (rows, columns).

    Its autocorrelation is exp(-(distance / length)**2), with the length in pixels.
    """
    margin = math.ceil(APART * length)
    height, width = (next_fast_len(size + margin, real=True) for size in (rows, columns))
    square = fftfreq(height)[:, None] ** 2 + rfftfreq(width) ** 2
    filtered = math.sqrt(math.pi) * length * np.exp(-0.5 * (math.pi * length) ** 2 * square)
    white = generator.standard_normal((height, width), np.float32)
    return np.asarray(irfft2(rfft2(white) * filtered.astype(np.float32), (height, width))[:rows, :columns])


def blurred(image: F32, width: float, share: float, tail: float) -> F32:
    """Return an image as a wider probe sees it, the same shape and total.

    Its transform is multiplied by (1 - share + share exp(-2 pi tail q)) exp(-2 pi**2 width**2 q**2); the image goes on
    beyond its edges as if mirrored there.

    Parameters
    ----------
    image
        Shape (rows, columns).
    width
        Standard deviation of a Gaussian, in pixels.
    share
        Part of the probe that lies in Lorentzian tails, tail / (2 pi (radius**2 + tail**2)**(3/2)).
    tail
        Radius of the tails in pixels: half of them lie within 1.73 times it.
    """
    square = np.add.outer(*(np.square(np.arange(size) / (2 * size)) for size in image.shape))
    transfer = np.exp(-2 * (math.pi * width) ** 2 * square)
    transfer *= 1 - share * -np.expm1(-2 * math.pi * tail * np.sqrt(square))
    return np.asarray(idctn(dctn(image) * transfer.astype(np.float32)), np.float32)


def displaced(image: F32, down: F64, right: F64) -> F32:
    """Return an image whose rows show content that moved.

    Parameters
    ----------
    image
        Shape (rows, columns).
    down, right
        How far the content has moved while each row was scanned, in pixels, shape (rows,): row i of the result is the
        image at the height i - down[i], moved by right[i] along the row.

    Returns
    -------
    The same shape, by splines of fifth order, which keep the total of whatever moves as a whole; the image goes on
    beyond its edges as if mirrored there.
    """
    rows, columns = image.shape
    coefficients = spline_filter(image, order=5, output=np.float64, mode="mirror")
    first, weights = _taps(np.arange(rows) - down)
    moved = np.zeros((rows, columns))
    for k in range(TAPS):
        moved += weights[:, k, None] * coefficients[_mirrored(first + k, rows)]
    first, weights = _taps(-right)
    result = np.zeros((rows, columns))
    for k in range(TAPS):
        place = _mirrored(np.arange(columns) + (first + k)[:, None], columns)
        result += weights[:, k, None] * np.take_along_axis(moved, place, axis=1)
    return result.astype(np.float32)


def scanned(image: F32, turn: float, down: F64, right: F64) -> F32:
    """Return what a turned scan sees of an image, row after row, while the content moves; the same shape.

    Parameters
    ----------
    image
        Shape (rows, columns).
    turn
        Direction of the rows, radian from x towards y, about the pixel n // 2.
    down, right
        How far the content has moved while each row was scanned, along the axes of the scan, in pixels, shape (rows,).

    Returns
    -------
    Row i, column j is the image at Rz(turn) (j - right[i], i - down[i]), by splines of fifth order, mirrored beyond
    the edges.
    """
    if turn == 0:
        return displaced(image, down, right)
    rows, columns = image.shape
    v = (np.arange(rows) - rows // 2 - down)[:, None]
    u = np.arange(columns) - columns // 2 - right[:, None]
    y, x = u * math.sin(turn) + v * math.cos(turn), u * math.cos(turn) - v * math.sin(turn)
    place = np.stack([y + rows // 2, x + columns // 2])
    return np.asarray(map_coordinates(image, place, np.float32, order=5, mode="mirror"))


def wander(time: F64, generator: np.random.Generator) -> F64:
    """Return a smooth random function of variance one, alike over one unit of time, shape of `time`.

    Its autocorrelation is exp(-(difference)**2), on average over the draws: a sum of waves of random frequency.
    """
    frequency = generator.normal(0.0, math.sqrt(2), WAVES)
    phase = generator.uniform(0, 2 * math.pi, WAVES)
    waves = np.cos(np.multiply.outer(time, frequency) + phase)
    return np.asarray(math.sqrt(2 / WAVES) * waves.sum(axis=-1))


def _taps(place: F64) -> tuple[NDArray[np.intp], F64]:
    """Return the first sample and the six weights of quintic B-splines at fractional places, shapes (n,), (n, 6)."""
    whole = np.floor(place).astype(np.intp)
    distance = np.abs((place - whole)[:, None] - np.arange(-2, 4))
    inner = 11 / 20 - distance**2 / 2 + distance**4 / 4 - distance**5 / 12
    middle = 17 / 40 + distance * (5 / 8 - distance * (7 / 4 - distance * (5 / 4 - distance * (3 / 8 - distance / 24))))
    outer = np.maximum(3 - distance, 0) ** 5 / 120
    return whole - 2, np.where(distance < 1, inner, np.where(distance < 2, middle, outer))


def _mirrored(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Fold indices into 0 to size - 1, mirrored at the centres of the first and the last pixel."""
    period = max(1, 2 * size - 2)
    folded = np.mod(index, period)
    return np.minimum(folded, period - folded)


def detect(expected: F32, gain: float, offset: float, read_noise: float, generator: np.random.Generator) -> F32:
    """Return gain * Poisson(expected) + offset + Normal(0, read_noise), the same shape."""
    counted = gain * generator.poisson(expected) + offset
    if read_noise > 0:
        counted = counted + generator.normal(0.0, read_noise, expected.shape)
    return counted.astype(np.float32)
