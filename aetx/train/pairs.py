"""Pairs of a volume and its true atoms: drawn, made by recipes, cut to the particle, kept; finished ones are found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aetx.errors import AetxWarning, Problem, RecipeError, caught
from aetx.kernels.volume_scale import volume_scale
from aetx.model import ATOMS, VOLUME, Kind, positions, spacing
from aetx.recipe import Plan, load
from aetx.run import run_plan
from aetx.run.keys import digest, made_by
from aetx.store import disk, open_store
from aetx.train.settings import Source, Training, Variation

MARGIN = 8
"""Voxels around the atoms that are kept."""
FIRST, LAST = 2**48, 2**62
"""Between these lie the numbers of random streams; those of benchmarks are smaller, so that none is trained on."""

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Draw:
    """One pair that is wanted: its source, its number there, the values of the recipe's variables."""

    source: int
    number: int
    values: Mapping[str, str]
    validation: bool


@dataclass(frozen=True)
class Pair:
    """A volume around its atoms, divided by its scale.

    `volume` has shape (z, y, x); `atom` has shape (atoms, 3), places in voxels along z, y, x; `step` is the edge of a
    voxel in angstrom, `scale` what the volume was divided by.
    """

    volume: F16
    atom: F32
    step: float
    scale: float
    draw: Draw


def draws(training: Training) -> list[Draw]:
    """Return every pair of a training file; of each source, the first and every so many after it are for validation.

    Pairs depend on their source and number and on the seed alone, so that training files with equal sources share
    them, and agree about which are for validation.
    """
    wanted, period = [], max(2, round(1 / training.validation.share))
    for place, source in enumerate(training.sources):
        vary = {name: one for name, one in training.vary.items() if name not in source.sets} | dict(source.vary)
        drawn = {name: one.model_dump() for name, one in vary.items()}
        stream = int(digest({"sets": dict(source.sets), "seeds": source.seeds, "vary": drawn})[:15], 16)
        for number in range(source.count):
            values = _values(source, vary, np.random.default_rng([training.seed, stream, number]))
            wanted.append(Draw(place, number, values, number % period == 0))
    return wanted


def _values(source: Source, vary: Mapping[str, Variation], generator: np.random.Generator) -> dict[str, str]:
    values = dict(source.sets)
    values |= {name: str(generator.integers(FIRST, LAST)) for name in source.seeds}
    return values | {name: _drawn(one, generator) for name, one in sorted(vary.items())}


def _drawn(one: Variation, generator: np.random.Generator) -> str:
    if one.among:
        return one.among[int(generator.integers(len(one.among)))]
    low, high, unit = one.bounds()
    if one.whole:
        return f"{generator.integers(int(low), int(high) + 1)} {unit}".strip()
    if one.logarithmic:
        return f"{np.exp(generator.uniform(np.log(low), np.log(high))):.6g} {unit}".strip()
    return f"{generator.uniform(low, high):.6g} {unit}".strip()


def check_sources(training: Training, folder: Path) -> None:
    """Raise `RecipeError` if the recipe of a source cannot be run with its values, or lacks what a pair is made of."""
    problems: list[Problem] = []
    firsts = {one.source: one for one in reversed(draws(training))}
    for place, source in enumerate(training.sources):
        try:
            plan = _plan(source, firsts[place], folder)
        except RecipeError as error:
            problems += error.problems
            continue
        problems += _lacking(source, plan, f"sources[{place}]")
    if problems:
        raise RecipeError(problems, "these pairs cannot be made")


def _lacking(source: Source, plan: Plan, where: str) -> Iterator[Problem]:
    file = str(source.recipe)
    if len(plan.jobs) != 1 or plan.jobs[0].inputs:
        fix = "take out inputs, for_each and sweep: specimens come from steps"
        yield Problem(file, where, "inputs, or several jobs", "a recipe of one job without inputs", fix)
        return
    steps = {step.name: step.stage.gives for step in plan.jobs[0].steps}
    wanted: list[tuple[str, str, Kind]] = [("volume", source.volume, VOLUME), ("truth", source.truth, ATOMS)]
    for field, name, kind in wanted:
        if steps.get(name) is not kind:
            found = f"no step {name!r}" if name not in steps else f"{name!r}, of kind {steps[name].name}"
            fix = f"name the step that gives the {kind.name}, of " + ", ".join(map(repr, steps))
            yield Problem(file, f"{where}.{field}", found, f"a step that gives {kind.name}", fix)


class Factory:
    """Makes the pairs of a training file in a folder, each once."""

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder

    def pairs(self, tell: Callable[[int, int], None]) -> list[Pair]:
        """Return all pairs, made or found; `tell` is told how many there are, of how many."""
        wanted = draws(self.training)
        made = []
        for count, draw in enumerate(wanted):
            tell(count, len(wanted))
            made.append(self.pair(draw))
        tell(len(wanted), len(wanted))
        return made

    def pair(self, draw: Draw) -> Pair:
        """Return one pair, made or found."""
        source = self.training.sources[draw.source]
        with caught():
            plan = _plan(source, draw, self.folder / "making")
        file = self.folder / f"{_key(plan, source)}.safetensors"
        return _found(file, draw) or self._made(source, draw, plan, file)

    def _made(self, source: Source, draw: Draw, plan: Plan, file: Path) -> Pair:
        folder = self.folder / "making"
        disk.discard(folder)
        with caught():
            run_plan(plan, output=folder, quiet=True, reporter=None)
        volume = open_store(folder / "results" / f"{source.volume}.zarr").load()
        atoms = open_store(folder / "results" / f"{source.truth}.zarr").load()
        pair = _cut(volume, atoms, draw)
        stated = {"step": pair.step, "scale": pair.scale, "values": dict(draw.values)}
        content = save({"volume": pair.volume, "atom": pair.atom}, {"pair": json.dumps(stated)})
        disk.write_atomically(file, content, self.folder)
        disk.discard(folder)
        return pair


def _plan(source: Source, draw: Draw, folder: Path) -> Plan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # a choice among specimens may leave a variable unused
        return load(source.recipe, sets=draw.values, output=str(folder), device="cpu")


def _key(plan: Plan, source: Source) -> str:
    """Return the digest of everything that the volume and the atoms depend on."""
    keys: dict[str, str] = {}
    for step in plan.jobs[0].steps:
        keys[step.name] = made_by(step.stage, step.params, step.sources, keys, "cpu", 1).key
    return digest([keys[source.volume], keys[source.truth], MARGIN])


def _found(file: Path, draw: Draw) -> Pair | None:
    try:
        with safe_open(file, framework="numpy") as store:
            stated = json.loads(store.metadata()["pair"])
            volume, atom = store.get_tensor("volume"), store.get_tensor("atom")
    except (OSError, SafetensorError):
        return None
    return Pair(volume, atom, stated["step"], stated["scale"], draw)


def _cut(volume: xr.Dataset, atoms: xr.Dataset, draw: Draw) -> Pair:
    """Divide a volume by its scale and cut it to its atoms."""
    axes = ("z", "y", "x")
    steps = [spacing(volume, axis) for axis in axes]
    origin = np.array([float(volume[axis][0]) for axis in axes])
    atom = (positions(atoms)[:, ::-1] - origin) / steps
    density = volume["density"].values
    scale = float(volume_scale(density))
    low = np.clip(np.floor(atom.min(0)).astype(int) - MARGIN, 0, None)
    high = np.minimum(np.ceil(atom.max(0)).astype(int) + MARGIN + 1, density.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside = np.ascontiguousarray(density[box] / scale, np.float16)
    return Pair(inside, np.ascontiguousarray(atom - low, np.float32), float(np.mean(steps)), scale, draw)
