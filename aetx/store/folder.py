"""The output folder: claimed by a marker, swept of what a dead run left, never mistaken for someone's own files."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from aetx.errors import Problem, RecipeError
from aetx.store import disk

SCRATCH = ".aetx-tmp"
MARKER = ".aetx-output"
_LITTER = re.compile(r".+-[0-9a-f]{32}(\.swap)?(-[0-9a-f]{32})?")
_PART = re.compile(r"\.(report\.html|summary\.html|summary\.csv|[^/]+\.png)\.\d+\.part")
_LONGEST = 200


def refuse_output(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise `RecipeError` if a folder may not become the output of a run. Touches nothing.

    Parameters
    ----------
    folder
        The output as the user wrote it.
    inputs
        The files that will be read: the output may be none of them, hold none and lie in none.
    """
    problem = _shape(folder) or _contents(folder)
    if problem is not None:
        raise RecipeError(problem, "the output cannot be used")
    problems = []
    place = Path(os.path.realpath(folder))
    for one in inputs:
        read = Path(os.path.realpath(one))
        if read == place or (read.is_dir() and place.is_relative_to(read)):
            problems.append(_no(folder, f"the input {str(one)!r} itself", "choose another output"))
        elif read.is_relative_to(place) and not (place / MARKER).is_file():
            problems.append(_no(folder, f"a folder that holds the input {str(one)!r}", "choose another output"))
    if problems:
        raise RecipeError(problems, "the output cannot be used")


def claim_output(folder: Path, inputs: Iterable[Path] = ()) -> Path:
    """Make a folder the output of runs of aetx and return its absolute path.

    Raises
    ------
    RecipeError
        If it holds files that no run of aetx put there, or is a symlink, the root, or an input.
    EnvironmentFault
        If it cannot be written.
    """
    refuse_output(folder, inputs)
    place = folder.absolute()
    with disk.in_words(place):
        place.mkdir(parents=True, exist_ok=True)
        if not (place / MARKER).is_file():
            text = json.dumps({"aetx": 1, "what": "output of aetx runs; aetx writes and replaces files here"})
            disk.write_atomically(place / MARKER, text.encode(), place / SCRATCH)
    return place


def _shape(folder: Path) -> Problem | None:
    if any(len(part.encode()) > _LONGEST for part in folder.parts):
        return _no(folder, "a name of more than 200 bytes", "choose a shorter name")
    if folder.is_symlink():
        return _no(folder, "a symbolic link", "name the folder itself")
    if Path(os.path.realpath(folder)) in (Path("/"), Path(os.path.realpath(Path.home()))):
        return _no(folder, "the root or the home folder", "choose a folder of its own")
    if folder.exists() and not folder.is_dir():
        return _no(folder, "a file", "choose a folder")
    if any(one.is_symlink() and not one.exists() for one in folder.absolute().parents):
        return _no(folder, "a path through a symbolic link that leads nowhere", "mend the link")
    if any(one.exists() and not one.is_dir() for one in folder.absolute().parents):
        return _no(folder, "a path that leads through a file", "choose a folder")
    for name in ("results", "exports", "figures", SCRATCH):
        if (folder / name).is_symlink():
            return _no(folder, f"a symbolic link {name!r} in it", "remove the link: aetx would write elsewhere")
    return None


def _contents(folder: Path) -> Problem | None:
    if not folder.is_dir() or (folder / MARKER).is_file():
        return None
    held = sorted(one.name for one in folder.iterdir() if not _beginning(one))
    if not held:
        return None
    shown = ", ".join(repr(name) for name in held[:3]) + (" …" if len(held) > 3 else "")
    return _no(folder, f"a folder with files of others ({shown})", "choose an empty folder or a new name")


def _beginning(path: Path) -> bool:
    """Tell whether this is what a run killed before its marker can have left."""
    return path.name == SCRATCH and all(_LITTER.fullmatch(one.name) for one in path.iterdir())


def _no(folder: Path, found: str, fix: str) -> Problem:
    return Problem(str(folder), "output", found, "an empty folder, a new one, or the output of an earlier run", fix)


def sweep(scratch: Path) -> int:
    """Remove what runs that died left in a folder for unfinished things; call it only while holding the lock.

    A swap that a kill cut in two is ended first: its name goes to the new store. Returns how many things went.
    """
    end_swaps(scratch)
    found = litter(scratch)
    for one in found:
        disk.remove(one)
    return len(found)


def litter(scratch: Path) -> list[Path]:
    """Return what runs left in a folder for unfinished things."""
    if scratch.is_symlink() or not scratch.is_dir():
        return []
    return sorted(one for one in scratch.iterdir() if _LITTER.fullmatch(one.name))


def sweep_parts(folder: Path) -> None:
    """Remove what `parts` finds; call it only while holding the lock of the output."""
    for one in parts(folder):
        disk.remove(one)


def parts(folder: Path) -> list[Path]:
    """Return the pages and pictures that runs did not end to write: in a folder of an output and in its figures."""
    places = [one for one in (folder, folder / "figures") if one.is_dir() and not one.is_symlink()]
    return sorted(file for one in places for file in one.iterdir() if _PART.fullmatch(file.name) and file.is_file())


def end_swaps(scratch: Path) -> None:
    """Give the name back to every store whose swap a kill cut in two; call it only while holding the lock."""
    for note in litter(scratch):
        if note.name.endswith(".swap"):
            _end_swap(note)


def note_swap(scratch: Path, *, final: Path, new: Path, old: Path) -> Path:
    """Write down a swap of two names that takes two steps, so that `sweep` can end it."""
    note = scratch / f"swap-{uuid.uuid4().hex}.swap"
    names = {"final": str(final.absolute()), "new": new.name, "old": old.name}
    disk.write_atomically(note, json.dumps(names).encode(), scratch)
    return note


def forget_swap(note: Path) -> None:
    """Take away the note of a swap that is done."""
    note.unlink()


def _end_swap(note: Path) -> None:
    names = json.loads(note.read_text(encoding="utf-8"))
    final = Path(names["final"])
    if not final.is_relative_to(note.parent.parent.absolute()):
        return
    for name in (names["new"], names["old"]):
        complete = note.parent / Path(name).name
        if not final.exists() and complete.is_dir():
            complete.rename(final)
            disk.sync(final.parent)
