"""What the tracing stages share: reading a volume block by block, its maxima, and the table of atoms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field

from aetx.core.halo import Box, block_shape, halo_tables
from aetx.core.params import Length, Params
from aetx.core.stage import Forecast, InputSizes
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import peaks
from aetx.model import spacing

Table = TypeVar("Table")
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

COPIES = 4
"""float32 arrays of a padded block's size that a task of `Blocks` holds: as read, decoded, residual, and scratch."""
IN_MEMORY = 128
"""Edge of the blocks of a volume that is in memory: small ones stay in the cache."""
ROOMY = 800
"""Voxels to an atom that a forecast counts on: a box half full of metal, at 0.35 angstrom to a voxel."""
UNDEFINED = "the volume is undefined (NaN) in places: they are taken as empty, and atoms beside them are less sure"
ATOM = 400
"""Bytes to an atom while it is fitted."""


class TracingParams(Params):
    """What every tracing stage has to know."""

    separation: Length = Field(2.0, gt=0, le=20, description="least distance between two atoms")


@dataclass(frozen=True)
class Blocks:
    """A volume that is read in padded blocks, and how many bytes that may take."""

    density: xr.DataArray
    memory: int | None
    loaded: bool = False

    @classmethod
    def of(cls, volume: xr.Dataset, memory: int | None) -> Blocks:
        """Take the density of a volume; one that fits a third of the memory is read once and kept."""
        density = volume["density"]
        if density.nbytes <= (2**30 if memory is None else memory // 3):
            memory = None if memory is None else memory - density.nbytes
            whole = tuple((0, size) for size in density.shape)
            return cls(density.copy(data=checked(density.values, whole)), memory, loaded=True)
        return cls(density, memory)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.density.shape
        return z, y, x

    @property
    def steps(self) -> F64:
        """Size of a voxel along z, y, x in angstrom."""
        return np.array([spacing(self.density.to_dataset(name="density"), axis) for axis in ("z", "y", "x")])

    def tables(
        self,
        work: Callable[[NDArray[Any], Box, Box], Table],
        depth: int,
        copies: float = COPIES,
        wanted: Callable[[Box], bool] | None = None,
    ) -> list[Table]:
        """Return ``work(block, box, outer)`` of each padded block, checked, in order; those not `wanted` go unread."""
        if self.loaded:
            block = tuple(min(size, IN_MEMORY) for size in self.shape)
            return halo_tables(work, self.density, depth=depth, block=block, wanted=wanted)
        block = block_shape(self.shape, depth, copies, self.memory)
        on_checked = partial(_on_checked, work=work)
        return halo_tables(on_checked, self.density, depth=depth, block=block, wanted=wanted)


@dataclass(frozen=True)
class Cubes:
    """Places by the cube of voxels that they lie in: a block finds those near it without a look at all."""

    order: I64
    first: I64
    counts: tuple[int, ...]
    edge: int

    @classmethod
    def of(cls, places: F64, shape: tuple[int, ...], edge: int = 64) -> Cubes:
        """Sort places, in voxels, shape (places, 3), into the cubes of a volume; those outside go to the nearest."""
        counts = tuple(-(-size // edge) for size in shape)
        cells = np.clip(places // edge, 0, np.array(counts) - 1).astype(np.int64)
        flat = np.ravel_multi_index(tuple(cells.T), counts)
        order = np.argsort(flat, kind="stable")
        first = np.searchsorted(flat[order], np.arange(np.prod(counts) + 1))
        return cls(order, first, counts, edge)

    def near(self, low: NDArray[Any], high: NDArray[Any]) -> I64:
        """Return the places of the cubes that a box touches, in order: all that lie in the box, and others."""
        most = np.array(self.counts) - 1
        begin, end = (np.clip(np.floor(one / self.edge), 0, most).astype(int) for one in (low, high))
        found = [np.empty(0, np.int64)]
        for z in range(begin[0], end[0] + 1):
            for y in range(begin[1], end[1] + 1):
                row = (z * self.counts[1] + y) * self.counts[2]
                found.append(self.order[self.first[row + begin[2]] : self.first[row + end[2] + 1]])
        return np.sort(np.concatenate(found))


def tracing_forecast(inputs: InputSizes, *, edge: int, voxel: int, seconds: float) -> Forecast:
    """Return the forecast of tracing a volume.

    Parameters
    ----------
    inputs
        Of them the `volume`.
    edge
        Edge of a cube of as many voxels as are in memory at once, at most.
    voxel
        Bytes that each of these takes.
    seconds
        Processor time for each voxel of the volume.
    """
    sizes = inputs["volume"][0]
    voxels = sizes["z"] * sizes["y"] * sizes["x"]
    atoms = max(1, voxels // ROOMY)
    memory = min(voxels, edge**3) * voxel + atoms * ATOM
    return Forecast({"atom": atoms, "axis": 3}, memory=memory, seconds=voxels * seconds)


def checked(block: NDArray[Any], outer: Box) -> F32:
    """Return a block as float32, empty where it is undefined, or name its first infinite voxel."""
    values = np.ascontiguousarray(block, np.float32)
    if not peaks.finite(values.reshape(-1)):
        infinite = np.isinf(values)
        if not infinite.any():
            warnings.warn(UNDEFINED, AetxWarning, stacklevel=2)
            return np.nan_to_num(values, copy=True)
        place = np.argwhere(infinite)[0] + [low for low, _ in outer]
        z, y, x = (int(i) for i in place)
        raise InputError(
            Problem(
                "volume",
                f"density[{z}, {y}, {x}]",
                repr(float(values[tuple(place - [low for low, _ in outer])])),
                "a finite number",
                "mend the volume, or the images and masks it was reconstructed from",
            )
        )
    return values


def _on_checked(block: NDArray[Any], box: Box, outer: Box, *, work: Callable[[NDArray[Any], Box, Box], Table]) -> Table:
    return work(checked(block, outer), box, outer)


def _histogram(block: NDArray[Any], box: Box, outer: Box) -> I64:
    low, high = inner(box, outer)
    values = np.ascontiguousarray(block, np.float32)
    return peaks.height_histogram(peaks.local_maxima(values, low, high, 0.0)[1])


def inner(box: Box, outer: Box) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return where a box begins and ends within its padded block."""
    low = tuple(a - o for (a, _), (o, _) in zip(box, outer, strict=True))
    high = tuple(b - o for (_, b), (o, _) in zip(box, outer, strict=True))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _maxima(block: NDArray[Any], box: Box, outer: Box, *, floor: float) -> F64:
    values = np.ascontiguousarray(block, np.float32)
    indices, heights = peaks.local_maxima(values, *inner(box, outer), floor)
    rows, last = np.empty((len(indices), 10)), np.array(values.shape)
    rows[:, 0:3] = indices + [low for low, _ in outer]
    rows[:, 3] = heights
    for k in range(3):
        for side, column in ((-1, 4 + 2 * k), (1, 5 + 2 * k)):
            there = indices.copy()
            there[:, k] += side
            there[:, k] = np.where((there[:, k] < 0) | (there[:, k] >= last[k]), indices[:, k] - side, there[:, k])
            rows[:, column] = values[tuple(np.clip(there, 0, last - 1).T)]
    return rows


def typical_maximum(blocks: Blocks) -> float:
    """Return the height of a typical bright maximum of a volume, 0 where it has none above zero.

    Raises
    ------
    InputError
        If a voxel is infinite.
    """
    counts = blocks.tables(_histogram, 1)
    total = np.sum(np.stack(counts), axis=0)
    return peaks.typical_height(total)


def separated_maxima(blocks: Blocks, floor: float, separation: float) -> F64:
    """Return maxima above `floor`, brightest first, none nearer than `separation` (angstrom) to a brighter one.

    Shape (maxima, 10): index z, y, x, value, and the values before and after it along z, y, x.
    """
    if min(blocks.shape) < 3:
        return np.empty((0, 10))
    rows = np.concatenate(blocks.tables(partial(_maxima, floor=floor), 1))
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0], -rows[:, 3]))]
    return rows[peaks.separated((rows[:, :3] + vertices(rows)) * blocks.steps, separation)]


def vertices(rows: F64) -> F64:
    """Return how far from its voxel each maximum of `separated_maxima` lies, z, y, x, by its logarithm's parabola."""
    here = rows[:, 3:4]
    before, after = np.maximum(rows[:, 4::2], 0.05 * here), np.maximum(rows[:, 5::2], 0.05 * here)
    bend = np.maximum(2 * np.log(here) - np.log(before) - np.log(after), 1e-3)
    found: F64 = np.clip(0.5 * (np.log(after) - np.log(before)) / bend, -0.5, 0.5)
    return found


def atoms_at(density: xr.DataArray, voxels: F64, **columns: xr.DataArray) -> xr.Dataset:
    """Make the table of atoms at given places.

    Parameters
    ----------
    density
        The volume that the places belong to; its coordinates say where it lies.
    voxels
        Index z, y, x of each atom, with fractions; shape (atoms, 3).
    **columns
        Further variables, on `atom`, or on `atom` and `axis` in the order x, y, z.
    """
    position = np.empty((len(voxels), 3))
    for k, axis in enumerate(("z", "y", "x")):
        values = density.coords[axis].values.astype(float)
        step = (values[-1] - values[0]) / (values.size - 1) if values.size > 1 else 0.0
        position[:, 2 - k] = values[0] + step * voxels[:, k]
    return xr.Dataset(
        {
            "position": (("atom", "axis"), position, {"units": "angstrom"}),
            "species": ("atom", np.zeros(len(voxels), np.int32), {"units": "1"}),
            **columns,
        },
        coords={
            "atom": ("atom", np.arange(len(voxels)), {"units": "1"}),
            "axis": ("axis", np.array(["x", "y", "z"])),
        },
    )
