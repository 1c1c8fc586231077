"""Kill a run at random moments: what opens is right, and the next run ends with the bits of an unbroken one.

``python -m tests.faults.kill_quickstart --kills 50`` does it to ``recipes/quickstart.yaml``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aetx.core.record import RunRecord
from aetx.errors import InputError
from aetx.store import manifest, open_store, verify

ROOT = Path(__file__).parents[2]
MARK = ".aetx-output"


@dataclass
class Tally:
    """What the kills found."""

    kills: int = 0
    finished_before: int = 0
    stores_seen: int = 0
    stores_kept: int = 0
    wrong: list[str] = field(default_factory=list)


def kill_many(command: Sequence[str], kills: int, folder: Path, seed: int = 0) -> Tally:
    """Run a command that takes its output as last word: once unbroken, then killed and run again, until `kills` hit."""
    whole = folder / "whole"
    _, seconds = _run(command, whole)
    expected = digests(whole)
    assert expected, "the unbroken run left no store"
    tally, chance = Tally(), random.Random(seed)
    while tally.kills < kills:
        number = tally.kills + tally.finished_before
        output = folder / f"killed-{number}"
        killed = _kill(command, output, chance.uniform(0, 1.05 * seconds))
        tally.kills += killed
        tally.finished_before += not killed
        tally.wrong += [f"kill {number}: {words}" for words in _check(output, expected, tally)]
        before = _times(output)
        _run(command, output)
        tally.stores_kept += sum(_times(output).get(name) == time_ for name, time_ in before.items())
        after = digests(output)
        tally.wrong += [f"rerun {number}: {name} differs" for name in expected if after.get(name) != expected[name]]
        tally.wrong += [f"rerun {number}: {name} is left over" for name in _litter(output)]
        shutil.rmtree(output)
    return tally


def digests(output: Path) -> dict[str, str]:
    """Return the digest of the data of each finished store, and of each exported file."""
    found = {str(path.relative_to(output)): manifest(path).digest for path in sorted(output.rglob("results/**/*.zarr"))}
    for path in sorted((output / "exports").rglob("*")) if (output / "exports").is_dir() else []:
        if path.is_file() and not path.name.startswith("."):
            found[str(path.relative_to(output))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _check(output: Path, expected: Mapping[str, str], tally: Tally) -> list[str]:
    """Return what is wrong with what a killed run left."""
    wrong = []
    for path in sorted(output.rglob("results/**/*.zarr")) if output.exists() else []:
        name = str(path.relative_to(output))
        try:
            found = manifest(path).digest
            open_store(path)
        except InputError as error:
            wrong.append(f"{name} stands under its final name and does not open: {error}")
            continue
        tally.stores_seen += 1
        if verify(path):
            wrong.append(f"{name} opens and is damaged")
        if found != expected.get(name):
            wrong.append(f"{name} opens and holds other numbers than the unbroken run")
    for path in (output / "exports").rglob("*") if (output / "exports").is_dir() else []:
        name = str(path.relative_to(output))
        shown = path.is_file() and not path.name.startswith(".")
        if shown and hashlib.sha256(path.read_bytes()).hexdigest() != expected.get(name):
            wrong.append(f"{name} is not whole")
    with contextlib.suppress(FileNotFoundError):
        RunRecord.model_validate_json((output / "aetx-run.json").read_text(encoding="utf-8"))
    return wrong


def _times(output: Path) -> dict[str, int]:
    return (
        {str(path): path.stat().st_mtime_ns for path in output.rglob("aetx-manifest.json")} if output.exists() else {}
    )


def _litter(output: Path) -> list[str]:
    scratch = [str(path.relative_to(output)) for path in (output / ".aetx-tmp").iterdir()]
    return scratch + [".aetx-lock"] * (output / ".aetx-lock").exists()


def _start(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command, str(output)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def _begun(process: subprocess.Popen[bytes], output: Path) -> float:
    """Wait until the run has claimed its output; return when."""
    while not (output / MARK).exists() and process.poll() is None:
        time.sleep(0.005)
    return time.monotonic()


def _run(command: Sequence[str], output: Path) -> tuple[int, float]:
    """Run to the end; return the exit code and the seconds since the output was claimed."""
    process = _start(command, output)
    begun = _begun(process, output)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {said.decode()[-2000:]}")
    return process.returncode, time.monotonic() - begun


def _kill(command: Sequence[str], output: Path, after: float) -> bool:
    """Kill a run so many seconds after it has claimed its output; False if it had finished."""
    process = _start(command, output)
    _begun(process, output)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def main() -> int:
    """Kill the quickstart, print what was found, and return 0 if nothing was wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--recipe", default="recipes/quickstart.yaml")
    given = arguments.parse_args()
    command = [sys.executable, "-m", "aetx", "run", given.recipe, "--output"]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aetx-kill-") as folder:
        tally = kill_many(command, given.kills, Path(folder), given.seed)
    print("\n".join(tally.wrong))
    print(f"{tally.kills} kills, {tally.finished_before} runs that ended first, {time.monotonic() - begin:.0f} s")
    print(f"{tally.stores_seen} stores found complete after a kill, {tally.stores_kept} of them kept by the rerun")
    print(f"{len(tally.wrong)} wrong")
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
