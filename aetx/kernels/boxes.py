"""The density around each atom: boxes cut to balls, templates of them, and a background."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import least_squares

from aetx.kernels.polynomial import SUPPORT

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def ball(half: int) -> I64:
    """Return the points of a cubic box that lie within half + 1/2 of its middle, shape (points, 3), from -half on."""
    side = np.arange(-half, half + 1)
    points = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[(points**2).sum(axis=1) <= (half + 0.5) ** 2].astype(np.int64)


def reach(half: int, fine: int) -> int:
    """Return how many voxels from that of an atom the values of its box depend on."""
    return SUPPORT + 3 + -(-half // fine)


@njit(nogil=True, cache=True)
def _weights(t: float, weight: F64) -> None:
    """Set the four weights of a cubic B-spline at `t` between knots 0 and 1, for knots -1 to 2."""
    weight[0] = (1 - t) ** 3 / 6
    weight[1] = 2 / 3 - t * t + t**3 / 2
    weight[2] = 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2
    weight[3] = t**3 / 6


@njit(nogil=True, cache=True)
def _mirrored(index: int, size: int) -> int:
    if size == 1:
        return 0
    index = abs(index) % (2 * (size - 1))
    return 2 * (size - 1) - index if index >= size else index


@njit(nogil=True, cache=True)
def cut(spline: F64, corner: I64, shape: I64, place: F64, points: I64, half: int, fine: int) -> F32:
    """Interpolate a volume on a fine lattice centred at each atom.

    Parameters
    ----------
    spline
        Coefficients of the cubic spline through a block of the volume, as `polynomial.coefficients` gives them.
    corner, shape
        Index of the first voxel of the block in the whole volume, and the shape of that; it is mirrored at its faces.
    place
        Index z, y, x of each atom in the whole volume, with fractions, shape (atoms, 3).
    points
        As `ball` gives them.
    half, fine
        Lattice points to each side of an atom, and to a voxel.

    Returns
    -------
    Values, shape (atoms, points).
    """
    side = 2 * half + 1
    knots = 4 + (side - 1) // fine + 1
    weight = np.empty((3, side, 4))
    first = np.empty((3, side), np.int64)
    start = np.empty(3, np.int64)
    index = np.empty((3, knots), np.int64)
    near = np.empty((knots, knots, knots))
    along_x = np.empty((knots, knots, side))
    along_y = np.empty((knots, side, side))
    box = np.empty((side, side, side))
    out = np.empty((len(place), len(points)), np.float32)
    for n in range(len(place)):
        for axis in range(3):
            start[axis] = int(np.floor(place[n, axis] - half / fine)) - 1
            for i in range(side):
                at = place[n, axis] + (i - half) / fine
                low = int(np.floor(at))
                first[axis, i] = min(max(low - 1 - start[axis], 0), knots - 4)
                _weights(at - (start[axis] + first[axis, i] + 1), weight[axis, i])
            for k in range(knots):
                index[axis, k] = _mirrored(start[axis] + k, shape[axis]) - corner[axis]
        for a in range(knots):
            for b in range(knots):
                for c in range(knots):
                    near[a, b, c] = spline[index[0, a], index[1, b], index[2, c]]
                for i in range(side):
                    total = 0.0
                    for c in range(4):
                        total += weight[2, i, c] * near[a, b, first[2, i] + c]
                    along_x[a, b, i] = total
            for j in range(side):
                for i in range(side):
                    total = 0.0
                    for b in range(4):
                        total += weight[1, j, b] * along_x[a, first[1, j] + b, i]
                    along_y[a, j, i] = total
        for k in range(side):
            for j in range(side):
                for i in range(side):
                    total = 0.0
                    for a in range(4):
                        total += weight[0, k, a] * along_y[first[0, k] + a, j, i]
                    box[k, j, i] = total
        for p in range(len(points)):
            out[n, p] = box[points[p, 0] + half, points[p, 1] + half, points[p, 2] + half]
    return out


def means(boxes: F32, labels: I64, parts: int) -> F64:
    """Return the mean box of each class, shape (parts, points); NaN where it has no member."""
    counts = np.bincount(labels, minlength=parts).astype(np.float64)
    total = np.stack([boxes[labels == part].sum(axis=0, dtype=np.float64) for part in range(parts)])
    with np.errstate(invalid="ignore"):
        found: F64 = total / counts[:, None]
    return found


def background(box: F64, points: I64) -> float:
    """Return the constant below the Gaussian that fits a box best, with three widths, at its middle.

    The constant lies between the box's lowest value and zero, in whichever order, as a box of less than an atom's
    size hardly holds it apart from the height. A box of one point has none: zero.

    Parameters
    ----------
    box
        Shape (points,).
    points
        As `ball` gives them.
    """
    if len(points) < 8:
        return 0.0
    top, square = max(float(box.max()), 1e-30), points.astype(np.float64) ** 2
    low, high = sorted((0.0, float(box.min()) / top))
    high = max(high, low + 1e-9)

    def residual(state: F64) -> F64:
        model: F64 = state[0] * np.exp(-square @ state[1:4]) + state[4]
        return model - box / top

    radius = float(square.max())
    start = np.array([1 - (low + high) / 2, *[0.5 / radius] * 3, (low + high) / 2])
    bounds = ([0.0, 0.0, 0.0, 0.0, low], [4.0, 4.0, 4.0, 4.0, high])
    return float(least_squares(residual, start, bounds=bounds).x[4]) * top


def distances(boxes: F32, template: F64) -> F64:
    """Return the sum of absolute differences of each box from a template, shape (boxes,)."""
    found: F64 = np.abs(boxes - template.astype(np.float32)).sum(axis=1, dtype=np.float64)
    return found


def by_template(boxes: F32, labels: I64, parts: int, empty: bool, rounds: int) -> tuple[I64, bool]:
    """Assign each box to the nearest mean box of a class, by absolute differences, and repeat with the new means.

    Parameters
    ----------
    boxes
        Shape (atoms, points).
    labels
        Class of each at the start, shape (atoms,).
    parts
        Number of classes. A class that has lost all its members gets none back.
    empty
        The template of class 0 stays zero.
    rounds
        Most rounds.

    Returns
    -------
    Classes, shape (atoms,), and whether they had come to rest.
    """
    for _ in range(rounds):
        template = means(boxes, labels, parts)
        if empty:
            template[0] = 0.0
        apart = np.stack([distances(boxes, one) for one in template], axis=1)
        apart[:, np.isnan(template).any(axis=1)] = np.inf
        found = apart.argmin(axis=1)
        if (found == labels).all():
            return labels, True
        labels = found
    return labels, False
