"""Long-range chemical order of crystals: how far one element keeps to a sublattice."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.core.element import Element, atomic_number
from aetx.errors import InputError, Problem
from aetx.kernels.chemical_order import ball
from aetx.kernels.neighbours import within
from aetx.model import LATTICE

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

NAME = "structure.long_range_order"


class Superlattice(NamedTuple):
    """An ordered structure: the lattice that it orders, and its sublattices, by their label, as parities of 2 site."""

    lattice: str
    sublattice: dict[str, tuple[int | None, ...]]


STRUCTURES = {
    "L1_0": Superlattice("fcc", {"a1": (0, None, None), "a2": (None, 0, None), "a3": (None, None, 0)}),
    "L1_2": Superlattice(
        "fcc", {"0 0 0": (0, 0, 0), "0 1/2 1/2": (0, 1, 1), "1/2 0 1/2": (1, 0, 1), "1/2 1/2 0": (1, 1, 0)}
    ),
    "B2": Superlattice("bcc", {"0 0 0": (0, 0, 0)}),
}
"""L1_0 has every other plane across one of the cell's axes, L1_2 one of the four sites of the cell, B2 one of two."""


class LongRangeOrderParams(Params):
    """Parameters of `long_range_order`."""

    structure: Literal["L1_0", "L1_2", "B2"] = Field("L1_0", description="ordered structure that is looked for")
    element: Element | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="element that may keep to a sublattice; by default the rarest on sites",
    )
    radius: Length = Field(8.0, gt=0, le=100, description="radius of the ball around each atom for its local order")


def _forecast(inputs: InputSizes, params: LongRangeOrderParams) -> Forecast:
    sizes = inputs["lattice"][0]
    atoms = sizes.get("atom", 1)
    near = max(1.0, 0.4 * params.radius**3)
    return Forecast(sizes, memory=int(atoms * (1000 + 40 * near)) + 10**6, seconds=0.3 + 1e-6 * atoms * near)


@stage(NAME, takes={"lattice": LATTICE}, gives=LATTICE, params=LongRangeOrderParams, version=1, forecast=_forecast)
def long_range_order(lattice: xr.Dataset, params: LongRangeOrderParams) -> xr.Dataset:
    """How far an element keeps to a sublattice: S = p(on the sublattice) - p(on the others), p its fraction there.

    S is 1 for perfect order of the stoichiometric alloy and 0 without order. There is one S for each way to choose the
    sublattice (`variant`: in L1_0 the planes at whole multiples of the cell vector a1, a2 or a3, where a negative S
    means that the element is on the planes between; else the site of the cell that is the sublattice).
    `long_range_order` is that of each grain, with the sublattice running through all of it, so that antiphase domains
    cancel; `local_order` is that of the ball around each atom, over atoms of its grain, and shows them.

    `_error` is that of counting atoms, each a draw of its own. Chance makes the largest of several variants larger than
    0 by more than its error. NaN where a sublattice or its rest has no atom, and for atoms on no site.

    References
    ----------
    W. L. Bragg, E. J. Williams, Proc. R. Soc. A 145, 699 (1934), doi:10.1098/rspa.1934.0132.
    """
    kind = STRUCTURES[params.structure]
    found = str(lattice.attrs.get("lattice"))
    if found != kind.lattice:
        fix = f"fit that lattice with lattice.fit, or look for another 'structure' than {params.structure}"
        raise InputError(Problem(f"{NAME}: lattice", "attrs['lattice']", repr(found), kind.lattice, fix))
    position = finite_positions(f"{NAME}: lattice", lattice)
    grain, site = lattice["grain"].values.astype(np.int64), lattice["site"].values
    on = (grain >= 0) & np.isfinite(site).all(axis=1)
    element = _element(lattice["species"].values[on], params)
    is_one = lattice["species"].values == element
    parity = np.where(on[:, None], np.rint(2 * np.nan_to_num(site)).astype(np.int64) % 2, -1)
    variants = [_members(parity, wanted) for wanted in kind.sublattice.values()]
    count = lattice.sizes["grain_id"]
    whole = np.array([[_share(is_one, on & (grain == g), one) for one in variants] for g in range(count)])
    near = ball(within(position, params.radius)).tocoo()
    same = on[near.row] & on[near.col] & (grain[near.row] == grain[near.col])
    row, column = near.row[same], near.col[same]
    local = np.stack([_local(is_one, one, row, column, len(grain)) for one in variants], axis=1)
    local[~on] = np.nan
    whole = whole.reshape(count, len(variants), 2)
    attrs = {"units": "1", "structure": params.structure, "element": int(element)}
    return lattice.assign(
        long_range_order=(("grain_id", "variant"), whole[..., 0], attrs),
        long_range_order_error=(("grain_id", "variant"), whole[..., 1], attrs),
        local_order=(("atom", "variant"), local[..., 0], attrs),
        local_order_error=(("atom", "variant"), local[..., 1], attrs),
    ).assign_coords(variant=list(kind.sublattice))


def _element(species: NDArray[np.integer], params: LongRangeOrderParams) -> int:
    if params.element is not None:
        return atomic_number(params.element)
    number, count = np.unique(species, return_counts=True)
    return int(number[count.argmin()]) if number.size else 0


def _members(parity: I64, wanted: tuple[int | None, ...]) -> Mask:
    """Tell which atoms are on a sublattice; parities have shape (atoms, 3)."""
    found = np.ones(len(parity), bool)
    for column, value in enumerate(wanted):
        if value is not None:
            found &= parity[:, column] == value
    return found


def _share(is_one: Mask, among: Mask, member: Mask) -> tuple[float, float]:
    counts = [np.asarray((among & part).sum(), np.float64) for part in _parts(is_one, member)]
    value, error = _order(*counts)
    return float(value), float(error)


def _local(is_one: Mask, member: Mask, row: I64, column: I64, atoms: int) -> F64:
    counts = [np.bincount(row, part[column], atoms).astype(np.float64) for part in _parts(is_one, member)]
    return np.stack(_order(*counts), axis=-1)


def _parts(is_one: Mask, member: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    """Return the element on a sublattice, the sublattice, the element off it, and the rest."""
    return member & is_one, member, ~member & is_one, ~member


def _order(ones: F64, here: F64, other_ones: F64, elsewhere: F64) -> tuple[F64, F64]:
    """Return S and its standard error from how many of how many atoms are the element on a sublattice and off it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = ones / here - other_ones / elsewhere
        variance = _draws(ones, here) + _draws(other_ones, elsewhere)
    return np.asarray(value), np.where(np.isfinite(value), np.sqrt(variance), np.nan)


def _draws(ones: F64, count: F64) -> F64:
    """Return the variance of a fraction of draws, as of a Beta distribution, so that none is sure of none and all."""
    return np.asarray((ones + 1) * (count - ones + 1) / ((count + 2) ** 2 * (count + 3)))
