"""Two particles grown together along [111] with a double twin between them."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import DisplacementParams, PoseParams, finish
from aetx.kernels import bodies, growth, stacking
from aetx.kernels.particle import displace
from aetx.kernels.rendering import rotation
from aetx.model import ATOMS

ATTEMPTS = 200


class DumbbellParams(PoseParams, DisplacementParams):
    """Parameters of `dumbbell`."""

    element: Element = Field(
        "Pt", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    lattice_constant: Length = Field(3.912, gt=1, le=20, description="edge of the cubic fcc cell")
    atoms: int = Field(3504, ge=50, le=2_000_000, description="number of atoms, met exactly")
    shape: Literal["truncated_octahedron", "sphere"] = Field(
        "truncated_octahedron", description="body of each of the two halves"
    )
    offset: float = Field(
        0.85, ge=0, le=0.95, description="distance of the centre of each half from the middle, over its inner radius"
    )
    twist: Angle = Field(1.59, ge=-60, le=60, description="turn of the upper half about the axis of stacking")
    protrusion: float = Field(
        0.45, ge=0, le=0.8, description="radius of the bump on the upper half towards +x, over that of the half"
    )
    strain_along: float = Field(
        0.04, ge=-0.2, le=0.2, description="greatest strain exx at the bump, positive if longer"
    )
    strain_across: float = Field(-0.02, ge=-0.2, le=0.2, description="greatest strain eyy at the bump")
    strain_width: Length = Field(6.0, gt=0, le=100, description="standard deviation of the strain about the bump")
    displacement: Length = Field(
        0.1, ge=0, le=2, description="root mean square distance of inner atoms from their sites, in three dimensions"
    )
    disorder: float = Field(
        2.0, ge=1, le=10, description="how much further atoms of the surface and the three middle layers are moved"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lattice_constant / math.sqrt(2) < self.separation:
            raise ValueError("separation below the distance of nearest sites of the lattice")
        strains = sorted({"strain_along", "strain_across", "strain_width"} & self.model_fields_set)
        if not self.protrusion and strains:
            raise ValueError(f"a protrusion where {', '.join(strains)} is given")
        if not self.displacement and "disorder" in self.model_fields_set:
            raise ValueError("a displacement where disorder is given")
        return self


def _forecast(_: InputSizes, params: DumbbellParams) -> Forecast:
    return Forecast(
        {"atom": params.atoms, "axis": 3}, memory=1400 * params.atoms + 60_000_000, seconds=0.3 + 1.2e-5 * params.atoms
    )


@stage("simulate.dumbbell", takes={}, gives=ATOMS, params=DumbbellParams, version=1, forecast=_forecast)
def dumbbell(params: DumbbellParams) -> xr.Dataset:
    """Atoms of a dumbbell of two fcc halves, stacked ABCAB A CABC along z.

    The middle layer 0 is a fault between two twin planes, layers -1 and +1. The layers above 0 are turned by
    `twist`. The halves, and a bump on the upper one towards +x, are cut to the exact number of atoms; the last facet
    is filled where atoms have most neighbours. About the middle of the bump the layers above 0 are strained: exx and
    eyy are Gaussians of their distance from it, exx = strain_along * exp(-d**2 / (2 strain_width**2)).

    `layer` counts from the middle; `displacement` is the atom minus its site in the two unstrained halves, the upper
    one turned. The result is in memory.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, "Direct observation of three-dimensional atomic structure of twinned metallic
    nanoparticles and their catalytic properties", https://arxiv.org/abs/2207.06677 (2022).
    """
    generator = np.random.default_rng(params.seed)
    distance = params.lattice_constant / math.sqrt(2)
    reach = 1.2 * distance
    site, layer, size = _cut(params, distance, generator)
    surface = growth.coordination(site, reach) < 12
    upper = layer > 0
    site[upper] = site[upper] @ rotation(math.radians(params.twist), 0.0, 0.0).T
    strained = site.copy()
    if params.protrusion:
        centre = size * _bump(params)
        strained[upper] += stacking.local_strain(
            site[upper], centre, params.strain_width, params.strain_along, params.strain_across
        )
    spread = params.displacement * np.where(surface | (np.abs(layer) <= 1), params.disorder, 1.0)[:, None]
    gaussian = params.distribution == "gaussian"
    position = displace(strained, spread, params.separation, generator, ATTEMPTS, gaussian)
    return finish(
        "simulate.dumbbell",
        params,
        position,
        atomic_number(params.element),
        {"layer": (layer.astype(np.int32), "1"), "displacement": (position - site, "angstrom")},
        separation=params.separation,
        fix="lower 'displacement', 'disorder', 'twist', the strain or 'separation'",
    )


def _bump(params: DumbbellParams) -> np.ndarray:
    """Return the middle of the bump in units of the size of the halves: where +x leaves the upper half, shape (3,)."""
    outwards = np.array([[1.0, 0.0, 0.0]])
    if params.shape == "truncated_octahedron":
        outwards = outwards @ stacking.CUBIC.T
    return np.array([1 / float(bodies.size_at(outwards, params.shape)[0]), 0.0, params.offset])


def _cut(
    params: DumbbellParams, distance: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the sites, their layers, and the size of the halves."""
    half = (params.atoms * params.lattice_constant**3 / 4 / bodies.VOLUME[params.shape]) ** (1 / 3)
    most = (half + distance) * bodies.FARTHEST[params.shape]  # the halves of a dumbbell are smaller than one body
    site, layer = stacking.double_twin(distance, 1.2 * most, (1 + params.offset) * most)
    size = bodies.dumbbell_size_at(site, params.shape, params.offset, stacking.CUBIC)
    if params.protrusion:
        size = np.minimum(size, bodies.entry(site, _bump(params), params.protrusion))
    chosen = growth.cut(site, size, params.atoms, 1.2 * distance, generator)
    return site[chosen], layer[chosen], float(size[chosen].max())
