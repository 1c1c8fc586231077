"""Electron scattering by free atoms: wavelength, interaction, scattering factors, potentials, cross-sections."""

from __future__ import annotations

import math
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants, special

F64 = NDArray[np.float64]

ELEMENTS = 103
"""Elements from Z = 1 on that the tables hold."""
REST = constants.m_e * constants.c**2 / constants.e / 1e3
"""Rest energy of the electron, keV."""
VOLT = constants.h**2 / (2 * math.pi * constants.m_e * constants.e) * 1e20
"""Projected potential in V angstrom**2 per angstrom of scattering factor: h**2 / (2 pi m e) = 47.878."""


def wavelength(kev: float) -> float:
    """Return the wavelength of electrons of a kinetic energy, angstrom."""
    momentum = math.sqrt(kev * (kev + 2 * REST)) * 1e3 * constants.e / constants.c
    return constants.h / momentum * 1e10


def interaction(kev: float) -> float:
    """Return the phase per projected potential, sigma = 2 pi gamma m e lambda / h**2, rad/(V angstrom)."""
    return (1 + kev / REST) * wavelength(kev) / VOLT


def kirkland(number: int, q: ArrayLike) -> F64:
    """Return the scattering factor f(q) = sum a / (q**2 + b) + sum c exp(-d q**2), angstrom.

    Parameters
    ----------
    number
        Atomic number, 1 to 103.
    q
        Spatial frequency, 1/angstrom, without 2 pi; any shape.

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), appendix C, doi:10.1007/978-1-4419-6533-2.
    """
    a, b, c, d = _kirkland(number)
    square = np.square(np.asarray(q, float))[..., None]
    found: F64 = (a / (square + b) + c * np.exp(-d * square)).sum(-1)
    return found


def lobato(number: int, q: ArrayLike) -> F64:
    """Return the scattering factor f(q) = sum a (2 + b q**2) / (1 + b q**2)**2, angstrom.

    It falls off as 1/q**2 at all angles, as that of a point charge must.

    Parameters
    ----------
    number
        Atomic number, 1 to 103.
    q
        Spatial frequency, 1/angstrom, without 2 pi; any shape.

    References
    ----------
    I. Lobato, D. Van Dyck, Acta Crystallographica A 70, 636 (2014), doi:10.1107/S205327331401643X.
    """
    a, b = _lobato(number)
    spread = b * np.square(np.asarray(q, float))[..., None]
    found: F64 = (a * (2 + spread) / (1 + spread) ** 2).sum(-1)
    return found


def projected_potential(number: int, rho: ArrayLike) -> F64:
    """Return the potential of an atom summed along the beam, V angstrom, from Kirkland's factors.

    Parameters
    ----------
    number
        Atomic number, 1 to 103.
    rho
        Distance from the atom across the beam, angstrom, above 0: the potential grows as the logarithm of 1/rho.
    """
    a, b, c, d = _kirkland(number)
    r = np.asarray(rho, float)[..., None]
    sharp = 2 * math.pi * a * special.k0(2 * math.pi * r * np.sqrt(b))
    smooth = math.pi * (c / d) * np.exp(-((math.pi * r) ** 2) / d)
    found: F64 = VOLT * (sharp + smooth).sum(-1)
    return found


def adf_cross_section(numbers: ArrayLike, kev: float = 300.0, inner: float = 40.0, outer: float = 200.0) -> F64:
    """Return the cross-section for scattering onto an annular detector in the first Born approximation, angstrom**2.

    That is the integral of (gamma f(q) lambda)**2 over the annulus, for an atom at rest and a plane wave.

    Parameters
    ----------
    numbers
        Atomic numbers, 1 to 103; any shape.
    kev
        Energy of the electrons.
    inner, outer
        Edges of the detector, mrad.
    """
    wave, gamma = wavelength(kev), 1 + kev / REST
    node, weight = np.polynomial.legendre.leggauss(64)
    q = (inner + (outer - inner) * (node + 1) / 2) * 1e-3 / wave
    ring = 2 * math.pi * q * weight * (outer - inner) / 2 * 1e-3 / wave
    wanted = np.asarray(numbers, int)
    each = {int(number): ((gamma * wave * kirkland(number, q)) ** 2 @ ring) for number in np.unique(wanted)}
    return np.vectorize(each.__getitem__, otypes=[float])(wanted)


@cache
def _kirkland(number: int) -> tuple[F64, F64, F64, F64]:
    row = _table("kirkland.csv")[number - 1, 1:]
    return row[0:6:2], row[1:6:2], row[6::2], row[7::2]


@cache
def _lobato(number: int) -> tuple[F64, F64]:
    row = _table("lobato.csv")[number - 1, 1:]
    return row[0::2], row[1::2]


@cache
def _table(name: str) -> F64:
    with (resources.files(__package__) / name).open(encoding="utf-8") as file:
        table: F64 = np.loadtxt(file, delimiter=",", skiprows=2)
    return table
