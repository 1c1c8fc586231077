"""Chemical order of an alloy: Warren-Cowley parameters, of all atoms and around each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from aetx.kernels.neighbours import Neighbours

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class WarrenCowley(NamedTuple):
    """The parameters of all atoms, shape (kinds, kinds), and around each, shape (atoms, kinds, kinds)."""

    whole: F64
    local: F64


def adjacency(neighbours: Neighbours) -> csr_array:
    """Return the matrix of ones where a column is a neighbour of a row, shape (atoms, atoms)."""
    count = len(neighbours.start) - 1
    return csr_array((np.ones(len(neighbours.index)), neighbours.index, neighbours.start), shape=(count, count))


def ball(neighbours: Neighbours) -> csr_array:
    """Return the matrix of ones where a column is a neighbour of a row or the row itself."""
    near = adjacency(neighbours)
    return csr_array(near + eye_array(near.shape[0]))


def warren_cowley(kind: I64, kinds: int, near: csr_array, around: csr_array, symmetric: bool) -> WarrenCowley:
    """Return alpha_ij = (P_ij - c_j) / (delta_ij - c_j), P_ij being the share of j among the neighbours of atoms i.

    Parameters
    ----------
    kind
        Kind of each atom, from 0, shape (atoms,).
    kinds
        Number of kinds.
    near
        Who is a neighbour of whom, as `adjacency` makes it.
    around
        Over which atoms the local parameters are taken, as `ball` makes it.
    symmetric
        Give the mean of alpha_ij and alpha_ji.

    Returns
    -------
    NaN where there are no atoms i with neighbours, and for a single kind.
    """
    here = np.eye(kinds)[kind]
    concentration = here.mean(axis=0)
    pairs = (here[:, :, None] * (near @ here)[:, None, :]).reshape(len(kind), kinds**2)

    def alpha(bonds: F64) -> F64:
        bonds = bonds.reshape(*bonds.shape[:-1], kinds, kinds)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = bonds / bonds.sum(axis=-1, keepdims=True)
            found = (share - concentration) / (np.eye(kinds) - concentration)
        return np.asarray((found + np.swapaxes(found, -1, -2)) / 2 if symmetric else found)

    return WarrenCowley(alpha(pairs.sum(axis=0)), alpha(around @ pairs))


def scatter_if_random(
    kind: I64, kinds: int, near: csr_array, around: csr_array, symmetric: bool, shuffles: int, seed: int
) -> WarrenCowley:
    """Return the root of the mean square of the parameters over shuffled kinds: how far from 0 chance alone takes them.

    Composition and places stay. NaN where fewer than half of the shuffles give a number.

    Parameters
    ----------
    kind, kinds, near, around, symmetric
        As in `warren_cowley`.
    shuffles, seed
        How many, and the seed of their order.
    """
    generator = np.random.default_rng(seed)
    whole, local = np.zeros((2, kinds, kinds)), np.zeros((2, len(kind), kinds, kinds))
    for _ in range(shuffles):
        found = warren_cowley(generator.permutation(kind), kinds, near, around, symmetric)
        for total, one in zip((whole, local), found, strict=True):
            total[0] += np.nan_to_num(one) ** 2
            total[1] += np.isfinite(one)
    with np.errstate(invalid="ignore", divide="ignore"):
        roots = [np.where(2 * met >= shuffles, np.sqrt(square / met), np.nan) for square, met in (whole, local)]
    return WarrenCowley(*roots)
