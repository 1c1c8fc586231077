"""A crystal's first shell, fitted to the neighbours of each atom: how far they are from it, and how it is turned."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, stage
from aetx.core.atoms import covariances, finite_positions
from aetx.core.shells import ShellParams, cutoff_of
from aetx.kernels import shell_template
from aetx.kernels.neighbours import within
from aetx.model import ATOMS

NAME = "structure.template"


class TemplateParams(ShellParams):
    """Parameters of `template`."""

    structure: Literal["fcc", "hcp", "bcc", "sc", "diamond", "ico"] = Field(
        "fcc", description="crystal whose nearest neighbours are the template; bcc its eight, ico an icosahedron"
    )
    tolerance: float = Field(
        0.25, gt=0, le=1, description="farthest distance of a neighbour from its place, over the distance of neighbours"
    )


def _forecast(inputs: InputSizes, _: TemplateParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast(
        {**sizes, "atom": atoms, "axis": 3, "axis2": 3}, memory=1500 * atoms + 10**6, seconds=1.0 + 1e-4 * atoms
    )


@stage(NAME, takes={"atoms": ATOMS}, gives=ATOMS, params=TemplateParams, version=1, forecast=_forecast)
def template(atoms: xr.Dataset, params: TemplateParams) -> xr.Dataset:
    """How far the neighbours of each atom are from a crystal's: mean over j of |r_j - r - bond R t_j|.

    The unit vectors t of the template are turned by R and scaled to `bond` in least squares over the neighbours, no
    more than the template has, each matched to the nearest t within the tolerance. `template_mean` and
    `template_largest` are distances of the matched neighbours, `template_matched` counts them, `template_rmsd` is the
    root of the mean square over all, where one without a match counts as if it were just at the tolerance.
    `template_rotation` turns the cubic axes (of hcp: a1, across, c) to the lab's; it is one of those by which the
    crystal looks the same.

    `template_rmsd_error` is what the covariances of the positions, where they are known, make of it to first order.
    NaN, and 0 matched, for atoms with fewer than three neighbours. Results are in memory.

    References
    ----------
    S. Moniri et al., Nature 624, 564 (2023), doi:10.1038/s41586-023-06785-z.
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    cutoff = cutoff_of(NAME, position, params.cutoff)
    neighbours, shell = within(position, cutoff), shell_template.template(params.structure)
    found = shell_template.fit(position, neighbours, shell, params.tolerance)
    slopes = shell_template.slopes(position, neighbours, shell, found, params.tolerance)
    error = shell_template.carried(*slopes, covariances(atoms))
    length = {"units": "angstrom", "structure": params.structure, "cutoff": cutoff}
    return atoms.assign(
        template_rmsd=("atom", found.rms, length),
        template_rmsd_error=("atom", error, length),
        template_mean=("atom", found.mean, length),
        template_largest=("atom", found.largest, length),
        template_matched=("atom", found.matched.astype(np.int32), {"units": "1"}),
        template_bond=("atom", found.bond, length),
        template_rotation=(("atom", "axis", "axis2"), found.rotation, {"units": "1"}),
    ).assign_coords(axis2=["x", "y", "z"])
