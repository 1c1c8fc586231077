"""Reconstruction in slabs of rows, where the rows of the images do not depend on each other."""

from __future__ import annotations

import uuid
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core.choice import ChosenParams, Solve, Trial, chosen_forecast, decided
from aetx.core.stage import Forecast, InputSizes
from aetx.core.tomography import (
    BoxParams,
    box_of,
    density_of,
    read_images,
    reconstructed,
    reconstruction_task,
    require_memory,
    sums_of,
    task_bytes,
    volume_dataset,
    warn_of,
)
from aetx.kernels.projection import F64
from aetx.kernels.reconstruction import share

F32 = NDArray[np.float32]

ROWS = 128
"""Rows of a slab, whatever the memory: the momentum of an iteration is that of its slab."""
UPRIGHT = 1e-6
"""Greatest phi and psi, in degree, of tilts about y alone."""
ONCE = Trial(1, 0.0)
"""How to run what does not iterate."""
AT_ONCE = 2
"""Slabs in the making at a time where the volume is lazy."""


def rows_apart(series: xr.Dataset) -> bool:
    """Tell whether each row of the images is the projection of one slice of the volume."""
    return all(float(np.abs(series[name].values).max()) <= UPRIGHT for name in ("phi", "psi"))


def by_rows(
    series: xr.Dataset,
    support: xr.Dataset | None,
    params: BoxParams,
    solve: Solve,
    *,
    device: str,
    memory: int | None,
) -> xr.Dataset:
    """Return the reconstruction of a series, in slabs of `ROWS` rows where rows do not depend on each other.

    That is so for tilts about y alone, and methods that do not tie a voxel to its neighbours; other series, and
    those of no more rows, are reconstructed as a whole. Each slab is solved by itself, all in the same number of steps;
    where that number is left open, `ROWS` rows taken evenly from the whole tell it. R1 is that of whole images. The
    density is lazy, each slab made when it is asked for, if it does not fit the memory; its values are the same.
    """
    if series.sizes["y"] <= ROWS or not rows_apart(series):
        task = reconstruction_task(series, support, params, device=device, memory=memory)
        trial, log = decided(task, params, solve) if isinstance(params, ChosenParams) else (ONCE, xr.Dataset())
        return reconstructed(series, task, solve(task, trial)).merge(log)
    slabs = [slice(first, first + ROWS) for first in range(0, series.sizes["y"], ROWS)]
    slabs[-1] = slice(slabs[-1].start, series.sizes["y"])
    one = task_bytes(series.isel(y=slabs[0]), params)
    shape = (box_of(series, params).shape[0], series.sizes["y"], series.sizes["x"])
    lazy = memory is not None and one + 4 * int(np.prod(shape)) > memory
    if memory is not None:
        require_memory(AT_ONCE * one if lazy else one, memory)
    total = _looked_at(series, slabs)
    trial, log = _trial(series, support, params, solve, device)
    work = _Slab(series, support, params, solve, trial, device)
    if lazy:
        made = [dask.delayed(work, pure=False)(slab) for slab in slabs]
        sizes = [slab.stop - slab.start for slab in slabs]
        parts = [
            da.from_delayed(pair[0], (shape[0], rows, shape[2]), np.float32)
            for pair, rows in zip(made, sizes, strict=True)
        ]
        density = da.concatenate(parts, axis=1)
        apart = sum(da.from_delayed(pair[1], (trial.iterations + 1, total.size), np.float64) for pair in made)
        ratio = da.map_blocks(share, apart, total=total, dtype=np.float64)
    else:
        density, apart = np.empty(shape, np.float32), np.zeros((trial.iterations + 1, total.size))
        for slab in slabs:
            density[:, slab], part = work(slab)
            apart += part
        ratio = share(apart, total)
    named = xr.DataArray(ratio, dims=("iteration", "tilt"))
    return volume_dataset(series, density, named[-1].data, named.mean("tilt").data).merge(log)


def rows_forecast(inputs: InputSizes, params: ChosenParams) -> Forecast:
    """Return the forecast of a reconstruction by rows some of whose parameters are chosen."""
    return chosen_forecast(inputs, params, ROWS)


class _Slab:
    """Makes one slab. Opaque to dask, which would else read the whole series to hand it over."""

    def __init__(
        self,
        series: xr.Dataset,
        support: xr.Dataset | None,
        params: BoxParams,
        solve: Solve,
        trial: Trial,
        device: str,
    ) -> None:
        self.series, self.support, self.params = series, support, params
        self.solve, self.trial, self.device = solve, trial, device
        self.token = uuid.uuid4().hex

    def __dask_tokenize__(self) -> str:
        return self.token

    def __call__(self, rows: slice) -> tuple[F32, F64]:
        """Return the density (z, y, x) of some rows, and the sums of absolute differences (iteration, tilt)."""
        series, support = (None if one is None else _read(one.isel(y=rows)) for one in (self.series, self.support))
        assert series is not None
        task = reconstruction_task(series, support, self.params, device=self.device, memory=None, told=False)
        found = self.solve(task, self.trial)
        last = self.trial.iterations + 1
        kept = np.minimum(np.arange(last), len(found.apart) - 1)
        return density_of(task, found), found.apart[kept]


def _read(dataset: xr.Dataset) -> xr.Dataset:
    # a task waits for its own piece: a second pool of threads would double the memory
    return dataset.compute(scheduler="synchronous")


def _looked_at(series: xr.Dataset, slabs: list[slice]) -> F64:
    """Read all images once, say what is odd about them, and return the sum of absolute values of each."""
    sums, negative = np.zeros(series.sizes["tilt"]), 0.0
    for slab in slabs:
        part, below = sums_of(read_images(_read(series.isel(y=slab)))[0])
        sums, negative = sums + part, negative + below
    warn_of(sums, negative, stacklevel=5)
    return sums


def _trial(
    series: xr.Dataset, support: xr.Dataset | None, params: BoxParams, solve: Solve, device: str
) -> tuple[Trial, xr.Dataset]:
    """Return how to run each slab, and the search that told it."""
    if not isinstance(params, ChosenParams):
        return ONCE, xr.Dataset()
    if params.iterations != "auto" and params.tolerance == 0:
        return Trial(params.iterations, 0.0), xr.Dataset()
    every = np.linspace(0, series.sizes["y"] - 1, ROWS).round().astype(int)
    some, inside = (
        None if one is None else _read(one.isel(y=every)).assign_coords(y=one["y"][:ROWS]) for one in (series, support)
    )
    assert some is not None
    task = reconstruction_task(some, inside, params, device=device, memory=None, told=False)
    trial, log = decided(task, params, solve)
    if trial.tolerance > 0:
        trial = replace(trial, iterations=len(solve(task, trial).history) - 1, tolerance=0.0)
    return trial, log
