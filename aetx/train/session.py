"""A training from its file to weights with a card and a report; what is finished in the output folder is kept."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from aetx.core import weights
from aetx.errors import EnvironmentFault, Problem, RecipeError
from aetx.kernels.neural_networks import DEFAULTS, Published, Residual, build
from aetx.run.keys import digest
from aetx.run.stop import stopping
from aetx.run.threads import cores, library_threads
from aetx.store import SCRATCH, Lock, claim_output, refuse_output, sweep
from aetx.train.loop import Loop
from aetx.train.pairs import Factory, Pair, check_sources
from aetx.train.settings import Loaded, Training, Variation
from aetx.train.state import History
from aetx.train.validation import Score, score


@dataclass(frozen=True)
class Outcome:
    """What a training gave: its weights and their card, its score on all pairs for validation, its report."""

    file: Path
    card: weights.Card
    score: Score
    report: Path

    def as_dict(self) -> dict[str, object]:
        """Return it for ``--json``."""
        card = self.card.model_dump(mode="json")
        return {"train": {"weights": str(self.file), "report": str(self.report), "card": card}}

    def lines(self) -> list[str]:
        """Return what a person reads."""
        size = f"{self.card.parameters} parameters, {self.card.hours * 60:.1f} min of processor time"
        return [f"weights: {self.file} ({size})", f"validation: {self.score.words()}", f"report: {self.report}"]


def train(
    loaded: Loaded,
    *,
    output: Path,
    pairs: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    quiet: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Make the pairs, train the network, score it, and write weights, card and report to a folder.

    A training that was stopped goes on where it was, and ends with the same bits on the same machine with as many
    threads.

    Parameters
    ----------
    loaded
        A training file.
    output
        Folder of the weights, the state and the report.
    pairs
        Folder of the pairs, which several trainings may share; ``output/pairs`` if not given.
    device
        Where torch computes.
    threads
        Of torch; all cores if not given.
    quiet
        Show no progress bar; it is shown on standard error, and only if that is a terminal.
    say
        Is told of each score.

    Raises
    ------
    RecipeError
        If pairs cannot be made as the file says, or the output holds another training.
    InputError
        If the weights from which the training starts cannot be used.
    EnvironmentFault
        If torch cannot use the device.
    Stopped
        If a signal came.
    """
    training, folder = loaded.training, output.absolute()
    _refuse_device(device)
    refuse_output(folder)
    check_sources(training, folder)
    network, before = _begin(training, loaded.path.parent)
    if training.crop % network.multiple or training.crop == network.multiple:
        wanted = f"a multiple of {network.multiple} beyond {network.multiple}"
        raise RecipeError(Problem(str(loaded.path), "crop", str(training.crop), wanted, "change the crop"))
    claim_output(folder)
    with Lock(folder), _Progress(None if quiet else Console(stderr=True)) as progress:
        sweep(folder / SCRATCH)
        with stopping(lambda _: None):
            made = Factory(training, pairs or folder / "pairs").pairs(progress.pairs)
        with torch.random.fork_rng(), library_threads(cores() if threads is None else threads):
            loop = Loop(training, _key(training, before, device), network, device, folder / "state.safetensors",
                        folder / SCRATCH)  # fmt: skip
            loop.run(made, progress.told(training, say))
            judge = [pair for pair in made if pair.draw.validation]
            found = score(network, judge, training)
        card = _card(loaded, loop.history, found, made, before)
        file = folder / f"{training.name}.safetensors"
        card = weights.write(file, network, card)
        from aetx.train.page import write_page

        page = write_page(folder, card, loop.history, found, network, judge, training)
    return Outcome(file, card, found, page)


def _refuse_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        found = str(error).partition("\n")[0]
        wanted = f"{device!r}, one that torch can use"
        raise EnvironmentFault(Problem("train", "device", found, wanted, "use --device cpu")) from error


def _begin(training: Training, folder: Path) -> tuple[Published | Residual, weights.Card | None]:
    """Return the network at the start, and the card of the weights from which it starts.

    Raises
    ------
    RecipeError
        If the network is not that of these weights, nor the same with more blocks.
    """
    old, before = None, None
    if training.start is not None:
        near = folder / training.start
        old, before = weights.read(near if near.is_file() else training.start)
    form, options = _form(training, before)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        network = build(form, **options)
    if old is None or before is None:
        return network, None
    known, fresh = old.state_dict(), network.state_dict()
    unlike = [name for name, one in known.items() if name not in fresh or fresh[name].shape != one.shape]
    unlike += [name for name in fresh.keys() - known.keys() if form != "residual"]
    if unlike:
        found, wanted = f"{form} with {options}", f"that of {before.name}, with as many blocks or more"
        raise RecipeError(
            Problem("training", "network", found, wanted, "leave it out, to go on with that of the start")
        )
    network.load_state_dict({**fresh, **known})
    return network, before


def _form(training: Training, before: weights.Card | None) -> tuple[str, dict[str, int]]:
    """Return form and options of the network, those that are defaults too, so that the card holds when they change."""
    if training.network is not None:
        return training.network.form, {**DEFAULTS[training.network.form], **training.network.options}
    assert before is not None
    return before.form, {**DEFAULTS[before.form], **before.options}


def _key(training: Training, before: weights.Card | None, device: str) -> str:
    """Return the digest of all that the weights depend on; where a training file lies is no part of it."""
    stated = training.model_dump(mode="json", exclude={"title", "name", "scope", "sources"})
    sources = [one.model_dump(mode="json", exclude={"recipe"}) for one in training.sources]
    start = before.sha256 if before is not None else ""
    return digest({"training": stated, "sources": sources, "start": start, "torch": torch.__version__, "on": device})


def _card(
    loaded: Loaded,
    history: History,
    found: Score,
    pairs: Sequence[Pair],
    before: weights.Card | None,
) -> weights.Card:
    training = loaded.training
    form, options = _form(training, before)
    atoms = sum(len(pair.atom) for pair in pairs if not pair.draw.validation)
    told: Mapping[str, Any] = {
        "file": loaded.path.name,
        "start": f"{before.name}, sha256 {before.sha256}" if before is not None else "nothing",
        "pairs": sum(not pair.draw.validation for pair in pairs),
        "atoms": atoms,
        "settings": _settings(training),
        "seeds": "drawn above 2**48 from the seed of the settings; those of benchmarks lie below",
    }
    scores = {
        "validation: atoms": float(found.atoms),
        "validation: wrong atoms (%)": round(found.wrong_percent, 4),
        "validation: RMSD (pm)": round(found.rmsd_pm, 2),
        "validation: RMSE of the output": round(found.rmse, 5),
    }
    return weights.Card(
        name=training.name,
        title=training.title,
        form=form,
        options=options,
        pixel_size=training.scope.pixel_size,
        largest_tilt=training.scope.largest_tilt,
        specimens=training.scope.specimens,
        width=training.width,
        training=told,
        scores=scores,
        machine=f"{_processor()}, torch {torch.__version__}",
        hours=round(history.seconds / 3600, 3),
    )


def _settings(training: Training) -> dict[str, Any]:
    """Return the settings for the card, defaults too; of recipes only the names of their files."""
    told = training.model_dump(mode="json", exclude={"aetx", "title", "name", "scope", "network", "start"})
    told["vary"] = _varied(training.vary)
    for made, source in zip(told["sources"], training.sources, strict=True):
        made.update(recipe=source.recipe.name, vary=_varied(source.vary))
    return told


def _varied(vary: Mapping[str, Variation]) -> dict[str, Any]:
    """Return what is drawn anew, without what is not said of it."""
    return {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in vary.items()}


def _processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


class _Progress:
    """A bar for the pairs, then one for the steps; shown while the ``with`` block runs."""

    def __init__(self, console: Console | None) -> None:
        shown = console is not None and console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._made = self._bars.add_task("pairs", total=None)
        self._steps = self._bars.add_task("steps", total=None, visible=False)

    def __enter__(self) -> _Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def pairs(self, done: int, total: int) -> None:
        """Say how many pairs there are."""
        self._bars.update(self._made, completed=done, total=total)

    def told(self, training: Training, say: Callable[[str], None]) -> Callable[[History, Score | None], None]:
        """Return what is to be told of each step."""
        began = time.monotonic()
        first: list[int] = []

        def tell(history: History, found: Score | None) -> None:
            first[:] = first or [history.step]
            self._bars.update(self._steps, completed=history.step, total=training.steps, visible=True)
            if found is not None:
                left = (training.steps - history.step) * (time.monotonic() - began) / (history.step - first[0] + 1)
                say(f"step {history.step} of {training.steps}: {found.words()}, about {left / 60:.1f} min left")

        return tell
