"""Faceted fcc particles with rough surfaces, on a support or without."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import finish
from aetx.kernels import packing
from aetx.kernels import roughening as kernel
from aetx.kernels.rendering import rotation
from aetx.model import ATOMS

F64 = NDArray[np.float64]

NAME = "simulate.roughened"
ZONES = {"110": ((1, 1, 0), (1, -1, 1)), "111": ((1, 1, 1), (1, -1, 0))}
"""The crystal direction along the beam, and one across it, which is the normal of the support."""
CARBON, CARBON_DISTANCE, CARBON_DENSITY = 6, 1.42, 0.1
"""The support: atomic number, least distance in angstrom, atoms in a cubic angstrom (2 g/cm**3)."""
ATTEMPTS = 200


class RoughenedParams(Params):
    """Parameters of `roughened`."""

    element: Element = Field(
        "Au", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    lattice_constant: Length = Field(4.078, gt=1, le=20, description="edge of the cubic fcc cell")
    smallest: Length = Field(10.0, gt=4, le=500, description="least diameter of the ball that all facets enclose")
    largest: Length = Field(28.0, gt=4, le=500, description="greatest diameter of the ball that all facets enclose")
    beyond: float = Field(
        0.2, ge=0, le=1, description="greatest distance of a facet from that ball, as a fraction of its radius"
    )
    added: float = Field(
        1 / 3, ge=0, le=2, description="greatest share of atoms added at the surface; the number is drawn from 0 to it"
    )
    coldest: float = Field(0.2, gt=0, le=1e6, description="least temperature T of the roughening, in neighbours")
    warmest: float = Field(1.0, gt=0, le=1e6, description="greatest temperature T of the roughening, in neighbours")
    neighbours: int = Field(1, ge=1, le=12, description="least number of neighbours of a site that may be filled")
    zone: Literal["110", "111"] = Field("110", description="crystal direction along the beam, before the tilt")
    tilt: Angle = Field(5.0, ge=0, le=90, description="greatest tilt away from the beam; drawn from 0 to this")
    buried: float = Field(
        0.0, ge=0, le=0.9, description="share of the height that lies below the plane of the support, and is cut off"
    )
    support: Length = Field(0.0, ge=0, le=200, description="thickness of amorphous carbon below that plane, 0 for none")
    margin: Length = Field(8.0, ge=0, le=200, description="how far the support reaches beyond the particle")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest not above largest, {self.largest:g} angstrom")
        if self.coldest > self.warmest:
            raise ValueError(f"coldest not above warmest, {self.warmest:g}")
        if "margin" in self.model_fields_set and not self.support:
            raise ValueError("no margin without a support")
        return self


def _forecast(_: InputSizes, params: RoughenedParams) -> Forecast:
    edge = params.largest * (1 + params.beyond / 2)
    metal = math.pi / 6 * edge**3 * 4 / params.lattice_constant**3 * (1 + params.added / 2) * (1 - params.buried)
    across = edge * 1.2 + 2 * params.margin
    carbon = CARBON_DENSITY * params.support * across**2
    places = (2 * _half(params, params.largest / 2) + 1) ** 3
    atoms = math.ceil(metal + carbon)
    return Forecast(
        {"atom": atoms, "axis": 3},
        memory=15 * places + 300 * atoms + 40_000_000,
        seconds=0.5 + 1e-7 * places + 2e-6 * atoms,
    )


@stage(NAME, takes={}, gives=ATOMS, params=RoughenedParams, version=1, forecast=_forecast)
def roughened(params: RoughenedParams) -> xr.Dataset:
    """Atoms of a faceted fcc particle with more atoms on its surface, near a zone axis, on a support or without.

    A crystal is cut by the planes {100}, {110} and {111}, each after a whole layer at a distance that is drawn from
    the radius of a ball up to a share `beyond` more. A number of atoms, from 0 to the share `added`, come to empty
    sites one by one, to site i with n_i neighbours with the probability p_i = exp(n_i / T) / sum_j exp(n_j / T), where
    n is counted anew for each. Low temperatures complete the facets, high ones roughen them; T is drawn evenly between
    its bounds, and kept with the number of added atoms in the attributes.

    The zone axis lies along the beam, z; the particle is turned about it and then tilted in a random direction.
    The plane of the support contains the beam before that tilt, so that the particle is seen from the side; below it
    there is no site. The support is random carbon, half a metal and half a carbon distance below the lowest layer.
    `coordination` counts the metal atoms next to each metal atom, and is NaN in the support. The mean position of
    all atoms is the origin. The result is in memory.

    References
    ----------
    J. Madsen et al., Advanced Theory and Simulations 1, 1800037 (2018), doi:10.1002/adts.201800037, equation 9.
    """
    generator = np.random.default_rng(params.seed)
    radius = generator.uniform(params.smallest, params.largest) / 2
    lattice = _faceted(params, radius, generator)
    whole = int((lattice == kernel.FILLED).sum())
    temperature = float(generator.uniform(params.coldest, params.warmest))
    number = int(generator.integers(0, math.floor(params.added * whole) + 1))
    added = kernel.add(lattice, number, params.neighbours, temperature, generator)
    filled = lattice == kernel.FILLED
    zone, normal = (np.array(one) / np.linalg.norm(one) for one in ZONES[params.zone])
    upright = np.stack([np.cross(normal, zone), normal, zone])
    metal = (np.argwhere(filled) - lattice.shape[0] // 2) * (params.lattice_constant / 2) @ upright.T
    carbon = _support(params, metal, generator)
    turn, lean = generator.uniform(0, 2 * math.pi, 2)
    tilt = math.radians(generator.uniform(0, params.tilt))
    matrix = rotation(lean, 0, 0) @ rotation(0, 0, tilt) @ rotation(turn, 0, 0)
    nearest = params.lattice_constant / math.sqrt(2)
    made = finish(
        NAME,
        params,
        np.vstack([metal, carbon]) @ matrix.T,
        np.repeat([atomic_number(params.element), CARBON], [len(metal), len(carbon)]),
        {"coordination": (_padded(kernel.coordination(lattice)[filled], len(carbon)), "1")},
        separation=min(nearest, CARBON_DISTANCE) if len(carbon) else nearest,
        fix="raise 'smallest' or lower 'buried'",
    )
    return made.assign_attrs(temperature=temperature, added=len(added))


def _half(params: RoughenedParams, radius: float) -> int:
    """Return the half width of a lattice that has room for the particle and for what is added to it."""
    reach = radius * (1 + params.beyond) * 2 / params.lattice_constant
    return math.ceil(reach * (1 + params.added / 2)) + 6


def _faceted(params: RoughenedParams, radius: float, generator: np.random.Generator) -> NDArray[np.int8]:
    lattice = kernel.empty_lattice(_half(params, radius))
    distance = generator.uniform(radius, radius * (1 + params.beyond), len(kernel.PLANES))
    inside = kernel.cut(lattice, kernel.PLANES, kernel.layers(distance, params.lattice_constant))
    lattice[inside & (lattice == kernel.EMPTY)] = kernel.FILLED
    if params.buried or params.support:
        up = np.array(ZONES[params.zone][1])
        heights = (np.argwhere(lattice == kernel.FILLED) - lattice.shape[0] // 2) @ up
        lowest = math.ceil(heights.min() + params.buried * np.ptp(heights))
        lattice[~kernel.cut(lattice, -up[None], np.array([-lowest]))] = kernel.CLOSED
    return lattice


def _support(params: RoughenedParams, metal: F64, generator: np.random.Generator) -> F64:
    if not params.support or not len(metal):
        return np.empty((0, 3))
    top = metal[:, 1].min() - (params.lattice_constant / math.sqrt(2) + CARBON_DISTANCE) / 2
    low, high = metal.min(axis=0) - params.margin, metal.max(axis=0) + params.margin
    low[1], high[1] = top - params.support, top
    wanted = max(1, round(CARBON_DENSITY * float(np.prod(high - low))))
    return packing.random_addition_in_box(low, high, wanted, CARBON_DISTANCE, ATTEMPTS * wanted, generator)


def _padded(count: NDArray[np.int8], more: int) -> NDArray[np.float32]:
    return np.concatenate([count.astype(np.float32), np.full(more, np.nan, np.float32)])
