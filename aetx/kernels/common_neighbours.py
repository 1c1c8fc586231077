"""Crystal structures by the bonds among the neighbours of an atom."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import arranged, nearest

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

OTHER, FCC, HCP, BCC, ICO = 0, 1, 2, 3, 4
"""Codes of what is found."""
CLOSE, OPEN = 12, 14
"""Neighbours in the shells of the close packings and the icosahedron, and in both shells of bcc."""


def adaptive(position: F64) -> I32:
    """Return the structure of each atom, with a cutoff of its own from the distances to its nearest neighbours.

    For close packings it is halfway between the first two shells, (1 + sqrt(2)) / 2 of the mean distance to the 12
    nearest; for bcc halfway between the second and third shell, (1 + sqrt(2)) / 2 of the edge of the cell, which is
    the mean of the distances to the next six and of those to the 8 nearest times 2 / sqrt(3).

    Parameters
    ----------
    position
        Shape (atoms, 3).

    References
    ----------
    A. Stukowski, Model. Simul. Mater. Sci. Eng. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021.
    """
    index, distance = nearest(position, OPEN)
    found = np.zeros(len(position), np.int32)
    _adaptive(position, index, distance, found)
    return found


def fixed(position: F64, cutoff: float) -> I32:
    """Return the structure of each atom from its neighbours within a cutoff, which is also that of bonds among these.

    Parameters
    ----------
    position
        Shape (atoms, 3).
    cutoff
        Between the first two shells for close packings, between the second and third for bcc.

    References
    ----------
    D. Faken, H. Jonsson, Comput. Mater. Sci. 2, 279 (1994), doi:10.1016/0927-0256(94)90109-0.
    """
    found = np.zeros(len(position), np.int32)
    order, near = arranged(position, cutoff)
    _fixed(position[order], order, near.start, near.index, cutoff, found)
    return found


@njit(nogil=True, cache=True)
def _adaptive(position: F64, index: I32, distance: F64, out: I32) -> None:
    half = 0.5 * (1.0 + math.sqrt(2.0))
    for i in range(len(position)):
        if index[i, CLOSE - 1] < 0:
            continue
        mean = 0.0
        for k in range(CLOSE):
            mean += distance[i, k] / CLOSE
        out[i] = _structure(position, index[i, :CLOSE], half * mean)
        if out[i] == OTHER and index[i, OPEN - 1] >= 0:
            edge = 0.0
            for k in range(OPEN):
                edge += distance[i, k] * (2.0 / math.sqrt(3.0) if k < 8 else 1.0) / OPEN
            out[i] = _structure(position, index[i], half * edge)


@njit(nogil=True, cache=True)
def _fixed(position: F64, order: I64, start: I64, index: I32, cutoff: float, out: I32) -> None:
    for i in range(len(position)):
        count = start[i + 1] - start[i]
        if count in (CLOSE, OPEN):
            out[order[i]] = _structure(position, index[start[i] : start[i + 1]], cutoff)


@njit(nogil=True, cache=True)
def _structure(position: F64, index: I32, cutoff: float) -> int:
    """Return the structure that 12 or 14 neighbours make, where two closer than the cutoff are bonded."""
    count, limit = index.size, cutoff * cutoff
    bonded, place = np.zeros(OPEN, np.int64), np.empty((3, OPEN))
    for a in range(count):
        for axis in range(3):
            place[axis, a] = position[index[a], axis]
    for a in range(count):
        x, y, z = place[0, a], place[1, a], place[2, a]
        for b in range(a):
            square = (place[0, b] - x) ** 2 + (place[1, b] - y) ** 2 + (place[2, b] - z) ** 2
            if square < limit:
                bonded[a] |= 1 << b
                bonded[b] |= 1 << a
    for a in range(count):
        common = _ones(bonded[a])
        if not ((count == CLOSE and common in (4, 5)) or (count == OPEN and common in (4, 6))):
            return OTHER
    fours, twins, fives, squares, sixes = 0, 0, 0, 0, 0
    for a in range(count):
        common, bonds, chain = _signature(bonded, bonded[a])
        fours += common == 4 and bonds == 2 and chain == 1
        twins += common == 4 and bonds == 2 and chain == 2
        fives += common == 5 and bonds == 5 and chain == 5
        squares += common == 4 and bonds == 4 and chain == 4
        sixes += common == 6 and bonds == 6 and chain == 6
    if count == OPEN:
        return BCC if sixes == 8 and squares == 6 else OTHER
    if fours == CLOSE:
        return FCC
    if fours == 6 and twins == 6:
        return HCP
    return ICO if fives == CLOSE else OTHER


@njit(nogil=True, cache=True)
def _signature(bonded: I64, among: int) -> tuple[int, int, int]:
    """Return the common neighbours of a bond, the bonds among these, and the bonds of their longest chain."""
    total, most = 0, 0
    for b in range(OPEN):
        if among >> b & 1:
            bonds = _ones(bonded[b] & among)
            total, most = total + bonds, max(most, bonds)
    if total == 4:  # two bonds: a chain where they share an atom
        return _ones(among), 2, most
    longest, left = 0, among
    while left:
        chain = left & -left
        grown = 0
        while grown != chain:
            grown = chain
            for b in range(OPEN):
                if grown >> b & 1:
                    chain |= bonded[b] & among
        bonds = 0
        for b in range(OPEN):
            if chain >> b & 1:
                bonds += _ones(bonded[b] & chain)
        longest = max(longest, bonds // 2)
        left &= ~chain
    return _ones(among), total // 2, longest


@njit(nogil=True, cache=True)
def _ones(mask: int) -> int:
    """Return how many bits are set."""
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count
