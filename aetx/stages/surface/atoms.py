"""Which atoms are on the surface."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.facets import REACH
from aetx.core.shells import cutoff_of
from aetx.errors import InputError, Problem
from aetx.kernels.neighbours import within
from aetx.kernels.shrink import shrink_radius
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS


class AtomsParams(Params):
    """Parameters of `atoms`."""

    radius: Length | None = Field(
        None,
        gt=0,
        le=100,
        description="radius of the alpha shape; left out, 1.26 times the median distance of nearest neighbours",
    )
    shrink: float | None = Field(
        None, ge=0, le=1, description="how tightly the alpha shape fits, 0 convex hull, 1 tightest, instead of radius"
    )
    coordination: int | None = Field(
        None, ge=1, le=20, description="surface where an atom has fewer neighbours than this, instead of a shape"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in ("radius", "shrink", "coordination") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"one rule, not {' and '.join(given)}")
        return self


def _forecast(inputs: InputSizes, _: AtomsParams) -> Forecast:
    count = inputs["atoms"][0].get("atom", 1)
    return Forecast(inputs["atoms"][0], memory=2500 * count + 10**6, seconds=0.05 + 8e-5 * count)


@stage("surface.atoms", takes={"atoms": ATOMS}, gives=ATOMS, params=AtomsParams, version=1, forecast=_forecast)
def atoms(atoms: xr.Dataset, params: AtomsParams) -> xr.Dataset:
    """Atoms that know whether they are on the surface: 1 in `surface`, else 0.

    The alpha shape holds the Delaunay tetrahedra whose circumscribed sphere has at most `radius`; the surface are the
    corners of its faces to the outside, so that holes within do not count. With `shrink` S the radius is element
    max(ceil((1 - S) m), 1) of the m critical radii from the tightest one on, in rising order: the least for which the
    shape is one region that has every atom. Under noise half of these belong to flat tetrahedra of facets and are far
    above a bond: S = 0.5 then bridges hollows and loses atoms of facets, 41 of the 252 of a cuboctahedron of 561 at
    5 pm. A stated radius loses none. With `coordination` the surface are the atoms with fewer neighbours within the
    first minimum of the radial distribution; walls of holes then count too.

    `surface` keeps in its attributes which rule was used. The result is in memory.

    References
    ----------
    H. Edelsbrunner, E. P. Muecke, ACM Trans. Graph. 13, 43 (1994), doi:10.1145/174462.156635; J. Lee, C. Jeong, Y.
    Yang, https://arxiv.org/abs/2207.06677 (2022), Supporting Information (shrink factor 0.5).
    """
    position = finite_positions("surface.atoms: atoms", atoms)
    if params.coordination is not None:
        cutoff = cutoff_of("surface.atoms", position, None, "radius")
        found = within(position, cutoff).count < params.coordination
        said = f"fewer than {params.coordination} neighbours within {cutoff:.3f} angstrom"
    else:
        reach = params.radius
        if params.shrink is not None:
            reach = shrink_radius(position, params.shrink)
            if math.isnan(reach):
                wanted = "atoms that enclose a volume"
                raise InputError(Problem("surface.atoms: atoms", "position", "none", wanted, "state 'radius' instead"))
        elif reach is None:
            reach = REACH * neighbour_distance(position)
        found = surface(position, reach)
        said = f"alpha shape of radius {reach:.3f} angstrom"
    return atoms.assign(surface=("atom", found.astype(np.int8), {"units": "1", "rule": said}))
