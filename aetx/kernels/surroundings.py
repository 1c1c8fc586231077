"""What atoms are, compared with those around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

STEADY = 5
"""Rounds in a row that change equally many atoms, after which no rest is expected."""


class Cells(NamedTuple):
    """Points sorted into cubic cells: their order, positions, cells, and where each cell begins."""

    order: I64
    position: F64
    place: I64
    size: I64
    start: I64


def cells(position: F64, radius: float) -> Cells:
    """Sort points, shape (points, 3), into cells no smaller than `radius`."""
    low, high = position.min(axis=0), position.max(axis=0)
    size = np.clip(np.floor((high - low) / radius), 1, 512).astype(np.int64)
    edge = np.maximum((high - low) / size, radius)
    place = np.minimum(((position - low) / edge).astype(np.int64), size - 1)
    cell = (place[:, 0] * size[1] + place[:, 1]) * size[2] + place[:, 2]
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], np.arange(int(size.prod()) + 1))
    return Cells(order, np.ascontiguousarray(position[order]), place[order], size, start)


class Local(NamedTuple):
    """Classes, shape (atoms,), how many changed in each round, and whether that came to an end before the last."""

    labels: I64
    changes: I64
    settled: bool


def local_classes(boxes: F32, position: F64, labels: I64, parts: int, radius: float, least: int, rounds: int) -> Local:
    """Assign each atom to the class whose mean box around it, without its own, is nearest by squared differences.

    All atoms change at once; it ends when none does, or when the number that did was the same for `STEADY` rounds.
    A class with fewer than `least` members around an atom is not compared, and where that is its own the atom stays
    what it is.

    Parameters
    ----------
    boxes
        Shape (atoms, points).
    position
        Shape (atoms, 3), angstrom.
    labels
        Class of each at the start, from 0, shape (atoms,).
    parts
        Number of classes.
    radius
        How far "around" reaches, angstrom.
    least
        Members that a mean needs, at least 1.
    rounds
        Most rounds.
    """
    sorted_into = cells(position, radius)
    order, rest = sorted_into.order, sorted_into[1:]
    ordered = np.ascontiguousarray(boxes[order])
    now = labels[order]
    active = np.ones(now.size, np.bool_)
    changes: list[int] = []
    settled = False
    for _ in range(rounds):
        found = _nearest(ordered, now, active, parts, radius, least, *rest)
        changed = found != now
        changes.append(int(changed.sum()))
        now = found
        settled = changes[-1] == 0 or (len(changes) >= STEADY and len(set(changes[-STEADY:])) == 1)
        if settled:
            break
        active = _touched(changed, radius, *rest)
    result = np.empty_like(labels)
    result[order] = now
    return Local(result, np.array(changes), settled)


@njit(nogil=True, cache=True)
def _row(place: I64, i: int, a: int, b: int, size: I64, start: I64) -> tuple[int, int]:
    """Return the sorted points in three cells of a row along the last axis, around the cell of point i."""
    row = (a * size[1] + b) * size[2]
    return start[row + max(place[i, 2] - 1, 0)], start[row + min(place[i, 2] + 2, size[2])]


@njit(nogil=True, cache=True)
def _square(position: F64, i: int, j: int) -> float:
    total = 0.0
    for axis in range(3):
        total += (position[i, axis] - position[j, axis]) ** 2
    return total


@njit(nogil=True, cache=True)
def _nearest(
    boxes: F32,
    labels: I64,
    active: Flags,
    parts: int,
    radius: float,
    least: int,
    position: F64,
    place: I64,
    size: I64,
    start: I64,
) -> I64:
    found = labels.copy()
    points = boxes.shape[1]
    total = np.empty((parts, points))
    count = np.empty(parts, np.int64)
    for i in range(labels.size):
        if not active[i]:
            continue
        total[:] = 0.0
        count[:] = 0
        for a in range(max(place[i, 0] - 1, 0), min(place[i, 0] + 2, size[0])):
            for b in range(max(place[i, 1] - 1, 0), min(place[i, 1] + 2, size[1])):
                low, high = _row(place, i, a, b, size, start)
                for j in range(low, high):
                    if j != i and _square(position, i, j) <= radius * radius:
                        of, box = total[labels[j]], boxes[j]
                        for p in range(points):
                            of[p] += box[p]
                        count[labels[j]] += 1
        if count[labels[i]] < least:
            continue
        best = np.inf
        for part in range(parts):
            if count[part] < least:
                continue
            apart = 0.0
            for p in range(points):
                apart += (boxes[i, p] - total[part, p] / count[part]) ** 2
            if apart < best:
                best, found[i] = apart, part
    return found


@njit(nogil=True, cache=True)
def _touched(changed: Flags, radius: float, position: F64, place: I64, size: I64, start: I64) -> Flags:
    """Tell which atoms are within `radius` of one that changed."""
    touched = changed.copy()
    for i in range(changed.size):
        if not changed[i]:
            continue
        for a in range(max(place[i, 0] - 1, 0), min(place[i, 0] + 2, size[0])):
            for b in range(max(place[i, 1] - 1, 0), min(place[i, 1] + 2, size[1])):
                low, high = _row(place, i, a, b, size, start)
                for j in range(low, high):
                    if not touched[j] and _square(position, i, j) <= radius * radius:
                        touched[j] = True
    return touched


def level(intensity: F64, expected: F64, position: F64, radius: float, least: int) -> F64:
    """Return how bright the atoms around each atom are, without its own, over what their classes lead to expect.

    Parameters
    ----------
    intensity
        Shape (atoms,).
    expected
        Mean intensity of the class of each, shape (atoms,).
    position
        Shape (atoms, 3), angstrom.
    radius
        How far "around" reaches, angstrom.
    least
        Atoms that a level needs; it is 1 where there are fewer, or they sum to nothing above zero.
    """
    sorted_into = cells(position, radius)
    order = sorted_into.order
    found = np.empty(intensity.size)
    found[order] = _level(intensity[order], expected[order], radius, least, *sorted_into[1:])
    return found


@njit(nogil=True, cache=True)
def _level(
    intensity: F64, expected: F64, radius: float, least: int, position: F64, place: I64, size: I64, start: I64
) -> F64:
    found = np.ones(intensity.size)
    for i in range(intensity.size):
        count, seen, told = 0, 0.0, 0.0
        for a in range(max(place[i, 0] - 1, 0), min(place[i, 0] + 2, size[0])):
            for b in range(max(place[i, 1] - 1, 0), min(place[i, 1] + 2, size[1])):
                low, high = _row(place, i, a, b, size, start)
                for j in range(low, high):
                    if j != i and _square(position, i, j) <= radius * radius:
                        count += 1
                        seen += intensity[j]
                        told += expected[j]
        if count >= least and seen > 0 and told > 0:
            found[i] = seen / told
    return found
