"""How much longer or shorter than those of a known crystal the bonds of atoms are, along each axis, and how sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.bonds import Bulk, Crystal, Grain, influence, polar

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """What positions must be multiplied by, and the covariances of its diagonal."""

    stretch: F64
    """S of ``true = S measured`` up to a rotation, symmetric, shape (3, 3)."""
    scatter: F64
    """Covariance of the diagonal of S, from the scatter of single atoms, shape (3, 3)."""
    sigma: F64
    """The same from their standard errors; NaN where these are not known."""
    block: F64
    """The same from how much parts of the specimen differ, by bootstrap."""


def scale_of(grains: list[Grain], found: Bulk, of: Crystal, covariance: F64, blocks: I64, draws: F64) -> Scale:
    """Return the scale of all grains, each weighing by its atoms.

    With A = P R the map from the bonds of the crystal to those of a grain, P symmetric, S = 1/P. A follows the
    positions linearly, so that errors of the atoms that know nothing of each other propagate without more.

    Parameters
    ----------
    grains, found, of
        As `bonds.grains` makes and takes them; at least one grain.
    covariance
        Covariance of each position, shape (atoms, 3, 3), angstrom**2; NaN where it is not known.
    blocks
        To which part of the specimen each bulk atom belongs, from 0, shape (bulk,).
    draws
        How often each part is in each resample, shape (resamples, parts).
    """
    total = sum(one.member.size for one in grains)
    atoms = int(max(found.neighbour.max(), found.atom.max())) + 1
    stretch, rows = np.zeros((3, 3)), np.zeros((atoms, 3, 3))
    drawn, weights = np.zeros((len(draws), 3)), np.zeros(len(draws))
    own = np.zeros((3, 3))
    for one in grains:
        share = one.member.size / total
        size, turn = polar(one.matrix)
        inverse = np.linalg.inv(size)
        stretch += share * inverse
        # the diagonal of S moves by -S (A' transpose(R)) S, where A' = sum_i r_i' outer c_i
        turned = influence(one, found, of, atoms) @ turn.T @ inverse
        rows -= share * np.einsum("kj,nk->nkj", inverse, turned)
        own += share * _spread(one, found, of)
        counts = draws @ np.bincount(blocks[one.member], minlength=draws.shape[1])
        drawn += counts[:, None] * _resampled(one, found, of, blocks, draws)
        weights += counts
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = drawn / weights[:, None]
    parts = parts[np.isfinite(parts).all(axis=1)]
    return Scale(
        stretch=stretch,
        scatter=np.einsum("nki,ij,nlj->kl", rows, own, rows),
        sigma=_carried(rows, covariance[:atoms]),
        block=np.cov(parts.T) if len(parts) > 1 and draws.shape[1] > 1 else np.full((3, 3), np.nan),
    )


def _carried(rows: F64, covariance: F64) -> F64:
    used = rows.any(axis=(1, 2))
    return np.asarray(np.einsum("nki,nij,nlj->kl", rows[used], covariance[used], rows[used], optimize=True))


def _spread(one: Grain, found: Bulk, of: Crystal) -> F64:
    """Return the covariance of single positions, half that of bonds about the crystal's, angstrom**2."""
    bonds = one.sign[:, None, None] * of.bonds[one.bond]
    off = found.vector[one.member] - bonds @ one.matrix.T
    weighted = one.weight[:, :, None] * off
    freedom = max(1.0, float((one.weight**2).sum()) - 3)
    return np.asarray(0.5 * np.einsum("nbi,nbj->ij", weighted, weighted) / freedom)


def _resampled(one: Grain, found: Bulk, of: Crystal, blocks: I64, draws: F64) -> F64:
    """Return the diagonal of S of a grain in each resample, zero where it has no bond in it, shape (resamples, 3)."""
    bonds = one.sign[:, None, None] * of.bonds[one.bond]
    weighted = one.weight[:, :, None] * bonds
    sums = np.zeros((draws.shape[1], 2, 3, 3))
    np.add.at(sums[:, 0], blocks[one.member], np.einsum("nbi,nbj->nij", weighted, bonds))
    np.add.at(sums[:, 1], blocks[one.member], np.einsum("nbi,nbj->nij", weighted, found.vector[one.member]))
    made = np.einsum("rp,pkij->rkij", draws, sums)
    seen = np.linalg.matrix_rank(made[:, 0], hermitian=True) == 3
    result = np.zeros((len(draws), 3))
    matrix = np.linalg.solve(made[seen, 0], made[seen, 1]).transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(matrix @ matrix.transpose(0, 2, 1))
    result[seen] = np.einsum("nik,nk,nik->ni", vectors, values**-0.5, vectors)
    return result
