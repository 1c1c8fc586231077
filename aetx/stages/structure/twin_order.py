"""Twin order: which atoms are stacked as in fcc, and which as in hcp."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels.neighbours import within
from aetx.kernels.shell_template import carried, fit, slopes, template
from aetx.model import ATOMS

NAME = "structure.twin_order"


class TwinOrderParams(ShellParams):
    """Parameters of `twin_order`."""

    tolerance: float = Field(
        0.27, gt=0, le=1, description="farthest distance of a neighbour from its place, over the distance of neighbours"
    )
    least: int = Field(7, ge=3, le=12, description="fewest neighbours with which an atom has a value")


def _forecast(inputs: InputSizes, _: TwinOrderParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({**sizes, "atom": atoms, "axis": 3}, memory=1500 * atoms + 10**6, seconds=1.0 + 2e-4 * atoms)


@stage(NAME, takes={"atoms": ATOMS}, gives=ATOMS, params=TwinOrderParams, version=1, forecast=_forecast)
def twin_order(atoms: xr.Dataset, params: TwinOrderParams) -> xr.Dataset:
    """How much better hcp than fcc fits the neighbours of each atom: twin_order = rmsd to fcc - rmsd to hcp.

    Below 0 an atom is stacked as in fcc, above 0 as in hcp: a twin plane is one layer above 0, a stacking fault two.
    Both templates, the twelve neighbours in each stacking, are turned and scaled to fit the neighbours, no more than
    the twelve nearest. `fcc_rmsd` and `hcp_rmsd` are the roots of their mean square distances; a neighbour farther
    than `tolerance` from every place counts as if it were just so far. Atoms of the surface are judged by the
    neighbours that they have: those of a flat {111} surface fit both, and tell nothing.

    `_error` is what the covariances of the positions, where they are known, make of them to first order, without
    correlations between atoms: it holds where errors are well below the values. NaN where there are fewer than `least`
    neighbours. Results are in memory.

    References
    ----------
    S. Moniri et al., Nature 624, 564 (2023), doi:10.1038/s41586-023-06785-z (sums of distances, none above .75
    angstrom, from one beginning; here the best of many, so that misfits are lower where that one was not the best).
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    cutoff = cutoff_of(NAME, position, params.cutoff)
    neighbours = within(position, cutoff)
    covariance = covariances(atoms)
    least = neighbours.count >= params.least
    rmsd, slope = {}, {}
    for name in ("fcc", "hcp"):
        found = fit(position, neighbours, template(name), params.tolerance)
        rmsd[name] = np.where(least, found.rms, np.nan)
        index, slope[name] = slopes(position, neighbours, template(name), found, params.tolerance)
    error = {
        name: np.where(least, carried(index, one, covariance), np.nan)
        for name, one in (slope | {"twin": slope["fcc"] - slope["hcp"]}).items()
    }
    attrs = {"units": "angstrom", "cutoff": cutoff}
    return atoms.assign(
        fcc_rmsd=("atom", rmsd["fcc"], attrs),
        fcc_rmsd_error=("atom", error["fcc"], attrs),
        hcp_rmsd=("atom", rmsd["hcp"], attrs),
        hcp_rmsd_error=("atom", error["hcp"], attrs),
        twin_order=("atom", rmsd["fcc"] - rmsd["hcp"], attrs | {"sign": "below 0 as in fcc, above 0 as in hcp"}),
        twin_order_error=("atom", error["twin"], attrs),
    )
