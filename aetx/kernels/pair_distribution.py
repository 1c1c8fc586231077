"""How often pairs of points lie at a distance, beside what an even density in the same body would give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

COARSE = 1 / 40
"""Thinnest shell in which the share that a body fills is sampled, over the whole reach."""
FIRST = 1.6
"""Farthest that the first peak is sought, over the distance of the closest pair."""
UPPER = 0.3
"""Part of the first peak that a Gaussian is fitted to, over its height."""


@dataclass(frozen=True)
class PairHistogram:
    """Ordered pairs by distance and kinds, each of shape (bins, kinds, kinds): entry (k, a, b) is from a to b.

    `count` is their number, `weight` the sum of the products of the weights of both ends, `square` the variance of
    that sum where each unordered pair comes by itself (Poisson). Pairs of one kind are counted from both ends.
    """

    count: I64
    weight: F64
    square: F64


def histogram(position: F64, kind: I64, kinds: int, weight: F64, step: float, bins: int) -> PairHistogram:
    """Count pairs of points; no point is a pair with itself.

    Parameters
    ----------
    position
        Shape (points, 3).
    kind, weight
        Kind of each point, from 0, and its weight, shape (points,).
    kinds
        Number of kinds.
    step, bins
        Bin k holds distances from ``k * step``, included, to ``(k + 1) * step``, not included.
    """
    count = np.zeros((kinds, kinds, bins), np.int64)
    sums = np.zeros((kinds, kinds, bins, 2))
    if len(position) > 1:
        low, edge, size = _cells(position, bins * step)
        place, order, start = _sorted(position, low, edge, size)
        sites = np.ascontiguousarray(position[order].T)
        _pairs(sites, kind[order], weight[order], place[order], size, start, step, count, sums)
    one, back = np.moveaxis(count, 2, 0), np.moveaxis(sums, 2, 0)
    twin = back[..., 1]
    square = twin + twin.transpose(0, 2, 1)
    same = np.arange(kinds)
    square[:, same, same] *= 2
    return PairHistogram(one + one.transpose(0, 2, 1), back[..., 0] + back[..., 0].transpose(0, 2, 1), square)


def cross(first: F64, weight: F64, second: F64, step: float, bins: int) -> F64:
    """Sum the weights of the first points at a distance from one of the second, over all of the second, shape (bins,).

    Parameters
    ----------
    first, second
        Shape (points, 3).
    weight
        Of the first, shape (points,).
    step, bins
        As in `histogram`.
    """
    found = np.zeros(bins)
    if len(first) and len(second):
        low, edge, size = _cells(np.concatenate([first, second]), bins * step)
        _, order, start = _sorted(first, low, edge, size)
        place, by, _ = _sorted(second, low, edge, size)
        sites = np.ascontiguousarray(first[order].T)
        _cross(sites, weight[order], second[by], place[by], size, start, step, found)
    return found


def shell_volume(bins: int, step: float) -> F64:
    """Return the volumes of spherical shells, shape (bins,)."""
    return np.asarray(4 / 3 * math.pi * np.diff((np.arange(bins + 1) * step) ** 3))


def filled_share(first: F64, weight: F64, sample: F64, volume: float, step: float, bins: int) -> F64:
    """Return which share of the shells around weighted points lies in a body, at the middle of each bin, shape (bins,).

    It falls from 1 with the distance, as 1 - 3 r / 4 R + r**3 / 16 R**3 in a sphere of radius R.

    Parameters
    ----------
    first, weight
        The points, shape (points, 3), and their weights, shape (points,).
    sample
        Points drawn evenly from the body, shape (samples, 3).
    volume
        Of the body.
    step, bins
        As in `histogram`. The share is taken in shells as thick as `COARSE` bins or more, and drawn straight between.
    """
    thick = max(1, math.ceil(COARSE * bins)) * step
    shells = math.ceil(bins * step / thick - 1e-9)
    inside = cross(first, weight, sample, thick, shells) * volume / len(sample)
    share = inside / shell_volume(shells, thick) / weight.sum()
    return np.interp((np.arange(bins) + 0.5) * step, (np.arange(shells) + 0.5) * thick, share)


def first_peak(distance: F64, height: F64, error: F64) -> tuple[float, float]:
    """Return the distance of the first peak and its standard error: the centre of a Gaussian fitted to its upper part.

    The errors of the bins weigh it and give its own. NaN where fewer than four bins lie above `UPPER` of the height of
    the peak: the bins are then too wide.

    Parameters
    ----------
    distance, height, error
        Shape (bins,).
    """
    unknown = float("nan"), float("nan")
    if not (height > 0).any():
        return unknown
    top = int(np.argmax(np.where(distance < FIRST * distance[np.argmax(height > 0)], height, -np.inf)))
    low = high = top
    while low > 0 and height[low - 1] > UPPER * height[top]:
        low -= 1
    while high + 1 < height.size and height[high + 1] > UPPER * height[top]:
        high += 1
    chosen = slice(low, high + 1)
    if high - low < 3 or not (error[chosen] > 0).all():
        return unknown
    away = distance[chosen] - distance[top]
    weight = height[chosen] / error[chosen]
    (bend, slope, _), covariance = np.polyfit(away, np.log(height[chosen]), 2, w=weight, cov="unscaled")
    if bend >= 0:
        return unknown
    change = np.array([slope / (2 * bend**2), -1 / (2 * bend), 0.0])
    return float(distance[top] - slope / (2 * bend)), float(np.sqrt(change @ covariance @ change))


def _cells(position: F64, reach: float) -> tuple[F64, F64, I64]:
    """Return the corner, the edges and the numbers of cells, of which two make up the reach."""
    low = position.min(axis=0)
    extent = position.max(axis=0) - low
    size = np.clip(np.floor(2 * extent / reach).astype(np.int64), 1, 512)
    return low, np.maximum(extent / size, 1e-300), size


def _sorted(position: F64, low: F64, edge: F64, size: I64) -> tuple[I64, I64, I64]:
    """Return the cell of each point, the order of points by cells, and where each cell begins in it."""
    place = np.minimum(((position - low) / edge).astype(np.int64), size - 1)
    cell = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
    order = np.argsort(cell, kind="stable")
    return place, order, np.searchsorted(cell[order], np.arange(int(size.prod()) + 1))


@njit(nogil=True, cache=True)
def _pairs(
    sites: F64, kind: I64, weight: F64, place: I64, size: I64, start: I64, step: float, count: I64, sums: F64
) -> None:
    """Count each unordered pair once, its lower end first, through the cells around that end."""
    bins, points = count.shape[2], sites.shape[1]
    limit = (bins * step) ** 2
    square = np.empty(points)
    for i in range(points):
        for a in range(max(place[i, 0] - 2, 0), min(place[i, 0] + 3, size[0])):
            for b in range(max(place[i, 1] - 2, 0), min(place[i, 1] + 3, size[1])):
                row = (a * size[1] + b) * size[2]
                low = max(start[row + max(place[i, 2] - 2, 0)], i + 1)
                high = start[row + min(place[i, 2] + 3, size[2])]
                for j in range(low, high):
                    x, y, z = sites[0, j] - sites[0, i], sites[1, j] - sites[1, i], sites[2, j] - sites[2, i]
                    square[j] = x * x + y * y + z * z
                for j in range(low, high):
                    if square[j] < limit:
                        k = min(int(math.sqrt(square[j]) / step), bins - 1)
                        both = weight[i] * weight[j]
                        count[kind[i], kind[j], k] += 1
                        sums[kind[i], kind[j], k, 0] += both
                        sums[kind[i], kind[j], k, 1] += both * both


@njit(nogil=True, cache=True)
def _cross(sites: F64, weight: F64, second: F64, place: I64, size: I64, start: I64, step: float, found: F64) -> None:
    """Add the weights of sites around each of the second points."""
    bins = found.size
    limit = (bins * step) ** 2
    square = np.empty(sites.shape[1])
    for i in range(len(second)):
        for a in range(max(place[i, 0] - 2, 0), min(place[i, 0] + 3, size[0])):
            for b in range(max(place[i, 1] - 2, 0), min(place[i, 1] + 3, size[1])):
                row = (a * size[1] + b) * size[2]
                low, high = start[row + max(place[i, 2] - 2, 0)], start[row + min(place[i, 2] + 3, size[2])]
                for j in range(low, high):
                    x, y, z = sites[0, j] - second[i, 0], sites[1, j] - second[i, 1], sites[2, j] - second[i, 2]
                    square[j] = x * x + y * y + z * z
                for j in range(low, high):
                    if square[j] < limit:
                        found[min(int(math.sqrt(square[j]) / step), bins - 1)] += weight[j]
