"""Bond-orientational order of each atom."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, stage
from aetx.core.neighbourhoods import DrawParams, NeighbourhoodParams, errors_by_drawing, neighbourhoods, per_atom
from aetx.kernels.bond_order import DEGREES, averaged, harmonics, second, third
from aetx.kernels.neighbours import Adjacency
from aetx.model import ATOMS

F64 = NDArray[np.float64]

FCC = (0.190941**2 + 0.574524**2) ** 0.5
"""Root of q4**2 + q6**2 of fcc, as the published order parameter rounds it."""
BLOCK = 2**15
"""Points whose harmonics are kept at a time, where they are not averaged over neighbours."""


class BondOrderParams(NeighbourhoodParams, DrawParams):
    """Parameters of `bond_order`."""

    degrees: tuple[Annotated[int, Field(ge=1, le=DEGREES)], ...] = Field(
        (4, 6), min_length=1, max_length=8, description="degrees l of the harmonics"
    )
    averaged: bool = Field(True, description="give q_mean as well, of harmonics averaged over neighbours")
    third_order: bool = Field(True, description="give w as well, the invariants of third order, for even degrees")

    @model_validator(mode="after")
    def _distinct_degrees(self) -> Self:
        if len(set(self.degrees)) < len(self.degrees):
            raise ValueError("each degree once")
        return self


def _forecast(inputs: InputSizes, params: BondOrderParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    kept = 16 * sum(degree + 1 for degree in params.degrees) * (2 if params.averaged else 1)
    each = 2e-6 + 1e-6 * len(params.degrees) * (1 + params.averaged + params.third_order)
    drawn = params.draws if {"axis2"} <= set(sizes) else 0
    memory = atoms * (450 + kept + 16 * 8 * len(params.degrees)) + 10**6
    return Forecast({**sizes, "axis": 3}, memory=int(memory), seconds=0.2 + atoms * each * (1 + drawn))


@stage(
    "structure.bond_order",
    takes={"atoms": ATOMS},
    gives=ATOMS,
    params=BondOrderParams,
    version=1,
    forecast=_forecast,
)
def bond_order(atoms: xr.Dataset, params: BondOrderParams) -> xr.Dataset:
    """Steinhardt's bond-orientational order q_l and w_l of each atom, plain and averaged over its neighbours.

    q_lm = mean over neighbours of Y_lm(direction), q_l = sqrt(4 pi / (2l + 1) sum_m |q_lm|^2). `q_mean` has in place of
    q_lm its mean over the atom and its neighbours, each weighing the same: it sees two shells and tells structures
    apart where noise blurs q. w_l is the sum of the Wigner 3j symbols (l l l; a b c) times q_la q_lb q_lc, over
    (sum_m |q_lm|^2)^(3/2). With degrees 4 and 6, `bond_order` is sqrt(q4_mean^2 + q6_mean^2) over that of fcc, at most
    about 1; above 0.5 an atom is called crystalline.

    Ideal values (q4, q6): fcc (0.190941, 0.574524), hcp (0.097222, 0.484762), bcc with 14 neighbours (0.036370,
    0.510688), icosahedron (0, 0.663325). An atom of the surface has fewer neighbours and another q without being less
    ordered. Without neighbours all is NaN.

    From the same neighbours pyscal3 gives the same to rounding, freud to about 1e-5, as it works in single precision.
    Both need a box with room around a finite particle, or else find neighbours through its walls.

    `_error` is the standard deviation over positions drawn from their covariance, the neighbours staying the same; NaN
    where that of the atom, or of one that it looks at, is not known.

    References
    ----------
    P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784;
    W. Lechner, C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970; Y. Yang et al., Nature 592, 60
    (2021), doi:10.1038/s41586-021-03354-0 (the order parameter).
    """
    around = neighbourhoods("structure.bond_order", atoms, params)

    def measure(moved: F64) -> dict[str, F64]:
        return around.restored(_measured(moved[around.order], around.near, params))

    values = measure(around.position)
    errors = errors_by_drawing(atoms, around.position, measure, values, params)
    return atoms.assign({name: per_atom(one, "1", around.attrs) for name, one in (values | errors).items()})


def _measured(position: F64, near: Adjacency, params: BondOrderParams) -> dict[str, F64]:
    """Return every order parameter by its name; in blocks of points where no point needs the harmonics of others."""
    points = len(position)
    block = max(points, 1) if params.averaged else BLOCK
    found: dict[str, list[F64]] = {}
    for first in range(0, max(points, 1), block):
        last = min(first + block, points)
        for degree, plain in zip(params.degrees, harmonics(position, near, params.degrees, first, last), strict=True):
            kinds = {"": plain} | ({"_mean": averaged(plain, near)} if params.averaged else {})
            for suffix, mean in kinds.items():
                found.setdefault(f"q{degree}{suffix}", []).append(second(mean))
                if params.third_order and degree % 2 == 0:
                    found.setdefault(f"w{degree}{suffix}", []).append(third(mean))
    made = {name: np.concatenate(parts) for name, parts in found.items()}
    if {"q4_mean", "q6_mean"} <= set(made):
        made["bond_order"] = np.hypot(made["q4_mean"], made["q6_mean"]) / FCC
    return made
