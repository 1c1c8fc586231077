"""Random-shaped particles without order."""

from __future__ import annotations

import math
import warnings
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import finish
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import packing, particle
from aetx.model import ATOMS

DENSEST = 0.37
"""Share of space that balls can fill when thrown in at random within reason; none beyond 0.384 are ever free."""


class AmorphousParams(Params):
    """Parameters of `amorphous`."""

    element: Element = Field(
        "Pt", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    lattice_constant: Length = Field(
        3.912, gt=1, le=20, description="edge of the cubic cell of the fcc crystal with which the density is compared"
    )
    filling: float = Field(0.95, gt=0, le=1.2, description="atoms in a volume, as a fraction of those of the crystal")
    accepted: float = Field(
        0.94, gt=0, le=1.2, description="least filling that is accepted where atoms find no more room"
    )
    smallest: Length = Field(56.8, gt=5, le=500, description="least diameter, of the ball with the same volume")
    largest: Length = Field(66.5, gt=5, le=500, description="greatest diameter, of the ball with the same volume")
    separation: Length = Field(2.0, gt=0, le=10, description="least distance between two atoms")
    attempts: int = Field(
        1000, ge=1, le=100_000, description="throws for each atom that is wanted, after which no more are added"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest not above largest, {self.largest:g} angstrom")
        if self.accepted > self.filling:
            raise ValueError(f"accepted not above filling, {self.filling:g}")
        packed = math.pi / 6 * self.separation**3 * self.density
        if packed > DENSEST:
            raise ValueError(f"separation and filling that pack at most {DENSEST:g} of space, here {packed:.3g}")
        return self

    @property
    def density(self) -> float:
        """Atoms in a cubic angstrom that are wanted."""
        return self.filling * 4 / self.lattice_constant**3


def _forecast(_: InputSizes, params: AmorphousParams) -> Forecast:
    volume = math.pi / 6 * params.largest**3
    atoms = math.ceil(volume * params.density)
    cells = 8 * volume / (params.separation / math.sqrt(3)) ** 3
    return Forecast(
        {"atom": atoms, "axis": 3}, memory=int(cells * 4) + 400 * atoms + 60_000_000, seconds=0.3 + 1e-5 * atoms
    )


@stage("simulate.amorphous", takes={}, gives=ATOMS, params=AmorphousParams, version=1, forecast=_forecast)
def amorphous(params: AmorphousParams) -> xr.Dataset:
    """Atoms of a random-shaped particle without order, centred.

    The shape is drawn as in `simulate.particle`. Atoms are thrown into it evenly, one after the other, and kept where
    none is nearer than `separation` (random sequential addition), until there are n = filling * 4 / a**3 * volume.
    The filling that was reached is in ``attrs["filling"]``. The result is in memory.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1.
    """
    generator = np.random.default_rng(params.seed)
    centres, radii, volume = particle.random_shape(generator, params.smallest, params.largest)
    wanted = max(1, round(params.density * volume))
    position = packing.random_addition(centres, radii, wanted, params.separation, params.attempts * wanted, generator)
    reached = params.filling * len(position) / wanted
    if reached < params.accepted:
        raise InputError(
            Problem(
                "simulate.amorphous",
                "filling",
                f"{reached:.4f}",
                f"at least {params.accepted:g}",
                "lower 'separation', 'filling' or 'accepted', or raise 'attempts'",
            )
        )
    if len(position) < wanted:
        said = f"simulate.amorphous: no room for {wanted - len(position)} of {wanted} atoms: filling {reached:.4f}"
        warnings.warn(said, AetxWarning, stacklevel=2)
    made = finish(
        "simulate.amorphous",
        params,
        position,
        atomic_number(params.element),
        separation=params.separation,
        fix="raise 'smallest'",
    )
    return made.assign_attrs(filling=reached)
