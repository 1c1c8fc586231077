"""The promises of reliability, one by one: ``python -m tests.faults [--full] [--json] [--only P1 ...]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults import (
    bad_inputs,
    clusters,
    crashes,
    damage,
    disks,
    escapes,
    folders,
    kill_quickstart,
    locks,
    mutants,
    sessions,
)
from tests.faults.controls import CONTROLS
from tests.faults.inputs.good import GOOD
from tests.faults.server import Server


@dataclass
class Row:
    """One promise: what was tried, what was reached, what is wrong."""

    promise: str
    tried: str
    wrong: list[str] = field(default_factory=list)
    naive: list[str] = field(default_factory=list)
    """What the same check finds wrong with a naive program."""
    seconds: float = 0.0


Trial = Callable[[Path, bool], Row]


def deaths(folder: Path, full: bool) -> Row:
    """Whole runs that die before every change (P1, P2)."""
    with Server() as server:
        found = crashes.enumerate_deaths(folder, server, 1 if full else 40)
        over = crashes.enumerate_deaths(_made(folder / "again"), server, 1 if full else 150, "again")
    tried = (
        f"{found.died} of {found.points} changes of a run of three stages, {over.died} of {over.points} with "
        f"--overwrite; {found.kept + over.kept} of {found.stores + over.stores} stores kept"
    )
    wrong = found.wrong + [f"--overwrite: {one}" for one in over.wrong]
    return Row("P1, P2 death at every change: nothing wrong opens, the same bits after", tried, wrong)


def kills(folder: Path, full: bool) -> Row:
    """Runs killed at random moments (P1, P2)."""
    command = [sys.executable, "-m", "tests.run.drive"]
    tally = kill_quickstart.kill_many(command, 20 if full else 2, folder)
    with Server() as server:
        forked = crashes.kill_at_random(_made(folder / "forked"), server, 200 if full else 5)
    tried = f"{forked.died} kills of runs that were forked and {tally.kills} of runs from the start; "
    tried += f"{forked.stores + tally.stores_seen} stores complete after one, {forked.kept + tally.stores_kept} kept"
    return Row("P1, P2 kills at random moments", tried, forked.wrong + tally.wrong)


def surroundings(folder: Path, full: bool) -> Row:
    """Other time zones, locales, umasks, homes, spellings (P2)."""
    found = sessions.surround(folder) if full else sessions.Seen()
    tried = f"{found.tried} of {len(sessions.SURROUNDINGS)} surroundings, each run twice"
    return Row("P2 surroundings change nothing", tried, found.wrong)


def damages(folder: Path, full: bool) -> Row:
    """Chunks and metadata deleted, emptied, cut, flipped (P3)."""
    found = damage.damage_all(folder, 1000 if full else 150)
    wrong = found.silent + ["verify missed some"] * (found.verified < found.made)
    return Row(
        "P3 no damage is silent", f"{found.verified} of {found.made} found by verify, {found.read} on reading", wrong
    )


def bad_disks(folder: Path, full: bool) -> Row:
    """Faults of the file system at every change, and small disks (P4)."""
    options = (*(f"size={1 << shift}k" for shift in range(3, 11)), "nr_inodes=9", "nr_inodes=40", "size=4m,ro")
    with Server() as server:
        found = disks.fail_everywhere(_made(folder / "injected"), server, 1 if full else 60)
        small = disks.fill_disks(folder / "small", server, options if full else options[3::4])
    tried = f"{found.runs} runs with a fault, {found.stopped} stopped in words, the slowest in {found.slowest:.1f} s; "
    tried += (
        "no disk could be mounted" if small is None else f"{small.runs} small disks, {small.stopped} stopped in words"
    )
    return Row("P4 a bad disk stops a run cleanly", tried, found.wrong + (small.wrong if small else []))


def races(folder: Path, full: bool) -> Row:
    """Two runs on one output (P5)."""
    found = folders.race(folder, 50 if full else 3)
    tried = f"{found.won} runs finished, {found.busy} gave way and said to whom, the slowest in {found.slowest:.1f} s"
    return Row("P5 one writer", tried, found.wrong)


def dead_locks(folder: Path, full: bool) -> Row:
    """Locks of the dead and of the living (P5)."""
    found = locks.judge_locks(folder)
    tried = f"{found.taken} of {len(locks.DEAD)} dead locks taken over, {found.left} of {len(locks.ALIVE)} living left"
    return Row("P5 a lock dies with its owner", tried, found.wrong)


def layouts(folder: Path, full: bool) -> Row:
    """Outputs that hold what no run made (P6)."""
    with Server() as server:
        wrong = folders.refuse_layouts(folder, server)
    return Row(
        "P6 only what aetx made is deleted", f"{len(folders.LAYOUTS)} layouts, with and without --overwrite", wrong
    )


def inputs(folder: Path, full: bool) -> Row:
    """Every bad input (P8, P9)."""
    cases = list(bad_inputs.CASES.values())
    wrong, slowest, largest = [], 0.0, 0
    for one in bad_inputs.judge_all(cases if full else cases[::4], folder):
        wrong += [f"{one.case.name}: {each}" for each in one.wrong]
        slowest, largest = max(slowest, one.answer.seconds), max(largest, one.answer.grown)
    bad = sum(case.code > 0 for case in cases)
    tried = (
        f"{len(cases if full else cases[::4])} of {len(cases)} ({bad} malformed); at most {slowest:.1f} s of one core "
    )
    return Row("P8, P9 bad inputs are refused in words", tried + f"and {largest / 1e6:.0f} MB", wrong)


def good(folder: Path, full: bool) -> Row:
    """Good files, and their mutants (P8)."""
    wrong, read, refused = [], 0, 0
    with Server() as server:
        for number, (name, make) in enumerate(GOOD.items()):
            place = _made(folder / f"g{number}")
            make(place)
            answer = server.ask([str(place)], place, function="tests.faults.reading:read_good")
            wrong += [f"{name} was refused: {answer.out[:200]}"] if answer.code else []
            herd = mutants.mutate(name, 90 if full else 5, _made(folder / f"m{number}"), server)
            wrong += [f"{name}: {one}" for one in herd.faults]
            read, refused = read + herd.read, refused + herd.refused
    tried = f"{len(GOOD)} good files; {read + refused} mutants of them, {refused} refused"
    return Row("P8 good files are never refused, mutants never crash", tried, wrong)


def payloads(folder: Path, full: bool) -> Row:
    """Code in data (P10)."""
    cases = dict(list(escapes.PAYLOADS.items())[:: 1 if full else 4])
    found = escapes.trace(cases, folder)
    return Row(
        "P10 no code runs from data", f"{found.cases} of {len(escapes.PAYLOADS)} payloads; {found.tracer}", found.wrong
    )


def escaped(folder: Path, full: bool) -> Row:
    """Paths that lead elsewhere (P11)."""
    cases = dict(list(escapes.ESCAPES.items())[:: 1 if full else 4])
    found = escapes.trace(cases, folder)
    return Row(
        "P11 a run stays inside", f"{found.cases} of {len(escapes.ESCAPES)} escapes; {found.tracer}", found.wrong
    )


def flips(folder: Path, full: bool) -> Row:
    """A byte flipped in every file of a run (P12)."""
    found = sessions.flip_results(folder)
    return Row("P12 verify finds a flipped byte", f"{found.tried} files", found.wrong)


def cluster_faults(folder: Path, full: bool) -> Row:
    """Workers and schedulers that are lost (P13)."""
    found = clusters.break_clusters(folder, 50 if full else 3)
    tried = f"{(50 if full else 3) - found.missed} faults; {found.well} runs finished, {found.told} ended in words"
    return Row("P13 cluster faults cost time only", f"{tried}, the slowest {found.slowest:.0f} s later", found.wrong)


def signals(folder: Path, full: bool) -> Row:
    """Signals at random moments (P14)."""
    found = sessions.interrupt(_made(folder / "threads"), 50 if full else 3)
    workers = sessions.interrupt(_made(folder / "workers"), 10 if full else 1, options=("--local", "20"))
    tried = f"{found.tried} signals, the slowest end in {found.slowest:.1f} s; "
    tried += f"{workers.tried} with worker processes, {workers.slowest:.1f} s"
    return Row("P14 a signal stops a run", tried, found.wrong + [f"worker processes: {one}" for one in workers.wrong])


def markup(folder: Path, full: bool) -> Row:
    """Titles that want to be markup (P15)."""
    found = sessions.mark_up(folder, sessions.MARKUP if full else sessions.MARKUP[:2])
    return Row("P15 reports escape every string", f"{found.tried} titles", found.wrong)


def caches(folder: Path, full: bool) -> Row:
    """Folders of other users in the places of caches (P15)."""
    found = sessions.lay_traps(folder)
    return Row("P15 nothing is loaded from the folders of other users", f"{found.tried} folders", found.wrong)


def sockets(folder: Path, full: bool) -> Row:
    """Whom a run with worker processes lets speak to them (P15)."""
    found = sessions.run_beside_others()
    return Row("P15 no socket beyond loopback", f"{found.tried} run with worker processes", found.wrong)


TRIALS: tuple[Trial, ...] = (
    *(deaths, kills, surroundings, damages, bad_disks, races, dead_locks, layouts),
    *(inputs, good, payloads, escaped, flips, cluster_faults, signals, markup, caches, sockets),
)
ELSEWHERE = {
    "P7 memory": "python -m tests.benchmarks.scale; tests/run/test_memory.py",
    "P12 inputs that change during a run": "tests/run/test_run.py",
    "P13 tasks that crash or want too much, clusters elsewhere": "tests/run/test_cluster.py",
}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _naive(trial: str, folder: Path) -> list[str]:
    """Put a naive program to a trial and return what is wrong with it."""
    with Server() as server:
        return CONTROLS[{"kills": "deaths"}.get(trial, trial)](folder, server)


def main() -> int:
    """Try every promise, print what was reached, and return 0 if nothing is wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--full", action="store_true", help="every point, not a sample: an hour or more")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument(
        "--only", nargs="*", default=[], metavar="TRIAL", help=", ".join(one.__name__ for one in TRIALS)
    )
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for trial in (one for one in TRIALS if not given.only or one.__name__ in given.only):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="aetx-faults-") as folder:
            _made(Path(folder) / "small")
            row = trial(Path(folder), given.full)
            row.naive = _naive(trial.__name__, _made(Path(folder) / "naive"))
            row.wrong += [] if row.naive else ["a naive program fails nothing here"]
        row.seconds = time.monotonic() - begin
        rows.append(row)
        if not given.json:
            reached = "reached" if not row.wrong else f"short by {len(row.wrong)}"
            print(f"{row.promise}\n    {reached}: {row.tried} ({row.seconds:.0f} s)", flush=True)
            print(f"    a naive program fails it {len(row.naive)} times: {row.naive[:1]}"[:160], flush=True)
            for one in row.wrong[:10]:
                print(f"    {one[:300]}", flush=True)
    if given.json:
        print(
            json.dumps(
                {"full": given.full, "promises": [asdict(row) for row in rows], "elsewhere": ELSEWHERE}, indent=1
            )
        )
    else:
        print("\n".join(f"{promise}: {where}" for promise, where in ELSEWHERE.items()))
    return int(any(row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
