"""Alloy particles on an fcc lattice whose surface dissolves and moves, atom by atom, step by step.

A lattice is that of `aetx.kernels.roughening`; `atom` has its shape and holds the number of the atom in each filled
place, -1 elsewhere. A number stays with its atom wherever it goes and is never given again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.roughening import (
    EMPTY,
    FILLED,
    NEIGHBOURS,
    PLANES,
    add,
    attached,
    coordination,
    cut,
    empty_lattice,
)

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

WHOLE = 12
"""Neighbours of an atom inside."""
ROOM = 6
"""Places around the first particle that atoms may reach."""


def octahedron(edge: int) -> tuple[I8, I32, I64]:
    """Return a lattice with an octahedron of fcc sites, the numbers of its atoms, and the place of its centre.

    Parameters
    ----------
    edge
        Atoms along an edge; the octahedron has edge * (2 * edge**2 + 1) / 3 atoms.
    """
    reach = edge - 1
    lattice = empty_lattice(reach + 1 + ROOM)
    offset = np.array([reach % 2, 0, 0])  # the corners of an odd one are sites about a place that is none
    normals = PLANES[(PLANES**2).sum(axis=1) == 3]
    inside = cut(lattice, normals, reach + normals @ offset)
    lattice[inside & (lattice == EMPTY)] = FILLED
    atom = np.full(lattice.shape, -1, np.int32)
    filled = lattice == FILLED
    atom[filled] = np.arange(filled.sum(), dtype=np.int32)
    return lattice, atom, np.array(lattice.shape) // 2 + offset


def skin(lattice: I8) -> NDArray[np.bool_]:
    """Tell which filled places are at the surface, or next to one that is."""
    filled = lattice == FILLED
    surface = filled & (coordination(lattice) < WHOLE)
    near = surface.copy()
    for step in NEIGHBOURS:
        near |= np.roll(surface, tuple(step), (0, 1, 2))
    return near & filled


def dissolve(
    lattice: I8, atom: I32, soluble: NDArray[np.bool_], probability: float, generator: np.random.Generator
) -> None:
    """Take soluble atoms out at random, each with the probability times the share of its neighbours that is missing.

    Parameters
    ----------
    lattice, atom
        Changed in place.
    soluble
        Which atoms may go, by their number.
    probability
        Of an atom without neighbours, from 0 to 1.
    generator
        Where the numbers come from.
    """
    place = np.flatnonzero(lattice == FILLED)
    missing = 1 - coordination(lattice).reshape(-1)[place] / WHOLE
    gone = soluble[atom.reshape(-1)[place]] & (generator.random(place.size) < probability * missing)
    _empty(lattice, atom, place[gone])


def move(lattice: I8, atom: I32, share: float, temperature: float, generator: np.random.Generator) -> I32:
    """Let atoms of the surface go to other sites.

    Those that go are drawn without return with probabilities in proportion to exp(-n / T), n being the number of
    their neighbours, and the sites that they come to by exp(n / T), as in `aetx.kernels.roughening.add`.

    Parameters
    ----------
    lattice, atom
        Changed in place.
    share
        Of the atoms of the surface that go.
    temperature
        T, in neighbours.
    generator
        Where the numbers come from.

    Returns
    -------
    The numbers of the atoms that came to another place.
    """
    neighbours = coordination(lattice).reshape(-1)
    place = np.flatnonzero((lattice == FILLED).reshape(-1) & (neighbours < WHOLE))
    loose = generator.gumbel(size=place.size) - neighbours[place] / temperature
    chosen = generator.permutation(place[np.argsort(loose)[::-1][: round(share * place.size)]])
    flat = atom.reshape(-1)
    numbers = flat[chosen]
    _empty(lattice, atom, chosen)
    came = add(lattice, chosen.size, 1, temperature, generator)
    flat[came] = numbers[: came.size]
    return numbers[: came.size][came != chosen[: came.size]]


def drop(lattice: I8, atom: I32) -> None:
    """Take out, in place, the atoms that do not hang together with the largest group."""
    _empty(lattice, atom, np.flatnonzero((lattice == FILLED) & ~attached(lattice)))


def _empty(lattice: I8, atom: I32, place: I64) -> None:
    lattice.reshape(-1)[place] = EMPTY
    atom.reshape(-1)[place] = -1
