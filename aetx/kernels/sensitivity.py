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
ROUGHLY = 4.0
"""Where the Gaussian of an atom ends if it may be rough, in its standard deviations."""
SUMS = {"reassoc", "contract", "nsz"}
"""Liberties that let sums along a row run in lanes: their order."""


@njit(nogil=True, cache=True)
def _line(centre: float, width: float, first: int, last: int, room: int, line: F32, rough: bool = False) -> None:
    """Write a Gaussian and its derivatives at the pixels from first up to last, as `rendering.render` draws it.

    `line` has three rows; up to `room` pixels from the first, what lies beyond the last is zero. A rough one is taken
    at the centres of the pixels.
    """
    scale, count = 1.0 / (width * math.sqrt(2.0 * math.pi)), last - first
    value, slope, spread = line[VALUE], line[SLOPE], line[SPREAD]
    if width < NARROW and not rough:
        t = (first - 0.5 - centre) / width
        before, height_before, t_before = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t), t
        for i in range(count):
            t = (first + i + 0.5 - centre) / width
            after, height = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t)
            value[i] = 0.5 * (after - before)
            slope[i] = height_before - height
            spread[i] = t_before * height_before - t * height
            before, height_before, t_before = after, height, t
    else:
        step = 1.0 / width
        start = (first - centre) * step
        height = scale * math.exp(-0.5 * start * start)
        ratio, fall = math.exp(-step * (start + 0.5 * step)), math.exp(-step * step)
        for i in range(count):
            value[i] = height
            height *= ratio
            ratio *= fall
        for i in range(count):
            t = start + i * step
            slope[i] = value[i] * t * step
            spread[i] = value[i] * (t * t - 1.0) * step
    for i in range(count, room):
        value[i], slope[i], spread[i] = 0.0, 0.0, 0.0


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
    rough: bool = False,
) -> F32:
    """Return the derivative of an image along a change of its atoms.

    Parameters
    ----------
    x, y, height, width, rows, columns
        As for `rendering.render`, shape (atoms,), pixels.
    by_x, by_y, by_height, by_width
        How fast each of them changes, shape (atoms,).
    rough
        Whether they end at 4 standard deviations, and are taken at the centres of pixels however narrow they are.

    Returns
    -------
    Image, shape (rows, columns).
    """
    room = _room(width)
    image = np.zeros((rows, columns + room), np.float32)
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    value, slope, spread = across[VALUE], across[SLOPE], across[SPREAD]
    mixed = np.zeros(room, np.float32)
    for i in range(x.size):
        reach = (ROUGHLY if rough else REACH) * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        used = (right - left + LANES - 1) // LANES * LANES
        _line(x[i], width[i], left, right, used, across, rough)
        _line(y[i], width[i], low, high, high - low, along, rough)
        dx, dy = np.float32(height[i] * by_x[i]), np.float32(height[i] * by_y[i])
        dh, dw = np.float32(by_height[i]), np.float32(height[i] * by_width[i])
        for k in range(used):
            mixed[k] = dx * slope[k] + dw * spread[k] + dh * value[k]
        for row in range(low, high):
            first = along[VALUE, row - low]
            second = dy * along[SLOPE, row - low] + dw * along[SPREAD, row - low]
            line = image[row, left : left + used]
            for k in range(used):
                line[k] += first * mixed[k] + second * value[k]
    return image[:, :columns].copy()


@njit(nogil=True, cache=True, fastmath=SUMS)
def collect(image: F32, x: F64, y: F64, height: F64, width: F64, rough: bool = False) -> F64:
    """Return the derivatives of sum(image * render(...)) by the atoms: the transpose of `change`.

    Parameters
    ----------
    image
        Shape (rows, columns).
    x, y, height, width
        As for `rendering.render`, shape (atoms,), pixels.
    rough
        As for `change`.

    Returns
    -------
    By x, y, height and width of each atom, shape (atoms, 4).
    """
    rows, columns = image.shape
    room = _room(width)
    wide = np.zeros((rows, columns + room), np.float32)
    wide[:, :columns] = image
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    value, slope, spread = across[VALUE], across[SLOPE], across[SPREAD]
    made = np.zeros((x.size, 4))
    for i in range(x.size):
        reach = (ROUGHLY if rough else REACH) * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        used = (right - left + LANES - 1) // LANES * LANES
        _line(x[i], width[i], left, right, used, across, rough)
        _line(y[i], width[i], low, high, high - low, along, rough)
        by_x = by_y = by_height = by_width = 0.0
        for row in range(low, high):
            line = wide[row, left : left + used]
            plain = sloped = spreading = np.float32(0)
            for k in range(used):
                plain += line[k] * value[k]
                sloped += line[k] * slope[k]
                spreading += line[k] * spread[k]
            by_x += along[VALUE, row - low] * sloped
            by_y += along[SLOPE, row - low] * plain
            by_height += along[VALUE, row - low] * plain
            by_width += along[VALUE, row - low] * spreading + along[SPREAD, row - low] * plain
        made[i, 0], made[i, 1], made[i, 2], made[i, 3] = (
            height[i] * by_x,
            height[i] * by_y,
            by_height,
            height[i] * by_width,
        )
    return made


@njit(nogil=True, cache=True, fastmath=SUMS)
def own(weight: F32, x: F64, y: F64, height: F64, width: F64, rough: bool = False) -> F64:
    """Return the weighted products of the derivatives of each atom with each other.

    Parameters
    ----------
    weight
        Of each pixel, shape (rows, columns).
    x, y, height, width
        As for `rendering.render`, shape (atoms,), pixels.
    rough
        As for `change`.

    Returns
    -------
    sum(weight * d render/d a * d render/d b) for a and b of x, y, height and width: shape (atoms, 4, 4).
    """
    rows, columns = weight.shape
    room = _room(width)
    wide = np.zeros((rows, columns + room), np.float32)
    wide[:, :columns] = weight
    across, along = np.zeros((3, room), np.float32), np.zeros((3, room), np.float32)
    value, slope, spread = across[VALUE], across[SLOPE], across[SPREAD]
    made = np.zeros((x.size, 4, 4))
    for i in range(x.size):
        reach = (ROUGHLY if rough else REACH) * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        used = (right - left + LANES - 1) // LANES * LANES
        _line(x[i], width[i], left, right, used, across, rough)
        _line(y[i], width[i], low, high, high - low, along, rough)
        xx = xy = xh = xw = yy = yh = yw = hh = hw = ww = 0.0
        for row in range(low, high):
            line = wide[row, left : left + used]
            vv = vs = vp = ss = sp = pp = np.float32(0)
            for k in range(used):
                one, two, three = line[k] * value[k], line[k] * slope[k], line[k] * spread[k]
                vv += one * value[k]
                vs += one * slope[k]
                vp += one * spread[k]
                ss += two * slope[k]
                sp += two * spread[k]
                pp += three * spread[k]
            v, s, p = along[VALUE, row - low], along[SLOPE, row - low], along[SPREAD, row - low]
            xx += v * v * ss
            xy += v * s * vs
            xh += v * v * vs
            xw += v * v * sp + v * p * vs
            yy += s * s * vv
            yh += s * v * vv
            yw += s * v * vp + s * p * vv
            hh += v * v * vv
            hw += v * v * vp + v * p * vv
            ww += v * v * pp + 2.0 * v * p * vp + p * p * vv
        h = height[i]
        made[i, 0, 0], made[i, 0, 1], made[i, 0, 2], made[i, 0, 3] = h * h * xx, h * h * xy, h * xh, h * h * xw
        made[i, 1, 1], made[i, 1, 2], made[i, 1, 3] = h * h * yy, h * yh, h * h * yw
        made[i, 2, 2], made[i, 2, 3], made[i, 3, 3] = hh, h * hw, h * h * ww
        for a in range(4):
            for b in range(a):
                made[i, a, b] = made[i, b, a]
    return made
