"""How images of atoms change with the atoms: derivatives of `rendering.render`, their transpose, and their products."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.profiles import NARROW
from aetx.kernels.rendering import LANES, REACH

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

VALUE, SLOPE, SPREAD = range(3)
"""A Gaussian of unit integral along an axis, its derivative by the centre, and by the width."""


@njit(nogil=True, cache=True)
def _line(centre: float, width: float, first: int, last: int, line: F32) -> None:
    """Write a Gaussian and its derivatives at the pixels from first up to last, as `rendering.render` draws it.

    `line` has the shape (3, room); what is not written stays as it is.
    """
    scale = 1.0 / (width * math.sqrt(2.0 * math.pi))
    if width < NARROW:
        t = (first - 0.5 - centre) / width
        before, height_before, t_before = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t), t
        for i in range(first, last):
            t = (i + 0.5 - centre) / width
            after, height = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t)
            line[VALUE, i - first] = 0.5 * (after - before)
            line[SLOPE, i - first] = height_before - height
            line[SPREAD, i - first] = t_before * height_before - t * height
            before, height_before, t_before = after, height, t
        return
    step = 1.0 / width
    t = (first - centre) * step
    value = scale * math.exp(-0.5 * t * t)
    ratio, fall = math.exp(-step * (t + 0.5 * step)), math.exp(-step * step)
    for i in range(last - first):
        line[VALUE, i] = value
        line[SLOPE, i] = value * t * step
        line[SPREAD, i] = value * (t * t - 1.0) * step
        value *= ratio
        ratio *= fall
        t += step


@njit(nogil=True, cache=True)
def _room(width: F64) -> int:
    longest = 0.0
    for i in range(width.size):
        longest = max(longest, width[i])
    return LANES * (int(2.0 * REACH * longest + 3.0) // LANES + 1)


@njit(nogil=True, cache=True)
def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    return max(0, math.ceil(centre - reach)), min(size, math.floor(centre + reach) + 1)


@njit(nogil=True, cache=True)
def change(
    x: F64,
    y: F64,
    height: F64,
    width: F64,
    by_x: F64,
    by_y: F64,
    by_height: F64,
    by_width: F64,
    rows: int,
    columns: int,
) -> F32:
    """Return the derivative of an image along a change of its atoms.

    Parameters
    ----------
    x, y, height, width, rows, columns
        As for `rendering.render`, shape (atoms,), pixels.
    by_x, by_y, by_height, by_width
        How fast each of them changes, shape (atoms,).

    Returns
    -------
    Image, shape (rows, columns).
    """
    room = _room(width)
    image = np.zeros((rows, columns + room), np.float32)
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    mixed = np.zeros(room, np.float32)
    for i in range(x.size):
        reach = REACH * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        _line(x[i], width[i], left, right, across)
        _line(y[i], width[i], low, high, along)
        room_used = (right - left + LANES - 1) // LANES * LANES
        across[:, right - left : room_used] = 0.0
        dx, dy = np.float32(height[i] * by_x[i]), np.float32(height[i] * by_y[i])
        dh, dw = np.float32(by_height[i]), np.float32(height[i] * by_width[i])
        for k in range(room_used):
            mixed[k] = dx * across[SLOPE, k] + dw * across[SPREAD, k] + dh * across[VALUE, k]
        for row in range(low, high):
            first = along[VALUE, row - low]
            second = dy * along[SLOPE, row - low] + dw * along[SPREAD, row - low]
            for block in range(0, room_used, LANES):
                for lane in range(LANES):
                    image[row, left + block + lane] += (
                        first * mixed[block + lane] + second * across[VALUE, block + lane]
                    )
    return image[:, :columns].copy()


@njit(nogil=True, cache=True)
def collect(image: F32, x: F64, y: F64, height: F64, width: F64) -> F64:
    """Return the derivatives of sum(image * render(...)) by the atoms: the transpose of `change`.

    Parameters
    ----------
    image
        Shape (rows, columns).
    x, y, height, width
        As for `rendering.render`, shape (atoms,), pixels.

    Returns
    -------
    By x, y, height and width of each atom, shape (atoms, 4).
    """
    rows, columns = image.shape
    room = _room(width)
    wide = np.zeros((rows, columns + room), np.float32)
    wide[:, :columns] = image
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    summed = np.zeros((3, room), np.float32)
    made = np.zeros((x.size, 4))
    for i in range(x.size):
        reach = REACH * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        _line(x[i], width[i], left, right, across)
        _line(y[i], width[i], low, high, along)
        room_used = (right - left + LANES - 1) // LANES * LANES
        across[:, right - left : room_used] = 0.0
        summed[:, :room_used] = 0.0
        for row in range(low, high):
            value, slope, spread = along[VALUE, row - low], along[SLOPE, row - low], along[SPREAD, row - low]
            for block in range(0, room_used, LANES):
                for lane in range(LANES):
                    here = wide[row, left + block + lane]
                    summed[VALUE, block + lane] += value * here
                    summed[SLOPE, block + lane] += slope * here
                    summed[SPREAD, block + lane] += spread * here
        for k in range(right - left):
            made[i, 0] += summed[VALUE, k] * across[SLOPE, k]
            made[i, 1] += summed[SLOPE, k] * across[VALUE, k]
            made[i, 2] += summed[VALUE, k] * across[VALUE, k]
            made[i, 3] += summed[VALUE, k] * across[SPREAD, k] + summed[SPREAD, k] * across[VALUE, k]
        made[i, 0] *= height[i]
        made[i, 1] *= height[i]
        made[i, 3] *= height[i]
    return made


@njit(nogil=True, cache=True)
def own(weight: F32, x: F64, y: F64, height: F64, width: F64) -> F64:
    """Return the weighted products of the derivatives of each atom with each other.

    Parameters
    ----------
    weight
        Of each pixel, shape (rows, columns).
    x, y, height, width
        As for `rendering.render`, shape (atoms,), pixels.

    Returns
    -------
    sum(weight * d render/d a * d render/d b) for a and b of x, y, height and width: shape (atoms, 4, 4).
    """
    rows, columns = weight.shape
    room = _room(width)
    wide = np.zeros((rows, columns + room), np.float32)
    wide[:, :columns] = weight
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    summed = np.zeros((3, 3, room), np.float32)
    table = np.zeros((3, 3, 3, 3))
    made = np.zeros((x.size, 4, 4))
    for i in range(x.size):
        reach = REACH * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        _line(x[i], width[i], left, right, across)
        _line(y[i], width[i], low, high, along)
        room_used = (right - left + LANES - 1) // LANES * LANES
        across[:, right - left : room_used] = 0.0
        summed[:, :, :room_used] = 0.0
        for row in range(low, high):
            for a in range(3):
                for b in range(a + 1):
                    factor = along[a, row - low] * along[b, row - low]
                    for block in range(0, room_used, LANES):
                        for lane in range(LANES):
                            summed[a, b, block + lane] += factor * wide[row, left + block + lane]
        for a in range(3):
            for b in range(a + 1):
                for c in range(3):
                    for d in range(c + 1):
                        total = 0.0
                        for k in range(right - left):
                            total += summed[a, b, k] * across[c, k] * across[d, k]
                        for p, q in ((a, b), (b, a)):
                            table[p, q, c, d] = total
                            table[p, q, d, c] = total
        # Each derivative as terms (along, across): x, y and height have one, the width has two.
        h = height[i]
        made[i, 0, 0] = h * h * table[VALUE, VALUE, SLOPE, SLOPE]
        made[i, 0, 1] = h * h * table[VALUE, SLOPE, SLOPE, VALUE]
        made[i, 1, 1] = h * h * table[SLOPE, SLOPE, VALUE, VALUE]
        made[i, 0, 2] = h * table[VALUE, VALUE, SLOPE, VALUE]
        made[i, 1, 2] = h * table[SLOPE, VALUE, VALUE, VALUE]
        made[i, 2, 2] = table[VALUE, VALUE, VALUE, VALUE]
        made[i, 0, 3] = h * h * (table[VALUE, VALUE, SLOPE, SPREAD] + table[VALUE, SPREAD, SLOPE, VALUE])
        made[i, 1, 3] = h * h * (table[SLOPE, VALUE, VALUE, SPREAD] + table[SLOPE, SPREAD, VALUE, VALUE])
        made[i, 2, 3] = h * (table[VALUE, VALUE, VALUE, SPREAD] + table[VALUE, SPREAD, VALUE, VALUE])
        made[i, 3, 3] = (
            h
            * h
            * (
                table[VALUE, VALUE, SPREAD, SPREAD]
                + 2.0 * table[VALUE, SPREAD, SPREAD, VALUE]
                + table[SPREAD, SPREAD, VALUE, VALUE]
            )
        )
        for a in range(4):
            for b in range(a):
                made[i, a, b] = made[i, b, a]
    return made
