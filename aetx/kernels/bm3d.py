"""Denoising by block matching and collaborative filtering (BM3D), from the published algorithm.

Both passes find, for each reference block, the blocks like it; stack them; transform the stack in three dimensions;
shrink its coefficients; and add what comes back, weighted, to the result. As the transform of a stack is separable
and adding is linear, the transform along rows is done once for the whole image instead of once for each stacked
block, and its inverse once for the whole result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Size = tuple[int, ...]
"""A length that compiled loops know: that of the tuple. They are unrolled and vectorised for it."""

Transform = Literal["dct", "biorthogonal"]
COMPILED = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}


@dataclass(frozen=True)
class Pass:
    """What one pass does. Lengths are in pixels.

    `similarity` is the greatest mean squared difference of blocks that are stacked, for images on a scale of 255;
    `search` the edge of the square where they are looked for; `taper` the shape of the Kaiser window that weights the
    pixels of a block.
    """

    transform: Transform
    block: int
    step: int
    most: int
    search: int
    similarity: float
    taper: float


@dataclass(frozen=True)
class Profile:
    """The pass with a hard threshold, in standard deviations of the noise, and the Wiener pass."""

    first: Pass
    threshold: float
    second: Pass


NOISY = 40 / 255
"""Noise above which blocks differ by noise alone: fewer reference blocks, and any block may be like another."""
PROFILES: dict[str, Profile] = {
    "general": Profile(Pass("biorthogonal", 8, 3, 16, 39, 3000.0, 2.0), 2.7, Pass("dct", 8, 3, 32, 39, 400.0, 2.0)),
    "atomic": Profile(Pass("dct", 8, 2, 16, 100, 600.0, 0.2), 2.9, Pass("dct", 16, 3, 32, 100, 400.0, 0.5)),
}
"""The published general-purpose settings, and those of a family of programs for atomic tomography."""


def profile_for(name: str, noise: float) -> Profile:
    """Return the settings of a name, for noise of a standard deviation on the scale of the image."""
    found = PROFILES[name]
    if noise <= NOISY:
        return found
    first = replace(found.first, step=4, most=32, similarity=25_000.0)
    return Profile(first, 2.8, replace(found.second, block=11, step=6, similarity=3500.0))


def denoise(image: F32, noise: float, profile: Profile) -> F32:
    """Return an image without its noise, the same shape.

    Parameters
    ----------
    image
        Shape (rows, columns), finite, with values of about 0 to 1; neither side shorter than a block.
    noise
        Standard deviation of the noise, white and Gaussian, above 0.
    profile
        Settings of both passes.

    Notes
    -----
    K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian, IEEE Transactions on Image Processing 16, 2080 (2007),
    doi:10.1109/TIP.2007.901238, sections III and IV. The mean of a stack is neither cut nor shrunk here, so that a
    faint level stays what it is.
    """
    pilot = _filtered(image, image, noise * profile.threshold, profile.first, wiener=False)
    return _filtered(image, pilot, noise, profile.second, wiener=True)


def _filtered(image: F32, pilot: F32, noise: float, settings: Pass, *, wiener: bool) -> F32:
    """Return the image filtered in stacks of blocks that are alike in the pilot."""
    size, reach, (rows, columns) = settings.block, settings.search // 2, image.shape
    forward, inverse = _matrices(settings.transform, size)
    window = np.kaiser(size, settings.taper).astype(np.float32)
    block = (0,) * size
    coefficients = np.zeros((rows, columns - size + 1, size), np.float32)
    _along_rows(image, np.ascontiguousarray(forward.T), coefficients, block)
    guide = coefficients
    if wiener:
        guide = np.zeros_like(coefficients)
        _along_rows(pilot, np.ascontiguousarray(forward.T), guide, block)
    added = np.zeros_like(coefficients)
    weights = np.zeros(image.shape, np.float32)
    _filter_stacks(
        coefficients,
        guide,
        np.pad(pilot, ((0, 0), (reach, reach))),
        _places(rows, size, settings.step),
        _places(columns, size, settings.step),
        reach,
        np.float32(settings.similarity / 255**2 * size**2),
        _slots(settings.most),
        forward,
        np.ascontiguousarray(window[:, None] * inverse),
        np.float32(noise),
        wiener,
        added,
        weights,
        block,
    )
    total, weight = np.zeros_like(image), np.zeros_like(image)
    _back_along_rows(added, np.ascontiguousarray((window[:, None] * inverse).T), total, block)
    _spread_weights(weights, window, weight)
    return total / weight


def _places(length: int, size: int, step: int) -> NDArray[np.int64]:
    """Return where reference blocks begin: every `step` pixels, and at the end."""
    return np.unique(np.append(np.arange(0, length - size + 1, step), length - size))


def _slots(most: int) -> NDArray[np.int64]:
    """Return where in a stack of 2**level blocks each goes, by likeness, shape (levels, most).

    The bits of its place reversed: the Haar transform pairs the halves of a stack, and so the blocks most alike.
    """
    levels = most.bit_length()
    slots = np.zeros((levels, most), np.int64)
    for level in range(levels):
        for bit in range(level):
            slots[level] |= (np.arange(most) >> bit & 1) << (level - 1 - bit)
    return slots


def _matrices(transform: Transform, size: int) -> tuple[F32, F32]:
    """Return a transform of a length, rows of norm 1, and its inverse."""
    if transform == "dct":
        k, j = np.mgrid[:size, :size]
        matrix = np.cos(np.pi * (j + 0.5) * k / size) * np.sqrt(2 / size)
        matrix[0] /= np.sqrt(2)
    else:
        matrix = _biorthogonal(size)
    return matrix.astype(np.float32), np.linalg.inv(matrix).astype(np.float32)


def _biorthogonal(size: int) -> F64:
    """Return the periodic wavelet transform 1.5 of a length that is a power of 2, all levels.

    A. Cohen, I. Daubechies, J.-C. Feauveau, Communications on Pure and Applied Mathematics 45, 485 (1992),
    doi:10.1002/cpa.3160450502, table 6.1 (N = 1, N' = 5).
    """
    low = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3]) * np.sqrt(2) / 256
    matrix = np.eye(size)
    length = size
    while length > 1:
        half = length // 2
        level = np.eye(size)
        level[:length, :length] = 0
        for row in range(half):
            for tap, value in enumerate(low):
                level[row, (2 * row + tap - 4) % length] += value
            level[half + row, 2 * row : 2 * row + 2] = [np.sqrt(0.5), -np.sqrt(0.5)]
        matrix = level @ matrix
        length = half
    return matrix / np.linalg.norm(matrix, axis=1)[:, None]


@njit(**COMPILED)
def _along_rows(image: F32, matrix: F32, found: F32, block: Size) -> None:
    """Write found[y, x, k] = sum over j of image[y, x + j] matrix[j, k]."""
    size = len(block)
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            pixels, line = image[y, x : x + size], found[y, x]
            for k in range(size):
                total = np.float32(0)
                for j in range(size):
                    total += pixels[j] * matrix[j, k]
                line[k] = total


@njit(**COMPILED)
def _back_along_rows(added: F32, matrix: F32, image: F32, block: Size) -> None:
    """Add sum over k of added[y, x, k] matrix[k, j] to image[y, x + j]."""
    size = len(block)
    for y in range(added.shape[0]):
        for x in range(added.shape[1]):
            line, pixels = added[y, x], image[y, x : x + size]
            for j in range(size):
                total = np.float32(0)
                for k in range(size):
                    total += line[k] * matrix[k, j]
                pixels[j] += total


def _spread_weights(weights: F32, window: F32, spread: F32) -> None:
    """Add the window of a block, times its weight, at every place where blocks were added."""
    rows, columns = weights.shape
    down = np.zeros_like(weights)
    for i, value in enumerate(window):
        down[i:] += value * weights[: rows - i]
    for j, value in enumerate(window):
        spread[:, j:] += value * down[:, : columns - j]


@njit(**COMPILED)
def _filter_stacks(
    coefficients: F32,
    guide: F32,
    pilot: F32,
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    reach: int,
    limit: float,
    slots: NDArray[np.int64],
    forward: F32,
    inverse: F32,
    noise: float,
    wiener: bool,
    added: F32,
    weights: F32,
    block: Size,
) -> None:
    """Filter a stack for each reference block; add its blocks to `added` and their weight to `weights`.

    `noise` is the threshold of the first pass. In the Wiener pass the power of a coefficient is that of the `guide`.
    """
    size, columns, most = len(block), weights.shape[1], slots.shape[1]
    found = np.empty((lefts.size, most), np.int64)
    stack = np.zeros((size, most * size), np.float32)
    spectrum, power = np.zeros_like(stack), np.zeros_like(stack)
    y, x = np.zeros(most, np.int64), np.zeros(most, np.int64)
    for top in tops:
        _match(pilot, top, lefts, reach, limit, found, block)
        for i in range(lefts.size):
            alike = 0
            while alike < most and found[i, alike] >= 0:
                y[alike], x[alike] = found[i, alike] // columns, found[i, alike] % columns
                alike += 1
            level = 0
            while 2 << level <= alike:
                level += 1
            count, place = 1 << level, slots[level]
            width = count * size
            _gather(coefficients, y, x, place, count, stack, block)
            _down_columns(forward, stack, spectrum, width, block)
            _haar(spectrum, count, False, block)
            if wiener:
                _gather(guide, y, x, place, count, stack, block)
                _down_columns(forward, stack, power, width, block)
                _haar(power, count, False, block)
                weight = _shrink(spectrum, power, width, noise * noise)
            else:
                weight = _cut(spectrum, width, noise)
            _haar(spectrum, count, True, block)
            _down_columns(inverse, spectrum, stack, width, block)
            _add(stack, y, x, place, count, added, block)
            for p in range(count):
                weights[y[p], x[p]] += weight


@njit(**COMPILED)
def _match(
    padded: F32, top: int, lefts: NDArray[np.int64], reach: int, limit: float, found: NDArray[np.int64], block: Size
) -> None:
    """Write the places (row * columns + column) of the blocks most like each reference block of a row, best first.

    -1 where there are no more whose sum of squared differences is below the limit. For each displacement, the squared
    differences of whole rows are summed down the columns, then along the row, by fours. The image is `padded` by
    `reach` columns on both sides, so that every displaced row is there; blocks that touch those columns are not taken.
    """
    size, rows, columns = len(block), padded.shape[0], padded.shape[1] - 2 * reach
    fours = size // 4 * 4
    count, most = found.shape
    distance = np.full((count, most), limit, np.float32)
    worst = np.full(count, limit, np.float32)
    found[:] = -1
    column, four = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for v in range(2 * reach + 1):
        dy = (v + 1) // 2 if v % 2 else -(v // 2)
        if top + dy < 0 or top + dy + size > rows:
            continue
        for u in range(2 * reach + 1):
            dx = (u + 1) // 2 if u % 2 else -(u // 2)
            _differences(padded, top, dy, reach, dx, column, block)
            for k in range(columns - 3):
                four[k] = (column[k] + column[k + 1]) + (column[k + 2] + column[k + 3])
            first, last = 0, count
            while first < last and lefts[first] + dx < 0:
                first += 1
            while first < last and lefts[last - 1] + dx + size > columns:
                last -= 1
            for i in range(first, last):
                total = np.float32(0)
                for j in range(0, fours, 4):
                    total += four[lefts[i] + j]
                for j in range(fours, size):
                    total += column[lefts[i] + j]
                if total < worst[i]:
                    near, at = distance[i], found[i]
                    k = most - 1
                    while k > 0 and near[k - 1] > total:
                        near[k], at[k] = near[k - 1], at[k - 1]
                        k -= 1
                    near[k], at[k] = total, (top + dy) * columns + lefts[i] + dx
                    worst[i] = near[most - 1]


@njit(**COMPILED)
def _differences(padded: F32, top: int, dy: int, reach: int, dx: int, column: F32, block: Size) -> None:
    """Write the squared differences between rows and displaced rows, summed down a block, four rows at a time."""
    size, end = len(block), reach + column.size
    column[:] = 0
    for row in range(top, top + size // 4 * 4, 4):
        a0, b0 = padded[row, reach:end], padded[row + dy, reach + dx : end + dx]
        a1, b1 = padded[row + 1, reach:end], padded[row + 1 + dy, reach + dx : end + dx]
        a2, b2 = padded[row + 2, reach:end], padded[row + 2 + dy, reach + dx : end + dx]
        a3, b3 = padded[row + 3, reach:end], padded[row + 3 + dy, reach + dx : end + dx]
        for k in range(column.size):
            d0, d1, d2, d3 = a0[k] - b0[k], a1[k] - b1[k], a2[k] - b2[k], a3[k] - b3[k]
            column[k] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
    for row in range(top + size // 4 * 4, top + size):
        a0, b0 = padded[row, reach:end], padded[row + dy, reach + dx : end + dx]
        for k in range(column.size):
            d0 = a0[k] - b0[k]
            column[k] += d0 * d0


@njit(**COMPILED)
def _gather(
    coefficients: F32,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    place: NDArray[np.int64],
    count: int,
    stack: F32,
    block: Size,
) -> None:
    """Write the rows of blocks into a stack of shape (row, block * column)."""
    size = len(block)
    for p in range(count):
        at = place[p] * size
        for i in range(size):
            line, row = coefficients[y[p] + i, x[p]], stack[i, at : at + size]
            for k in range(size):
                row[k] = line[k]


@njit(**COMPILED)
def _add(
    stack: F32,
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    place: NDArray[np.int64],
    count: int,
    added: F32,
    block: Size,
) -> None:
    """Add the rows of a stack to where its blocks came from."""
    size = len(block)
    for p in range(count):
        at = place[p] * size
        for i in range(size):
            line, row = added[y[p] + i, x[p]], stack[i, at : at + size]
            for k in range(size):
                line[k] += row[k]


@njit(**COMPILED)
def _down_columns(matrix: F32, stack: F32, found: F32, width: int, block: Size) -> None:
    """Write found[m] = sum over i of matrix[m, i] stack[i], over the first `width` columns."""
    size = len(block)
    for m in range(size):
        line = found[m]
        for k in range(width):
            total = np.float32(0)
            for i in range(size):
                total += matrix[m, i] * stack[i, k]
            line[k] = total


@njit(**COMPILED)
def _haar(stack: F32, count: int, back: bool, block: Size) -> None:
    """Transform a stack over its blocks, in place, each level pairing the two halves of what is left."""
    size, scale = len(block), np.float32(math.sqrt(0.5))
    half = 1 if back else count // 2
    while 0 < half < count:
        width = half * size
        for i in range(size):
            low, high = stack[i, :width], stack[i, width : 2 * width]
            for k in range(width):
                a, b = low[k], high[k]
                low[k], high[k] = (a + b) * scale, (a - b) * scale
        half = half * 2 if back else half // 2


@njit(**COMPILED)
def _cut(spectrum: F32, width: int, threshold: float) -> np.float32:
    """Set coefficients below a threshold to zero, times the weight of the stack, which is returned."""
    limit, mean = np.float32(threshold), spectrum[0, 0]
    kept = np.float32(0)
    for i in range(spectrum.shape[0]):
        line = spectrum[i, :width]
        for k in range(width):
            keep = np.float32(1) if abs(line[k]) > limit else np.float32(0)
            kept += keep
            line[k] *= keep
    if spectrum[0, 0] == 0:
        spectrum[0, 0] = mean
        kept += np.float32(1)
    weight = np.float32(1) / kept
    _scale(spectrum, width, weight)
    return weight


@njit(**COMPILED)
def _shrink(spectrum: F32, power: F32, width: int, variance: float) -> np.float32:
    """Shrink coefficients as Wiener's filter does, times the weight of the stack, which is returned."""
    noise, mean = np.float32(variance), spectrum[0, 0]
    whole = power[0, 0] * power[0, 0]
    share = whole / (whole + noise)
    total = np.float32(1) - share * share
    for i in range(spectrum.shape[0]):
        line, pilot = spectrum[i, :width], power[i, :width]
        for k in range(width):
            signal = pilot[k] * pilot[k]
            share = signal / (signal + noise)
            total += share * share
            line[k] *= share
    spectrum[0, 0] = mean
    weight = np.float32(1) / total
    _scale(spectrum, width, weight)
    return weight


@njit(**COMPILED)
def _scale(spectrum: F32, width: int, weight: np.float32) -> None:
    for i in range(spectrum.shape[0]):
        line = spectrum[i, :width]
        for k in range(width):
            line[k] *= weight
