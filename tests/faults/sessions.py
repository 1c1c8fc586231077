"""Whole runs in processes of their own: other surroundings, signals at random times, strings that want to be markup."""

from __future__ import annotations

import contextlib
import html.parser
import ipaddress
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dask.array as da
import psutil

from aetx.errors import InputError
from aetx.run import run_plan
from aetx.run.job import Reporter
from aetx.run.plan import report
from aetx.run.scheduler import computing
from aetx.run.verify import verify_output
from tests.faults.crashes import digests
from tests.faults.server import ROOT
from tests.run import tiny

SURROUNDINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "far east": {"TZ": "Asia/Tokyo"},
    "far west": {"TZ": "Pacific/Honolulu"},
    "German": {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
    "no locale": {"LC_ALL": "C", "LANG": "C"},
    "no home": {"HOME": ""},
    "another seed of hashes": {"PYTHONHASHSEED": "12345"},
    "no seed of hashes": {"PYTHONHASHSEED": "0"},
    "a strict umask": {"UMASK": "077"},
    "an open umask": {"UMASK": "000"},
    "a slash behind the path": {"SLASH": "1"},
    "a path with a detour": {"DETOUR": "1"},
    "a clock that was a day ahead": {"AHEAD": "86400"},
    "a clock that was ten years behind": {"AHEAD": "-315360000"},
}
MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><iframe src=javascript:alert(1)>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<!--<script>alert(1)</script>-->",
    "<a href='javascript:alert(1)'>x</a>",
    "{{ 7 * 7 }}<b onclick=alert(1)>",
    "{% raw %}<script>{% endraw %}",
    "<body onload=alert(1)>",
    "<math><mi xlink:href='javascript:alert(1)'>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<object data='javascript:alert(1)'>",
    "<base href='//evil'>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
    "<form action=//evil><button>",
    "<link rel=stylesheet href=//evil>",
    '" onmouseover="alert(1)',
)

CACHES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "numba": ("NUMBA_CACHE_DIR", ()),
    "torch": ("TORCHINDUCTOR_CACHE_DIR", ()),
    "dask": ("DASK_TEMPORARY_DIRECTORY", ("0", "--local", "20")),
    "aetx": ("", ()),
}
"""Folders that others could make first: the variable that names each, and how a run comes to use it."""


@dataclass
class Seen:
    """How many were tried, and everything wrong."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


def surround(
    folder: Path, surroundings: Mapping[str, Mapping[str, str]] = SURROUNDINGS, program: str = "tests.faults.racer"
) -> Seen:
    """Run in many surroundings: the numbers are the same, and a second run in other ones makes nothing again."""
    found, first = Seen(), dict[str, str]()
    for number, (name, changes) in enumerate(surroundings.items()):
        output = folder / f"out{number}"
        spelled = f"{output}/" if "SLASH" in changes else str(output)
        if "DETOUR" in changes:
            spelled = str(folder / "." / "nowhere" / ".." / f"out{number}")
            (folder / "nowhere").mkdir()
        environment = {**os.environ, **changes}
        if changes.get("HOME") == "":
            del environment["HOME"]
        command = [sys.executable, "-W", "ignore", "-m", program, spelled]
        mask = int(changes.get("UMASK", "022"), 8)
        for turn in range(2):
            where = environment if turn == 0 else dict(os.environ)
            words = command if turn == 0 else [*command[:-1], str(output)]
            done = subprocess.run(words, cwd=ROOT, env=where, umask=mask, capture_output=True, text=True, check=False)
            if done.returncode:
                found.wrong.append(f"{name}: ended with {done.returncode}: {done.stderr[-200:]}")
            times = {str(one): one.stat().st_mtime_ns for one in output.rglob("aetx-manifest.json")}
            if turn == 0:
                _shift(output, float(changes.get("AHEAD", "0")))
                before = {str(one): one.stat().st_mtime_ns for one in output.rglob("aetx-manifest.json")}
            elif times != before:
                found.wrong.append(f"{name}: a second run made results again")
        made = digests(output, "run")
        first = first or made
        if made != first or not made:
            found.wrong.append(f"{name}: other numbers")
        found.tried += 1
    return found


def _shift(output: Path, seconds: float) -> None:
    """Give every file the time that a clock so many seconds ahead would have given it."""
    for one in output.rglob("*") if seconds else ():
        then = one.stat().st_mtime + seconds
        os.utime(one, (then, then))


def interrupt(
    folder: Path, times: int, seed: int = 0, program: str = "tests.run.drive", options: tuple[str, ...] = ()
) -> Seen:
    """Send a signal at a random moment, many times: a soon end with the right code, and a good second run."""
    found, chance, ended = Seen(), random.Random(seed), 0
    for number in range(times):
        output = folder / f"out{number}"
        command = [sys.executable, "-W", "ignore", "-m", program, str(output)]
        which = chance.choice((signal.SIGINT, signal.SIGTERM))
        process = subprocess.Popen([*command, "0.5", *options], cwd=ROOT, stderr=subprocess.PIPE)
        while not (output / ".aetx-output").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.2, 3))
        below, begin = _below(process.pid), time.monotonic()
        process.send_signal(which)
        process.communicate(timeout=60)
        seconds = time.monotonic() - begin
        found.slowest, ended = max(found.slowest, seconds), ended + (process.returncode == 128 + which)
        if process.returncode not in (0, 128 + which):
            found.wrong.append(f"{which.name} {number}: ended with {process.returncode}")
        if seconds > 10:
            found.wrong.append(f"{which.name} {number}: ended after {seconds:.0f} s")
        alive = psutil.wait_procs(below, timeout=5)[1]
        if alive:
            found.wrong.append(f"{which.name} {number}: {len(alive)} of {len(below)} processes outlive their run")
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        found.wrong += [f"{which.name} {number}: {one}" for one in _second(output, again.returncode)]
        found.tried += 1
    if not ended:
        found.wrong.append("no signal stopped a run")
    return found


def _below(pid: int) -> list[psutil.Process]:
    """Return the processes that a process has started and that still run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _second(output: Path, code: int) -> Iterator[str]:
    """Give what is wrong with the second run after a signal."""
    if code:
        yield f"the second run ended with {code}"
    try:
        if verify_output(output):
            yield "the second run left damage"
    except InputError as error:
        yield f"the second run left no run: {error}"
    if (output / ".aetx-tmp").is_dir() and list((output / ".aetx-tmp").iterdir()):
        yield "the second run left litter"
    yield from (f"{one} was left behind" for one in output.rglob("*.part"))


class Tags(html.parser.HTMLParser):
    """Collects the tags of a page, its handlers and its addresses that run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.live: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith(("javascript:", "//evil")):
                self.live.append(f"{tag} {name}={value}")


def mark_up(folder: Path, texts: tuple[str, ...] = MARKUP, reporter: Reporter = report) -> Seen:
    """Give titles that want to be markup: the report has the tags of a report with a plain title, and none more."""
    found, plain = Seen(), None
    for number, text in enumerate(("plain", *texts)):
        job = tiny.job(tiny.step("atoms", tiny.pick, volume="made"), report=())
        job = tiny.job(tiny.step("made", tiny.make, tiny.MakeParams(edge=8)), *job.steps)
        plan = tiny.plan(job)
        output = folder / f"out{number}"
        run_plan(
            plan.__class__(**{**vars(plan), "title": text, "text": f"# {text}\n"}),
            output=output,
            quiet=True,
            reporter=reporter,
        )
        page = Tags()
        page.feed((output / "report.html").read_text(encoding="utf-8"))
        plain = plain or page.tags
        if page.live or page.tags != plain:
            found.wrong.append(f"{text}: {page.live or {k: v for k, v in page.tags.items() if plain.get(k) != v}}")
        found.tried += bool(number)
    return found


def listening() -> list[str]:
    """Return the sockets on which this process and those below it listen, and which others can reach."""
    return [
        f"process {each.pid} listens on {one.laddr.ip}:{one.laddr.port}"
        for each in (psutil.Process(), *psutil.Process().children(recursive=True))
        for one in each.net_connections("inet")
        if one.status == "LISTEN" and not ipaddress.ip_address(one.laddr.ip).is_loopback
    ]


def run_beside_others() -> Seen:
    """Compute with worker processes on this machine and look who could speak to them."""
    found = Seen(tried=1)
    with computing("local", 1, 0):
        da.ones(10, chunks=5).sum().compute()
        found.wrong += listening()
    return found


def lay_traps(folder: Path, program: str = "tests.run.drive") -> Seen:
    """Run where another user made the folders that libraries keep code or scratch files in.

    A run that would load code from one ends in words before it makes anything; the others it leaves as they are. Where
    this user may not give folders away, they are open to all instead.
    """
    found, kept = Seen(), folder / "kept"
    kept.mkdir()
    (kept / "precious").write_text("kept")
    for name, (variable, options) in CACHES.items():
        output = folder / f"out-{name}"
        place = folder / name if variable else output / ".aetx-tmp"
        place.mkdir(parents=True)
        (place / f"trap-{'0' * 32}").symlink_to(kept)
        place.chmod(0o777)
        if os.getuid() == 0:
            os.chown(place, 12345, 12345)
        environment = {**os.environ, variable: str(place)} if variable else dict(os.environ)
        command = [sys.executable, "-W", "ignore", "-m", program, str(output), *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != (4 if name == "numba" else 0):
            found.wrong.append(f"{name}: ended with {done.returncode}: {done.stderr[-300:]}")
        if name == "numba" and (variable not in done.stderr or output.exists()):
            found.wrong.append(f"{name}: the run was not refused before it began")
        if variable and [one.name for one in place.iterdir()] != [f"trap-{'0' * 32}"]:
            found.wrong.append(f"{name}: the folder of another user was changed")
        if [one.name for one in kept.iterdir()] != ["precious"]:
            found.wrong.append(f"{name}: a link was followed")
        found.tried += 1
    return found


def flip_results(folder: Path, check: Callable[[Path], object] = verify_output) -> Seen:
    """Flip one byte in every file of a finished run: each is found."""
    run_plan(tiny.plan(tiny.chain()), output=folder / "out", reporter=None, quiet=True)
    found = Seen()
    files = [
        one
        for one in sorted((folder / "out").rglob("*"))
        if one.is_file() and ("results" in one.parts or "exports" in one.parts) and not one.name.startswith(".")
    ]
    for file in files[:100]:
        content = file.read_bytes()
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 4
        file.write_bytes(changed)
        try:
            told = bool(check(folder / "out"))
        except Exception as error:  # noqa: BLE001 - anything but words is a fault to be told
            told = False
            found.wrong.append(f"{file.name}: {error!r}")
        if not told:
            found.wrong.append(f"{file.relative_to(folder)}: not found")
        file.write_bytes(content)
        found.tried += 1
    return found
