"""Parameters of electrons and lenses, shared by the stages that simulate waves."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from aetx.core.params import Angle, Energy, Length, Params
from aetx.kernels.optics import Aberrations

MOST = 1e10
"""Bound of an aberration, angstrom: one metre."""


class LensParams(Params):
    """Energy and aberrations but the defocus. A coefficient C acts as 2 pi / lambda * C alpha**n / n on the phase."""

    energy: Energy = Field(300.0, ge=1, le=5000, description="kinetic energy of the electrons")
    spherical_aberration: Length = Field(0.0, ge=-MOST, le=MOST, description="spherical aberration C30, or Cs")
    fifth_order: Length = Field(0.0, ge=-MOST, le=MOST, description="spherical aberration of fifth order, C50")
    astigmatism: Length = Field(0.0, ge=0, le=MOST, description="two-fold astigmatism C12")
    astigmatism_angle: Angle = Field(0.0, ge=-360, le=360, description="azimuth of it, from x to y")
    coma: Length = Field(0.0, ge=0, le=MOST, description="axial coma C21")
    coma_angle: Angle = Field(0.0, ge=-360, le=360, description="azimuth of the coma, from x to y")
    trefoil: Length = Field(0.0, ge=0, le=MOST, description="three-fold astigmatism C23")
    trefoil_angle: Angle = Field(0.0, ge=-360, le=360, description="azimuth of the trefoil, from x to y")

    @model_validator(mode="after")
    def _an_angle_has_its_length(self) -> Self:
        for name in ("astigmatism", "coma", "trefoil"):
            if f"{name}_angle" in self.model_fields_set and getattr(self, name) == 0:
                raise ValueError(f"{name}_angle turns nothing: {name} is 0")
        return self


def aberrations(params: LensParams, defocus: float) -> Aberrations:
    """Return the aberrations at a defocus in angstrom, above 0 under focus: C10 is its negative."""
    return Aberrations(
        c10=-defocus,
        c12=params.astigmatism,
        phi12=math.radians(params.astigmatism_angle),
        c21=params.coma,
        phi21=math.radians(params.coma_angle),
        c23=params.trefoil,
        phi23=math.radians(params.trefoil_angle),
        c30=params.spherical_aberration,
        c50=params.fifth_order,
    )
