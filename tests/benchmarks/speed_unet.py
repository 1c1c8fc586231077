"""Time the learned filter, and filter a volume larger than the memory, and print the peak.

Run as ``python -m tests.benchmarks.speed_unet [--sizes 144 256] [--threads 1 2] [--large 768] [--memory 2000000000]
[--weights FILE]``. The first table gives processor seconds (user and system, the least of three) and elapsed ones for
the published network as torch evaluates it and as aetx does, and for the residual one, weights random unless given;
beside it the rate of a product of matrices, which tells how busy the machine was. With ``--large`` a volume of that
edge (a ball of atoms with noise, made as it is read) goes through `augment.unet` into a store in a process of its own,
whose peak resident memory is measured and must stay below the limit.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import dask
import numpy as np
import torch

from aetx.core.weights import Card, read, write
from aetx.kernels.inference import evaluate, prepared
from aetx.kernels.neural_networks import Published, Residual, build
from aetx.stages.augment.unet import unet
from aetx.store import open_store
from aetx.store import write as store
from tests.benchmarks.out_of_core import resident, volume_of

MATRIX = 2048
DTYPES: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the least processor and elapsed seconds of three calls after a first one."""
    work()
    cpu, wall = [], []
    for _ in range(3):
        began, start = time.monotonic(), time.process_time()
        work()
        cpu.append(time.process_time() - start)
        wall.append(time.monotonic() - began)
    return min(cpu), min(wall)


def speeds(network: Published | Residual, size: int, label: str) -> None:
    """Print the times of one network at one size."""
    given = np.random.default_rng(0).uniform(0, 1, (size, size, size)).astype(np.float32)

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = network(torch.from_numpy(given)[None, None])
            return found

    row(label, "torch as it is", size, timed(plain), 0.0)
    wanted = plain()[0, 0].numpy()
    for dtype in DTYPES:
        work = partial(evaluate, prepared(network, "cpu", dtype), given, network.multiple, False)
        error = float(np.linalg.norm(work() - wanted)) / max(float(np.linalg.norm(wanted)), 1e-30)
        row(label, f"aetx {dtype}", size, timed(work), error)


def row(label: str, how: str, size: int, seconds: tuple[float, float], error: float) -> None:
    """Print one line of the table, and beside it the rate of a product of matrices just after."""
    a = torch.rand(MATRIX, MATRIX)
    rate = 2e-9 * MATRIX**3 / timed(lambda: a @ a)[0]
    print(
        f"{label:10} {how:15} {size:4}^3  {torch.get_num_threads()} threads {seconds[0]:7.3f} CPU-s {seconds[1]:7.3f} s"
        f"  rel. error {error:.1e}  matrices {rate:.0f} GFLOP per CPU-s",
        flush=True,
    )


def filtered(size: int, memory: int, weights: Path, folder: Path) -> None:
    """Filter a volume into a store, within the memory that the process has left."""
    left = memory - resident()
    with dask.config.set(scheduler="threads", num_workers=2):
        made = unet(volume_of(size), weights=weights, memory=left)
        store(made, folder / "filtered.zarr", key="1" * 64, record={})
        middle = open_store(folder / "filtered.zarr")["density"][size // 2].values
    assert np.isfinite(middle).all()


def alone(size: int, memory: int, weights: Path) -> None:
    """Filter in this process and print its peak."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        filtered(64, 10**10, weights, Path(folder))  # what is compiled and loaded is no part of the work
    began, start, before = time.monotonic(), time.process_time(), resident()
    with tempfile.TemporaryDirectory() as folder:
        filtered(size, memory, weights, Path(folder))
    print(
        f"{size}^3, {size**3 * 4 / 2**30:.2f} GiB: peak {resident() / 1e6:.0f} MB of {memory / 1e6:.0f} MB "
        f"({before / 1e6:.0f} MB before), {time.monotonic() - began:.0f} s, {time.process_time() - start:.0f} CPU-s"
    )
    sys.exit(resident() > memory)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[144, 256])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--memory", type=int, default=2 * 10**9)
    parser.add_argument(
        "--weights", type=Path, help="of the large volume; random ones of the residual form if not given"
    )
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.alone:
        alone(told.large, told.memory, told.weights)
    torch.manual_seed(0)
    networks = {"published": build("published").eval(), "residual": build("residual").eval()}
    for threads in told.threads:
        torch.set_num_threads(threads)
        for size in told.sizes:
            for label, network in networks.items():
                speeds(network, size, label)
    if told.large:
        with tempfile.TemporaryDirectory() as folder:
            weights = told.weights
            if weights is None:
                weights = Path(folder) / "random.safetensors"
                stated = Card(name="random", form="residual", pixel_size=(0.3, 0.4), largest_tilt=(60, 75), width=0.45)
                write(weights, networks["residual"], stated)
            print(f"{read(weights)[1].name}, {math.ceil(weights.stat().st_size / 1e3)} kB")
            command = [sys.executable, "-m", "tests.benchmarks.speed_unet", "--alone", "--weights", str(weights)]
            subprocess.run([*command, "--large", str(told.large), "--memory", str(told.memory)], check=True)


if __name__ == "__main__":
    main()
