"""The ledger of atoms as two short tables: what was done how often and why, and the first entries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xarray as xr

FIRST = 12
"""Entries that are shown one by one."""
REASONS = 12
"""Most pairs of action and reason that are counted apart."""
WORDS = 3
"""Columns of words, which come first, in each table."""
BY_HAND = "a person"
AUTOMATIC = "the program"

Rows = tuple[list[str], list[list[str]]]


def ledger_rows(atoms: xr.Dataset) -> list[Rows]:
    """Return head and rows of each table; none for atoms without a ledger. A long ledger stays short."""
    if "ledger_action" not in atoms or not atoms.sizes["entry"]:
        return []
    action, reason = (_words(atoms, f"ledger_{name}") for name in ("action", "reason"))
    author = _words(atoms, "ledger_author")
    return [_counts(action, reason, author), _first(atoms, action, reason, author)]


def _words(atoms: xr.Dataset, name: str) -> list[str]:
    return [str(one) for one in atoms[name].values] if name in atoms else [""] * atoms.sizes["entry"]


def _counts(action: list[str], reason: list[str], author: list[str]) -> Rows:
    """Count what the program did by action and reason, and what people did by action and author."""
    by = [
        (one, f"{BY_HAND}: {who}" if who else AUTOMATIC, "" if who else why)
        for one, why, who in zip(action, reason, author, strict=True)
    ]
    counted = Counter(by).most_common()
    rows = [[*key, str(count)] for key, count in counted[:REASONS]]
    rest = counted[REASONS:]
    if rest:
        rows.append([f"{len(rest)} further reasons", "", "", str(sum(count for _, count in rest))])
    return ["Ledger: action", "by", "reason", "entries"], rows


def _first(atoms: xr.Dataset, action: list[str], reason: list[str], author: list[str]) -> Rows:
    place = atoms["ledger_position"].sel(axis=["x", "y", "z"]).transpose("entry", "axis").values[:FIRST]
    head = ["entry", "action", "reason", "round", "atom", "x, y, z (Å)", "score", "R before", "R after"]
    rows = []
    for i, where in enumerate(place):
        why = f"{reason[i]} ({author[i]})" if author[i] else reason[i]
        number = int(atoms["ledger_atom"].values[i])
        numbers = [_number(atoms, f"ledger_{name}", i) for name in ("score", "r_before", "r_after")]
        xyz = ", ".join(f"{value:.2f}" for value in where)
        told = [_number(atoms, "ledger_round", i), "–" if number < 0 else str(number), xyz]
        rows.append([str(i + 1), action[i], why, *told, *numbers])
    left = atoms.sizes["entry"] - len(rows)
    if left > 0:
        rows.append([f"and {left} more", *[""] * (len(head) - 1)])
    return head, rows


def _number(atoms: xr.Dataset, name: str, entry: int) -> str:
    value = float(atoms[name].values[entry]) if name in atoms else np.nan
    return f"{value:.5g}" if np.isfinite(value) else "–"
