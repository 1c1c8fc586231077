"""Find and remove what aetx made and nobody needs: nothing that a manifest or a note does not vouch for."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aetx.errors import InputError
from aetx.store import disk
from aetx.store.export import check_export, note_path, read_note
from aetx.store.folder import SCRATCH, litter, parts
from aetx.store.opening import MANIFEST, manifest


@dataclass(frozen=True)
class Waste:
    """One thing that could go: its paths, its bytes, why; or why it stays, in `kept`."""

    paths: tuple[Path, ...]
    bytes: int
    reason: str
    kept: str = ""

    @property
    def path(self) -> Path:
        """What a person calls it."""
        return self.paths[0]


def find_litter(folder: Path) -> list[Waste]:
    """Return what runs that died left in the folder for unfinished things of an output."""
    return [Waste((one,), _bytes(one), "left by a run that died") for one in litter(folder / SCRATCH)]


def find_parts(folder: Path) -> list[Waste]:
    """Return the pages and pictures in the folder of a run that it did not end to write."""
    return [Waste((one,), _bytes(one), "left by a run that died") for one in parts(folder)]


def find_stores(folder: Path, wanted: Collection[str], reason: str) -> list[Waste]:
    """Return the finished stores below a folder that are not wanted; one with anything else in it is to be kept.

    Parameters
    ----------
    folder
        The ``results`` of a run; a step of a list has a folder of its own in it.
    wanted
        Paths of the stores that stay, relative to the folder.
    reason
        Why the others go.
    """
    return [
        Waste((path,), _bytes(path), reason, _foreign(path, folder.parent))
        for path in _below(folder, ".zarr")
        if path.relative_to(folder).as_posix() not in wanted
    ]


def find_exports(folder: Path, wanted: Collection[str], reason: str) -> list[Waste]:
    """Return the exported files below a folder, each with its note, that come of none of the steps `wanted`.

    A file that was changed since it was written is to be kept.
    """
    found = []
    for note in _below(folder, ".aetx.json"):
        path = note.with_name(note.name[1 : -len(".aetx.json")])
        told = read_note(path) if note == note_path(path) else None
        if told is None or told.record.get("step") in wanted:
            continue
        stands = os.path.lexists(path)
        kept = "changed since aetx wrote it" if stands and check_export(path) else ""
        paths = (path, note) if stands else (note,)
        found.append(Waste(paths, sum(_bytes(one) for one in paths), reason, kept))
    return found


def remove_waste(waste: Waste, scratch: Path) -> None:
    """Remove one thing: first its names go, then its files, so that a kill leaves nothing that is half there."""
    for path in waste.paths:
        aside = path if path.parent == scratch else scratch / disk.litter_name(path.name)
        with disk.in_words(path):
            scratch.mkdir(exist_ok=True)
            if aside != path:
                path.rename(aside)
            disk.remove(aside)


def _foreign(path: Path, home: Path) -> str:
    """Return why a store below a folder is not wholly aetx's own; empty where it is."""
    try:
        own = {*manifest(path).files, MANIFEST}
    except InputError as error:
        return error.problems[0].found
    if any(Path(base).lstat().st_dev != home.stat().st_dev for base, _, _ in os.walk(path)):
        return "another disk is mounted in it"
    others = sorted(set(disk.files_below(path)) - own)
    if others:
        return f"it holds a file that no run wrote: {others[0]}"
    links = [name for name in disk.files_below(path) if (path / name).is_symlink()]
    return f"it holds a symbolic link: {links[0]}" if links else ""


def _below(folder: Path, suffix: str) -> list[Path]:
    """Return everything with a suffix in a folder and its folders, links and stores not entered."""
    found = []
    for base, folders, files in os.walk(folder):
        found += [Path(base) / name for name in (*folders, *files) if name.endswith(suffix)]
        folders[:] = [name for name in folders if not name.endswith(".zarr") and not (Path(base) / name).is_symlink()]
    return sorted(found) if not folder.is_symlink() else []


def _bytes(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder, links not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum((path / name).lstat().st_size for name in disk.files_below(path))
