"""Fisher information of all pairs of atoms: products of derivative images, tile by tile."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.fisher import HEIGHT, X, Y, lines_of

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

TILE = 8
"""Edge of a tile of an image, pixels: larger ones multiply more zeros, smaller ones add more often."""
CHUNK = 32
"""Atoms whose products with those that follow are made at once."""


@njit(nogil=True, cache=True)
def add_pairs(
    place: F64,
    height: F64,
    width: F64,
    sort: I64,
    weight: F64,
    spread: F64,
    half: int,
    kinds: I64,
    chain: F64,
    told: F64,
    information: F64,
) -> None:
    """Add the information of all images about all pairs of atoms, lower triangle only.

        F[a, b] = sum over images and pixels of (d I/d a) (d I/d b) told

    In each tile of an image the derivatives of the atoms that reach it, times the roots of `told`, are one matrix, and
    its product with its transpose is what the tile tells about all pairs of them: the sums are those over whole
    windows, without approximation, and BLAS makes them. It is quick when atoms of near rows have near numbers.

    Parameters
    ----------
    place, height, width, sort, weight, spread, half
        As `Scene` holds them.
    kinds
        Derivatives that count.
    chain
        Derivative of each kind by the unknowns of an atom, shape (images, kinds, unknowns).
    told
        One over the variance of each pixel, shape (images, rows, columns).
    information
        Shape (atoms * unknowns, atoms * unknowns); changed in place where the row's atom is not before the column's.
    """
    images, count = height.shape
    rows, columns = told.shape[1], told.shape[2]
    edge, size = 2 * half + 1, chain.shape[2]
    lines = np.empty((count, 6, weight.shape[1], edge))
    near, here = np.empty(count, np.int64), np.empty(count * size, np.int64)
    low, left = np.empty(count, np.int64), np.empty(count, np.int64)
    derivative = np.empty((count * size, TILE * TILE))
    root, by_kind = np.empty(TILE * TILE), np.empty((kinds.size, TILE * TILE))
    for row in range(0, rows, TILE):
        for image in range(images):
            reached = 0
            for i in range(count):
                first = int(np.floor(place[image, i, 1] + 0.5)) - half
                if row - edge < first < row + TILE:
                    near[reached] = i
                    low[reached], left[reached] = lines_of(
                        place[image, i],
                        height[image, i],
                        width[i],
                        weight[sort[i]],
                        spread[sort[i]],
                        half,
                        lines[reached],
                    )
                    reached += 1
            for column in range(0, columns, TILE):
                if not _roots(told[image], row, column, root):
                    continue
                found = 0
                for m in range(reached):
                    if column - edge < left[m] < column + TILE:
                        made = derivative[found * size : (found + 1) * size]
                        _derive(lines[m], low[m] - row, left[m] - column, kinds, chain[image], root, by_kind, made)
                        for u in range(size):
                            here[found * size + u] = near[m] * size + u
                        found += 1
                last = found * size
                for first in range(0, last, CHUNK * size):
                    product = np.dot(derivative[first:last], derivative[first : min(last, first + CHUNK * size)].T)
                    _scatter(product, here[first:last], size, information)


@njit(nogil=True, cache=True)
def _roots(told: F64, row: int, column: int, root: F64) -> bool:
    """Fill the roots of a tile, zero outside the image, and return whether any is not zero."""
    root[:] = 0.0
    some = False
    for r in range(min(TILE, told.shape[0] - row)):
        for q in range(min(TILE, told.shape[1] - column)):
            value = told[row + r, column + q]
            if value > 0.0:
                root[r * TILE + q] = np.sqrt(value)
                some = True
    return some


@njit(nogil=True, cache=True)
def _derive(lines: F64, low: int, left: int, kinds: I64, chain: F64, root: F64, by_kind: F64, made: F64) -> None:
    """Fill the derivatives of one atom in a tile, times the roots: (unknowns, TILE * TILE); its corner is relative."""
    by_kind[:] = 0.0
    for a in range(kinds.size):
        if kinds[a] == X:
            _add_product(lines[3], lines[1], low, left, by_kind[a])
        elif kinds[a] == Y:
            _add_product(lines[4], lines[0], low, left, by_kind[a])
        elif kinds[a] == HEIGHT:
            _add_product(lines[3], lines[0], low, left, by_kind[a])
        else:
            _add_product(lines[3], lines[2], low, left, by_kind[a])
            _add_product(lines[5], lines[0], low, left, by_kind[a])
    for pixel in range(TILE * TILE):
        for a in range(kinds.size):
            by_kind[a, pixel] *= root[pixel]
        for u in range(chain.shape[1]):
            value = 0.0
            for a in range(kinds.size):
                value += chain[a, u] * by_kind[a, pixel]
            made[u, pixel] = value


@njit(nogil=True, cache=True)
def _add_product(along: F64, across: F64, low: int, left: int, made: F64) -> None:
    """Add the sum over Gaussians of factors along y times factors along x to the pixels of a tile."""
    edge = along.shape[1]
    first, last = max(0, left), min(TILE, left + edge)
    for r in range(max(0, low), min(TILE, low + edge)):
        for k in range(along.shape[0]):
            value = along[k, r - low]
            for q in range(first, last):
                made[r * TILE + q] += value * across[k, q - left]


@njit(nogil=True, cache=True)
def _scatter(product: F64, unknowns: I64, size: int, information: F64) -> None:
    """Add the product of unknowns, in ascending order, with the first ones to where their pairs of atoms belong."""
    for a in range(product.shape[0]):
        row = unknowns[a]
        for b in range(min(product.shape[1], (a // size + 1) * size)):
            information[row, unknowns[b]] += product[a, b]


@njit(nogil=True, cache=True)
def add_own_products(triangle: F64, blocks: F64) -> None:
    """Add to each atom's block (atoms, unknowns, unknowns) that of transpose(L) L, with L lower triangular."""
    size = blocks.shape[1]
    for row in range(triangle.shape[0]):
        for i in range(row // size + 1):
            used = min(size, row - i * size + 1)
            for u in range(used):
                for v in range(used):
                    blocks[i, u, v] += triangle[row, i * size + u] * triangle[row, i * size + v]
