"""The crystal structure around each atom by common neighbours."""

from __future__ import annotations

from typing import Literal, Self

import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, stage
from aetx.core.atoms import finite_positions
from aetx.core.neighbourhoods import structure_column
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels.common_neighbours import adaptive, fixed
from aetx.model import ATOMS


class CnaParams(ShellParams):
    """Parameters of `cna`."""

    method: Literal["adaptive", "fixed"] = Field(
        "adaptive", description="a cutoff for each atom from its nearest neighbours, or one for all"
    )

    @model_validator(mode="after")
    def _nothing_void(self) -> Self:
        if self.method == "adaptive" and self.cutoff is not None:
            raise ValueError("without cutoff, which method: adaptive does not use")
        return self


def _forecast(inputs: InputSizes, _: CnaParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "axis": 3}, memory=atoms * 700 + 10**6, seconds=0.2 + atoms * 5e-6)


@stage("structure.cna", takes={"atoms": ATOMS}, gives=ATOMS, params=CnaParams, version=1, forecast=_forecast)
def cna(atoms: xr.Dataset, params: CnaParams) -> xr.Dataset:
    """Crystal structure around each atom by common neighbour analysis.

    A bond has the signature (common neighbours, bonds among these, bonds of their longest chain). An atom is `fcc` with
    12 bonds 421, `hcp` with six 421 and six 422, `ico` with 12 bonds 555, `bcc` with eight 666 and six 444 to 14
    neighbours; `other` otherwise, as are atoms of the surface: part of the bonds does not tell. One bond too many or
    too few is enough for `other`, so that noise of the positions costs atoms sooner than in structure.ptm.

    `adaptive` takes the 12 (for bcc 14) nearest neighbours whatever their distance; `fixed` those within the cutoff,
    which must be exactly as many.

    References
    ----------
    D. Faken, H. Jonsson, Comput. Mater. Sci. 2, 279 (1994), doi:10.1016/0927-0256(94)90109-0; A. Stukowski, Model.
    Simul. Mater. Sci. Eng. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021 (adaptive).
    """
    position = finite_positions("structure.cna: atoms", atoms)
    if params.method == "adaptive":
        return atoms.assign(structure=structure_column(adaptive(position), {"method": "adaptive cna"}))
    cutoff = cutoff_of("structure.cna", position, params.cutoff)
    found = fixed(position, cutoff)
    return atoms.assign(structure=structure_column(found, {"method": "cna", "cutoff": cutoff}))
