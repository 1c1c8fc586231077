"""The order in which images of a tilt series are laid upon their neighbours, and how one looks in the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from aetx.kernels.image_shift import F32
from aetx.kernels.projection import F64, Grid

I64 = NDArray[np.intp]


def neighbours(turned: F64) -> tuple[I64, I64]:
    """Return an order of images, and the earlier image that is the neighbour of each, -1 for the first one.

    The first is the one whose beam is nearest to z; the tree of neighbours has the least sum of angles between beams.
    """
    beam = turned[:, :, 2]
    angle = np.arccos(np.clip(beam @ beam.T, -1, 1)) + 1e-6  # a tree needs edges above zero
    np.fill_diagonal(angle, 0.0)
    tree = minimum_spanning_tree(angle)
    start = int(np.argmax(np.abs(beam[:, 2])))
    order, before = breadth_first_order(tree, start, directed=False)
    return np.asarray(order, np.intp), np.where(before < 0, -1, before).astype(np.intp)


def flat_map(turned: F64, other: F64) -> F64:
    """Return the matrix from (x, y) of an image at R to those at another R, of points in the specimen's plane z = 0.

    For one tilt axis along y it is the cosine stretch diag(cos theta' / cos theta, 1).
    """
    return np.asarray(other.T[:2, :2] @ np.linalg.inv(turned.T[:2, :2]))


def stretched(image: F32, grid: Grid, matrix: F64) -> F32:
    """Return an image whose points (x, y) went to matrix @ (x, y), by cubic splines; beyond its edge the edge goes on.

    The values are divided by what areas grow, so that the total stays.
    """
    back = np.linalg.inv(matrix)[::-1, ::-1]  # of (y, x)
    start = np.array(grid.start)
    offset = back @ start - start
    made = affine_transform(image, back, offset, order=3, mode="nearest", output=np.float32)
    return np.asarray(made * np.float32(abs(np.linalg.det(back))), np.float32)
