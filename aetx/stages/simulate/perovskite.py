"""Particles of a perovskite whose central cations are displaced in a texture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import DisplacementParams, PoseParams, finish
from aetx.kernels import particle, textures
from aetx.kernels import perovskite as kernel
from aetx.model import ATOMS

F64 = NDArray[np.float64]

NAME = "simulate.perovskite"
OXYGEN = 8
ATTEMPTS = 200
CORED = ("vortex", "antivortex", "two_vortices", "two_opposite_vortices")


class PerovskiteParams(PoseParams, DisplacementParams):
    """Parameters of `perovskite`."""

    corner: Element = Field("Ba", min_length=1, max_length=3, description="element at the corners of the cell")
    centre: Element = Field("Ti", min_length=1, max_length=3, description="element at the centre of the cell")
    oxygen: bool = Field(False, description="whether oxygen atoms sit at the centres of the faces")
    lattice_constant: Length = Field(4.009, gt=1, le=20, description="edge of the cubic cell")
    shape: kernel.Shape = Field("sphere", description="shape of the particle: sphere, cube or rounded_cube")
    size: Length = Field(60.0, gt=1, le=1000, description="diameter of the sphere, edge of the cube")
    texture: Literal[
        "uniform",
        "vortex",
        "antivortex",
        "two_vortices",
        "two_opposite_vortices",
        "skyrmion",
        "hopfion",
        "flux_closure",
    ] = Field("vortex", description="how the displacement of the central atoms varies")
    polar: Length = Field(0.1, ge=0, le=1, description="greatest displacement of a central atom by the texture")
    core: Length = Field(4.0, gt=0, le=100, description="radius of the core of a vortex, where the displacement fades")
    winding: int = Field(1, ge=-10, le=10, description="turns of the direction around a skyrmion")
    helicity: Angle = Field(
        90.0, ge=-360, le=360, description="angle to the direction outwards in a skyrmion of winding 1"
    )
    separation: Length = Field(1.6, ge=0, le=10, description="least distance between two atoms")

    @model_validator(mode="after")
    def _of_that_texture(self) -> Self:
        if "core" in self.model_fields_set and self.texture not in CORED:
            raise ValueError(f"no core in the texture {self.texture}")
        given = sorted({"winding", "helicity"} & self.model_fields_set)
        if given and self.texture != "skyrmion":
            raise ValueError(f"no {' and no '.join(given)} in the texture {self.texture}")
        return self


FILLING = {"sphere": (0.524, 2.36), "cube": (1.0, 3.0), "rounded_cube": (0.81, 2.8)}
"""Cells over the cubed size in cells, and corners beyond one for each cell over the squared one."""


def _forecast(_: InputSizes, params: PerovskiteParams) -> Forecast:
    edge = max(1, round(params.size / params.lattice_constant))
    size = edge if params.shape == "cube" else params.size / params.lattice_constant
    cells, surface = (factor * size**power for factor, power in zip(FILLING[params.shape], (3, 2), strict=True))
    atoms = math.ceil(2 * cells + surface + 1 + (3 * cells + surface if params.oxygen else 0))
    memory = 300 * atoms + 30 * edge**3 + 40_000_000
    return Forecast({"atom": atoms, "axis": 3}, memory=memory, seconds=0.5 + 4e-6 * atoms)


@stage(NAME, takes={}, gives=ATOMS, params=PerovskiteParams, version=1, forecast=_forecast)
def perovskite(params: PerovskiteParams) -> xr.Dataset:
    """Atoms of a particle of cubic perovskite, such as BaTiO3, with a polar texture.

    The particle consists of whole cells, so that every central atom sits in a complete cage of corners. Each central
    atom moves along the texture at its cell, d(r) = d_0 p(r) f(r) with d_0 = `polar`, and then all atoms are displaced
    at random. The axis of the texture is z, through the middle of the particle. Vortices fade in their cores as
    f = tanh(rho / core); two of them lie at x = -R/2 and R/2, with R half the size; a skyrmion turns from -z on its
    axis to z at R; the ring of the hopfion, where it points down, has the radius R/2; the four domains of a flux
    closure meet on the diagonals.

    The column `polar` holds the displacement of each central atom by the texture, and NaN for the others. Corners come
    first, then centres, then oxygen, which the texture does not move. The result is in memory.

    References
    ----------
    Vortices in BaTiO3 particles: https://arxiv.org/abs/2411.01727. Hopfions: P. J. Ackerman, I. I. Smalyukh, Physical
    Review X 7, 011006 (2017), doi:10.1103/PhysRevX.7.011006.
    """
    generator = np.random.default_rng(params.seed)
    corners, centres, faces = kernel.sites(params.lattice_constant, params.size, params.shape)
    if not params.oxygen:
        faces = np.empty((0, 3))
    shift = params.polar * _texture(params)(centres)
    sites = np.concatenate([corners, centres + shift, faces])
    gaussian = params.distribution == "gaussian"
    position = particle.displace(sites, params.displacement, params.separation, generator, ATTEMPTS, gaussian)
    polar = np.full_like(sites, np.nan)
    polar[len(corners) : len(corners) + len(centres)] = shift
    numbers = [atomic_number(params.corner), atomic_number(params.centre), OXYGEN]
    return finish(
        NAME,
        params,
        position,
        np.repeat(numbers, [len(corners), len(centres), len(faces)]),
        {"polar": (polar, "angstrom")},
        separation=params.separation,
        fix="lower 'displacement', 'polar' or 'separation', or raise 'lattice_constant'",
        about=np.zeros(3),
    )


def _texture(params: PerovskiteParams) -> Callable[[F64], F64]:
    radius, core = params.size / 2, params.core
    known: Mapping[str, Callable[[F64], F64]] = {
        "uniform": textures.uniform,
        "vortex": lambda points: textures.vortex(points, core),
        "antivortex": lambda points: textures.antivortex(points, core),
        "two_vortices": lambda points: textures.two_vortices(points, core, radius, 1.0),
        "two_opposite_vortices": lambda points: textures.two_vortices(points, core, radius, -1.0),
        "skyrmion": lambda points: textures.skyrmion(points, radius, params.winding, math.radians(params.helicity)),
        "hopfion": lambda points: textures.hopfion(points, radius / 2),
        "flux_closure": textures.flux_closure,
    }
    return known[params.texture]
