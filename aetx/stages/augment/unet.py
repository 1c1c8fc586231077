"""The learned filter: a volume of atoms, by a trained network."""

from __future__ import annotations

import functools
import math
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from aetx.core import Forecast, InputSizes, Params, halo_map, stage
from aetx.core.peaks import Blocks, typical_maximum
from aetx.core.tomography import rotations
from aetx.core.weights import Card, locate, read, read_card, shipped
from aetx.errors import AetxWarning, EnvironmentFault, InputError, Problem, did_you_mean
from aetx.kernels.inference import evaluate, prepared
from aetx.kernels.neural_networks import multiple, reach
from aetx.model import VOLUME, spacing

F32 = NDArray[np.float32]

EDGES = (512, 448, 384, 320, 256, 192, 128, 64)
"""Edges of tiles, in whole chunks of a store, without what they share with their neighbours."""
ROOM = {"published": 70, "deep": 70, "residual": 60}
"""Bytes to a voxel of a tile while it is evaluated, of its input and its result too; two thirds in bfloat16."""
BESIDE = 200_000_000
"""Bytes that libraries keep for themselves where tiles are evaluated one after another."""
WHOLE = 400**3
"""Voxels up to which a volume is evaluated at once where the memory has no limit."""
SECONDS = {"published": 1.4e-7, "deep": 1.4e-7, "residual": 1.2e-7}
"""Processor time to a voxel, of one ordinary core."""
STRETCH = 0.03
"""How far beyond the pixel sizes of a card a volume may be, as a fraction."""
ASIDE = math.sin(math.radians(5))
"""Greatest component along y of a beam of tilts about y."""
ONE = threading.Lock()
"""One tile is evaluated at a time, so that it may be large."""


class UnetParams(Params):
    """Parameters of `unet`."""

    model: str = Field("general", description="name of the weights, of those that come with aetx")
    weights: Path | None = Field(
        None, description="weights of your own instead: a .safetensors file, its card (.yaml) beside it"
    )
    sha256: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="digest that the weights must have; empty for that of their card"
    )
    mirrors: bool = Field(False, description="mean over the eight mirror images of the volume, at eight times the cost")
    tile: int = Field(
        0, ge=0, le=4096, description="edge of the tiles, voxels; 0 for the whole volume, or what the memory allows"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="type of the numbers: bfloat16 errs by 1 % of an atom, in half the time where processors have it",
    )

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.weights is not None and "model" in self.model_fields_set:
            raise ValueError("either model or weights")
        if self.weights is None and self.model not in shipped():
            raise ValueError(f"no weights {self.model!r} come with aetx; {did_you_mean(self.model, shipped())}")
        _, card = read(self.file(), self.sha256)  # what is wrong with them is told before any work starts
        object.__setattr__(self, "sha256", card.sha256)  # so that other weights make another result
        return self

    def file(self) -> Path:
        """Return where the weights are."""
        return locate(self.model if self.weights is None else self.weights)

    def card(self) -> Card:
        """Return what is known of the weights."""
        return read_card(self.file())


def _forecast(inputs: InputSizes, params: UnetParams) -> Forecast:
    sizes = {axis: inputs["volume"][0][axis] for axis in ("z", "y", "x")}
    shape, card = tuple(sizes.values()), params.card()
    tiles = _Tiles.of(shape, card, params, None)
    least = _Tiles.of(shape, card, params.model_copy(update={"tile": params.tile or EDGES[-1]}), None)
    seconds = 2.0 + tiles.voxels * SECONDS[card.form] * (8 if params.mirrors else 1)
    return Forecast(sizes, memory=tiles.bytes, seconds=seconds, least=min(tiles.bytes, least.bytes))


@stage(
    "augment.unet",
    takes={"volume": VOLUME},
    gives=VOLUME,
    params=UnetParams,
    version=1,
    flow="whole",
    forecast=_forecast,
)
def unet(volume: xr.Dataset, params: UnetParams, device: str, memory: int | None) -> xr.Dataset:
    """Atoms of a volume as narrow equal peaks, by a network that was trained to take artefacts away.

    density' = h f(a density / h) / b, with the network f, the height h of a typical bright maximum of the density
    (the median of its local maxima weighted by the fourth power of their heights), and the heights a and b of atoms in
    the network's input and output, from its card (doi:10.1038/s41467-021-22204-1; `aetx.kernels.neural_networks` has
    the forms). Scaled so, the filter gives the same atoms whatever the unit of the images. The unit stays that of the
    density, and atoms are as tall as its bright maxima; but their integral is that of a Gaussian as narrow as the card
    says, so that projections of the result have the atoms in place and are no longer the images.

    What the network shows need not be there: compare with the images (`measure`). Volumes that do not fit the memory
    go tile by tile, each read with as many voxels around it as can influence it: equal to the whole but for rounding.
    The result has `model` and `model_sha256` among its attributes; R1 of the density before is not passed on.
    """
    file, card = params.file(), params.card()
    _refuse_pixels(volume, card)
    _warn_of_tilts(volume, card)
    density = volume["density"].transpose("z", "y", "x")
    tiles = _Tiles.of(density.shape, card, params, memory)
    height = typical_maximum(Blocks.of(volume, memory))
    if height == 0.0:
        warnings.warn("the volume has no maximum above zero: there is nothing to filter", AetxWarning, stacklevel=2)
    work = _Work(file, params, device, card.input_peak, card.output_peak, height)
    if tiles.block == density.shape:
        made = density.copy(data=work(density.values))
    else:
        made = halo_map(work, density, depth=tiles.depth, block=tiles.block)
    found = volume.drop_vars(["r1", "r1_history"], errors="ignore").assign(density=made.assign_attrs(density.attrs))
    return found.assign_attrs(volume.attrs | {"model": card.name, "model_sha256": card.sha256})


@dataclass(frozen=True)
class _Work:
    """What is done to each tile: plain values alone, so that it travels; the network is read where it is done."""

    file: Path
    params: UnetParams
    device: str
    input_peak: float
    output_peak: float
    height: float

    def __call__(self, tile: NDArray[Any]) -> F32:
        """Return the density of a tile after the filter."""
        if self.height == 0.0:
            return np.zeros(tile.shape, np.float32)
        fast, edge = _ready(self.file, self.params.sha256, self.device, self.params.dtype)
        try:
            with ONE:
                given = np.nan_to_num(np.array(tile, np.float32), copy=False)
                given *= np.float32(self.input_peak / self.height)
                found = evaluate(fast, given, edge, self.params.mirrors)
        except torch.OutOfMemoryError as error:
            wanted = f"memory of the device for a tile of {' x '.join(map(str, tile.shape))} voxels"
            raise EnvironmentFault(Problem("run", "device", "too little", wanted, "give a smaller 'tile'")) from error
        found *= np.float32(self.height / self.output_peak)
        return found


@functools.lru_cache(maxsize=2)
def _ready(file: Path, sha256: str, device: str, dtype: Literal["float32", "bfloat16"]) -> tuple[nn.Module, int]:
    """Return the network as it is evaluated, and what edges must be divisible by."""
    network, _ = read(file, sha256)
    return prepared(network, device, dtype), network.multiple


class _Tiles(NamedTuple):
    """How a volume is cut: shape of the tiles, voxels they are read with beyond each face, all voxels, bytes of one."""

    block: tuple[int, ...]
    depth: int
    voxels: int
    bytes: int

    @classmethod
    def of(cls, shape: tuple[int, ...], card: Card, params: UnetParams, memory: int | None) -> _Tiles:
        """Return the largest tiles that the memory allows; the whole where it does."""
        room = ROOM[card.form] if params.dtype == "float32" else ROOM[card.form] * 2 // 3
        edge = multiple(card.form, **card.options)
        depth = -(-reach(card.form, **card.options) // edge) * edge
        made = [
            cls._cut(shape, -(-side // edge) * edge, depth, room)
            for side in ((params.tile,) if params.tile else (max(shape), *EDGES))
        ]
        allowed = WHOLE * room if memory is None else memory
        fitting = next((one for one in made if one.bytes <= allowed), made[-1])
        if memory is not None and fitting.bytes > memory:
            fix = f"give --memory {-(-fitting.bytes // 10**6)}MB beside what the program holds"
            raise EnvironmentFault(Problem("run", "memory", f"{memory} bytes", f"at least {fitting.bytes} bytes", fix))
        return fitting

    @classmethod
    def _cut(cls, shape: tuple[int, ...], side: int, depth: int, room: int) -> _Tiles:
        block = tuple(min(size, side) for size in shape)
        padded = [min(size, one + 2 * depth) for size, one in zip(shape, block, strict=True)]
        count = math.prod(-(-size // one) for size, one in zip(shape, block, strict=True))
        beside = BESIDE if count > 1 else 0
        return cls(block, depth, count * math.prod(padded), room * math.prod(padded) + beside)


def _refuse_pixels(volume: xr.Dataset, card: Card) -> None:
    low, high = card.pixel_size
    sizes = {axis: spacing(volume, axis) for axis in ("z", "y", "x") if volume.sizes[axis] > 1}
    wrong = {axis: size for axis, size in sizes.items() if not low / (1 + STRETCH) <= size <= high * (1 + STRETCH)}
    if wrong:
        found = ", ".join(f"{size:g} angstrom along {axis}" for axis, size in wrong.items())
        fix = "bin or resample the images before the reconstruction, or name weights that are trained for such voxels"
        raise InputError(Problem("volume", "pixel size", found, f"{low:g} to {high:g} angstrom for {card.name!r}", fix))


def _warn_of_tilts(volume: xr.Dataset, card: Card) -> None:
    """Warn where the missing wedge is not one that the network was trained on."""
    if not {"phi", "theta", "psi"} <= set(volume.coords):
        return
    beams = rotations(volume)[:, :, 2]
    largest = float(np.degrees(np.abs(np.arctan2(beams[:, 0], np.abs(beams[:, 2]))).max()))
    low, high = card.largest_tilt
    if np.abs(beams[:, 1]).max() > ASIDE:
        text = f"the tilts are not about y alone, and {card.name!r} is trained for a missing wedge about z"
        warnings.warn(text, AetxWarning, stacklevel=3)
    elif largest < low - 0.5:
        text = (
            f"the tilts end at {largest:.1f} degree, and {card.name!r} is trained for ends from {low:g} to {high:g}: "
            "its missing wedge is smaller than that of the volume, and what it puts there is less sure"
        )
        warnings.warn(text, AetxWarning, stacklevel=3)
