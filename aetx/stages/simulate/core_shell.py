"""Particles with a core of one element and a shell of another."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator
from scipy.optimize import brentq

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import DisplacementParams, PoseParams, finish
from aetx.errors import InputError, Problem
from aetx.kernels import bodies, growth
from aetx.kernels import core_shell as kernel
from aetx.kernels.particle import displace, fcc_sites
from aetx.model import ATOMS

ATTEMPTS = 200
NAME = "simulate.core_shell"


class CoreShellParams(PoseParams, DisplacementParams):
    """Parameters of `core_shell`."""

    core: Element = Field(
        "Pd", min_length=1, max_length=3, description="element of the core: symbol, or atomic number in quotes"
    )
    shell: Element = Field(
        "Pt", min_length=1, max_length=3, description="element of the shell: symbol, or atomic number in quotes"
    )
    core_lattice_constant: Length = Field(3.890, gt=1, le=20, description="edge of the cubic fcc cell of the free core")
    shell_lattice_constant: Length = Field(
        3.912, gt=1, le=20, description="edge of the cubic fcc cell of the free shell"
    )
    shape: Literal["octahedron", "truncated_octahedron", "cube", "sphere"] = Field(
        "truncated_octahedron", description="body of the particle and of its core"
    )
    atoms: int = Field(5377, ge=13, le=2_000_000, description="number of atoms, met exactly")
    core_fraction: float = Field(0.255, gt=0, lt=1, description="expected fraction of atoms of the core's element")
    layers: float | None = Field(
        None,
        gt=0,
        le=500,
        description="thickness of the shell in layers parallel to its faces, in place of core_fraction",
    )
    interface_width: Length = Field(
        4.2, ge=0, le=100, description="distance over which the core's element falls from 95 % to 5 %; 0 for none"
    )
    poisson: float = Field(0.39, ge=-0.9, le=0.499, description="Poisson's ratio of core and shell")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.layers is not None and "core_fraction" in self.model_fields_set:
            raise ValueError("either core_fraction or layers, not both")
        if min(self.core_lattice_constant, self.shell_lattice_constant) / math.sqrt(2) < self.separation:
            raise ValueError("separation below the distance of nearest sites of the lattices")
        return self


def _forecast(_: InputSizes, params: CoreShellParams) -> Forecast:
    return Forecast(
        {"atom": params.atoms, "axis": 3}, memory=1000 * params.atoms + 60_000_000, seconds=0.3 + 1e-5 * params.atoms
    )


@stage(NAME, takes={}, gives=ATOMS, params=CoreShellParams, version=1, forecast=_forecast)
def core_shell(params: CoreShellParams) -> xr.Dataset:
    """Atoms of a coherent core and shell on one fcc lattice, mixed at the interface and strained by their misfit.

    The particle is cut to the exact number of atoms, its centre anywhere in the cell; the core is the same body,
    smaller. An atom at depth d, outwards positive from the interface, is of the core's element with the probability
    erfc(d / (sqrt(2) s)) / 2, where `interface_width` = 3.29 s. The cubic axes are x, y and z before the turn.

    The displacement from the mean lattice is that of the elastic sphere with the same volumes of core and shell, the
    same isotropic elasticity in both and a free surface; in other shapes it is a model and not a solution. Lattice
    constants that are equal give none.

    The centre of the body is the origin. `depth` is d on the mean lattice; `displacement` is the atom minus its site
    on that lattice, random displacements included. The result is in memory.

    References
    ----------
    J. D. Eshelby, Journal of Applied Physics 25, 255 (1954), doi:10.1063/1.1721615.
    """
    generator = np.random.default_rng(params.seed)
    site, size = _cut(params, generator)
    share = float(kernel.core_fraction(_depth(params, site, size), params.interface_width).mean())
    mean = share * params.core_lattice_constant + (1 - share) * params.shell_lattice_constant
    site, size = site * (mean / params.shell_lattice_constant), size * mean / params.shell_lattice_constant
    depth = _depth(params, site, size)
    chance = kernel.core_fraction(depth, params.interface_width)
    number = np.where(generator.random(len(site)) < chance, atomic_number(params.core), atomic_number(params.shell))
    radius = np.linalg.norm(site, axis=1)
    outer = (3 * len(site) * mean**3 / (16 * math.pi)) ** (1 / 3)
    mismatch = (params.shell_lattice_constant - params.core_lattice_constant) / mean
    moved = kernel.misfit(radius, outer * float(chance.mean()) ** (1 / 3), outer, mismatch, params.poisson)
    strained = site * (1 + moved / np.maximum(radius, 1e-12))[:, None]
    gaussian = params.distribution == "gaussian"
    position = displace(strained, params.displacement, params.separation, generator, ATTEMPTS, gaussian)
    return finish(
        NAME,
        params,
        position,
        number,
        {"depth": (depth, "angstrom"), "displacement": (position - site, "angstrom")},
        separation=params.separation,
        fix="lower 'displacement' or 'separation'",
        about=np.zeros(3),
    )


def _cut(params: CoreShellParams, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return the sites of a lattice with the shell's constant around the centre of the body, and the body's size."""
    constant = params.shell_lattice_constant
    body = (params.atoms * constant**3 / 4 / bodies.VOLUME[params.shape]) ** (1 / 3) + constant
    site = fcc_sites(constant, body * bodies.FARTHEST[params.shape], np.eye(3), generator.random(3))
    size = bodies.size_at(site, params.shape)
    chosen = growth.cut(site, size, params.atoms, 1.2 * constant / math.sqrt(2), generator)
    return site[chosen], float(size[chosen].max())


def _depth(params: CoreShellParams, site: np.ndarray, size: float) -> np.ndarray:
    """Return the signed distance of each site from the interface, outwards positive, angstrom."""
    if params.layers is not None:
        spacing = params.shell_lattice_constant / (2 if params.shape == "cube" else math.sqrt(3))
        core = size - params.layers * spacing
        if core <= 0:
            most = f"fewer than {size / spacing:.1f}, all there are"
            raise InputError(Problem(NAME, "layers", f"{params.layers:g}", most, "lower 'layers', or raise 'atoms'"))
        return bodies.height_above(site, params.shape, core)

    def excess(core: float) -> float:
        chance = kernel.core_fraction(bodies.height_above(site, params.shape, core), params.interface_width)
        return float(chance.mean()) - params.core_fraction

    reach = size + 10 * params.interface_width + 1.0
    return bodies.height_above(site, params.shape, brentq(excess, -reach, 2 * reach, xtol=1e-6))
