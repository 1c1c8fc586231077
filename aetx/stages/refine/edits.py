"""Atoms as a person corrected them."""

from __future__ import annotations

import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.edits import apply
from aetx.model import ATOMS, EDITS


class EditsParams(Params):
    """Parameters of `edits`."""

    reach: Length = Field(
        1.0, gt=0, le=10, description="greatest distance between a place that an edit names and the atom that it means"
    )


def _forecast(inputs: InputSizes, _: EditsParams) -> Forecast:
    atoms, entries = inputs["atoms"][0].get("atom", 1), inputs["edits"][0].get("entry", 1)
    return Forecast({"atom": atoms + 2 * entries, "axis": 3}, 500 * (atoms + entries) + 10**6, 0.1 + 1e-7 * atoms)


@stage(
    "refine.edits",
    takes={"atoms": ATOMS, "edits": EDITS},
    gives=ATOMS,
    params=EditsParams,
    version=1,
    forecast=_forecast,
)
def edits(atoms: xr.Dataset, edits: xr.Dataset, params: EditsParams) -> xr.Dataset:
    """Atoms with the edits of a person, each an entry of their ledger.

    Edits are followed in their order: add, remove, move, relabel (another element), merge (two atoms to one, half way
    between), split (one atom to two), accept (the flag becomes 0), reject (no atom there, whether there is one or not).
    An atom is meant by its id, or by a place that has exactly one atom within `reach`; where both are stated they must
    agree. The same atoms and edits always give the same result, and dropping an edit from its file undoes it.

    The ledger (`ledger_action`, `ledger_reason`, `ledger_author`, `ledger_atom`, `ledger_position`) goes on where the
    atoms bring one. Entries with an author are a person's, and bind what follows: atoms that were added, moved, split,
    merged, relabelled or accepted stay, and nothing is put where one was removed or rejected. What is not known of an
    added atom is NaN. Compare R with and without the edits: they are opinions, and the images judge them.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, https://arxiv.org/abs/2109.14843 (atoms added by hand: 12 of 3,504, R 0.151 for 0.152).
    """
    return apply("refine.edits", atoms, edits, params.reach)
