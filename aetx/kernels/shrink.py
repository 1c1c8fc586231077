"""The radius of an alpha shape from how tightly it is to fit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from aetx.kernels.surface import circumradius, tessellated

F64 = NDArray[np.float64]

SAME = 1e-9
"""Radii nearer than this, over the greatest, are one."""


def shrink_radius(position: F64, shrink: float) -> float:
    """Return the radius of the alpha shape for a shrink factor: 0 for the convex hull, 1 for the tightest shape.

    The tightest radius is the least for which the shape is one region, joined through faces, that has every point. Of
    the circumscribed radii of the Delaunay tetrahedra from there on, each one once, in rising order, the shrink factor
    S chooses number max(ceil((1 - S) m), 1) of m. NaN where points have no inside.

    Parameters
    ----------
    position
        Shape (points, 3).
    shrink
        From 0 to 1.
    """
    cells = tessellated(position)
    if cells is None:
        return float("nan")
    radius = circumradius(position[cells.simplices])
    known = np.sort(radius[np.isfinite(radius)])
    if not known.size:
        return float("nan")
    apart = np.diff(known) > SAME * known[-1]
    spectrum = known[np.concatenate([apart, [True]])]

    def whole(index: int) -> bool:
        return _one_region(cells, radius <= spectrum[index] * (1 + SAME), len(position))

    low, high = 0, len(spectrum) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if whole(middle) else (middle + 1, high)
    left = spectrum[low:]
    return float(left[max(math.ceil((1 - shrink) * left.size), 1) - 1]) * (1 + SAME)


def _one_region(cells: Delaunay, kept: NDArray[np.bool_], points: int) -> bool:
    """Tell whether the tetrahedra that are kept have every point and are joined through faces."""
    corners = np.zeros(points, bool)
    corners[cells.simplices[kept]] = True
    if not corners.all():
        return False
    cell, side = np.nonzero(kept[:, None] & (cells.neighbors >= 0) & kept[cells.neighbors])
    ends = cell, cells.neighbors[cell, side]
    graph = coo_array((np.ones(len(cell), np.int8), ends), shape=(len(kept), len(kept)))
    label = connected_components(graph, directed=False)[1][kept]
    return bool((label == label[0]).all())
