"""The optimisation: Adam with a rate that rises, then falls as a cosine; stops when told to, and goes on bit by bit."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from aetx.kernels.neural_networks import Published, Residual
from aetx.run.stop import SIGNALS, Stopped
from aetx.train.examples import batch
from aetx.train.pairs import Pair
from aetx.train.settings import Training
from aetx.train.state import History, keep, take_up
from aetx.train.validation import Score, score

ROWS = 400
"""Rows of the history of losses."""
EACH = 120.0
"""Seconds after which the state is kept again."""
LAST = 0.01
"""Rate at the end, over the greatest."""
LONGEST = 0.2
"""Length to which gradients are cut, some five times the usual one: a cube that surprises must not undo what was
learned, nor weigh for long in the moments."""


@dataclass
class Loop:
    """One training, as far as it has come."""

    training: Training
    key: str
    network: Published | Residual
    device: str
    file: Path
    scratch: Path

    def __post_init__(self) -> None:
        self.network.to(torch.device(self.device)).train()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.training.rate, weight_decay=self.training.decay, foreach=False
        )
        self.history = take_up(self.file, self.key, self.network, self.optimiser)

    def run(self, pairs: Sequence[Pair], tell: Callable[[History, Score | None], None]) -> None:
        """Train to the last step; `tell` is told of each step, and of each score.

        Raises
        ------
        Stopped
            If a signal came: the state is kept, and the same call goes on from there.
        """
        training, history = self.training, self.history
        learn = [pair for pair in pairs if not pair.draw.validation]
        judge = [pair for pair in pairs if pair.draw.validation]
        judge = judge[:: max(1, len(judge) // training.validation.traced)][: training.validation.traced]
        every = max(1, training.steps // ROWS)
        stops = {round(training.steps * (i + 1) / training.validation.evaluations) for i in range(_times(training))}
        kept = time.monotonic()
        with told_to_stop() as heard:
            while history.step < training.steps:
                began = time.process_time()
                history.since += self.step(learn, history.step)
                history.step += 1
                if history.step % every == 0:
                    history.loss.append((history.step, history.since / every))
                    history.since = 0.0
                found = None
                if history.step in stops:
                    found = score(self.network, judge, training)
                    history.judged.append((history.step, found.rmse, found.wrong_percent, found.rmsd_pm))
                history.seconds += time.process_time() - began
                tell(history, found)
                stop = bool(heard)
                if found or stop or time.monotonic() - kept > EACH:
                    keep(self.file, self.key, self.network, self.optimiser, history, self.scratch)
                    kept = time.monotonic()
                if stop and history.step < training.steps:
                    raise Stopped(heard[0])

    def step(self, pairs: Sequence[Pair], number: int) -> float:
        """Do one step and return its loss."""
        torch.manual_seed((self.training.seed * 1_000_003 + number) % 2**63)  # for what a form leaves out at random
        given, wanted = (torch.from_numpy(one).to(self.device) for one in batch(pairs, self.training, number))
        given = given.contiguous(memory_format=torch.channels_last_3d)
        for group in self.optimiser.param_groups:
            group["lr"] = self.training.rate * share_of_rate(number, self.training)
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self.training.dtype == "bfloat16"):
            made = self.network(given)
        found = loss(made.float(), wanted, self.training)
        self.optimiser.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST, foreach=False)
        self.optimiser.step()
        return float(found.detach())


def loss(made: torch.Tensor, wanted: torch.Tensor, training: Training) -> torch.Tensor:
    """Return the mean square difference inside the margin, weighted by 1 + emphasis * target.

    At the faces of a cube the network does not see what it will see in a volume, which is why they do not count.
    """
    inside = (..., *(slice(training.margin, training.crop - training.margin),) * 3)
    made, wanted = made[inside], wanted[inside]
    weight = 1 + training.emphasis * wanted
    return (weight * (made - wanted) ** 2).mean() / (1 + training.emphasis * wanted.mean())


def share_of_rate(step: int, training: Training) -> float:
    """Return the rate of a step over the greatest."""
    rise = training.warm_up * training.steps
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / max(training.steps - rise, 1)
    return LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * done))


def _times(training: Training) -> int:
    return min(training.validation.evaluations, training.steps)


@contextlib.contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """Give a list that gets the number of the first signal that asks to stop; a second one raises `Stopped` at once.

    Outside the main thread nothing is heard.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def handle(number: int, _: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise Stopped(number)

    before = {one: signal.getsignal(one) for one in SIGNALS}
    for one in SIGNALS:
        if before[one] is not signal.SIG_IGN:
            signal.signal(one, handle)
    try:
        yield heard
    finally:
        for one in SIGNALS:
            signal.signal(one, before[one] if before[one] is not None else signal.SIG_DFL)
