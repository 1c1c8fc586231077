"""Naive programs, each put to the check of one promise: a check that finds nothing wrong with them proves nothing."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.faults import bad_inputs, clusters, crashes, damage, disks, escapes, folders, locks, mutants, naive, sessions
from tests.faults.inputs.base import Case, mrc, series
from tests.faults.server import Server

HERE = "tests.faults.naive"
Control = Callable[[Path, Server], list[str]]


def deaths(folder: Path, server: Server) -> list[str]:
    """Write to the final name, and believe what opens."""
    return crashes.enumerate_deaths(folder, server, 25, "naive", first=20).wrong


def surroundings(folder: Path, _: Server) -> list[str]:
    """Draw from the clock."""
    return sessions.surround(folder, dict(list(sessions.SURROUNDINGS.items())[:2]), HERE).wrong


def damages(folder: Path, _: Server) -> list[str]:
    """Read a store that has no digests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return damage.damage_all(folder, 40, damage.read_naively).silent


def bad_disks(folder: Path, server: Server) -> list[str]:
    """Take what a full disk left for a result."""
    return disks.fail_everywhere(folder, server, 20, (), "naive").wrong


def races(folder: Path, _: Server) -> list[str]:
    """Write without a lock."""
    return folders.race(folder, 1, HERE).wrong


def dead_locks(folder: Path, _: Server) -> list[str]:
    """Believe that a lock is held while its file is there, or while there is a process of its number."""
    dead = ("its machine is silent for a day", "the number of its process is in use again, by the first")
    alive = ("another machine holds it",)
    file = locks.judge_locks(folder / "file", naive.FileLock, dead)
    number = locks.judge_locks(folder / "number", naive.NumberLock, (*dead, *alive))
    return file.wrong + number.wrong


def layouts(folder: Path, server: Server) -> list[str]:
    """Make room for the output."""
    inside = {name: one for name, one in folders.LAYOUTS.items() if one[1] == "out"}
    return folders.refuse_layouts(folder, server, inside, f"{HERE}:make_room")


def inputs(folder: Path, server: Server) -> list[str]:
    """Let the error of a library through."""

    def good(place: Path) -> None:
        (place / "s.mrc").write_bytes(mrc())
        series(place, "s.mrc")

    return list(bad_inputs.judge(Case("naive", 3, (), good), server, folder, f"{HERE}:raise_it").wrong)


def good(folder: Path, server: Server) -> list[str]:
    """Read with a library alone."""
    return list(mutants.mutate("NPY", 40, folder, server, read=f"{HERE}:read_mutants").faults)


def payloads(folder: Path, _: Server) -> list[str]:
    """Load whatever can be loaded."""
    names = ("R01 tag that calls", "W08 a pickle with its name")
    return escapes.trace({name: escapes.PAYLOADS[name] for name in names}, folder, f"{HERE}:load_all").wrong


def escaped(folder: Path, _: Server) -> list[str]:
    """Follow every path, and write beside the output."""
    names = ("H06 external storage", "T12 FileName absolute")
    return escapes.trace({name: escapes.ESCAPES[name] for name in names}, folder, f"{HERE}:follow_all").wrong


def flips(folder: Path, _: Server) -> list[str]:
    """Check that the files are there."""
    return sessions.flip_results(folder, lambda output: not output.is_dir()).wrong


def signals(folder: Path, _: Server) -> list[str]:
    """Leave signals to Python."""
    return sessions.interrupt(folder, 1, program=HERE).wrong


def cluster_faults(folder: Path, _: Server) -> list[str]:
    """Let the loss of a worker be the end of the run."""
    return clusters.break_clusters(folder, 1, HERE, fault="all workers are killed").wrong


def markup(folder: Path, _: Server) -> list[str]:
    """Put a title into a page as it is."""
    return sessions.mark_up(folder, sessions.MARKUP[:2], naive.report).wrong


def caches(folder: Path, _: Server) -> list[str]:
    """Take whatever folder is named."""
    return sessions.lay_traps(folder, HERE).wrong


def sockets(_: Path, __: Server) -> list[str]:
    """Start a cluster as its library does by default."""
    with _default_cluster():
        return sessions.listening()


@contextlib.contextmanager
def _default_cluster() -> Iterator[None]:
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(n_workers=1, threads_per_worker=1):
            yield


CONTROLS: Mapping[str, Control] = {
    one.__name__: one
    for one in (
        *(deaths, surroundings, damages, bad_disks, races, dead_locks, layouts),
        *(inputs, good, payloads, escaped, flips, cluster_faults, signals, markup, caches, sockets),
    )
}
"""Naive programs by the trial that must condemn them; the trial of kills judges as that of deaths does."""
