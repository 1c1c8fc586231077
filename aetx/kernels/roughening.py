"""Atoms that come to the sites of an fcc lattice, the sooner the more neighbours a site has.

A lattice is an int8 array of shape (i, j, k) whose entries are places ``a / 2 * (i, j, k)``: `EMPTY`, `FILLED`, or
`CLOSED` where no atom may be: where i + j + k is odd and no site is, and at least at the border of the array.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

EMPTY, FILLED, CLOSED = 0, 1, 2
NEIGHBOURS: I64 = (
    np.array([step for step in np.ndindex(3, 3, 3) if sum(abs(one - 1) for one in step) == 2], np.int64) - 1
)
"""Steps to the twelve nearest sites, shape (12, 3)."""
TOUCHING = np.array([sum(abs(one - 1) for one in step) in (0, 2) for step in np.ndindex(3, 3, 3)]).reshape(3, 3, 3)
PLANES: I64 = np.array([step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)], np.int64) - 1
"""Outward normals of {100}, {110} and {111}, shape (26, 3)."""


def empty_lattice(half: int) -> I8:
    """Return a lattice without atoms, of 2 * half + 1 places along each axis, closed at the border."""
    i = np.arange(-half, half + 1)
    lattice = np.where((i[:, None, None] + i[:, None] + i) % 2, CLOSED, EMPTY).astype(np.int8)
    for axis in range(3):
        np.moveaxis(lattice, axis, 0)[[0, -1]] = CLOSED
    return lattice


def layers(distance: F64, lattice_constant: float) -> I64:
    """Return how far each of `PLANES` cuts: the greatest whole normal . (i, j, k) within a distance.

    Parameters
    ----------
    distance
        From the origin along each normal, shape (26,), angstrom.
    lattice_constant
        Edge of the cubic cell, angstrom.
    """
    reach = distance * np.linalg.norm(PLANES, axis=1) * 2 / lattice_constant
    return np.floor(reach + 1e-9).astype(np.int64)


def cut(lattice: I8, normals: I64, limits: I64) -> Flags:
    """Tell which places lie within all planes normal . (i, j, k) <= limit, counted from the middle of a lattice."""
    half = lattice.shape[0] // 2
    i = np.arange(-half, half + 1)
    inside = np.ones(lattice.shape, bool)
    for (a, b, c), limit in zip(normals, limits, strict=True):
        inside &= a * i[:, None, None] + b * i[:, None] + c * i <= limit
    return inside


def coordination(lattice: I8) -> I8:
    """Return the number of filled nearest sites of every place, in the shape of the lattice; 0 at the border."""
    filled = (lattice == FILLED).astype(np.int8)
    count = np.zeros_like(filled)
    inner = count[1:-1, 1:-1, 1:-1]
    for step in NEIGHBOURS:
        inner += filled[tuple(slice(1 + one, size - 1 + one) for one, size in zip(step, filled.shape, strict=True))]
    return count


def attached(lattice: I8) -> Flags:
    """Tell which places belong to the largest group of atoms that hang together by nearest sites."""
    groups, count = ndimage.label(lattice == FILLED, TOUCHING)
    if count < 2:
        return groups > 0
    return groups == 1 + np.argmax(np.bincount(groups.ravel())[1:])


@njit(nogil=True, cache=True)
def shares(sites: I64, temperature: float) -> F64:
    """Return the probability that the next atom goes to a site with n neighbours: p = exp(n / T) / sum exp(n / T).

    The exponents are counted from the greatest n that has sites, so that none overflows.

    Parameters
    ----------
    sites
        Number of sites with n neighbours, shape (n,).
    temperature
        T, above 0, in neighbours.

    Returns
    -------
    Probability of each n, shape (n,), summed over its sites; 0 everywhere where there is no site.
    """
    most = -1
    for n in range(sites.size):
        if sites[n] > 0:
            most = n
    share = np.zeros(sites.size)
    total = 0.0
    for n in range(most + 1):
        if sites[n] > 0:
            share[n] = sites[n] * math.exp((n - most) / temperature)
            total += share[n]
    return share / total if total > 0 else share


def add(lattice: I8, number: int, least: int, temperature: float, generator: np.random.Generator) -> I64:
    """Fill empty sites one by one by the rule of `shares`, each time with the neighbours as they then are.

    Parameters
    ----------
    lattice
        Changed in place.
    number
        Of atoms to add; fewer are added where no site is left.
    least
        Least number of neighbours of a site that may be filled.
    temperature
        T of the rule, in neighbours.
    generator
        Where the numbers come from.

    Returns
    -------
    Places filled, in order, as indices into the flat lattice.

    References
    ----------
    J. Madsen et al., Advanced Theory and Simulations 1, 1800037 (2018), doi:10.1002/adts.201800037, equation 9.
    """
    empty = np.flatnonzero(lattice == EMPTY)
    neighbours = coordination(lattice).reshape(-1)
    order = empty[np.argsort(neighbours[empty], kind="stable")]
    start = np.searchsorted(neighbours[order], np.arange(15))
    slot = np.zeros(lattice.size, np.int32)
    slot[order] = np.arange(order.size, dtype=np.int32)
    strides = np.array([lattice.shape[1] * lattice.shape[2], lattice.shape[2], 1])
    flat = lattice.reshape(-1)
    return _add(flat, neighbours, order, slot, start, NEIGHBOURS @ strides, number, least, temperature, generator)


@njit(nogil=True, cache=True)
def _add(
    lattice: I8,
    neighbours: I8,
    order: I64,
    slot: NDArray[np.int32],
    start: I64,
    steps: I64,
    number: int,
    least: int,
    temperature: float,
    generator: np.random.Generator,
) -> I64:
    """Keep the empty sites in `order` by their number of neighbours n, those of n from start[n] to start[n + 1]."""
    filled = np.empty(number, np.int64)
    for done in range(number):
        share = shares(start[least + 1 : 14] - start[least:13], temperature)
        left = generator.random()
        chosen = -1
        for n in range(share.size):
            if share[n] > 0:
                chosen = least + n
                left -= share[n]
                if left < 0:
                    break
        if chosen < 0:
            return filled[:done]
        members = start[chosen + 1] - start[chosen]
        site = order[start[chosen] + int(generator.random() * members)]
        lattice[site] = FILLED
        filled[done] = site
        for n in range(chosen, 13):
            _promote(order, slot, start, site, n)
        for step in steps:
            near = site + step
            if lattice[near] == EMPTY:
                _promote(order, slot, start, near, neighbours[near])
            neighbours[near] += 1
    return filled


@njit(nogil=True, cache=True)
def _promote(order: I64, slot: NDArray[np.int32], start: I64, site: int, n: int) -> None:
    """Move a site from those with n neighbours to those with n + 1."""
    last = start[n + 1] - 1
    at = slot[site]
    order[at], order[last] = order[last], order[at]
    slot[order[at]] = at
    slot[site] = last
    start[n + 1] = last
