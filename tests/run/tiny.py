"""Stages that take milliseconds, readers of nothing, and plans made by hand."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, Params, Registry, Stage, halo_map, many, optional, stage
from aetx.errors import AetxWarning, InputError, Problem
from aetx.model import ATOMS, FILE, SCORE, VOLUME, Kind
from aetx.recipe.place import Place
from aetx.recipe.plan import Input, Job, Plan, Settings, Step

LENGTH = {"units": "angstrom"}
DENSITY = {"units": "count/angstrom"}
CALLS: list[str] = []
"""Names of the stages that were called in this process."""


class MakeParams(Params):
    """Parameters of `make`."""

    edge: int = Field(70, ge=2, le=2000, description="voxels along each axis")
    seed: int = Field(0, ge=0, description="seed")


class ScaleParams(Params):
    """Parameters of `scale`."""

    factor: float = Field(2.0, description="factor")
    iterations: int = Field(100, ge=1, description="a number")
    wait: float = Field(0.0, ge=0, description="seconds for each block")


def _sizes(inputs: Mapping[str, tuple[Mapping[str, int], ...]], params: MakeParams) -> Forecast:
    return Forecast(dict.fromkeys("zyx", params.edge), params.edge**3 * 8, 0.1)


@stage("tiny.make", takes={}, gives=VOLUME, params=MakeParams, forecast=_sizes)
def make(params: MakeParams) -> xr.Dataset:
    """Make a volume of noise."""
    CALLS.append("make")
    values = np.random.default_rng(params.seed).standard_normal((params.edge,) * 3).astype(np.float32)
    axes = {axis: (axis, np.arange(params.edge) - params.edge // 2 + 0.0, LENGTH) for axis in "zyx"}
    return xr.Dataset({"density": (("z", "y", "x"), values, DENSITY)}, axes)


def _times(block: np.ndarray, factor: float, wait: float) -> np.ndarray:
    time.sleep(wait)
    return block * np.float32(factor)


@stage("tiny.scale", takes={"volume": VOLUME}, gives=VOLUME, params=ScaleParams, flow="chunkwise")
def scale(volume: xr.Dataset, params: ScaleParams) -> xr.Dataset:
    """Scale a volume."""
    CALLS.append("scale")
    assert volume.chunks
    density = xr.apply_ufunc(
        _times,
        volume["density"],
        kwargs={"factor": params.factor, "wait": params.wait},
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    return volume.assign(density=(("z", "y", "x"), density.data, DENSITY))


def _mean(block: np.ndarray) -> np.ndarray:
    padded = np.pad(block, 1, mode="edge")
    return ((padded[:-2, 1:-1, 1:-1] + padded[2:, 1:-1, 1:-1] + block) / 3).astype(np.float32)


@stage("tiny.smooth", takes={"volume": VOLUME}, gives=VOLUME, flow="halo")
def smooth(volume: xr.Dataset, params: Params) -> xr.Dataset:
    """Average a volume with its neighbours along z."""
    CALLS.append("smooth")
    assert not volume.chunks
    return volume.assign(density=halo_map(_mean, volume["density"], depth=1, block=(64, 64, 64)).assign_attrs(DENSITY))


class PickParams(Params):
    """Parameters of `pick`."""

    count: int = Field(7, ge=0, description="atoms")
    fail: bool = Field(False, description="fail")
    wait: float = Field(0.0, ge=0, description="seconds that the work takes")


@stage("tiny.pick", takes={"volume": VOLUME}, gives=ATOMS, params=PickParams)
def pick(volume: xr.Dataset, params: PickParams, *, memory: int | None) -> xr.Dataset:
    """Pick the highest voxels."""
    CALLS.append("pick")
    if params.fail:
        raise InputError(Problem("volume", "density", "nothing", "atoms", "lower the threshold"))
    time.sleep(params.wait)
    flat = np.asarray(volume["density"].values).ravel()
    best = np.sort(np.argpartition(flat, -params.count)[-params.count :]) if params.count else np.zeros(0, int)
    if not best.size:
        warnings.warn("no atoms were found", AetxWarning, stacklevel=2)
    place = np.stack(np.unravel_index(best, volume["density"].shape)[::-1], axis=1).astype(float)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), place, LENGTH),
            "species": ("atom", np.full(best.size, 78, np.int32), {"units": "1"}),
        },
        {"atom": ("atom", np.arange(best.size), {"units": "1"}), "axis": ["x", "y", "z"]},
    )


@stage("tiny.sleep", takes={"volume": VOLUME}, gives=VOLUME)
def sleep(volume: xr.Dataset, params: Params) -> xr.Dataset:
    """Sit for half a minute or more in one call that hears no signal, as a long kernel does."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
    return volume


@stage("tiny.score", takes={"atoms": many(ATOMS), "volume": optional(VOLUME)}, gives=SCORE)
def score(atoms: tuple[xr.Dataset, ...], volume: xr.Dataset | None, params: Params) -> xr.Dataset:
    """Count atoms."""
    CALLS.append("score")
    return xr.Dataset({"count": ((), float(sum(one.sizes["atom"] for one in atoms)), {"units": "1"})})


@stage("export.tiny", takes={"atoms": ATOMS}, gives=FILE)
def text(atoms: xr.Dataset, params: Params) -> xr.Dataset:
    """Write atoms as text."""
    CALLS.append("text")
    content = "\n".join(" ".join(f"{x:.3f}" for x in row) for row in atoms["position"].values).encode()
    return xr.Dataset(
        {"content": ("byte", np.frombuffer(content, np.uint8).copy(), {"units": "1"})}, attrs={"suffix": ".txt"}
    )


def step(
    name: str, of: Stage, params: Params | None = None, keep: bool = False, **sources: str | tuple[str, ...]
) -> Step:
    given = {take: (names,) if isinstance(names, str) else names for take, names in sources.items()}
    return Step(name, of, given, params if params is not None else of.params(), keep, Place(1, 1))


def input_of(path: Path, kind: Kind = VOLUME, name: str = "volume") -> Input:
    return Input(name, (path,), kind, None, {}, Place(1, 1))


def job(*steps: Step, inputs: tuple[Input, ...] = (), report: tuple[str, ...] = (), name: str = "") -> Job:
    return Job(name, {}, inputs, steps, report)


def plan(*jobs: Job, output: Path | None = None) -> Plan:
    recipe = "aetx: 1\n"
    return Plan(
        Path("tiny.yaml"),
        recipe,
        hashlib.sha256(recipe.encode()).hexdigest(),
        "Tiny",
        jobs,
        Settings(output),
        Registry(),
    )


def chain(factor: float = 2.0, wait: float = 0.0, **pick_params: object) -> Job:
    """Two chunkwise steps, a neighbourhood, a table, a score and an export, from a volume that is made."""
    return job(
        step("made", make),
        step("twice", scale, ScaleParams(wait=wait), volume="made"),
        step("scaled", scale, ScaleParams(factor=factor, wait=wait), volume="twice"),
        step("smooth", smooth, volume="scaled"),
        step("atoms", pick, PickParams(**pick_params), volume="smooth"),
        step("score", score, atoms="atoms"),
        step("atoms.tiny", text, atoms="atoms"),
    )
