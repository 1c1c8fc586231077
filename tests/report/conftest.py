"""A real browser, spoken to over a pipe: what it loads, what it says, what it shows."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PLACE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """One page in a headless browser (DevTools protocol, messages ended by a zero byte on descriptors 3 and 4)."""

    def __init__(self, program: str, profile: Path, *options: str) -> None:
        pipes = [*os.pipe(), *os.pipe()]
        taken, given, answered, answer = (fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in pipes)
        arguments = [
            *(program, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run"),
            *("--enable-unsafe-swiftshader", "--remote-debugging-pipe", f"--user-data-dir={profile}", *options),
            "about:blank",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLACE, str(taken), str(answer), *arguments],
            pass_fds=(taken, answer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (*pipes, taken, answer):
            os.close(end)
        self._to, self._from, self._rest, self._number = given, answered, b"", 0
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    _session = ""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and return its answer; events that come first are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return dict(heard["result"])
            self.events.append(heard)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._from, 2**20)
            assert piece, "the browser has gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, page: Path, width: int = 1200, height: int = 900) -> None:
        """Open a page and wait until it has loaded and, where there are atoms, drawn them."""
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=page.as_uri())
        wanted = (
            f"document.readyState === 'complete' && location.href === {json.dumps(page.as_uri())} && "
            "[...document.querySelectorAll('.atoms3d')].every((e) => e.dataset.drawn === 'yes')"
        )
        limit = time.monotonic() + 30
        while not self.ask(wanted):
            assert time.monotonic() < limit, "the page has not loaded"
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def heard(self, *methods: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of some names since the page was opened."""
        self.ask("new Promise((done) => setTimeout(done, 150))")
        return [one["params"] for one in self.events if one.get("method") in methods]

    def picture(self) -> bytes:
        """Return a PNG of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End the browser."""
        self.process.terminate()
        self.process.wait(timeout=10)
        os.close(self._to)
        os.close(self._from)


def start(profile: Path, *options: str) -> Iterator[Browser]:
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no chromium on this machine: the page was not looked at in a browser")
    browser = Browser(program, profile, *options)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from start(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def browser_without_webgl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from start(tmp_path_factory.mktemp("profile"), "--disable-3d-apis")
