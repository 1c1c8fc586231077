"""Five-fold twinned decahedra."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import DisplacementParams, PoseParams, finish
from aetx.kernels import decahedron as kernel
from aetx.kernels import growth
from aetx.kernels.particle import displace
from aetx.model import ATOMS

ATTEMPTS = 200
FACES = ("edge", "height", "reentrance")


class DecahedronParams(PoseParams, DisplacementParams):
    """Parameters of `decahedron`: either the number of atoms, or edge, height and re-entrance."""

    element: Element = Field(
        "Pt", min_length=1, max_length=3, description="chemical symbol, or atomic number in quotes"
    )
    lattice_constant: Length = Field(3.912, gt=1, le=20, description="edge of the cubic fcc cell")
    atoms: int = Field(25_790, ge=7, le=2_000_000, description="number of atoms, met exactly")
    edge: int | None = Field(
        None, ge=2, le=200, description="atoms along the edges of the {100} faces across the axis, in place of atoms"
    )
    height: int | None = Field(
        None, ge=1, le=200, description="atoms along the edges of the {100} faces along the axis, in place of atoms"
    )
    reentrance: int | None = Field(
        None, ge=0, le=100, description="depth in layers of the notches at the twin planes, in place of atoms"
    )
    phi: Angle = Field(11.0, ge=-360, le=360, description="last turn of the specimen, about z")
    theta: Angle = Field(7.0, ge=-360, le=360, description="second turn of the specimen, about y")
    psi: Angle = Field(17.0, ge=-360, le=360, description="first turn of the specimen, about x")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        given = [name for name in FACES if getattr(self, name) is not None]
        if given and "atoms" in self.model_fields_set:
            raise ValueError(f"either atoms or {', '.join(given)}, not both")
        if given and len(given) < len(FACES):
            raise ValueError(f"{', '.join(FACES)} together")
        if self.lattice_constant / math.sqrt(2) < self.separation:
            raise ValueError("separation below the distance of nearest sites of the lattice")
        return self


def _faces(params: DecahedronParams) -> tuple[int, int, int]:
    if params.edge is None or params.height is None or params.reentrance is None:
        return kernel.nearest_below(params.atoms)
    return params.edge, params.height, params.reentrance


def _forecast(_: InputSizes, params: DecahedronParams) -> Forecast:
    atoms = params.atoms if params.edge is None else kernel.count(*_faces(params))
    return Forecast({"atom": atoms, "axis": 3}, memory=1000 * atoms + 60_000_000, seconds=0.3 + 1e-5 * atoms)


@stage("simulate.decahedron", takes={}, gives=ATOMS, params=DecahedronParams, version=1, forecast=_forecast)
def decahedron(params: DecahedronParams) -> xr.Dataset:
    """Atoms of a Marks decahedron: five fcc sectors, twins of each other, about one [110] axis.

    Five perfect sectors of 70.53 degrees would leave a gap of 7.35 degrees; here each is stretched to 72 degrees, by
    1.8 % along the [110] across the axis, and shrunk by 0.9 % along the [001] outwards, so that all atoms on the axis
    and the twin planes have the distance of nearest neighbours, a / sqrt(2). Where a number of atoms is asked for, the
    compact decahedron with most atoms, but not more, is taken, and the rest is added on the sites of the next layers
    that have most neighbours, one after the other. 25,790 atoms are edge 13, height 11 and re-entrance 6 with 10 more.

    The axis is along z before the turn. `sector` is 0 to 4, and -1 on the axis and the twin planes; `displacement` is
    the atom minus its site. The result is in memory.

    References
    ----------
    L. D. Marks, Philosophical Magazine A 49, 81 (1984), doi:10.1080/01418618408233431.
    """
    generator = np.random.default_rng(params.seed)
    faces = _faces(params)
    distance = params.lattice_constant / math.sqrt(2)
    site, sector = kernel.sites(*faces, distance)
    if params.edge is None and len(site) < params.atoms:
        more, its_sector = kernel.beyond(*faces, distance)
        filled = np.arange(len(site) + len(more)) < len(site)
        site, sector = np.concatenate([site, more]), np.concatenate([sector, its_sector])
        filled = growth.grow(site, filled, params.atoms - int(filled.sum()), 1.2 * distance, generator)
        site, sector = site[filled], sector[filled]
    gaussian = params.distribution == "gaussian"
    position = displace(site, params.displacement, params.separation, generator, ATTEMPTS, gaussian)
    return finish(
        "simulate.decahedron",
        params,
        position,
        atomic_number(params.element),
        {"sector": (sector.astype(np.int32), "1"), "displacement": (position - site, "angstrom")},
        separation=params.separation,
        fix="lower 'displacement' or 'separation'",
    )
