"""Outputs that hold what a run did not make: refused, and every byte still there; and runs that race for one output."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.bad_inputs import digest
from tests.faults.inputs.base import in_turn, mrc, volume
from tests.faults.inputs.stores import published
from tests.faults.server import ROOT, Server


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


LAYOUTS: Mapping[str, tuple[Callable[[Path], object], str]] = {
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


def refuse_layouts(folder: Path, server: Server) -> list[str]:
    """Return in which layouts a run did not end with 2 and an unchanged tree."""
    wrong = []
    for number, (name, (make, output)) in enumerate(LAYOUTS.items()):
        for overwrite in ([], ["--overwrite"]):
            here = folder / f"{number}{len(overwrite)}" / "here"
            here.mkdir(parents=True)
            (here / "v.mrc").write_bytes(mrc())
            volume(here, "v.mrc")
            make(here / "out")
            before = digest(here)
            command = ["run", "recipe.yaml", "--output", output, "--json", *overwrite]
            answer = server.ask(command, here, seconds=20)
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
    wrong: list[str] = field(default_factory=list)


def race(folder: Path, times: int) -> Races:
    """Start two runs on one output nearly at once, many times: one wins, or both one after the other."""
    from tests.faults.kill_quickstart import digests

    found = Races()
    first: dict[str, str] = {}
    for number in range(times):
        output = folder / f"race{number}"
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.racer", str(output)]
        begin = time.monotonic()
        runs = []
        for _ in range(2):
            runs.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            time.sleep((number % 5) * 0.2)
        ends = []
        for run in runs:
            out, err = run.communicate(timeout=300)
            ends.append(run.returncode)
            if run.returncode == 5:
                found.busy += 1
                if not (str(os.getpid()) or socket.gethostname()) or "process" not in out + err:
                    found.wrong.append(f"race {number}: the loser does not say who won: {err[-300:]}")
        found.slowest = max(found.slowest, time.monotonic() - begin)
        if sorted(ends) not in ([0, 5], [0, 0]):
            found.wrong.append(f"race {number}: ended with {ends}")
        found.won += ends.count(0)
        made = digests(output)
        first = first or made
        if made != first:
            found.wrong.append(f"race {number}: other numbers")
    return found
