"""Random-shaped fcc particles with vacancies and displaced atoms."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import DisplacementParams, finish
from aetx.kernels import particle as kernel
from aetx.model import ATOMS

ATTEMPTS = 200


class ParticleParams(DisplacementParams):
    """Parameters of `particle`."""

    element: Element = Field(
        "Pt", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    lattice_constant: Length = Field(3.912, gt=1, le=20, description="edge of the cubic fcc cell")
    smallest: Length = Field(56.8, gt=5, le=500, description="least diameter, of the ball with the same volume")
    largest: Length = Field(66.5, gt=5, le=500, description="greatest diameter, of the ball with the same volume")
    vacancies: float = Field(
        0.005, ge=0, le=0.5, description="greatest fraction of empty sites; the fraction is drawn from 0 to this"
    )
    displacement: Length = Field(
        0.22, ge=0, le=2, description="root mean square distance of the atoms from their sites, in three dimensions"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest not above largest, {self.largest:g} angstrom")
        if self.lattice_constant / math.sqrt(2) < self.separation:
            raise ValueError("separation below the distance of nearest sites of the lattice")
        return self


def _forecast(_: InputSizes, params: ParticleParams) -> Forecast:
    atoms = math.ceil(math.pi / 6 * params.largest**3 * 4 / params.lattice_constant**3)
    sites = 15 * (params.largest / params.lattice_constant + 1) ** 3 * 4  # of the box around the most spread-out shape
    return Forecast({"atom": atoms, "axis": 3}, memory=int(sites * 80) + 60_000_000, seconds=0.2 + 4e-7 * sites)


@stage("simulate.particle", takes={}, gives=ATOMS, params=ParticleParams, version=1, forecast=_forecast)
def particle(params: ParticleParams) -> xr.Dataset:
    """Atoms of a random-shaped fcc particle, centred, evenly oriented at random.

    The shape is a connected union of balls, scaled to a volume drawn evenly between those of the two diameters. It
    is cut from an fcc lattice turned and shifted at random; sites are emptied; then each atom moves evenly within a
    cube of half edge `displacement`, or normally, by `displacement` in root mean square over three dimensions, and
    moves that bring two atoms closer than `separation` are drawn again. The mean position is the origin. The result
    is in memory.

    The published generator draws the shape on voxels and smooths it by 0.65 voxel; here it is analytic.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1.
    """
    generator = np.random.default_rng(params.seed)
    centres, radii, _ = kernel.random_shape(generator, params.smallest, params.largest)
    reach = float((np.linalg.norm(centres, axis=1) + radii).max())
    sites = kernel.fcc_sites(params.lattice_constant, reach, kernel.random_rotation(generator), generator.random(3))
    sites = sites[kernel.inside(sites, centres, radii)]
    empty = round(generator.uniform(0, params.vacancies) * len(sites))
    kept = np.sort(generator.permutation(len(sites))[empty:])
    gaussian = params.distribution == "gaussian"
    position = kernel.displace(sites[kept], params.displacement, params.separation, generator, ATTEMPTS, gaussian)
    fix = "lower 'displacement' or 'separation', or raise 'smallest'"
    number = atomic_number(params.element)
    return finish("simulate.particle", params, position, number, separation=params.separation, fix=fix)
