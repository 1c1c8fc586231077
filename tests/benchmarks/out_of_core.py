"""Smooth and trace a volume larger than the memory, and print the peak.

Run as ``python -m tests.benchmarks.out_of_core [--size 1024] [--memory 1000000000]``. A volume of 4 GiB (1024^3
float32: a ball of atoms with noise, made as it is read) goes through `augment.gaussian` into a store and from there
through `trace.peaks`, in a process of its own whose peak resident memory is measured and must stay below the limit.
Then the same at 224^3, once so and once in memory: the atoms must be equal bit for bit.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from aetx.kernels import gaussian as kernel
from aetx.stages.augment.gaussian import gaussian
from aetx.stages.trace.peaks import peaks
from aetx.store import open_store, write

STEP, SPACING, SIGMA, NOISE = 0.358, 8.1, 1.2, 0.1
PIECE = 64
ATOMS = 200_000
"""At most about so many: their table is held in memory."""
SMALL = 224


class Ball(BackendArray):
    """A ball of jittered atoms with noise, made piece by piece as it is read."""

    def __init__(self, size: int) -> None:
        self.shape = (size, size, size)
        self.dtype = np.dtype(np.float32)
        self.radius = min(size / 2 - 10, (ATOMS * SPACING**3 * 0.75 / np.pi) ** (1 / 3))

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        found: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._box
        )
        return found

    def _box(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        low, high = np.array([[one.start or 0, one.stop or n] for one, n in zip(key, self.shape, strict=True)]).T
        out = np.zeros(high - low, np.float32)
        for place in np.ndindex(*(high // -PIECE * -1 - low // PIECE)):
            corner = (low // PIECE + place) * PIECE
            begin, end = np.maximum(corner, low), np.minimum(corner + PIECE, high)
            piece = self._piece(corner)
            there = tuple(slice(a, b) for a, b in zip(begin - low, end - low, strict=True))
            here = tuple(slice(a, b) for a, b in zip(begin - corner, end - corner, strict=True))
            if piece is not None and out[there].size:
                out[there] = piece[here]
        return out

    def _piece(self, corner: NDArray[np.int64]) -> NDArray[np.float32] | None:
        centre = np.array(self.shape) // 2
        if np.linalg.norm(corner + PIECE / 2 - centre) > self.radius + PIECE:
            return None
        piece = np.random.default_rng(corner.tolist()).standard_normal((PIECE,) * 3, np.float32) * np.float32(NOISE)
        first, last = np.floor((corner - 8) / SPACING).astype(int), np.ceil((corner + PIECE + 8) / SPACING).astype(int)
        site = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(first, last, strict=True)]), -1).reshape(-1, 3)
        place = site * SPACING + 0.7 * np.sin(
            site @ np.array([[12.9, 78.2, 37.7], [93.9, 67.3, 25.1], [45.1, 94.7, 9.3]])
        )
        place = place[np.linalg.norm(place - centre, axis=1) < self.radius]
        if len(place):
            state = np.column_stack([place, np.full(len(place), -1.0), np.zeros(len(place))])
            kernel.subtract(piece, corner, state, np.full(3, SIGMA))
        return piece


def volume_of(size: int) -> xr.Dataset:
    """Return the volume, not yet made."""
    lazy = xr.Variable(("z", "y", "x"), indexing.LazilyIndexedArray(Ball(size)), {"units": "1/angstrom"})
    axis = (np.arange(size) - size // 2) * STEP
    return xr.Dataset({"density": lazy}, {name: (name, axis, {"units": "angstrom"}) for name in "zyx"})


def resident() -> int:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def traced(size: int, memory: int, folder: Path) -> xr.Dataset:
    """Smooth and trace through a store, within the memory that the process has left."""
    left = memory - resident()
    with dask.config.set(scheduler="threads", num_workers=2):
        write(gaussian(volume_of(size), width=0.2, memory=left), folder / "smooth.zarr", key="1" * 64, record={})
        return peaks(open_store(folder / "smooth.zarr"), memory=left)


def main() -> None:
    """Print the peak at full size, and whether the small one is equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--memory", type=int, default=10**9)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.alone:
        with tempfile.TemporaryDirectory() as folder:
            traced(PIECE, 10**10, Path(folder))  # the compiled code is no part of the work
        began, start = time.monotonic(), resident()
        with tempfile.TemporaryDirectory() as folder:
            atoms = traced(told.size, told.memory, Path(folder))
        print(
            f"{told.size}^3, {told.size**3 * 4 / 2**30:.2f} GiB, {atoms.sizes['atom']} atoms: peak "
            f"{resident() / 1e6:.0f} MB of {told.memory / 1e6:.0f} MB ({start / 1e6:.0f} MB before), "
            f"{time.monotonic() - began:.0f} s, {time.process_time():.0f} CPU-s"
        )
        sys.exit(resident() > told.memory)
    command = [sys.executable, "-m", "tests.benchmarks.out_of_core", "--alone"]
    subprocess.run([*command, "--size", str(told.size), "--memory", str(told.memory)], check=True)
    whole = peaks(gaussian(volume_of(SMALL).load(), width=0.2).load())
    with tempfile.TemporaryDirectory() as folder:
        xr.testing.assert_identical(traced(SMALL, resident() + 13 * 10**7, Path(folder)).load(), whole)
    print(f"{SMALL}^3: {whole.sizes['atom']} atoms, out of core and in memory equal bit for bit")


if __name__ == "__main__":
    main()
