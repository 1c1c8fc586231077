"""Filter and trace a large volume under a limit: ``python -m tests.run.big OUTPUT EDGE BYTES``; prints the peak."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from aetx.run import limit_threads

limit_threads()

import dask.array as da  # noqa: E402 - the threads are limited first
import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402

from aetx.core import Forecast, Params, stage  # noqa: E402
from aetx.model import VOLUME  # noqa: E402
from tests.run import tiny  # noqa: E402

PITCH = 18
"""Voxels between atoms: some 185,000 of them in 1024 voxels to the cube, which are 4 GiB."""


def _lattice(block_info: dict[int | None, dict[str, list[tuple[int, int]]]] | None = None) -> np.ndarray:
    """Return Gaussian atoms on a cubic lattice in a little noise, the same wherever the blocks are cut."""
    assert block_info is not None
    place = block_info[None]["array-location"]
    grids = [np.arange(a, b) for a, b in place]
    profiles = [np.exp(-(((grid % PITCH) - PITCH // 2) ** 2) / 4.5).astype(np.float32) for grid in grids]
    z, y, x = (grid.astype(np.uint32) for grid in grids)
    noise = (z[:, None, None] * 2654435761 + y[:, None] * 40503 + x * 69069) % np.uint32(1009)
    return np.einsum("i,j,k->ijk", *profiles) + noise.astype(np.float32) * np.float32(1e-5)


class BigParams(Params):
    """Parameters of `make`."""

    edge: int = 640


def _forecast(_: object, params: BigParams) -> Forecast:
    return Forecast(dict.fromkeys("zyx", params.edge), 100_000_000, params.edge**3 * 2e-8)


@stage("big.make", takes={}, gives=VOLUME, params=BigParams, forecast=_forecast, flow="chunkwise")
def make(params: BigParams) -> xr.Dataset:
    """Make a volume of atoms on the fly."""
    chunks = da.core.normalize_chunks((128, 128, 128), (params.edge,) * 3)
    data = da.map_blocks(_lattice, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    axes = {axis: (axis, 0.3 * (np.arange(params.edge) - params.edge // 2), tiny.LENGTH) for axis in "zyx"}
    return xr.Dataset({"density": (("z", "y", "x"), data, tiny.DENSITY)}, axes)


def main(output: Path, edge: int, limit: int) -> None:
    """Run and print the peak of the resident memory in bytes."""
    from aetx.core.registry import Registry
    from aetx.run import run_plan

    gaussian, peaks = (Registry().stage(name) for name in ("augment.gaussian", "trace.peaks"))
    job = tiny.job(
        tiny.step("made", make, BigParams(edge=edge)),
        tiny.step("clean", gaussian, gaussian.params.model_validate({"width": 0.3}), volume="made"),
        tiny.step("atoms", peaks, peaks.params(), volume="clean"),
    )
    records = run_plan(tiny.plan(job), output=output, reporter=None, quiet=True, memory=limit)
    print("\n".join(records.lines()))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
