"""Atoms against the truth, one to one."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.kernels import matching
from aetx.model import ATOMS, SCORE, positions


class CompareParams(Params):
    """Parameters of `compare`."""

    radius: Length = Field(1.5, gt=0, le=10, description="farthest distance of an atom from its true place")
    align: Literal["none", "translation", "rigid"] = Field(
        "none", description="what is fitted before distances are taken: nothing, a shift, or a shift and a rotation"
    )


def _forecast(inputs: InputSizes, _: CompareParams) -> Forecast:
    atoms = sum(group[0].get("atom", 1) for group in inputs.values())
    return Forecast({"axis": 3}, memory=atoms * 1000 + 1, seconds=1e-3 + atoms * 1e-5)


@stage(
    "measure.compare",
    takes={"atoms": ATOMS, "truth": ATOMS},
    gives=SCORE,
    params=CompareParams,
    version=1,
    forecast=_forecast,
)
def compare(atoms: xr.Dataset, truth: xr.Dataset, params: CompareParams) -> xr.Dataset:
    """How many atoms are found, missed and false, and how far the found ones are off.

    Each true atom gets at most one found atom and the reverse: as many pairs within `radius` as possible, and of all
    such pairings the one with the least sum of squared distances. With `align` the found atoms are first moved onto
    the true ones by what pairs say, and paired again, until nothing changes; `shift` and `rotation` say how.

    `tracing_error` = (missed + false) / true. `rmsd` is the root of the mean squared distance in space, `rmsd_axis`
    the same along x, y, z; both NaN where no pair is found. `residual` is found minus true, pair by pair.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0, whose pairing allows an atom to be used
    twice; here it is used once.
    """
    found, true = positions(atoms), positions(truth)
    one, other, rotation, shift = matching.matched(found, true, params.radius, params.align)
    residual = found[one] @ rotation.T + shift - true[other]
    square = (residual**2).mean(0) if len(one) else np.full(3, np.nan)
    false = np.setdiff1d(np.arange(len(found)), one)
    missed = np.setdiff1d(np.arange(len(true)), other)
    wrong = (len(false) + len(missed)) / len(true) if len(true) else np.nan
    angstrom, one_unit = {"units": "angstrom"}, {"units": "1"}
    atom, true_atom = atoms["atom"].values, truth["atom"].values
    return xr.Dataset(
        {
            "found": ((), len(found), one_unit),
            "true": ((), len(true), one_unit),
            "common": ((), len(one), one_unit),
            "missed": ((), len(missed), one_unit),
            "false": ((), len(false), one_unit),
            "tracing_error": ((), wrong, one_unit),
            "rmsd": ((), float(np.sqrt(square.sum())), angstrom),
            "rmsd_axis": ("axis", np.sqrt(square), angstrom),
            "shift": ("axis", shift, angstrom),
            "rotation": (("axis", "axis2"), rotation, one_unit),
            "residual": (("pair", "axis"), residual, angstrom),
            "distance": ("pair", np.sqrt((residual**2).sum(1)), angstrom),
            "found_atom": ("pair", atom[one], one_unit),
            "true_atom": ("pair", true_atom[other], one_unit),
            "missed_atom": ("missing", true_atom[missed], one_unit),
            "false_atom": ("extra", atom[false], one_unit),
        },
        coords={"axis": ["x", "y", "z"], "axis2": ["x", "y", "z"]},
    )
