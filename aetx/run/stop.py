"""Ctrl-C and SIGTERM: stop soon, leave a record; a second signal stops at once."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GRACE = 8.0
"""Seconds after a signal at which the process ends whatever it is doing."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The run was told to stop by a signal; `code` is the exit status that says so, 130 or 143."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        self.code = 128 + number
        super().__init__(f"stopped by {self.signal.name}")


@contextlib.contextmanager
def stopping(last_words: Callable[[int], None]) -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first SIGINT or SIGTERM.

    If the main thread sits in one long call and does not get to it, `last_words` is called from another thread after
    `GRACE` seconds, and the process ends; at a second signal, at once. A signal that is ignored when the run starts
    (``nohup``) stays ignored. Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, said = os.pipe()
    os.set_blocking(said, False)
    before = {one: signal.getsignal(one) for one in SIGNALS}
    wakeup = signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(heard, last_words), name="aetx-stop", daemon=True)
    watcher.start()
    try:
        for one in SIGNALS:
            if before[one] is not signal.SIG_IGN:
                signal.signal(one, _once())
        yield
    finally:
        for one in SIGNALS:
            signal.signal(one, before[one] if before[one] is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(wakeup)
        os.close(said)
        watcher.join()
        os.close(heard)


def _once() -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises at the first signal; the watcher deals with the second."""
    raised: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if not raised:
            raised.append(number)
            raise Stopped(number)

    return handle


def _watch(heard: int, last_words: Callable[[int], None]) -> None:
    number = _next(heard)
    if number is None:
        return
    ready, _, _ = select.select([heard], [], [], GRACE)
    if ready and _next(heard) is None:
        return
    try:
        last_words(number)
    finally:
        os._exit(128 + number)


def _next(heard: int) -> int | None:
    """Return the next signal that asks to stop; None when the run is over."""
    while byte := os.read(heard, 1):
        if byte[0] in SIGNALS:
            return byte[0]
    return None
