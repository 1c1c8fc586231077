"""Remove from an output what nobody needs: litter of dead runs, results that the last run did not want."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aetx.core.record import RunRecord
from aetx.core.words import size
from aetx.errors import BusyError, InputError, Problem, RecipeError
from aetx.run.decide import RECORD, earlier
from aetx.run.progress import read_note
from aetx.store import (
    MARKER,
    SCRATCH,
    Lock,
    Waste,
    end_swaps,
    find_exports,
    find_litter,
    find_parts,
    find_stores,
    holder,
    manifest,
    refuse_output,
    remove_waste,
)


@dataclass(frozen=True)
class Cleaned:
    """What was removed from an output, or would be (`dry`); what looks like waste and stays, with the reason."""

    folder: Path
    removed: tuple[Waste, ...]
    kept: tuple[Waste, ...]
    dry: bool

    @property
    def bytes(self) -> int:
        """Bytes of all that goes."""
        return sum(one.bytes for one in self.removed)

    def as_dict(self) -> dict[str, object]:
        """Return everything for ``--json``."""
        gone = [{"path": self._name(one), "bytes": one.bytes, "reason": one.reason} for one in self.removed]
        kept = [{"path": self._name(one), "bytes": one.bytes, "reason": one.kept} for one in self.kept]
        told = {"folder": str(self.folder), "dry_run": self.dry, "bytes": self.bytes}
        return {"clean": {**told, "removed": gone, "kept": kept}}

    def lines(self) -> list[str]:
        """Return what a person reads."""
        rows = [(size(one.bytes), self._name(one), one.reason) for one in self.removed]
        rows += [(size(one.bytes), self._name(one), f"kept: {one.kept}") for one in self.kept]
        wide = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
        lines = [f"  {much:>{wide[0]}}  {name:{wide[1]}}  {reason}" for much, name, reason in rows]
        if not self.removed:
            return [*lines, f"nothing to remove in {self.folder}"]
        words = "can be freed" if self.dry else "freed"
        return [*lines, f"{size(self.bytes)} {words} in {self.folder}" + ("; nothing was removed" if self.dry else "")]

    def _name(self, one: Waste) -> str:
        return one.path.relative_to(self.folder.absolute()).as_posix()


def clean(folder: Path, *, dry: bool = False, results: bool = False, others: bool = False) -> Cleaned:
    """Remove what no run needs any more: only what a manifest or a note says aetx made, and never through a link.

    Unfinished things of runs that died; results and exports of steps that the last run did not have, and results of
    its steps that other parameters or data made.

    Parameters
    ----------
    folder
        The output of runs.
    dry
        Remove nothing.
    results
        Remove every result; exports, reports and records stay.
    others
        Also remove the results of inputs and sweeps that the last run did not have.

    Raises
    ------
    RecipeError
        If the folder is no output of aetx.
    BusyError
        If a run writes there.
    """
    folder = Path(folder)
    refuse_output(folder)
    if not (folder / MARKER).is_file():
        wanted = "the output of a run of aetx"
        problem = Problem(str(folder), "output", "a folder that no run of aetx made", wanted, "name the output")
        raise RecipeError(problem, "aetx removes only what it made")
    place = folder.absolute()
    with _alone(place, dry):
        jobs = _jobs(place)
        found = find_litter(place)
        for held in dict.fromkeys([place, *(job for job, _ in jobs)]):
            found += find_parts(held)
        for job, stays in jobs:
            kept = "" if stays or others or results else "the last run did not have it: --others removes it"
            found += [_kept(one, kept) for one in _of_job(job, stays, results)]
        gone = [one for one in found if not one.kept]
        for one in [] if dry else gone:
            remove_waste(one, place / SCRATCH)
    return Cleaned(folder, tuple(gone), tuple(one for one in found if one.kept), dry)


@contextlib.contextmanager
def _alone(folder: Path, dry: bool) -> Iterator[None]:
    """Hold the lock of an output; where nothing shall be touched, only see that nobody holds it."""
    if not dry:
        with Lock(folder):
            end_swaps(folder / SCRATCH)
            yield
        return
    held = holder(folder)
    if held is not None and held.lives:
        found = f"process {held.owner.pid} on {held.owner.host}, started {held.owner.since}"
        raise BusyError(Problem(str(folder), "output", found, "no run that writes there", "wait for it"))
    yield


def _jobs(folder: Path) -> list[tuple[Path, bool]]:
    """Return the folders of all jobs that ever ran in an output, and whether the last run had them."""
    note = read_note(folder)
    places = [folder, *sorted(one for one in folder.iterdir() if one.is_dir() and not one.is_symlink())]
    found = [one for one in places if (one / RECORD).is_file()]
    last = {folder / name if name else folder for name in note.jobs} if note is not None else set(found)
    return [(one, one in last) for one in found]


def _of_job(folder: Path, stays: bool, results: bool) -> list[Waste]:
    record = earlier(folder)
    if results:
        return find_stores(folder / "results", (), "a result: the same run makes it again")
    if not stays:
        return find_stores(folder / "results", (), "of a run that the last recipe does not have")
    if record is None or not all(step.key for step in record.steps):
        return []  # the last run ended before it knew what it wanted
    found = find_stores(folder / "results", _current(folder, record), "the last run does not use it")
    steps = {step.name for step in record.steps}
    return found + find_exports(folder / "exports", steps, "the last recipe does not export it")


def _current(folder: Path, record: RunRecord) -> set[str]:
    """Return the stores that the steps of a run would find again."""
    found = set()
    for step in record.steps:
        name = f"{step.name}.zarr"
        with contextlib.suppress(InputError):
            if manifest(folder / "results" / name).key == step.key:
                found.add(name)
    return found


def _kept(one: Waste, why: str) -> Waste:
    return Waste(one.paths, one.bytes, one.reason, one.kept or why)
