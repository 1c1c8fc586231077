"""Which part of the surface touches the support."""

from __future__ import annotations

import math
import warnings
from typing import Annotated, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.facets import facets_of, surface_of
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.particle_shape import ellipsoid
from aetx.model import LATTICE

F64 = NDArray[np.float64]
ONE = {"units": "1"}
Part = Annotated[float, Field(ge=-1e3, le=1e3)]
WHERE = "surface.contact: params"


class ContactParams(Params):
    """Parameters of `contact`."""

    normal: tuple[Part, Part, Part] | Literal["shape"] | None = Field(
        None, description="direction x, y, z out of the particle into the support, or shape: its shortest axis"
    )
    facets: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="numbers of the facets that touch the support, instead of a normal"
    )
    angle: Angle = Field(
        40.0, gt=0, lt=90, description="greatest angle of a facet that touches the support to the normal"
    )
    depth: Length = Field(
        3.0, gt=0, le=50, description="greatest distance of touching atoms from the tangent plane of the support"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.normal is not None and self.facets:
            raise ValueError("a normal or facets, not both")
        if self.facets and {"angle", "depth"} & self.model_fields_set:
            raise ValueError("no angle and no depth where facets are given")
        if isinstance(self.normal, tuple) and not math.hypot(*self.normal) > 0:
            raise ValueError("a normal that is not 0")
        return self


def _forecast(inputs: InputSizes, _: ContactParams) -> Forecast:
    sizes = inputs["lattice"][0]
    return Forecast(sizes, memory=2500 * sizes.get("atom", 1) + 10**6, seconds=0.05 + 8e-5 * sizes.get("atom", 1))


@stage(
    "surface.contact", takes={"lattice": LATTICE}, gives=LATTICE, params=ContactParams, version=1, forecast=_forecast
)
def contact(lattice: xr.Dataset, params: ContactParams) -> xr.Dataset:
    """Lattice that knows what touches the support: 1 in `facet_contact` and `contact`, else 0.

    With the unit normal s into the support, the support begins at the tangent plane, max(r . s) over all atoms. A
    facet touches it whose normal is within `angle` of s and which has an atom within `depth` of the tangent plane.
    An atom touches it that is on such a facet, or on the surface within `depth`.

    Where the support is has to be stated, as no measurement of the atoms tells: as a direction, or as a list of
    facets, whose atoms then touch. With ``normal: shape`` it is the shortest axis of the ellipsoid of the atoms,
    towards the end with more atoms within `depth`: a guess, of which a warning tells.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (facets in contact
    with the support; how they were chosen is not said there).
    """
    if params.normal is None and not params.facets:
        fix = "state 'normal', the direction into the support (often [0, 0, 1] or [0, 0, -1]), or 'facets'"
        raise InputError(Problem(WHERE, "normal", "none", "where the support is", fix))
    table = facets_of("surface.contact", lattice)
    position = finite_positions("surface.contact: lattice", lattice)
    touching = np.zeros(len(table.family), bool)
    if params.facets:
        outside = [one for one in params.facets if not 0 <= one < touching.size]
        if outside:
            wanted = f"numbers from 0 to {touching.size - 1}"
            raise InputError(Problem(WHERE, "facets", repr(outside), wanted, "read them in 'facet_id'"))
        touching[list(params.facets)] = True
        said, near = f"facets {', '.join(map(str, params.facets))}", np.zeros(len(position), bool)
    else:
        normal = _normal(position, params)
        below = (position @ normal).max() - position @ normal
        near = surface_of(lattice, position) & (below <= params.depth)
        reaching = np.array([bool((below[table.members(one)] <= params.depth).any()) for one in range(touching.size)])
        touching = (table.normal @ normal > math.cos(math.radians(params.angle))) & reaching.astype(bool)
        said = "normal " + " ".join(f"{part:.4f}" for part in normal)
    atom = near | table.on[:, touching].any(axis=1)
    said += ", from the shape" if params.normal == "shape" else ", stated"
    return lattice.assign(
        contact=("atom", atom.astype(np.int8), {**ONE, "support": said}),
        facet_contact=("facet_id", touching.astype(np.int8), {**ONE, "support": said}),
    )


def _normal(position: F64, params: ContactParams) -> F64:
    if isinstance(params.normal, tuple):
        stated = np.array(params.normal, float)
        return stated / np.linalg.norm(stated)
    axis = ellipsoid(position).axes[2]
    height = position @ axis
    high, low = (height > height.max() - params.depth).sum(), (height < height.min() + params.depth).sum()
    found: F64 = axis if high >= low else -axis
    words = ", ".join(f"{part:.3f}" for part in found)
    text = (
        f"the support is guessed to lie towards ({words}): {max(high, low)} atoms end there, {min(high, low)} opposite"
    )
    warnings.warn(text, AetxWarning, stacklevel=3)
    return found
