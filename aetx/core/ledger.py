"""The ledger of a table of atoms: what was done to its sites, and why, one entry to a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray


def entries(
    action: NDArray[np.str_],
    reason: NDArray[np.str_],
    atom: NDArray[np.integer],
    position: NDArray[np.float64],
    score: NDArray[np.float64],
    number: int,
) -> xr.Dataset:
    """Return entries of one round; R before and after is not known.

    Parameters
    ----------
    action, reason
        What was done to each site, and why, shape (entries,).
    atom
        Id of each, shape (entries,).
    position
        Where it was, x, y, z, shape (entries, 3), angstrom.
    score
        The number that decided, shape (entries,).
    number
        Of the round.
    """
    one = {"units": "1"}
    unknown = np.full(len(atom), np.nan)
    return xr.Dataset(
        {
            "ledger_action": ("entry", np.asarray(action, np.str_)),
            "ledger_reason": ("entry", np.asarray(reason, np.str_)),
            "ledger_round": ("entry", np.full(len(atom), number, np.int32), one),
            "ledger_atom": ("entry", np.asarray(atom, np.int64), one),
            "ledger_position": (("entry", "axis"), np.asarray(position, np.float64), {"units": "angstrom"}),
            "ledger_score": ("entry", np.asarray(score, np.float64), one),
            "ledger_r_before": ("entry", unknown, one),
            "ledger_r_after": ("entry", unknown, one),
        },
        coords={"axis": ["x", "y", "z"]},
    )


def last_round(atoms: xr.Dataset) -> int:
    """Return the number of the last round in the ledger of atoms, 0 where there is none."""
    return int(atoms["ledger_round"].values.max(initial=0)) if "ledger_round" in atoms else 0


def continued(atoms: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Return atoms with entries at the end of their ledger; a column that one of the two has not is NaN, 0 or empty.

    Parameters
    ----------
    atoms
        Of the kind atoms, with or without a ledger.
    new
        As `entries` makes them.
    """
    if new.sizes["entry"] == 0:
        return atoms
    if "entry" not in atoms.dims:
        return atoms.assign(new.data_vars)
    old = atoms[[name for name, one in atoms.data_vars.items() if "entry" in one.dims]].transpose("entry", ...)
    joined: dict[str, Any] = {}
    for name in dict.fromkeys([*map(str, old.data_vars), *map(str, new.data_vars)]):
        like = old[name] if name in old else new[name]
        parts = [part[name] if name in part else _unknown(like, part.sizes["entry"]) for part in (old, new)]
        kind: Any = np.str_ if like.dtype.kind in "UTO" else like.dtype
        joined[name] = (like.dims, np.concatenate([part.values.astype(kind) for part in parts]), like.attrs)
    return atoms.drop_dims("entry").assign(joined)


def _unknown(like: xr.DataArray, count: int) -> xr.DataArray:
    """Return entries of which a column knows nothing."""
    fill: Any = {"f": np.nan, "i": 0, "u": 0, "b": False}.get(like.dtype.kind, "")
    return xr.DataArray(np.full((count, *like.shape[1:]), fill), dims=like.dims, attrs=like.attrs)
