"""The few numbers by which a run is told from the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from aetx.core.record import RunRecord
from aetx.model import kind_of

JUDGES = ("volume", "atoms", "score")
"""Kinds that tell how well images agree, those that count most last."""


def headline(record: RunRecord, results: Mapping[str, xr.Dataset]) -> dict[str, int | float]:
    """Return ``atoms`` (how many), ``r1`` (mean), ``rmsd`` and ``sigma`` (angstrom), then every single score by name.

    What is not known is left out. The atoms are those of the step named ``atoms``, else of the last step that gives
    atoms; R1 and the RMSD are those of the last score, R1 else of the last atoms, else of the last volume, the mean
    over the members where that is a list, and so is ``r_free``, of images held out; sigma is the median over atoms and
    axes of the standard error. A single score is called ``step.name (unit)``, without the unit where there is none.
    """
    order = [step.name for step in record.steps if step.name in results]
    kinds = {name: kind_of(results[name]).name for name in order}
    found: dict[str, int | float] = {}
    tables = [name for name in order if kinds[name] in ("atoms", "lattice")]
    if tables:
        atoms = results["atoms" if "atoms" in tables else tables[-1]]
        found["atoms"] = int(atoms.sizes["atom"])
        if "sigma" in atoms and np.isfinite(atoms["sigma"].values).any():
            found["sigma"] = float(np.nanmedian(atoms["sigma"].values))
    judges = sorted((name for name in order if kinds[name] in JUDGES), key=lambda one: JUDGES.index(kinds[one]))
    for key in ("r1", "r_free", "rmsd"):
        told = {name: value for name in judges if (value := _mean(results[name], key)) is not None}
        if told:
            step = list(told)[-1].partition("/")[0]
            found[key] = float(np.mean([value for name, value in told.items() if name.partition("/")[0] == step]))
    for name in order:
        if kinds[name] == "score":
            found |= _single(name, results[name])
    return found


def _single(step: str, score: xr.Dataset) -> dict[str, int | float]:
    return {
        f"{step}.{name}" + ("" if one.attrs["units"] == "1" else f" ({one.attrs['units']})"): _number(one)
        for name, one in score.data_vars.items()
        if one.ndim == 0 and one.dtype.kind in "biuf" and np.isfinite(one.values)
    }


def _number(score: xr.DataArray) -> int | float:
    """Return a score; counts stay whole numbers."""
    return float(score.values) if score.dtype.kind == "f" else int(score.values)


def _mean(dataset: xr.Dataset, key: str) -> float | None:
    for name in (f"mean_{key}", key):
        if name in dataset.data_vars and dataset[name].dtype.kind == "f" and dataset[name].size:
            values = dataset[name].values
            return float(np.nanmean(values)) if np.isfinite(values).any() else None
    return None
