"""Outputs that hold what a run did not make: refused, and every byte still there; and runs that race for one output."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import crashes
from tests.faults.bad_inputs import digest
from tests.faults.inputs.base import in_turn, mrc, volume
from tests.faults.inputs.stores import published
from tests.faults.server import COMMAND, ROOT, Server


def _files(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")


def _another(out: Path) -> None:
    published().to_zarr(out / "v.zarr", zarr_format=3, consolidated=False)


def _itself(out: Path) -> None:
    published().to_zarr(out, zarr_format=3, consolidated=False)


def _half(out: Path) -> None:
    _another(out)
    (out / "results").mkdir()
    (out / "v.zarr" / "zarr.json").unlink()


def _linked(out: Path) -> None:
    (out.parent / "real").mkdir()
    (out.parent / "real" / "precious").write_text("x")
    out.symlink_to("real")


def _inside(name: str) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        (out.parent / "real").mkdir()
        (out.parent / "real" / "precious").write_text("x")
        out.mkdir()
        (out / name).symlink_to("../real")

    return make


def _marked_link(name: str) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        _inside(name)(out)
        (out / ".aetx-output").write_text("{}")

    return make


def _claimed(what: str) -> Callable[[Path], None]:
    """An output of aetx in whose place for the result lies something else."""

    def make(out: Path) -> None:
        (out / "results").mkdir(parents=True)
        (out / ".aetx-output").write_text("{}")
        place = out / "results" / "a.zarr"
        if what == "folder":
            place.mkdir()
            (place / "precious").write_text("x")
        elif what == "store":
            published().to_zarr(place, zarr_format=3, consolidated=False)
        elif what == "link":
            (out.parent / "real").mkdir()
            (out.parent / "real" / "precious").write_text("x")
            place.symlink_to("../../real")
        else:
            place.write_text("x")

    return make


def _nothing(_: Path) -> None:
    pass


Layout = tuple[Callable[[Path], object], str]
"""What makes a layout around a path, and the output that is asked for."""
LAYOUTS: Mapping[str, Layout] = {
    "user files": (_files, "out"),
    "hidden files": (in_turn(Path.mkdir, lambda out: (out / ".x").write_text("x")), "out"),
    "another program's store in it": (_another, "out"),
    "another program's store itself": (_itself, "out"),
    "half a store": (_half, "out"),
    "a link to a folder": (_linked, "out"),
    "a link to nowhere": (lambda out: out.symlink_to("nowhere"), "out"),
    "a link to itself": (lambda out: out.symlink_to("out"), "out"),
    "a link for results": (_inside("results"), "out"),
    "a link for exports": (_inside("exports"), "out"),
    "a link for what is unfinished": (_inside(".aetx-tmp"), "out"),
    "a link for results in an output": (_marked_link("results"), "out"),
    "a link for what is unfinished in an output": (_marked_link(".aetx-tmp"), "out"),
    "a folder in the place of a result": (_claimed("folder"), "out"),
    "another program's store in the place of a result": (_claimed("store"), "out"),
    "a link in the place of a result": (_claimed("link"), "out"),
    "a file in the place of a result": (_claimed("file"), "out"),
    "a file": (lambda out: out.write_text("x"), "out"),
    "below a file": (lambda out: out.write_text("x"), "out/deep/er"),
    "below a link to itself": (lambda out: out.symlink_to("out"), "out/deep"),
    "the current folder": (_nothing, "."),
    "the root": (_nothing, "/"),
    "the input": (_nothing, "v.mrc"),
    "the folder of the input": (_nothing, "../here"),
    "a mount point": (_nothing, "/proc"),
}


def refuse_layouts(
    folder: Path, server: Server, layouts: Mapping[str, Layout] = LAYOUTS, function: str = COMMAND
) -> list[str]:
    """Return in which layouts a run did not end with 2 and an unchanged tree."""
    wrong = []
    for number, (name, (make, output)) in enumerate(layouts.items()):
        for overwrite in ([], ["--overwrite"]):
            here = folder / f"{number}{len(overwrite)}" / "here"
            here.mkdir(parents=True)
            (here / "v.mrc").write_bytes(mrc())
            volume(here, "v.mrc")
            make(here / "out")
            before = digest(here)
            command = ["run", "recipe.yaml", "--output", output, "--json", *overwrite]
            answer = server.ask(command, here, function=function, seconds=20)
            stages = name.endswith("the place of a result") and answer.code == 2
            if answer.code not in ((2, 4) if output == "/proc" else (2,)):
                wrong.append(f"{name} {overwrite}: ended with {answer.code}: {answer.err[-200:]}")
            if digest(here) != before and not (stages and _precious(here, name)):
                wrong.append(f"{name} {overwrite}: the tree was changed")
    return wrong


def _precious(here: Path, name: str) -> bool:
    """Tell whether what stood in the place of a result still does; a record beside it is the run's own."""
    place = here / "out" / "results" / "a.zarr"
    if name.startswith("another"):
        return (place / "density" / "zarr.json").is_file()
    return (place / "precious").is_file() if not name.startswith("a file") else place.read_text() == "x"


@dataclass
class Races:
    """What became of runs that raced."""

    won: int = 0
    busy: int = 0
    slowest: float = 0.0
    """Seconds that the slowest loser took to give way."""
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Racer:
    """One of two runs that raced: its number and end, and when it began and ended to work."""

    pid: int
    code: int
    said: str
    began: float
    ended: float


RACER = "tests.faults.racer"


def race(folder: Path, times: int, program: str = RACER, seed: int = 0) -> Races:
    """Start two runs on one output nearly at once, many times, every second time of another recipe each.

    One wins and the other gives way at once and says to whom; or one works after the other has ended.
    """
    found, chance = Races(), random.Random(seed)
    alone = []
    for recipe in range(min(times, 2)):
        output = folder / f"alone{recipe}"
        _racers(program, output, (recipe,), 0.0)
        alone.append(crashes.digests(output, "run"))
    for number in range(times):
        output, recipes = folder / f"race{number}", (0, number % 2)
        runs = _racers(program, output, recipes, chance.uniform(0.0, 2.0))
        found.wrong += [f"race {number}: {one}" for one in _race_faults(runs, found)]
        if crashes.digests(output, "run") not in (alone[0], alone[recipes[1]]):
            found.wrong.append(f"race {number}: the numbers of neither run")
        shutil.rmtree(output)
    return found


def _racers(program: str, output: Path, recipes: tuple[int, ...], apart: float) -> list[Racer]:
    """Run one or two programs that each make a recipe in one output, the second begun so many seconds later."""
    begun: list[subprocess.Popen[str]] = []
    for recipe in recipes:
        time.sleep(apart if begun else 0.0)
        command = [sys.executable, "-W", "ignore", "-m", program, str(output), str(recipe)]
        begun.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    runs = []
    for one in begun:
        out, err = one.communicate(timeout=300)
        worked = re.search(r"^worked ([\d.]+) ([\d.]+)$", out, re.MULTILINE)
        began, ended = (float(worked[1]), float(worked[2])) if worked else (0.0, 0.0)
        runs.append(Racer(one.pid, one.returncode, err, began, ended))
    return runs


def _race_faults(runs: list[Racer], found: Races) -> Iterator[str]:
    """Give what is wrong with the ends of two runs."""
    won, busy = ([one for one in runs if one.code == code] for code in (0, 5))
    found.won, found.busy = found.won + len(won), found.busy + len(busy)
    if not won or len(won) + len(busy) < len(runs):
        yield f"ended with {[one.code for one in runs]}: {runs[-1].said[-200:]}"
    if len(won) == 2 and min(one.ended for one in won) - max(one.began for one in won) > 1.0:
        yield "both worked at once"
    for one in busy:
        found.slowest = max(found.slowest, one.ended - one.began)
        if one.ended - one.began > 5:
            yield f"the loser took {one.ended - one.began:.0f} s"
        if not all(f"process {other.pid} on {socket.gethostname()}, started 2" in one.said for other in won):
            yield f"the loser does not say who won: {one.said[-300:]}"
