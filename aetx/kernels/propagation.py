"""How errors of positions reach what is computed from them, by drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def drawn_error(
    measure: Callable[[F64], Sequence[F64]], position: F64, covariance: F64, draws: int, seed: int
) -> list[F64]:
    """Return the standard deviation of each quantity when positions scatter around those given.

    Drawing needs no derivative and sees curvature: at a perfect lattice site the gradient of an order parameter is 0,
    its scatter is not. With n draws a standard deviation is known to one part in sqrt(2n).

    Parameters
    ----------
    measure
        From positions to quantities; NaN where they depend on a position that is NaN.
    position, covariance
        Shapes (points, 3) and (points, 3, 3); a covariance with NaN makes everything NaN that depends on its point.
    draws, seed
        How many, and where they begin.
    """
    known = np.asarray(np.isfinite(covariance).all(axis=(1, 2)))
    size, turn = np.linalg.eigh(np.where(known[:, None, None], covariance, 0.0))
    root = turn * np.sqrt(np.maximum(size, 0.0))[:, None, :]
    root[~known] = np.nan
    generator = np.random.default_rng(seed)
    mean: list[F64] = []
    square: list[F64] = []
    for draw in range(draws):
        moved = position + np.einsum("nij,nj->ni", root, generator.standard_normal(position.shape))
        found = measure(moved)
        if not mean:
            mean, square = [np.zeros(one.shape) for one in found], [np.zeros(one.shape) for one in found]
        for k, one in enumerate(found):  # Welford's sums
            off = one - mean[k]
            mean[k] += off / (draw + 1)
            square[k] += off * (one - mean[k])
    return [np.sqrt(one / (draws - 1)) for one in square]
