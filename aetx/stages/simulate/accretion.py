"""Amorphous balls grown by accretion."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import finish
from aetx.errors import InputError, Problem
from aetx.kernels import accretion as kernel
from aetx.model import ATOMS

NAME = "simulate.accretion"
CANDIDATES = 2**14
"""Places tried around an atom before the ball is said to be full."""
SPARSEST = 0.3
"""Atoms per cubed least distance below which too many would have to be taken out of the loosest growth."""
PACKED = (0.53, 0.66, 0.71, 0.79, 0.82), (3.0, 10.0, 30.0, 300.0, 3000.0)
"""Atoms per cubed least distance, and candidates per atom that reach them, as measured; for the forecast."""


class AccretionParams(Params):
    """Parameters of `accretion`."""

    element: Element = Field(
        "Si", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    atoms: int = Field(25_000, ge=2, le=10_000_000, description="number of atoms, met exactly")
    diameter: Length = Field(90.0, gt=2, le=2000, description="of the ball that holds the centres of all atoms")
    closest: Length = Field(2.32, gt=0.5, le=10, description="least distance between two atoms")
    farthest: Length = Field(2.53, gt=0.5, le=20, description="greatest distance of an atom from its nearest one")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.closest < self.farthest <= 2 * self.closest:
            raise ValueError("farthest above closest, and at most twice as large")
        if self.closest >= self.diameter:
            raise ValueError("closest below diameter")
        widest = self.closest * (6 / math.pi * self.atoms / SPARSEST) ** (1 / 3)
        if self.diameter > widest:
            raise ValueError(f"diameter of at most {widest:.4g} angstrom for {self.atoms} atoms")
        return self


def _forecast(_: InputSizes, params: AccretionParams) -> Forecast:
    packed = params.atoms * params.closest**3 / (math.pi / 6 * params.diameter**3)
    candidates = float(np.interp(packed, *PACKED))
    room = kernel.capacity(params.diameter / 2, params.closest)
    cells = (params.diameter / (params.closest + params.farthest) + 3) ** 3
    return Forecast(
        {"atom": params.atoms, "axis": 3},
        memory=int(300 * cells + 40 * room + 150 * params.atoms) + 40_000_000,
        seconds=1.0 + params.atoms * (5e-6 * math.log2(2 * candidates) + 1.5e-7 * candidates),
    )


@stage(NAME, takes={}, gives=ATOMS, params=AccretionParams, version=1, forecast=_forecast)
def accretion(params: AccretionParams) -> xr.Dataset:
    """Atoms of an amorphous ball, exactly as many as asked for, each at bond distance from its nearest one.

    An atom that grows from another lies at a distance drawn evenly from `closest` to `farthest` in a random direction,
    where it lies in the ball and no nearer than `closest` to any atom; an atom rests after a number of vain attempts.
    That number is found by bisection so that the ball holds hardly more atoms than asked for, and the rest is taken out
    at random where no atom loses its last neighbour. So the least distance is at least `closest`, and each nearest
    distance at most `farthest`. The centre of the ball is the origin. The result is in memory.

    The six balls of the publication have 25, 50, 75, 100, 150 and 200 thousand atoms of silicon in 90, 120, 140, 150,
    170 and 190 angstrom. How they were made is not told; growth meets their bounds and densities, but its angles
    between bonds are random, not those of real amorphous silicon.

    References
    ----------
    L. Mao, J. Cui, R. Yu, "Accurate atomic positions via local-orbital tomography with depth-dependent interactions":
    distances = 2.32 to 2.53 angstrom, the numbers of atoms and the diameters.
    """
    generator = np.random.default_rng(params.seed)
    radius = params.diameter / 2
    grown = kernel.fill(params.atoms, radius, params.closest, params.farthest, CANDIDATES, generator)
    position = kernel.thin(grown, params.atoms, params.farthest, generator)
    if len(position) != params.atoms:
        found = f"{params.diameter:g} angstrom, which {len(position)} atoms fill"
        fix = "raise 'diameter' or lower 'atoms'" if len(position) < params.atoms else "lower 'diameter'"
        raise InputError(Problem(NAME, "diameter", found, f"a ball that {params.atoms} atoms fill", fix))
    return finish(
        NAME,
        params,
        position,
        atomic_number(params.element),
        separation=params.closest,
        fix="raise 'diameter' or lower 'atoms'",
        about=np.zeros(3),
    )
