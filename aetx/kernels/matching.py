"""Which point of one set is which of another, one to one, and the motion between the sets."""

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


def motion(moving: F64, fixed: F64, turn: bool) -> tuple[F64, F64]:
    """Return the rotation and shift that take one set of paired points nearest to another.

    ``fixed ~ moving @ rotation.T + shift``; a proper rotation (Kabsch) if `turn`, else the identity.
    """
    centre, target = moving.mean(0), fixed.mean(0)
    rotation = np.eye(3)
    if turn and len(moving) >= 3:
        u, _, vt = np.linalg.svd((moving - centre).T @ (fixed - target))
        hand = np.sign(np.linalg.det(u @ vt))
        rotation = vt.T @ np.diag([1.0, 1.0, hand]) @ u.T
    return rotation, target - rotation @ centre


def matched(found: F64, true: F64, radius: float, free: str) -> tuple[I64, I64, F64, F64]:
    """Pair points and move `found` onto `true` in turn, until nothing changes.

    Parameters
    ----------
    found, true
        Shapes (found, 3) and (true, 3).
    radius
        Farthest pair after the motion.
    free
        ``none``, ``translation`` or ``rigid``. The search starts from the sets as they are and from equal centres;
        the start that pairs more, or as many more closely, wins.

    Returns
    -------
    Indices into `found` and `true`, rotation and shift.
    """
    starts = [np.zeros(3)]
    if free != "none" and len(found) and len(true):
        starts.append(true.mean(0) - found.mean(0))
    best: tuple[tuple[int, float], tuple[I64, I64, F64, F64]] | None = None
    for start in starts:
        result = _settled(found, true, radius, free, start)
        one, other, rotation, shift = result
        apart = found[one] @ rotation.T + shift - true[other]
        worth = (len(one), -float((apart**2).sum()))
        if best is None or worth > best[0]:
            best = (worth, result)
    assert best is not None
    return best[1]


def _settled(found: F64, true: F64, radius: float, free: str, start: F64) -> tuple[I64, I64, F64, F64]:
    rotation, shift = np.eye(3), start
    for _ in range(50):
        one, other = pairs(found @ rotation.T + shift, true, radius)
        if free == "none" or len(one) == 0:
            break
        old = found @ rotation.T + shift
        rotation, shift = motion(found[one], true[other], free == "rigid")
        if np.abs(found @ rotation.T + shift - old).max() < 1e-4:
            one, other = pairs(found @ rotation.T + shift, true, radius)
            break
    return one, other, rotation, shift
