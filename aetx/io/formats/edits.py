"""Files of edits: what a person adds to, removes from and changes in a model of atoms, with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core import reader
from aetx.core.params import NoParams
from aetx.errors import InputError, Problem, did_you_mean
from aetx.io.points import element
from aetx.io.tree import Leaf, read_tree
from aetx.model import EDITS, units

PLACES = 2
"""Most atoms, or places, of one edit."""
WORDS = ("action", "reason", "author")
FIELDS = (*WORDS, "atom", "position", "to", "element")
ACTIONS: Mapping[str, tuple[int, int, str]] = {
    "add": (1, 0, "optional"),
    "remove": (1, 0, ""),
    "move": (1, 1, ""),
    "relabel": (1, 0, "needed"),
    "merge": (2, 0, ""),
    "split": (1, 2, ""),
    "accept": (1, 0, ""),
    "reject": (1, 0, ""),
}
"""Of each action: how many atoms it is about, how many places they go to, and whether it takes an element."""


@reader("edits", patterns=("*.yaml", "*.yml"), gives=(EDITS,))
def edits(path: Path, _: NoParams) -> xr.Dataset:
    """Read the edits of a YAML file, in their order; every wrong entry is told at once.

    The file holds ``edits:``, a list of mappings with `action`, `reason` and `author`. An atom is named by its id,
    ``atom: 17``, or by a place near it, ``position: [1.2 angstrom, 0 angstrom, 0.3 nm]``, or by both, which must
    agree; ``add`` says where in `position`, ``move`` and ``split`` say in ``to`` where to, ``relabel`` and ``add`` take
    an `element`. ``merge`` names two atoms, ``split`` two places.
    """
    tree = read_tree(path)
    notes = _Notes(path)
    top = tree.value if isinstance(tree.value, Mapping) else {}
    for name in [name for name in top if name != "edits"]:
        notes.say(top[name].line, name, f"the unknown key {name!r}", "'edits'", "put the entries into a list 'edits:'")
    items = top.get("edits", Leaf("", tree.line))
    if items.value == "" and not items.quoted and "edits" in top:  # a list from which all entries were dropped
        items = Leaf((), items.line)
    if not isinstance(items.value, tuple):
        notes.say(items.line, "edits", "no list", "a list of edits", "begin with 'edits:', then '- {action: ...}'")
        notes.stop()
    assert isinstance(items.value, tuple)
    found = [_entry(one, f"edits[{number}]", notes) for number, one in enumerate(items.value)]
    notes.stop()
    return _dataset([one for one in found if one is not None])


@dataclass(frozen=True)
class _Entry:
    """One edit as the file states it."""

    line: int
    words: Mapping[str, str]
    element: int
    atom: tuple[int, ...]
    position: tuple[tuple[float, ...], ...]
    target: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class _Notes:
    """Every mistake of one file."""

    path: Path
    problems: list[Problem] = field(default_factory=list)

    def say(self, line: int, where: str, found: str, wanted: str, fix: str) -> None:
        self.problems.append(Problem(str(self.path), where, found, wanted, fix, line, 1))

    def stop(self) -> None:
        if self.problems:
            raise InputError(self.problems, f"{self.path} holds edits that cannot be followed")


def _entry(leaf: Leaf, where: str, notes: _Notes) -> _Entry | None:
    before = len(notes.problems)
    if not isinstance(leaf.value, Mapping):
        notes.say(leaf.line, where, "no mapping", "a mapping", "write {action: ..., reason: ..., author: ...}")
        return None
    known = leaf.value
    for name, one in known.items():
        if name not in FIELDS:
            fix = did_you_mean(name, FIELDS)
            notes.say(one.line, f"{where}.{name}", f"the unknown key {name!r}", "a known key", fix)
    words = {name: _word(known.get(name), leaf.line, f"{where}.{name}", notes) for name in WORDS}
    if words["action"] and words["action"] not in ACTIONS:
        fix, line = did_you_mean(words["action"], ACTIONS), known["action"].line
        notes.say(line, f"{where}.action", repr(words["action"]), f"one of {', '.join(ACTIONS)}", fix)
        words["action"] = ""
    made = _Entry(
        leaf.line,
        words,
        _element(known.get("element"), f"{where}.element", notes),
        _ids(known.get("atom"), f"{where}.atom", notes),
        _places(known.get("position"), f"{where}.position", notes),
        _places(known.get("to"), f"{where}.to", notes),
    )
    if len(notes.problems) == before:
        _fits(made, known, where, notes)
    return made if len(notes.problems) == before else None


def _fits(made: _Entry, known: Mapping[str, Leaf], where: str, notes: _Notes) -> None:
    """Note what an action needs and has not, or has and does not take."""
    action = made.words["action"]
    atoms, places, takes = ACTIONS[action]

    def say(name: str, found: str, wanted: str) -> None:
        line = known[name].line if name in known else made.line
        notes.say(line, f"{where}.{name}", found, wanted, f"{action} {_needs(action)}")

    for name, count in (("atom", len(made.atom)), ("position", len(made.position))):
        if count and count != atoms:
            say(name, f"{count} of them", str(atoms))
    if action == "add":
        if made.atom:
            say("atom", str(made.atom[0]), "none: an added atom gets its id")
        if not made.position:
            say("position", "nothing", "a place")
    elif not (made.atom or made.position) and action != "reject":
        say("atom", "nothing", "an id, or a position")
    elif not (made.atom or made.position):
        say("position", "nothing", "a place, or an id")
    if len(made.target) != places:
        say("to", f"{len(made.target)} places", str(places) if places else "none")
    if takes == "needed" and made.element < 0:
        say("element", "nothing", "an element")
    if not takes and made.element >= 0:
        say("element", "an element", "none")


def _needs(action: str) -> str:
    atoms, places, takes = ACTIONS[action]
    parts = ["position"] if action == "add" else [f"atom or position of {atoms}"]
    parts += [f"to, {places} of them"] if places else []
    parts += [f"element ({takes})"] if takes else []
    return "takes " + "; ".join(parts)


def _word(leaf: Leaf | None, line: int, where: str, notes: _Notes) -> str:
    if leaf is not None and isinstance(leaf.value, str) and leaf.value.strip():
        return leaf.value.strip()
    found = "nothing" if leaf is None or leaf.value == "" else "a list or a mapping"
    notes.say(leaf.line if leaf else line, where, found, "text", "every edit has an action, a reason and an author")
    return ""


def _element(leaf: Leaf | None, where: str, notes: _Notes) -> int:
    if leaf is None:
        return -1
    if not isinstance(leaf.value, str):
        notes.say(leaf.line, where, "a list or a mapping", "a chemical symbol or an atomic number", "name one element")
        return -1
    try:
        return element(notes.path, where, leaf.value)
    except InputError as error:
        for one in error.problems:
            notes.say(leaf.line, one.field, one.found, one.wanted, one.fix)
        return -1


def _ids(leaf: Leaf | None, where: str, notes: _Notes) -> tuple[int, ...]:
    if leaf is None:
        return ()
    found = []
    for one in leaf.value if isinstance(leaf.value, tuple) else (leaf,):
        text = one.value
        if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 18:
            found.append(int(text))
        else:
            shown = repr(text) if isinstance(text, str) else "a list or a mapping"
            notes.say(one.line, where, shown, "the id of an atom, a whole number", "give one id, or a list of two")
    return tuple(found)


def _places(leaf: Leaf | None, where: str, notes: _Notes) -> tuple[tuple[float, ...], ...]:
    """Return one place, or several, in angstrom."""
    if leaf is None:
        return ()
    several = isinstance(leaf.value, tuple) and any(isinstance(one.value, tuple) for one in leaf.value)
    rows = leaf.value if several and isinstance(leaf.value, tuple) else (leaf,)
    return tuple(_place(row, where, notes) for row in rows)


def _place(leaf: Leaf, where: str, notes: _Notes) -> tuple[float, ...]:
    words = leaf.value if isinstance(leaf.value, tuple) else ()
    fix = "write [1.2 angstrom, -3 angstrom, 0.4 nm]"
    if len(words) != 3:
        notes.say(leaf.line, where, f"{len(words)} lengths", "x, y and z", fix)
        return (np.nan,) * 3
    found = []
    for axis, one in zip("xyz", words, strict=True):
        try:
            found.append(units.quantity(str(one.value), "angstrom"))
        except units.UnitError as error:
            notes.say(one.line, f"{where}.{axis}", repr(one.value), "a length with its unit", str(error))
    return tuple(found)


def _dataset(entries: list[_Entry]) -> xr.Dataset:
    count = len(entries)
    atom = np.full((count, PLACES), -1, np.int64)
    position, target = (np.full((count, PLACES, 3), np.nan) for _ in range(2))
    for row, one in enumerate(entries):
        atom[row, : len(one.atom)] = one.atom
        for values, places in ((position, one.position), (target, one.target)):
            values[row, : len(places)] = np.reshape(places, (-1, 3))
    length, none = {"units": "angstrom"}, {"units": "1"}
    words = {name: ("entry", np.array([one.words[name] for one in entries], np.str_)) for name in WORDS}
    made = xr.Dataset(
        {
            **words,
            "element": ("entry", np.array([one.element for one in entries], np.int32), none),
            "atom": (("entry", "place"), atom, none),
            "position": (("entry", "place", "axis"), position, length),
            "target": (("entry", "place", "axis"), target, length),
        },
        {"entry": ("entry", np.array([one.line for one in entries], np.int64), none), "axis": ["x", "y", "z"]},
    )
    return EDITS.stamp(made)
