"""Core and shell: the mixing at their interface and the elastic field of their misfit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

F64 = NDArray[np.float64]

WIDTH = 2 * 1.6448536269514722
"""Distance from 95 % to 5 % of an error function, in its standard deviations."""


def core_fraction(depth: F64, width: float) -> F64:
    """Return the fraction of core atoms at signed distances from the interface, outwards positive.

    It is erfc(depth / (sqrt(2) s)) / 2, and falls from 95 % to 5 % within `width` = 3.29 s.
    """
    if not width:
        return (depth < 0).astype(float)
    return np.asarray(erfc(depth * (WIDTH / width / math.sqrt(2))) / 2)


def misfit(radius: F64, core: float, outer: float, mismatch: float, poisson: float) -> F64:
    """Return radial displacements from the mean lattice in a coherent core and shell, both isotropic and alike.

    Lame's solution: u = A r in the core and A' r + B / r**2 in the shell, continuous in displacement and radial
    stress at the interface, with no stress on the surface. From the mean lattice, that of core and shell averaged by
    volume, with c = (core / outer)**3 and e = mismatch (1 + poisson) / (3 (1 - poisson)),

        u = -(1 - c) e r in the core,  u = e (c r - core**3 / r**2) in the shell.

    Parameters
    ----------
    radius
        Distance of each site from the centre, shape (sites,), angstrom.
    core, outer
        Radii of the interface and of the surface, angstrom.
    mismatch
        Lattice constant of the free shell over that of the free core, minus 1.
    poisson
        Poisson's ratio of both.

    Returns
    -------
    Displacements outwards, shape (sites,), angstrom.
    """
    share = (core / outer) ** 3
    size = mismatch * (1 + poisson) / (3 * (1 - poisson))
    away = np.maximum(radius, core)
    return np.where(radius < core, -(1 - share) * size * radius, size * (share * away - core**3 / away**2))
