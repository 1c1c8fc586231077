"""Voronoi cells of points: volumes, faces, and the edges of these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import Neighbours, within

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

FIRST = 1.3
"""Distance within which all cells are first cut by the planes of neighbours, over their reach; few need more."""
TOUCH = 1e-10
"""A corner touches a plane that it is beyond by less than this, over the distance of the neighbour behind the plane."""
SHORT = 1e-6
"""Edges shorter than this, over the distance of the neighbour behind a face, are points where more faces meet."""
EDGES = 16
"""One more than the most edges of a face that are told apart."""
UNKNOWN, CLOSED, OPEN = 0, 1, 2


@dataclass(frozen=True)
class Cells:
    """Voronoi cells of points.

    Attributes
    ----------
    volume, area
        Of the whole cell, shape (points,); NaN for an open one.
    faces
        How many faces have n edges, shape (points, `EDGES`), after small faces are left out; 0 for an open cell.
    neighbours
        The points behind these faces, nearest first; of an open cell, those with which it shares a corner in reach.
    face_area
        Areas of their faces in the whole cell, shape (pairs,); NaN for a face with a corner out of reach.
    """

    volume: F64
    area: F64
    faces: I32
    neighbours: Neighbours
    face_area: F64


def cells(position: F64, reach: float, least: float) -> Cells:
    """Return the Voronoi cells of points; those with a corner out of reach are open.

    A corner is as far from its point as from others and from none less: it is the centre of an empty sphere. With the
    radius of an alpha shape as reach, open cells are those of points at its surface and at holes as large.

    A cell is cut from a cube by the planes halfway to its neighbours, nearest first, until the next of these is more
    than twice as far as the farthest corner. A corner is the meeting of three planes; where more meet, as in crystals,
    several corners are at one point.

    Parameters
    ----------
    position
        Finite, shape (points, 3).
    reach
        Greatest distance of a corner of a closed cell.
    least
        Faces of less than this part of the area of all faces in reach are left out, and the cell is cut again without
        their planes before edges are counted.
    """
    points = len(position)
    state, size = np.zeros(points, np.int8), np.full((points, 2), np.nan)
    faces = np.zeros((points, EDGES), np.int32)
    parts: list[tuple[I64, I32, F64]] = []
    for limit in (FIRST * reach, 2 * reach):
        todo = np.flatnonzero(state == UNKNOWN)
        found = within(position, limit, state == UNKNOWN)
        index, area, count = np.empty_like(found.index), np.empty_like(found.distance), np.zeros(points, np.int64)
        longest = int(found.count.max(initial=0))
        _cells(
            position,
            todo,
            found.start,
            found.index,
            longest,
            (reach, limit, least),
            state,
            size,
            faces,
            count,
            index,
            area,
        )
        source = np.repeat(np.arange(points), count)
        entry = np.arange(len(source)) + np.repeat(found.start[:-1] - np.cumsum(count) + count, count)
        parts.append((source, index[entry], area[entry]))
    source, index, area = (np.concatenate(one) for one in zip(*parts, strict=True))
    distance = np.linalg.norm(position[index] - position[source], axis=1)
    order = np.lexsort((index, distance, source))
    start = np.searchsorted(source[order], np.arange(points + 1))
    neighbours = Neighbours(start, index[order], distance[order])
    return Cells(size[:, 0], size[:, 1], faces, neighbours, area[order])


@njit(nogil=True, cache=True)
def _cells(
    position: F64,
    todo: I64,
    start: I64,
    index: I32,
    longest: int,
    limits: tuple[float, float, float],
    state: I8,
    size: F64,
    faces: I32,
    count: I64,
    behind: I32,
    area: F64,
) -> None:
    """Cut, measure and record the cells of some points; a cell that more neighbours might cut stays unknown."""
    reach, limit, least = limits
    most = 2 * longest + 16
    corner, plane, owner = (
        np.empty((most, 3)),
        np.empty((most, 3), np.int32),
        np.empty((longest + 6, longest + 6), np.int32),
    )
    of, used = np.empty(longest + 6, np.int32), np.empty(longest, np.bool_)
    spare = np.empty((most, 4)), np.empty((most, 4), np.int32)
    face = np.empty((longest + 6, 2))
    edges = np.empty(longest + 6, np.int32)
    for i in todo:
        listed = index[start[i] : start[i + 1]]
        used[: listed.size] = True
        top, planes, farthest = _cut(position, i, listed, used, 2 * reach, corner, plane, owner, of, spare)
        if 2 * farthest > limit and limit < 2 * reach:
            continue
        state[i] = CLOSED if farthest <= reach else OPEN
        volume, total = _measure(position, i, listed, top, planes, reach, corner, plane, owner, of, face, edges)
        used[: listed.size] = False
        dropped = False
        for p in range(6, planes):
            if edges[p] == 0:
                continue
            if edges[p] >= 3 and face[p, 0] >= least * total and face[p, 1] <= reach:
                k = start[i] + count[i]
                behind[k], area[k] = listed[of[p]], face[p, 0] if np.isfinite(face[p, 0]) else np.nan
                count[i] += 1
                used[of[p]] = True
            else:
                dropped = True
        if state[i] == OPEN:
            continue
        size[i, 0], size[i, 1] = volume, total
        if dropped:
            top, planes, _ = _cut(position, i, listed, used, 2 * reach, corner, plane, owner, of, spare)
            _measure(position, i, listed, top, planes, reach, corner, plane, owner, of, face, edges)
        for p in range(6, planes):
            if edges[p] >= 3:
                faces[i, min(edges[p], EDGES - 1)] += 1


@njit(nogil=True, cache=True)
def _cut(
    position: F64,
    i: int,
    index: I32,
    used: Mask,
    half: float,
    corner: F64,
    plane: I32,
    owner: I32,
    of: I32,
    spare: tuple[F64, I32],
) -> tuple[int, int, float]:
    """Cut the cube of half an edge around a point by the planes halfway to its neighbours.

    A corner s is where the planes a, b, c in ``plane[s]`` meet, counter-clockwise seen from outside; ``owner[a, b]`` is
    s. The edge between the planes a and b ends at ``owner[b, a]``. Corners cut off are put at the point itself, which
    no plane reaches, with plane -1, and their places are used again. Plane p >= 6 belongs to neighbour ``of[p]``.

    Returns
    -------
    The number of places for corners and of planes, and the distance of the farthest corner.
    """
    real, whole = spare
    offset, fresh = real[:, 0], real[:, 1:]
    gone, free, pair = whole[:, 0], whole[:, 1], whole[:, 2:]
    for s in range(8):
        x, y, z = s & 1, s >> 1 & 1, s >> 2
        corner[s, 0], corner[s, 1], corner[s, 2] = half * (1 - 2 * x), half * (1 - 2 * y), half * (1 - 2 * z)
        even = (x + y + z) % 2 == 0
        plane[s, 0] = x
        plane[s, 1], plane[s, 2] = (2 + y, 4 + z) if even else (4 + z, 2 + y)
        for e in range(3):
            owner[plane[s, e], plane[s, (e + 1) % 3]] = s
    top, planes, vacant, farthest = 8, 6, 0, 3 * half * half
    for k in range(index.size):
        if not used[k]:
            continue
        j = index[k]
        x, y, z = position[j, 0] - position[i, 0], position[j, 1] - position[i, 1], position[j, 2] - position[i, 2]
        square = x * x + y * y + z * z
        if square >= 4 * farthest:
            break
        number, touch = 0, TOUCH * square
        for s in range(top):
            offset[s] = corner[s, 0] * x + corner[s, 1] * y + corner[s, 2] * z - 0.5 * square
            if offset[s] > touch:
                gone[number] = s
                number += 1
        if number == 0:
            continue
        made = 0
        for g in range(number):
            s = gone[g]
            for e in range(3):
                a, b = plane[s, e], plane[s, (e + 1) % 3]
                o = owner[b, a]
                if offset[o] <= touch:
                    part = min(1.0, offset[s] / (offset[s] - offset[o]))
                    for axis in range(3):
                        fresh[made, axis] = corner[s, axis] + part * (corner[o, axis] - corner[s, axis])
                    pair[made, 0], pair[made, 1] = a, b
                    made += 1
        for g in range(number):
            s = gone[g]
            plane[s, 0] = -1
            corner[s, 0], corner[s, 1], corner[s, 2] = 0.0, 0.0, 0.0
            free[vacant] = s
            vacant += 1
        for m in range(made):
            if vacant > 0:
                vacant -= 1
                s = free[vacant]
            else:
                s = top
                top += 1
            a, b = pair[m, 0], pair[m, 1]
            plane[s, 0], plane[s, 1], plane[s, 2] = a, b, planes
            owner[a, b], owner[b, planes], owner[planes, a] = s, s, s
            for axis in range(3):
                corner[s, axis] = fresh[m, axis]
        of[planes] = k
        planes += 1
        farthest = 0.0
        for s in range(top):
            farthest = max(farthest, corner[s, 0] ** 2 + corner[s, 1] ** 2 + corner[s, 2] ** 2)
    return top, planes, math.sqrt(farthest)


@njit(nogil=True, cache=True)
def _measure(
    position: F64,
    i: int,
    index: I32,
    top: int,
    planes: int,
    reach: float,
    corner: F64,
    plane: I32,
    owner: I32,
    of: I32,
    face: F64,
    edges: I32,
) -> tuple[float, float]:
    """Return the volume of a cell and the area of its faces in reach.

    For each plane, `edges` becomes the number of edges of its face, 0 where it has none, less than 3 for a face that
    is but a line or a point, and `face` its area, infinite
    for a face with a corner out of reach, and the distance of its nearest corner.
    """
    edges[:planes] = 0
    begin = np.full(planes, -1, np.int32)
    for s in range(top):
        if plane[s, 0] >= 0:
            for e in range(3):
                begin[plane[s, e]] = s
    volume, total = 0.0, 0.0
    for p in range(6, planes):
        if begin[p] < 0:
            continue
        j = index[of[p]]
        square = 0.0
        for axis in range(3):
            square += (position[j, axis] - position[i, axis]) ** 2
        first = begin[p]
        s, ax, ay, az, near, far = first, 0.0, 0.0, 0.0, np.inf, 0.0
        while True:
            away = corner[s, 0] ** 2 + corner[s, 1] ** 2 + corner[s, 2] ** 2
            near, far = min(near, away), max(far, away)
            e = 0 if plane[s, 0] == p else 1 if plane[s, 1] == p else 2
            o = owner[p, plane[s, (e + 2) % 3]]
            ux, uy, uz = (
                corner[s, 0] - corner[first, 0],
                corner[s, 1] - corner[first, 1],
                corner[s, 2] - corner[first, 2],
            )
            vx, vy, vz = corner[o, 0] - corner[s, 0], corner[o, 1] - corner[s, 1], corner[o, 2] - corner[s, 2]
            edges[p] += vx * vx + vy * vy + vz * vz > SHORT * SHORT * square
            ax, ay, az = ax + uy * vz - uz * vy, ay + uz * vx - ux * vz, az + ux * vy - uy * vx
            s = o
            if s == first:
                break
        edges[p] = max(edges[p], 1)
        one = 0.5 * math.sqrt(ax * ax + ay * ay + az * az)
        volume += one * math.sqrt(square) / 6
        face[p, 0], face[p, 1] = one, math.sqrt(near)
        if math.sqrt(far) <= reach:
            total += one
        else:
            face[p, 0] = np.inf
    return volume, total
