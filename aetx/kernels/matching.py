"""Which point of one set is which of another: one to one, or the nearest of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def pairs(first: F64, second: F64, radius: float) -> tuple[I64, I64]:
    """Pair two sets of points one to one within a radius: as many pairs as possible, then the least sum of squares.

    Where points compete, the whole cluster of competitors is solved as an assignment.

    Returns
    -------
    Indices into `first`, rising, and into `second`.
    """
    none = np.empty(0, np.int64)
    if len(first) == 0 or len(second) == 0:
        return none, none
    near = cKDTree(first).sparse_distance_matrix(cKDTree(second), radius, output_type="coo_matrix")
    rows, columns = near.row.astype(np.int64), near.col.astype(np.int64)
    cost = near.data**2
    alone = (np.bincount(rows, minlength=len(first))[rows] == 1) & (
        np.bincount(columns, minlength=len(second))[columns] == 1
    )
    one, other = _assigned(rows[~alone], columns[~alone], cost[~alone], radius)
    one, other = np.concatenate([rows[alone], one]), np.concatenate([columns[alone], other])
    order = np.argsort(one)
    return one[order], other[order]


def nearest(first: F64, second: F64, radius: float) -> tuple[I64, I64]:
    """Give each point of the second set the nearest of the first within a radius; one of the first may serve twice.

    Returns
    -------
    Indices into `first`, and into `second`, rising.
    """
    none = np.empty(0, np.int64)
    if len(first) == 0 or len(second) == 0:
        return none, none
    distance, found = cKDTree(first).query(second, distance_upper_bound=np.nextafter(radius, np.inf))
    near = np.flatnonzero(np.isfinite(distance))
    return np.asarray(found, np.int64)[near], near


def _assigned(rows: I64, columns: I64, cost: F64, radius: float) -> tuple[I64, I64]:
    """Solve the assignment; each row may also go to a place of its own, at a price above any that pairs can save."""
    if rows.size == 0:
        return rows, columns
    left, row = np.unique(rows, return_inverse=True)
    right, column = np.unique(columns, return_inverse=True)
    graph = coo_array((np.ones(row.size), (row, column + left.size)), shape=(left.size + right.size,) * 2)
    cluster = connected_components(graph, directed=False)[1][: left.size]
    price = (np.bincount(cluster)[cluster] + 1) * (1.01 * radius) ** 2
    unit = radius**2
    own = np.arange(left.size)
    weights = csr_array(
        (
            np.concatenate([cost / unit + 1e-12, price / unit]),
            (np.concatenate([row, own]), np.concatenate([column, right.size + own])),
        ),
        shape=(left.size, right.size + left.size),
    )
    one, other = min_weight_full_bipartite_matching(weights)
    real = other < right.size
    return left[one[real]], right[other[real]]
