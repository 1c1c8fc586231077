"""Which atoms other models have too."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, many, stage
from aetx.core.atoms import finite_positions
from aetx.errors import InputError, Problem
from aetx.kernels.matching import pairs
from aetx.model import ATOMS


class AgreementParams(Params):
    """Parameters of `agreement`."""

    radius: Length = Field(1.38, gt=0, le=10, description="farthest distance of an atom from its like in another model")


def _forecast(inputs: InputSizes, _: AgreementParams) -> Forecast:
    atoms, others = inputs["atoms"][0].get("atom", 1), inputs["others"]
    all_atoms = atoms + sum(one.get("atom", 1) for one in others)
    sizes = {"atom": atoms, "axis": 3, "model": len(others)}
    return Forecast(sizes, memory=all_atoms * 2000 + 10**6, seconds=0.05 + all_atoms * 2e-5)


@stage(
    "measure.agreement",
    takes={"atoms": ATOMS, "others": many(ATOMS)},
    gives=ATOMS,
    params=AgreementParams,
    version=1,
    forecast=_forecast,
)
def agreement(atoms: xr.Dataset, others: tuple[xr.Dataset, ...], params: AgreementParams) -> xr.Dataset:
    """Share of other models that have each atom too, and how far from it they have it.

    The models are those of the same series in the same frame: traced in volumes that differently trained filters made,
    or in the volume before any filter. Each atom has at most one like in each of the others and the reverse, within
    `radius`: as many pairs as possible, and of all such pairings that with the least sum of squares.

    `agreement` = models that have the atom / models; `model_distance` is how far each has it, NaN where it does not,
    and `spread` the root mean square over those that do. `model_missing` counts for each model the atoms that it lacks,
    `model_extra` those that it has beyond these. Filters that were trained on the same kind of specimen can err alike:
    only the images know (`measure.support`).
    """
    if not others:
        problem = Problem("measure.agreement", "others", "no dataset", "at least one", "name the other models")
        raise InputError(problem)
    place = finite_positions("measure.agreement: atoms", atoms)
    away = np.full((len(others), len(place)), np.nan)
    extra = np.zeros(len(others), np.int64)
    for i, other in enumerate(others):
        there = finite_positions(f"measure.agreement: others[{i}]", other)
        here, matched = pairs(place, there, params.radius)
        away[i, here] = np.linalg.norm(place[here] - there[matched], axis=1)
        extra[i] = len(there) - len(matched)
    has = np.isfinite(away)
    square, count = np.nansum(away**2, axis=0), has.sum(axis=0)
    spread = np.sqrt(np.divide(square, count, out=np.full(len(place), np.nan), where=count > 0))
    one, length = {"units": "1"}, {"units": "angstrom"}
    return atoms.assign(
        agreement=("atom", has.mean(axis=0), one),
        spread=("atom", spread, length),
        model_distance=(("model", "atom"), away, length),
        model_missing=("model", (~has).sum(axis=1), one),
        model_extra=("model", extra, one),
    )
