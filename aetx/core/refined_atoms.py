"""What a refinement leaves beside places and poses: error bars, how far atoms moved, and what was done to the sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.ledger import continued, entries, last_round
from aetx.kernels.model_error import ErrorBars
from aetx.kernels.refinement import Free
from aetx.kernels.site_growth import Entry

F64 = NDArray[np.float64]


def with_error_bars(made: xr.Dataset, bars: ErrorBars, free: Free) -> xr.Dataset:
    """Return refined atoms with their error bars; those of heights and widths only where each atom has its own."""
    one, length = {"units": "1"}, {"units": "angstrom"}
    found: dict[str, tuple[Any, ...]] = {
        "covariance": (("atom", "axis", "axis2"), bars.covariance, {"units": "angstrom**2"}),
        "sigma": (("atom", "axis"), np.sqrt(np.einsum("naa->na", bars.covariance)), length),
        "exists": ("atom", bars.exists, one),
        "excess": ("atom", bars.excess.atoms, one),
        "excess_tilt": ("tilt", bars.excess.tilts, one),
    }
    if free.heights == "each":
        found["sigma_height"] = ("atom", bars.height, one)
    if free.widths == "each":
        found["sigma_width"] = ("atom", bars.width, length)
    return made.assign_coords(axis2=["x", "y", "z"]).assign(found)


def displacement(made: xr.Dataset, atoms: xr.Dataset) -> F64:
    """Return how far each refined atom is from where it began, NaN for those that were not there, (atoms, 3)."""
    order = {int(number): i for i, number in enumerate(atoms["atom"].values)}
    before = atoms["position"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values
    moved = np.full(made["position"].shape, np.nan)
    for i, number in enumerate(made["atom"].values):
        if int(number) in order:
            moved[i] = made["position"].values[i] - before[order[int(number)]]
    return moved


def with_ledger(made: xr.Dataset, atoms: xr.Dataset, ledger: Sequence[Entry], centre: F64) -> xr.Dataset:
    """Return refined atoms with the ledger of the atoms that they come from, and further entries at its end.

    Places of entries are from the rotation centre, which is at `centre`, x, y, z, angstrom.
    """
    made = made.assign({name: atoms[name] for name, one in atoms.data_vars.items() if "entry" in one.dims})
    place = np.reshape([one.position for one in ledger], (-1, 3)).astype(np.float64) + centre
    new = entries(
        np.array([one.action for one in ledger], np.str_),
        np.array([one.reason for one in ledger], np.str_),
        np.array([one.number for one in ledger], np.int64),
        place,
        np.array([one.score for one in ledger], np.float64),
        0,
    )
    before, one = last_round(atoms), {"units": "1"}
    return continued(
        made,
        new.assign(
            ledger_round=("entry", np.array([before + entry.round for entry in ledger], np.int32), one),
            ledger_r_before=("entry", np.array([entry.r_before for entry in ledger], np.float64), one),
            ledger_r_after=("entry", np.array([entry.r_after for entry in ledger], np.float64), one),
        ),
    )
