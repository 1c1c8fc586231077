"""The poses of a simulated series: angles that are stated or evenly spaced, or those of a measured series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core.params import Angle, Params
from aetx.errors import InputError, Problem

F64 = NDArray[np.float64]
NAMES = ("phi", "theta", "psi")


class TiltParams(Params):
    """Angles of a series: `theta`, or even steps from `first` to `last`."""

    tilts: int = Field(21, ge=1, le=10_000, description="number of images, at even steps from first to last")
    first: Angle = Field(-65.0, ge=-360, le=360, description="theta of the first image")
    last: Angle = Field(65.0, ge=-360, le=360, description="theta of the last image")
    theta: tuple[Angle, ...] = Field(
        (), max_length=10_000, description="theta of every image, in place of tilts, first and last"
    )
    phi: Angle = Field(0.0, ge=-360, le=360, description="phi of every image")
    psi: Angle = Field(0.0, ge=-360, le=360, description="psi of every image")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        twice = sorted({"tilts", "first", "last"} & self.model_fields_set)
        if self.theta and twice:
            raise ValueError(f"either theta or {', '.join(twice)}, not both")
        return self


def count_of(params: TiltParams) -> int:
    """Return the number of images."""
    return len(params.theta) or params.tilts


def poses(params: TiltParams, like: xr.Dataset | None = None) -> F64:
    """Return phi, theta, psi of every image in degree, shape (tilts, 3): those of the series `like` where given."""
    if like is not None:
        return np.stack([like[name].values.astype(float) for name in NAMES], axis=1)
    theta = np.array(params.theta) if params.theta else np.linspace(params.first, params.last, params.tilts)
    return np.stack([np.full(theta.size, params.phi), theta, np.full(theta.size, params.psi)], axis=1)


def refuse_twice(stage: str, params: TiltParams, like: xr.Dataset | None, *further: str) -> None:
    """Refuse angles, and the parameters that `further` names, where they are stated beside a series that has them."""
    twice = sorted({*TiltParams.model_fields, *further} & params.model_fields_set)
    if like is not None and twice:
        raise InputError(
            Problem(stage, ", ".join(twice), "stated beside a series `like`", "one of the two", "leave out the other")
        )


def pose_coords(angles: F64) -> Mapping[str, Any]:
    """Return the coordinates `tilt`, `phi`, `theta` and `psi` of a series with these angles in degree, (tilts, 3)."""
    named = {name: ("tilt", angles[:, i], {"units": "degree"}) for i, name in enumerate(NAMES)}
    return {"tilt": ("tilt", np.arange(len(angles)), {"units": "1"}), **named}


def elongation(most: F64) -> F64:
    """Return by how much the wedge beyond a greatest tilt, in degree, stretches a point along the beam.

    With that tilt a it is ((a + sin a cos a) / (a - sin a cos a)) ** 1/2.

    References
    ----------
    M. Radermacher, J. Electron Microsc. Tech. 9, 359 (1988), doi:10.1002/jemt.1060090405.
    """
    a = np.deg2rad(most)
    turn = np.sin(a) * np.cos(a)
    return np.asarray(np.sqrt((a + turn) / (a - turn)))


def centred_axis(name: str, size: int, step: float) -> tuple[str, NDArray[np.floating], dict[str, str]]:
    """Return an even axis whose zero is at index size // 2, angstrom, as xarray takes it."""
    return name, step * (np.arange(size, dtype=float) - size // 2), {"units": "angstrom"}
