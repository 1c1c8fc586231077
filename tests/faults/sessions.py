"""Whole runs in processes of their own: other surroundings, signals at random times, strings that want to be markup."""

from __future__ import annotations

import html.parser
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aetx.run import run_plan
from aetx.run.verify import verify_output
from tests.faults.kill_quickstart import digests
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


@dataclass
class Seen:
    """How many were tried, and everything wrong."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0


def surround(folder: Path) -> Seen:
    """Run in many surroundings: the numbers are the same, and a second run in other ones makes nothing again."""
    found, first = Seen(), dict[str, str]()
    for number, (name, changes) in enumerate(SURROUNDINGS.items()):
        output = folder / f"out{number}"
        spelled = f"{output}/" if "SLASH" in changes else str(output)
        if "DETOUR" in changes:
            spelled = str(folder / "." / "nowhere" / ".." / f"out{number}")
            (folder / "nowhere").mkdir()
        environment = {**os.environ, **changes}
        if changes.get("HOME") == "":
            del environment["HOME"]
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.racer", spelled]
        mask = int(changes.get("UMASK", "022"), 8)
        for turn in range(2):
            where = environment if turn == 0 else dict(os.environ)
            words = command if turn == 0 else [*command[:-1], str(output)]
            done = subprocess.run(words, cwd=ROOT, env=where, umask=mask, capture_output=True, text=True, check=False)
            if done.returncode:
                found.wrong.append(f"{name}: ended with {done.returncode}: {done.stderr[-200:]}")
            times = {str(one): one.stat().st_mtime_ns for one in output.rglob("aetx-manifest.json")}
            if turn == 0:
                before = times
            elif times != before:
                found.wrong.append(f"{name}: a second run made results again")
        made = digests(output)
        first = first or made
        if made != first or not made:
            found.wrong.append(f"{name}: other numbers")
        found.tried += 1
    return found


def interrupt(folder: Path, times: int, seed: int = 0) -> Seen:
    """Send a signal at a random moment, many times: a soon end with the right code, and a good second run."""
    found, chance = Seen(), random.Random(seed)
    for number in range(times):
        output = folder / f"out{number}"
        command = [sys.executable, "-W", "ignore", "-m", "tests.run.drive", str(output)]
        which = chance.choice((signal.SIGINT, signal.SIGTERM))
        process = subprocess.Popen([*command, "0.5"], cwd=ROOT, stderr=subprocess.PIPE)
        while not (output / ".aetx-output").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.2, 3))
        begin = time.monotonic()
        process.send_signal(which)
        process.communicate(timeout=60)
        found.slowest = max(found.slowest, time.monotonic() - begin)
        if process.returncode not in (0, 128 + which):
            found.wrong.append(f"{which.name} {number}: ended with {process.returncode}")
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if again.returncode or verify_output(output) or list((output / ".aetx-tmp").iterdir()):
            found.wrong.append(f"{which.name} {number}: the second run ended with {again.returncode}")
        found.tried += 1
    return found


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


def mark_up(folder: Path, texts: tuple[str, ...] = MARKUP) -> Seen:
    """Give titles that want to be markup: the report has the tags of a report with a plain title, and none more."""
    found, plain = Seen(), None
    for number, text in enumerate(("plain", *texts)):
        job = tiny.job(tiny.step("atoms", tiny.pick, volume="made"), report=())
        job = tiny.job(tiny.step("made", tiny.make, tiny.MakeParams(edge=8)), *job.steps)
        plan = tiny.plan(job)
        output = folder / f"out{number}"
        run_plan(plan.__class__(**{**vars(plan), "title": text, "text": f"# {text}\n"}), output=output, quiet=True)
        page = Tags()
        page.feed((output / "report.html").read_text(encoding="utf-8"))
        plain = plain or page.tags
        if page.live or page.tags != plain:
            found.wrong.append(f"{text}: {page.live or {k: v for k, v in page.tags.items() if plain.get(k) != v}}")
        found.tried += bool(number)
    return found


def flip_results(folder: Path) -> Seen:
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
            told = bool(verify_output(folder / "out"))
        except Exception as error:  # noqa: BLE001 - anything but words is a fault to be told
            told = False
            found.wrong.append(f"{file.name}: {error!r}")
        if not told:
            found.wrong.append(f"{file.relative_to(folder)}: not found")
        file.write_bytes(content)
        found.tried += 1
    return found
