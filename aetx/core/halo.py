"""Neighbourhood work on volumes of any size: each block reads its own padded piece of the source.

No data pass between tasks, so that the memory is that of the blocks in flight, and the result is the same bit for
bit as on the whole array, whatever the block.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import dask
import dask.array as da
import numpy as np
import xarray as xr

from aetx.errors import EnvironmentFault, Problem

Box = tuple[tuple[int, int], ...]
Table = TypeVar("Table")


def block_shape(
    shape: tuple[int, ...], depth: int, copies: float, memory: int | None, threads: int = 2
) -> tuple[int, ...]:
    """Return the largest cubic block, in whole storage chunks up to 256, whose working set fits the memory.

    Parameters
    ----------
    shape
        Size of the whole array.
    depth
        Voxels that a block reads beyond each face.
    copies
        float32 arrays of the padded block's size that the work holds at its peak.
    memory
        Bytes for all blocks in flight; None for no limit.
    threads
        Blocks in flight.
    """
    for edge in (256, 192, 128, 64):
        block = tuple(min(size, edge) for size in shape)
        padded = np.prod([min(size, b + 2 * depth) for size, b in zip(shape, block, strict=True)], dtype=float)
        if memory is None or threads * copies * padded * 4 <= memory:
            return block
    needed = int(threads * copies * (64 + 2 * depth) ** 3 * 4)
    raise EnvironmentFault(
        Problem(
            "run", "memory", f"{memory} bytes", f"at least {needed} bytes", f"give --memory {-(-needed // 10**6)}MB"
        )
    )


def halo_map(
    function: Callable[[np.ndarray], np.ndarray],
    source: xr.DataArray,
    *,
    depth: int,
    block: tuple[int, ...],
    dtype: Any = np.float32,
) -> xr.DataArray:
    """Apply a neighbourhood function block by block, lazily.

    Parameters
    ----------
    function
        From a padded block to an array of the same shape; its value at a voxel must depend on voxels within `depth`
        only, and on the faces of the array as given.
    source
        Array of any size: in memory, stored and not yet read, or a dask array.
    depth
        Voxels read beyond each face of a block.
    block
        Shape of the blocks of the result.
    dtype
        Type of the result.
    """
    chunks = da.core.normalize_chunks(block, source.shape)
    work = _Work(function, source.variable, depth)
    # a name of its own: dask would read the whole source to make one
    name = f"halo-{work.token}"
    data = da.map_blocks(work.grid, name=name, chunks=chunks, dtype=dtype, meta=np.empty((0,) * source.ndim, dtype))
    return xr.DataArray(data, dims=source.dims, coords=source.coords)


def halo_tables(
    function: Callable[[np.ndarray, Box, Box], Table],
    source: xr.DataArray,
    *,
    depth: int,
    block: tuple[int, ...],
    wanted: Callable[[Box], bool] | None = None,
) -> list[Table]:
    """Compute a table for each block, or for each that is wanted, and return them in order of the blocks.

    `function` is handed the padded block, the box of the block inside the whole array, and the box of the padded
    block; it returns rows for what it finds inside the first (each thing belongs to one block). This computes.
    """
    chunks = da.core.normalize_chunks(block, source.shape)
    edges = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in chunks]
    work = _Work(function, source.variable, depth)
    tasks = []
    for index in np.ndindex(*(len(sizes) for sizes in chunks)):
        box = tuple((int(edge[i]), int(edge[i + 1])) for edge, i in zip(edges, index, strict=True))
        if wanted is None or wanted(box):
            tasks.append(dask.delayed(work.table, pure=False)(box))
    return list(dask.compute(*tasks))


def _padded(box: Box, shape: tuple[int, ...], depth: int) -> Box:
    return tuple((max(0, a - depth), min(n, b + depth)) for (a, b), n in zip(box, shape, strict=True))


def _read(variable: xr.Variable, box: Box) -> np.ndarray:
    part = variable[tuple(slice(a, b) for a, b in box)]
    if part.chunks is not None:
        # a task waits for its own piece: a second pool of threads would double the memory
        part = part.compute(scheduler="synchronous")
    return np.asarray(part.values)


class _Work:
    """What is done to each block. Opaque to dask, which would else compute or read the whole source to hand it over."""

    def __init__(self, function: Callable[..., Any], variable: xr.Variable, depth: int) -> None:
        self.function = function
        self.variable = variable
        self.depth = depth
        self.token = uuid.uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self.token

    def grid(self, block_info: Any = None) -> np.ndarray:
        box = tuple((int(a), int(b)) for a, b in block_info[None]["array-location"])
        outer = _padded(box, self.variable.shape, self.depth)
        result = self._done(box, _read(self.variable, outer))
        inner = tuple(slice(a - o, b - o) for (a, b), (o, _) in zip(box, outer, strict=True))
        return np.ascontiguousarray(result[inner])

    def table(self, box: Box) -> Any:
        outer = _padded(box, self.variable.shape, self.depth)
        return self._done(box, _read(self.variable, outer), box, outer)

    def _done(self, box: Box, *given: Any) -> Any:
        try:
            return self.function(*given)
        except Exception as error:
            error.add_note(f"in block {box}")
            raise
