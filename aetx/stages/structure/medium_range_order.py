"""Medium-range order of a glass: networks of solute atoms that are arranged as in a crystal."""

from __future__ import annotations

from typing import Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.atoms import finite_positions
from aetx.core.element import Element, atomic_number
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels.neighbours import within
from aetx.kernels.networks import networks, window
from aetx.model import ATOMS

NAME = "structure.medium_range_order"
STRUCTURES = ("fcc", "hcp", "bcc", "sc", "ico")
ONE, ANGSTROM = {"units": "1"}, {"units": "angstrom"}
SECOND = 1.65
"""End of the second shell of neighbours over that of the first, in dense random packings and in the published glass."""


class MediumRangeOrderParams(ShellParams):
    """Parameters of `medium_range_order`."""

    solute: Element | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="element whose atoms are looked at, all others left out; by default the rarest",
    )
    inner: Length | None = Field(
        None, gt=0, le=100, description="least distance of two solutes that a bond joins; by default the cutoff"
    )
    outer: Length | None = Field(
        None, gt=0, le=100, description="greatest distance of two solutes that a bond joins; by default 1.65 cutoffs"
    )
    tolerance: Length = Field(0.75, gt=0, le=10, description="farthest distance of a solute from its site")
    least: int = Field(5, ge=4, le=10_000, description="fewest solutes of a network")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.inner is not None and self.outer is not None:
            if self.outer <= self.inner:
                raise ValueError("outer not above inner")
            if self.cutoff is not None:
                raise ValueError("cutoff has no use beside inner and outer")
        return self


def _forecast(inputs: InputSizes, _: MediumRangeOrderParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "atom": atoms, "axis": 3}, memory=4000 * atoms + 10**7, seconds=1 + 5e-4 * atoms)


@stage(NAME, takes={"atoms": ATOMS}, gives=ATOMS, params=MediumRangeOrderParams, version=1, forecast=_forecast)
def medium_range_order(atoms: xr.Dataset, params: MediumRangeOrderParams) -> xr.Dataset:
    """Networks of solutes as in fcc, hcp, bcc, sc or an icosahedron: |r - site| <= tolerance = 0.75 angstrom.

    Solutes of a glass do not touch: a bond of a network joins two whose distance is that of second neighbours, from
    `inner` to `outer`. From each solute, for each structure, the first shell of the crystal is laid on these
    neighbours; the network grows breadth-first along the bonds, each end of a bond taking the nearest solute within the
    tolerance, and the lattice, turned and scaled as a whole, is fitted to all again, until nothing changes. The largest
    network takes its solutes; those that have lost some are grown again without them.

    `network` numbers them, the largest first, -1 for atoms of none; `network_structure`, `network_atoms`,
    `network_bond` (the length of bonds) and `network_rmsd` (from the sites) describe each. The tolerance is a seventh
    of a bond: random solutes make small networks too, so compare with shuffled species before small ones mean
    anything. Results are in memory.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0 (window 3.858 to 6.079 angstrom).
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    species = atoms["species"].values
    if params.solute is not None:
        number = atomic_number(params.solute)
    else:
        present, count = np.unique(species, return_counts=True)
        number = int(present[count.argmin()]) if present.size else 0
    inner, outer = params.inner, params.outer
    if inner is None or outer is None:
        cutoff = cutoff_of(NAME, position, params.cutoff)
        inner, outer = inner or cutoff, outer or SECOND * cutoff
    solute = np.flatnonzero(species == number)
    place = np.ascontiguousarray(position[solute])
    found = networks(place, window(within(place, outer), inner), STRUCTURES, params.tolerance, params.least)
    label = np.full(len(position), -1, np.int32)
    for i, one in enumerate(found):
        label[solute[one.member]] = i
    attrs = {"units": "1", "solute": number, "inner": inner, "outer": outer}
    return atoms.assign(
        network=("atom", label, attrs),
        network_structure=("network_id", np.array([one.structure for one in found], "U3")),
        network_atoms=("network_id", np.array([len(one.member) for one in found], np.int64), ONE),
        network_bond=("network_id", np.array([one.bond for one in found], np.float64), ANGSTROM),
        network_rmsd=("network_id", np.array([one.rmsd for one in found], np.float64), ANGSTROM),
    ).assign_coords(network_id=("network_id", np.arange(len(found)), ONE))
