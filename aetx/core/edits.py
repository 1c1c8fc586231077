"""Edits of a model of atoms by a person: followed in their order, and written into its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.ledger import continued, entries, last_round
from aetx.errors import InputError, Problem
from aetx.model import positions

F64 = NDArray[np.float64]

DONE: Mapping[str, str] = {
    "add": "added",
    "remove": "removed",
    "move": "moved",
    "relabel": "relabelled",
    "merge": "merged",
    "split": "split",
    "accept": "accepted",
    "reject": "rejected",
}
"""What the ledger calls an edit that was followed."""
BARRED = ("removed", "rejected")
"""Entries by a person after which no atom may be put there."""


@dataclass(frozen=True)
class Decided:
    """What a person has decided: which atoms stay, shape (atoms,), and where none may be put, (places, 3), angstrom."""

    kept: NDArray[np.bool_]
    barred: F64


def decided(atoms: xr.Dataset) -> Decided:
    """Return what the ledger of atoms says that a person has decided: whoever edits an atom that is there keeps it."""
    if "ledger_author" not in atoms:
        return Decided(np.zeros(atoms.sizes["atom"], bool), np.empty((0, 3)))
    by_hand = atoms["ledger_author"].values.astype(str) != ""
    action, number = atoms["ledger_action"].values.astype(str), atoms["ledger_atom"].values
    place = atoms["ledger_position"].sel(axis=["x", "y", "z"]).transpose("entry", "axis").values
    against = np.isin(action, BARRED)
    kept = np.isin(atoms["atom"].values, number[by_hand & ~against])
    return Decided(kept, place[by_hand & against].astype(np.float64))


def apply(stage: str, atoms: xr.Dataset, edits: xr.Dataset, reach: float) -> xr.Dataset:
    """Return the atoms with all edits followed in their order, each an entry of their ledger.

    An added or split-off atom gets the next free id, and of what other columns say it has NaN, or 0; a merged one
    keeps the first of the two ids and lies between the two. Atoms stay in the order of their ids before.

    Parameters
    ----------
    stage
        Who asks.
    atoms
        Of the kind atoms; a ledger that is there goes on.
    edits
        Of the kind edits.
    reach
        Greatest distance between a place that an edit names and the atom that it means, angstrom.

    Raises
    ------
    InputError
        With every edit that cannot be followed.
    """
    model = _Model(stage, atoms, reach)
    for one in _read(edits):
        model.follow(one)
    if model.problems:
        raise InputError(model.problems, "edits that cannot be followed")
    return _with_ledger(model.dataset(), model.ledger)


@dataclass(frozen=True)
class _Edit:
    line: int
    action: str
    reason: str
    author: str
    element: int
    atom: tuple[int, ...]
    position: F64
    target: F64


def _read(edits: xr.Dataset) -> list[_Edit]:
    words = {name: edits[name].values.astype(str) for name in ("action", "reason", "author")}
    places = {
        name: edits[name].sel(axis=["x", "y", "z"]).transpose("entry", "place", "axis").values.astype(float)
        for name in ("position", "target")
    }
    found = []
    for i in range(edits.sizes["entry"]):
        position, target = (values[i][np.isfinite(values[i]).all(axis=1)] for values in places.values())
        action, reason, author = (str(values[i]) for values in words.values())
        ids = tuple(int(one) for one in edits["atom"].transpose("entry", "place").values[i] if one >= 0)
        line, element = int(edits["entry"][i]), int(edits["element"][i])
        found.append(_Edit(line, action, reason, author, element, ids, position, target))
    return found


@dataclass
class _Model:
    """The atoms while edits are followed; `row` is where the other columns of an atom stand, -1 for a new one."""

    stage: str
    atoms: xr.Dataset
    reach: float
    problems: list[Problem] = field(default_factory=list)
    ledger: list[tuple[_Edit, int, F64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number = [int(one) for one in self.atoms["atom"].values]
        self.place = list(positions(self.atoms))
        self.species = [int(one) for one in self.atoms["species"].values]
        self.row = list(range(len(self.number)))
        self.accepted: set[int] = set()
        self.next = max(self.number, default=-1) + 1

    def follow(self, edit: _Edit) -> None:
        """Follow one edit and note it, or note why it cannot be followed."""
        before = len(self.problems)
        if edit.action == "add":
            number = self._add(edit.position[0], self._element_of(edit))
            self._note(edit, number, edit.position[0])
            return
        meant = self._meant(edit)
        if len(self.problems) > before:
            return
        if edit.action == "reject" and not meant:
            self._note(edit, -1, edit.position[0])
            return
        first = meant[0]
        number, place = self.number[first], self.place[first]
        if edit.action in ("remove", "reject"):
            self._drop(first)
        elif edit.action == "move":
            place = self.place[first] = edit.target[0]
        elif edit.action == "relabel":
            self.species[first] = edit.element
        elif edit.action == "accept":
            self.accepted.add(number)
        elif edit.action == "split":
            place = self.place[first] = edit.target[0]
            other = self._add(edit.target[1], self.species[first])
            self._note(edit, other, edit.target[1])
        elif edit.action == "merge":
            place = self.place[first] = (self.place[first] + self.place[meant[1]]) / 2
            self._drop(meant[1])
        self._note(edit, number, place)

    def _add(self, place: F64, species: int) -> int:
        self.number.append(self.next)
        self.place.append(place)
        self.species.append(species)
        self.row.append(-1)
        self.next += 1
        return self.next - 1

    def _drop(self, index: int) -> None:
        for column in (self.number, self.place, self.species, self.row):
            del column[index]

    def _element_of(self, edit: _Edit) -> int:
        if edit.element >= 0:
            return edit.element
        known = sorted(set(self.species))
        if len(known) == 1:
            return known[0]
        self._refuse(edit, "element", "none", "the element of the new atom", "state it: there are several")
        return 0

    def _meant(self, edit: _Edit) -> list[int]:
        """Return the indices of the atoms that an edit is about; of a place barred without an atom none."""
        if edit.atom:
            found = [self._with_id(edit, one) for one in edit.atom]
        else:
            found = [self._nearest(edit, place) for place in edit.position]
        for index, place in zip(found, edit.position, strict=False):
            if edit.atom and index >= 0 and (away := float(np.linalg.norm(self.place[index] - place))) > self.reach:
                told = f"{away:.3g} angstrom from atom {self.number[index]}"
                self._refuse(edit, "position", told, f"at most {self.reach:g}", "the atoms are others now: look again")
        known = [index for index in found if index >= 0]
        if len(set(known)) < len(known):
            self._refuse(edit, "atom", "one atom twice", "two atoms", "name the other one")
        return known

    def _with_id(self, edit: _Edit, number: int) -> int:
        if number in self.number:
            return self.number.index(number)
        self._refuse(edit, "atom", str(number), "the id of an atom that is there", "look again, or give its position")
        return -1

    def _nearest(self, edit: _Edit, place: F64) -> int:
        away = np.linalg.norm(np.reshape(self.place, (-1, 3)) - place, axis=1)
        near = np.flatnonzero(away <= self.reach)
        if near.size == 1:
            return int(near[0])
        if near.size == 0 and edit.action == "reject":
            return -1
        told = f"{near.size} atoms within {self.reach:g} angstrom of {_written(place)}"
        fix = "look again, or give the id of the atom"
        if near.size == 0 and away.size:
            fix = f"the nearest is atom {self.number[int(away.argmin())]}, {away.min():.3g} angstrom away: look again"
        self._refuse(edit, "position", told, "one", fix)
        return -1

    def _refuse(self, edit: _Edit, name: str, found: str, wanted: str, fix: str) -> None:
        where = f"edit on line {edit.line}, {edit.action}: {name}"
        self.problems.append(Problem(f"{self.stage}: edits", where, found, wanted, fix))

    def _note(self, edit: _Edit, number: int, place: F64) -> None:
        self.ledger.append((edit, number, place))

    def dataset(self) -> xr.Dataset:
        """Return the atoms as they are now."""
        row = np.array(self.row, int)
        new = row < 0
        made = self.atoms.isel(atom=np.maximum(row, 0)) if self.atoms.sizes["atom"] else self._empty(len(row))
        changed: dict[str, Any] = {}
        for name, one in made.variables.items():
            if "atom" in one.dims and name not in ("atom", "position", "species") and new.any():
                changed[str(name)] = _blank(one, new)
        if "flag" in made:
            accepted = np.isin(self.number, sorted(self.accepted))
            flag = changed.get("flag", made["flag"].variable)
            changed["flag"] = xr.Variable(flag.dims, np.where(accepted, 0, flag.values).astype(np.int32), flag.attrs)
        place = np.reshape(np.asarray(self.place, np.float64), (-1, 3))
        changed["position"] = (("atom", "axis"), place, {"units": "angstrom"})
        changed["species"] = ("atom", np.array(self.species, np.int32), {"units": "1"})
        coords = {"atom": ("atom", np.array(self.number, np.int64), {"units": "1"}), "axis": ["x", "y", "z"]}
        return made.drop_vars(["position", "axis"]).assign_coords(coords).assign(changed)

    def _empty(self, count: int) -> xr.Dataset:
        """Return as many atoms of which nothing is known as were added where there was none."""
        kept = [name for name, one in self.atoms.variables.items() if "atom" not in one.dims or name == "atom"]
        bare = self.atoms[[str(name) for name in kept if name != "atom"]].drop_vars("atom", errors="ignore")
        return bare.assign(position=(("atom", "axis"), np.zeros((count, 3))), species=("atom", np.zeros(count, int)))


def _blank(one: xr.Variable, new: NDArray[np.bool_]) -> xr.Variable:
    """Return a column with NaN, or 0 where there is no NaN, for new atoms."""
    fill: Any = np.nan if one.dtype.kind == "f" else "" if one.dtype.kind in "UTO" else 0
    blank = one.copy(data=one.values.copy())
    blank[{"atom": np.flatnonzero(new)}] = fill
    return blank


def _with_ledger(atoms: xr.Dataset, notes: list[tuple[_Edit, int, F64]]) -> xr.Dataset:
    """Return atoms with further entries at the end of their ledger, in the round in which they are."""
    made = entries(
        np.array([DONE[edit.action] for edit, *_ in notes], np.str_),
        np.array([edit.reason for edit, *_ in notes], np.str_),
        np.array([number for _, number, _ in notes], np.int64),
        np.reshape([place for *_, place in notes], (-1, 3)),
        np.full(len(notes), np.nan),
        last_round(atoms),
    )
    return continued(
        atoms, made.assign(ledger_author=("entry", np.array([edit.author for edit, *_ in notes], np.str_)))
    )


def _written(place: F64) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in place) + ") angstrom"
