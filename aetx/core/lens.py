"""Parameters of electrons and lenses, shared by the stages that simulate waves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.params import Angle, Dose, Energy, Length, Params
from aetx.kernels.optics import Aberrations

F64 = NDArray[np.float64]


class LensParams(Params):
    """Energy and aberrations but the defocus; a coefficient C of order n adds 2 pi / lambda * C alpha**n / n."""

    energy: Energy = Field(300.0, gt=1, le=5000, description="kinetic energy of the electrons")
    c12: Length = Field(0.0, ge=0, le=1e5, description="twofold astigmatism C12 of the lens")
    phi12: Angle = Field(0.0, ge=-360, le=360, description="azimuth of the twofold astigmatism, from x to y")
    c21: Length = Field(0.0, ge=0, le=1e7, description="axial coma C21 of the lens")
    phi21: Angle = Field(0.0, ge=-360, le=360, description="azimuth of the axial coma, from x to y")
    c23: Length = Field(0.0, ge=0, le=1e7, description="threefold astigmatism C23 of the lens")
    phi23: Angle = Field(0.0, ge=-360, le=360, description="azimuth of the threefold astigmatism, from x to y")
    c30: Length = Field(0.0, ge=-1e9, le=1e9, description="spherical aberration C30, also called Cs")
    c50: Length = Field(0.0, ge=-1e12, le=1e12, description="fifth-order spherical aberration C50")

    @model_validator(mode="after")
    def _an_azimuth_has_its_length(self) -> Self:
        for number in ("12", "21", "23"):
            if f"phi{number}" in self.model_fields_set and getattr(self, f"c{number}") == 0:
                raise ValueError(f"phi{number} turns nothing: c{number} is 0")
        return self

    def aberrations(self, defocus: float) -> Aberrations:
        """Return the aberrations at a defocus in angstrom, under focus above 0: C10 is its negative."""
        azimuths = {name: math.radians(getattr(self, name)) for name in ("phi12", "phi21", "phi23")}
        lengths = {name: getattr(self, name) for name in ("c12", "c21", "c23", "c30", "c50")}
        return Aberrations(c10=-defocus, **lengths, **azimuths)


class WaveParams(LensParams):
    """How waves are sampled, how the atoms move by heat, and the seed of all that is random."""

    sampling: Length = Field(0.15, gt=0.005, le=1, description="greatest pixel of the wave")
    thickness: Length = Field(2.0, gt=0, le=50, description="thickness of the slices that the waves go through")
    oversampling: int = Field(
        2, ge=1, le=8, description="pixels of the potential along the edge of one of the waves; 1 aliases heavy atoms"
    )
    vibration: Length = Field(
        0.075, ge=0, le=1, description="root mean square thermal displacement of an atom along each axis"
    )
    configurations: int = Field(
        0, ge=0, le=10_000, description="configurations of frozen phonons that are averaged; 0 blurs the potential"
    )
    dose: Dose = Field(
        0.0, ge=0, le=1e9, description="electrons per area of each image or scan, counted with noise; 0 for no noise"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the displacements and of the counts")

    @model_validator(mode="after")
    def _something_moves(self) -> Self:
        if self.configurations and self.vibration == 0:
            raise ValueError("configurations above 0 only with a vibration: they would all be the same")
        return self

    @property
    def repeats(self) -> int:
        """How many configurations are computed."""
        return max(1, self.configurations)

    @property
    def width(self) -> float:
        """Standard deviation of the Gaussian that blurs the potential in place of frozen phonons, angstrom."""
        return 0.0 if self.configurations else self.vibration

    def displaced(self, position: F64, tilt: int) -> Iterator[F64]:
        """Yield the positions of the atoms in each configuration of a tilt, shape (atoms, 3)."""
        if self.configurations == 0:
            yield position
        for number in range(self.configurations):
            stream = np.random.SeedSequence(self.seed, spawn_key=(0, tilt, number))
            yield position + np.random.default_rng(stream).normal(0.0, self.vibration, position.shape)

    def counted(self, expected: F64, *place: int) -> F64:
        """Return Poisson counts of expected electrons; the draw depends on the seed and the place in the series."""
        stream = np.random.SeedSequence(self.seed, spawn_key=(1, *place))
        return np.random.default_rng(stream).poisson(expected).astype(float)
