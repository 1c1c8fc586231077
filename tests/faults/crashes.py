"""Death before every change that a whole run makes on the file system; a look at what is left; a second run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.server import Server

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
HERE = "tests.faults.crashes:"


@dataclass
class Deaths:
    """What the deaths of one run left."""

    points: int = 0
    died: int = 0
    stores: int = 0
    kept: int = 0
    wrong: list[str] = field(default_factory=list)


def run(output: str, wait: float = 0.0, seed: int = 0, overwrite: bool = False) -> int:
    """Run three stages and an export: a volume, its smooth copy, its atoms, their text."""
    from aetx.run import run_plan
    from tests.run import tiny

    job = tiny.job(
        tiny.step("made", tiny.make, tiny.MakeParams(edge=20, seed=seed)),
        tiny.step("smooth", tiny.smooth, volume="made"),
        tiny.step("atoms", tiny.pick, tiny.PickParams(wait=wait), volume="smooth"),
        tiny.step("text", tiny.text, atoms="atoms"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_plan(tiny.plan(job), output=Path(output), reporter=None, quiet=True, overwrite=overwrite)
    return 0


def again(output: str) -> int:
    """Make every result of a finished run again, as ``--overwrite`` does."""
    return run(output, overwrite=True)


def naive(output: str) -> int:
    """Do the same as a program does that thinks no one will ever pull the plug."""
    import xarray as xr

    from tests.run import tiny

    made = tiny.make(params=tiny.MakeParams(edge=20))
    for name, one in (("made", made), ("smooth", made * 2)):
        path = Path(output) / "results" / f"{name}.zarr"
        with contextlib.suppress(OSError, KeyError, ValueError):
            xr.open_zarr(path, consolidated=False)
            continue  # it opens, so it is there
        one.to_zarr(path, mode="w", consolidated=False)
    return 0


def count(output: str, how: str) -> int:
    """Run to the end and print how many changes there were."""
    seen = _watch(output, 0, torn=False)
    globals()[how](output)
    print(json.dumps({"changes": len(seen), "digests": digests(Path(output), how)}))
    return 0


def die(output: str, step: str, torn: str, how: str) -> int:
    """Run and die before a change; with `torn`, a file that was to be written is left with some bytes in it."""
    _watch(output, int(step), torn=torn == "torn")
    globals()[how](output)
    return 0


def die_after(output: str, seconds: str, how: str) -> int:
    """Run and be killed by the system after so many seconds, whatever is being done."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    globals()[how](output)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def recover(output: str, expected: str, how: str) -> int:
    """Look at what a death left, run again, compare; print what is wrong."""
    place, wanted = Path(output), json.loads(expected)
    wrong = list(_left(place, wanted, how))
    before = {str(path): path.stat().st_mtime_ns for path in place.rglob("aetx-manifest.json")}
    before = {name: when for name, when in before.items() if "/results/" in name}
    globals()[how](output)
    found = digests(place, how)
    wrong += [f"after the second run {name} differs" for name in wanted if found.get(name) != wanted[name]]
    kept = [name for name, when in before.items() if Path(name).exists() and Path(name).stat().st_mtime_ns == when]
    wrong += [f"{name} was finished and made again" for name in before if name not in kept]
    if how == "run":
        litter = list((place / ".aetx-tmp").iterdir())
        wrong += [f"{one.name} is left over" for one in litter]
    print(json.dumps({"wrong": wrong, "stores": len(before), "kept": len(kept)}))
    return 0


def digests(output: Path, how: str) -> dict[str, str]:
    """Return a digest of the numbers of each result."""
    import numpy as np
    import xarray as xr

    made = {}
    for path in sorted((output / "results").glob("*.zarr")) if (output / "results").is_dir() else []:
        with warnings.catch_warnings(), contextlib.suppress(OSError, KeyError, ValueError):
            warnings.simplefilter("ignore")
            one = xr.open_zarr(path, consolidated=False)
            text = "".join(
                f"{name}{np.asarray(one[name].values).tobytes()!r}" for name in sorted(map(str, one.variables))
            )
            made[path.name] = hashlib.sha256(text.encode()).hexdigest()
    if how != "naive" and (output / "exports").is_dir():
        for path in sorted((output / "exports").iterdir()):
            if not path.name.startswith("."):
                made[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return made


def _left(output: Path, wanted: dict[str, str], how: str) -> Iterator[str]:
    """Give what is wrong with what stands under the final names, and with what another program could open."""
    import xarray as xr

    from aetx.core.record import RunRecord
    from aetx.errors import InputError
    from aetx.store import open_store, verify

    found = digests(output, how)
    yield from (f"{name} opens and holds other numbers" for name in found if found[name] != wanted.get(name))
    if how != "run":
        return
    for path in sorted((output / "results").glob("*.zarr")):
        try:
            open_store(path).load()
        except InputError as error:
            yield f"{path.name} stands under its final name and does not open: {error}"
        if verify(path):
            yield f"{path.name} is damaged"
    for root in (output / ".aetx-tmp").glob("*/zarr.json"):
        with warnings.catch_warnings(), contextlib.suppress(OSError, KeyError, ValueError):
            warnings.simplefilter("ignore")
            xr.open_zarr(root.parent, consolidated=True)
            whole = (root.parent / "aetx-manifest.json").exists() or _as_final(root.parent, wanted)
            if not whole:
                yield f"the unfinished {root.parent.name} opens"
    record = output / "aetx-run.json"
    if record.exists():
        RunRecord.model_validate_json(record.read_text(encoding="utf-8"))


def _as_final(store: Path, wanted: dict[str, str]) -> bool:
    import numpy as np
    import xarray as xr

    one = xr.open_zarr(store, consolidated=False)
    text = "".join(f"{name}{np.asarray(one[name].values).tobytes()!r}" for name in sorted(map(str, one.variables)))
    return hashlib.sha256(text.encode()).hexdigest() in wanted.values()


def _watch(output: str, step: int, *, torn: bool) -> list[str]:
    """Watch every change below a folder; die before the step-th. Durability is watched as well."""
    seen: list[str] = []
    sync = os.fsync

    def note(what: str, path: object) -> None:
        seen.append(what)
        if len(seen) == step:
            if torn and what == "open":
                Path(str(path)).write_bytes(b"torn")
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[0], str) or not int(arguments[2] or 0) & WRITING:
                return
        elif event not in CHANGES:
            return
        name = os.fspath(arguments[0]) if not isinstance(arguments[0], int) else ""
        below = str(name).startswith(output)
        within = event in ("os.remove", "os.rmdir") and not str(name).startswith("/")
        if below or within:
            note(event, name)

    def synced(handle: int) -> None:
        note("fsync", handle)
        sync(handle)

    sys.addaudithook(hear)
    os.fsync = synced  # type: ignore[assignment]
    return seen


def enumerate_deaths(folder: Path, server: Server, every: int = 1, how: str = "run", first: int = 1) -> Deaths:
    """Let a run die before each change, or before every so many; torn writes at every second point.

    With `again` for `how`, runs die that make the results of a finished run again.
    """
    whole, over = folder / "whole", how == "again"
    told = _counted(server, whole, "run" if over else how)
    if over:
        shutil.copytree(whole, folder / "over")
        told = _counted(server, folder / "over", how)
    expected, deaths = json.dumps(told["digests"]), Deaths(points=told["changes"])
    assert told["digests"]
    for number, step in enumerate(range(first, told["changes"] + 1, every)):
        output = folder / f"died-{step}"
        if over:
            shutil.copytree(whole, output)
        torn = "torn" if number % 2 else "whole"
        words = [str(output), str(step), torn, how]
        _judge(server, folder, output, ("die", words, signal.SIGKILL), expected, deaths)
    return deaths


def _counted(server: Server, output: Path, how: str) -> dict[str, Any]:
    """Run to the end; return the number of changes, and the digests of the results."""
    answer = server.ask([str(output), how], output.parent, function=HERE + "count", seconds=60)
    assert answer.code == 0, answer.err[-2000:]
    told: dict[str, Any] = json.loads(answer.out.splitlines()[-1])
    return told


def kill_at_random(folder: Path, server: Server, times: int, how: str = "run", seed: int = 0) -> Deaths:
    """Let the system kill a run at so many random moments, those not counted at which it has ended."""
    deaths, chance = Deaths(), random.Random(seed)
    answer = server.ask([str(folder / "whole"), how], folder, function=HERE + "count", seconds=60)
    expected = json.dumps(json.loads(answer.out.splitlines()[-1])["digests"])
    begin = time.monotonic()
    server.ask([str(folder / "timed"), how], folder, function=HERE + "count", seconds=60)
    longest = time.monotonic() - begin
    while deaths.died < times and deaths.points < 3 * times:
        deaths.points += 1
        output = folder / f"killed-{deaths.points}"
        words = [str(output), f"{chance.uniform(0.001, longest):.4f}", how]
        _judge(server, folder, output, ("die_after", words, signal.SIGALRM), expected, deaths)
    return deaths


def _judge(
    server: Server, folder: Path, output: Path, death: tuple[str, list[str], int], expected: str, deaths: Deaths
) -> None:
    """Let a run die, look at what it left, run again."""
    (function, words, number), how = death, death[1][-1].replace("again", "run")
    what = " ".join(words[1:])
    killed = server.ask(words, folder, function=HERE + function, seconds=60)
    if killed.code != -number:
        if killed.code:
            deaths.wrong.append(f"point {what}: ended with {killed.code}: {killed.err[-500:]}")
        return
    deaths.died += 1
    after = server.ask([str(output), expected, how], folder, function=HERE + "recover", seconds=60)
    if after.code:
        deaths.wrong.append(f"point {what}: the second run ended with {after.code}: {after.err[-500:]}")
        return
    found = json.loads(after.out.splitlines()[-1])
    deaths.stores, deaths.kept = deaths.stores + found["stores"], deaths.kept + found["kept"]
    deaths.wrong += [f"point {what}: {one}" for one in found["wrong"]]
    shutil.rmtree(output)
