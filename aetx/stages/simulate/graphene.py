"""Graphene-like sheets with defects and holes."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import PoseParams, finish
from aetx.kernels import tessellation as kernel
from aetx.model import ATOMS

F64 = NDArray[np.float64]

NAME = "simulate.graphene"
SPACING = 1.9 / 1.42
"""Least distance of seeds over the bond: random discs of that size are as dense as the hexagons of graphene."""
HEXAGON = 1.5 * math.sqrt(3)
"""Area of a hexagon over its squared edge."""
MARGIN, OPEN = 6.0, 2.0
"""How far seeds, and the network of closed cells, reach beyond the sheet, in bonds: MARGIN, and MARGIN - OPEN."""
ATTEMPTS = 100


class GrapheneParams(PoseParams):
    """Parameters of `graphene`."""

    element: Element = Field("C", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes")
    size: Length = Field(43.2, gt=4, le=5000, description="edge of the square sheet")
    bond: Length = Field(1.42, gt=0.5, le=10, description="mean distance of bonded atoms")
    lloyd: int = Field(
        3, ge=0, le=1000, description="steps of Lloyd's relaxation of the seeds: more give more hexagons"
    )
    relaxation: int = Field(
        200,
        ge=0,
        le=10_000,
        description="most steps of the relaxation of bonds and angles, 0 for the bare tessellation",
    )
    holes: int = Field(4, ge=0, le=1000, description="greatest number of holes; the number is drawn from 0 to this")
    smallest: Length = Field(3.0, gt=0, le=500, description="least mean radius of a hole")
    largest: Length = Field(12.0, gt=0, le=500, description="greatest mean radius of a hole")
    bonds: int = Field(2, ge=0, le=2, description="least number of bonds of an atom; those with fewer are taken away")
    corrugation: Length = Field(0.1, ge=0, le=2, description="standard deviation of the height of each atom")
    separation: Length = Field(1.0, ge=0, le=5, description="least distance; atoms that are nearer become one")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest not above largest, {self.largest:g} angstrom")
        if self.separation >= self.bond:
            raise ValueError("separation below bond")
        if self.corrugation > self.bond / 3:
            raise ValueError("corrugation at most a third of bond")
        return self


def _forecast(_: InputSizes, params: GrapheneParams) -> Forecast:
    wide = params.size + 2 * MARGIN * params.bond
    atoms, made = (math.ceil(2 * (edge / params.bond) ** 2 / HEXAGON) for edge in (params.size, wide))
    seconds = 0.5 + made * (3e-5 + 1e-5 * params.lloyd + 2e-7 * params.relaxation)
    return Forecast({"atom": atoms, "axis": 3}, memory=1200 * made + 50_000_000, seconds=seconds)


@stage(NAME, takes={}, gives=ATOMS, params=GrapheneParams, version=1, forecast=_forecast)
def graphene(params: GrapheneParams) -> xr.Dataset:
    """Atoms of a random network with three bonds each, mostly hexagons, with rings of five to eight and with holes.

    Seeds are thrown into a square, none nearer to another than 1.34 bonds, and moved by steps of Lloyd's relaxation;
    the corners of their Voronoi cells are the atoms. Edges of cells differ much in length (standard deviation 0.5
    angstrom), so bonds and angles are then relaxed with the energy of Keating; this step is not in the publication. It
    leaves a standard deviation below 0.1 angstrom, and now and then two atoms without a bond at the distance of one.
    The sheet is scaled so that the mean bond = `bond`, cut square, holes are cut, and atoms that hang on one bond are
    taken away. It lies in the plane of x and y, centred, before it is turned. The result is in memory.

    References
    ----------
    J. Madsen et al., Advanced Theory and Simulations 1, 1800037 (2018), doi:10.1002/adts.201800037, figure 4.
    """
    generator = np.random.default_rng(params.seed)
    edge = params.size + 2 * MARGIN * params.bond
    seeds = kernel.discs(edge, SPACING * params.bond, ATTEMPTS, generator)
    for _ in range(params.lloyd):
        seeds = kernel.lloyd(seeds)
    flat, bonds = kernel.network(seeds, edge / 2 - OPEN * params.bond)
    flat = kernel.relax(
        flat * math.sqrt(HEXAGON * len(seeds)) * params.bond / edge, bonds, params.bond, params.relaxation
    )
    kept = np.ones(len(flat), bool)
    for _ in range(generator.integers(0, params.holes + 1)):
        centre = generator.uniform(-params.size / 2, params.size / 2, 2)
        radius = generator.uniform(params.smallest, params.largest)
        kept &= ~kernel.hole(flat - centre, radius, generator)
    flat, bonds = kernel.keep(flat, bonds, kept)
    height = generator.normal(0, params.corrugation, len(flat))
    sheet, bonds = kernel.merge(_scaled(flat, height, bonds, params), bonds, params.separation)
    position, _ = kernel.prune(*kernel.keep(sheet, bonds, _within(sheet, params)), params.bonds)
    return finish(
        NAME,
        params,
        position,
        atomic_number(params.element),
        separation=params.separation,
        fix="raise 'size' or 'relaxation', or lower 'holes', 'corrugation' or 'separation'",
        about=np.zeros(3),
    )


def _scaled(flat: F64, height: F64, bonds: NDArray[np.int64], params: GrapheneParams) -> F64:
    """Stretch a sheet in its plane until the mean bond of what will be cut out is the one wanted."""
    sheet = np.column_stack([flat, height])
    for _ in range(20):
        seen = bonds[_within(sheet, params)[bonds].all(axis=1)]
        if not len(seen):
            break
        sheet[:, :2] *= params.bond / kernel.lengths(sheet, seen).mean()
    return sheet


def _within(sheet: F64, params: GrapheneParams) -> NDArray[np.bool_]:
    return np.abs(sheet[:, :2]).max(axis=1) < params.size / 2
