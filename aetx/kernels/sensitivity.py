"""How images of atoms change with the atoms: derivatives of `rendering.render`, their transpose, and their products."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.profiles import NARROW
from aetx.kernels.rendering import REACH

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

VALUE, SLOPE, SPREAD = range(3)
"""A Gaussian of unit integral along an axis, its derivative by the centre, and by the width."""
ROUGHLY = 4.0
"""Where the Gaussian of an atom ends if it may be rough, in its standard deviations."""
LANES = 8
"""Pixels that are worked on at once."""
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
def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    return max(0, math.ceil(centre - reach)), min(size, math.floor(centre + reach) + 1)


class Lines(NamedTuple):
    """Gaussians of atoms along both axes, as an image of some size sees them; each atom is a product of two."""

    value: F32
    """`VALUE`, `SLOPE` and `SPREAD` of each, across and along, shape (atoms, 2, 3, pixels)."""
    span: I32
    """First and last but one pixel across, then along; both 0 where none sees the atom. Shape (atoms, 4)."""


def lines(x: F64, y: F64, width: F64, rows: int, columns: int, rough: bool = False) -> Lines:
    """Return the lines of atoms, to draw them with and to differentiate by.

    Parameters
    ----------
    x, y, width
        As for `rendering.render`, shape (atoms,), pixels.
    rows, columns
        Size of the image.
    rough
        Whether they end at 4 standard deviations, and are taken at the centres of pixels however narrow they are.
    """
    reach = (ROUGHLY if rough else REACH) * float(width.max(initial=0.0)) + 0.5
    room = -(-int(2.0 * reach + 1.0) // LANES) * LANES
    made = Lines(np.empty((x.size, 2, 3, room), np.float32), np.zeros((x.size, 4), np.int32))
    _fill(x, y, width, rows, columns, rough, *made)
    return made


@njit(nogil=True, cache=True)
def _fill(x: F64, y: F64, width: F64, rows: int, columns: int, rough: bool, value: F32, span: I32) -> None:
    for i in range(x.size):
        reach = (ROUGHLY if rough else REACH) * width[i] + 0.5
        left, right = _span(x[i], reach, columns)
        low, high = _span(y[i], reach, rows)
        if left >= right or low >= high:
            continue
        span[i, 0], span[i, 1], span[i, 2], span[i, 3] = left, right, low, high
        _line(x[i], width[i], left, right, (right - left + LANES - 1) // LANES * LANES, value[i, 0], rough)
        _line(y[i], width[i], low, high, high - low, value[i, 1], rough)


def change(
    drawn: Lines, height: F64, by_x: F64, by_y: F64, by_height: F64, by_width: F64, rows: int, columns: int
) -> F32:
    """Return the derivative of an image along a change of its atoms.

    Parameters
    ----------
    drawn
        The lines of the atoms.
    height
        As for `rendering.render`, shape (atoms,).
    by_x, by_y, by_height, by_width
        How fast x, y, height and width change, shape (atoms,), pixels.
    rows, columns
        Size of the image, as the lines know it.

    Returns
    -------
    Image, shape (rows, columns).
    """
    return _change(*drawn, height, by_x, by_y, by_height, by_width, rows, columns)


@njit(nogil=True, cache=True)
def _change(
    lines_: F32,
    span: I32,
    height: F64,
    by_x: F64,
    by_y: F64,
    by_height: F64,
    by_width: F64,
    rows: int,
    columns: int,
) -> F32:
    room = lines_.shape[3]
    image = np.zeros((rows, columns + room), np.float32)
    mixed = np.zeros(room, np.float32)
    for i in range(height.size):
        left, right, low, high = span[i]
        used = (right - left + LANES - 1) // LANES * LANES
        along = lines_[i, 1]
        value, slope, spread = lines_[i, 0, VALUE], lines_[i, 0, SLOPE], lines_[i, 0, SPREAD]
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


def collect(image: F32, drawn: Lines, height: F64) -> F64:
    """Return the derivatives of sum(image * render(...)) by the atoms: the transpose of `change`.

    Parameters
    ----------
    image
        Shape (rows, columns), as the lines know it.
    drawn, height
        As for `change`.

    Returns
    -------
    By x, y, height and width of each atom, shape (atoms, 4).
    """
    made: F64 = _collect(_widened(image, drawn), *drawn, height)
    return made


def _widened(image: F32, drawn: Lines) -> F32:
    """Return an image with as many columns more as a line may have beyond its edge."""
    wide = np.zeros((image.shape[0], image.shape[1] + drawn.value.shape[3]), np.float32)
    wide[:, : image.shape[1]] = image
    return wide


@njit(nogil=True, cache=True, fastmath=SUMS)
def _collect(wide: F32, lines_: F32, span: I32, height: F64) -> F64:
    made = np.zeros((height.size, 4))
    for i in range(height.size):
        left, right, low, high = span[i]
        used = (right - left + LANES - 1) // LANES * LANES
        along = lines_[i, 1]
        value, slope, spread = lines_[i, 0, VALUE], lines_[i, 0, SLOPE], lines_[i, 0, SPREAD]
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


def own(weight: F32, drawn: Lines, height: F64) -> F64:
    """Return the weighted products of the derivatives of each atom with each other.

    Parameters
    ----------
    weight
        Of each pixel, shape (rows, columns), as the lines know it.
    drawn, height
        As for `change`.

    Returns
    -------
    sum(weight * d render/d a * d render/d b) for a and b of x, y, height and width: shape (atoms, 4, 4).
    """
    made: F64 = _own(_widened(weight, drawn), *drawn, height)
    return made


@njit(nogil=True, cache=True, fastmath=SUMS)
def _own(wide: F32, lines_: F32, span: I32, height: F64) -> F64:
    made = np.zeros((height.size, 4, 4))
    for i in range(height.size):
        left, right, low, high = span[i]
        used = (right - left + LANES - 1) // LANES * LANES
        along = lines_[i, 1]
        value, slope, spread = lines_[i, 0, VALUE], lines_[i, 0, SLOPE], lines_[i, 0, SPREAD]
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
