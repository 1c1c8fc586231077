"""What naive programs do; each must be noticed. ``python -m tests.faults.naive OUTPUT`` is a naive run."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core.record import RunRecord
from aetx.core.registry import Registry
from aetx.errors import BusyError, Problem

WORDS = {"file": "s.mrc", "field": "size", "found": "0", "wanted": "1", "fix": "copy it again"}


def _tell(**changes: str) -> int:
    print(json.dumps({"error": {"code": 3, "heading": "", "problems": [WORDS | changes]}}))
    return 3


def raise_it(*_: str) -> int:
    """Let the error of a library through."""
    raise ValueError("cannot reshape array")


def say_nothing(*_: str) -> int:
    """End with the right code and no word."""
    return 3


def forget_the_fix(*_: str) -> int:
    """Say what is wrong, and not what to do."""
    return _tell(fix="")


def litter(*_: str) -> int:
    """Make the output before looking at the input."""
    Path("out").mkdir()
    return _tell()


def hold_two_gigabytes(*_: str) -> int:
    """Believe a header."""
    held = bytearray(b"\1") * (2 << 30)
    return _tell(found=str(len(held)))


def spin(*_: str) -> int:
    """Follow a loop."""
    while True:
        pass


def run_code(*_: str) -> int:
    """Believe a pickle."""
    Path("CANARY").touch()
    return _tell()


def read_mutants(folder: str, seed: str, count: str) -> int:
    """Read mutants with a library alone."""
    from tests.faults import reading

    def read(place: str) -> int:
        return int(np.load(Path(place) / "s.npy").sum() < 0)

    reading.read = read  # type: ignore[assignment]
    return reading.read_mutants(folder, seed, count)


def load_all(*_: str) -> int:
    """Load a recipe and weights with the most that their libraries offer."""
    import torch
    from ruamel.yaml import YAML

    for path in Path().glob("*"):
        with contextlib.suppress(Exception):
            if path.suffix == ".yaml":
                YAML(typ="unsafe", pure=True).load(path.read_text())
            elif path.suffix in (".pt", ".safetensors"):
                torch.load(path, weights_only=False)
    return _tell()


def follow_all(*_: str) -> int:
    """Read whatever a data file names, and write into the folder above."""
    import h5py
    import tifffile

    for path in Path().glob("*"):
        with contextlib.suppress(Exception):
            if path.suffix in (".tif", ".tiff"):
                tifffile.imread(path)
            elif path.suffix == ".zarr":
                xr.open_zarr(path, consolidated=False).load()
            elif h5py.is_hdf5(path):
                with h5py.File(path) as file:
                    file.visititems(lambda _, one: one[()] if isinstance(one, h5py.Dataset) else None)
    Path("../elsewhere").resolve().write_text("a log")
    return _tell()


def make_room(*words: str) -> int:
    """Write a store to the output, whatever is there."""
    published = xr.Dataset({"density": ("x", np.ones(3))})
    published.to_zarr(words[words.index("--output") + 1], mode="w", consolidated=False)
    return 0


class FileLock:
    """A lock that is held while its file is there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".aetx-lock"

    def __enter__(self) -> None:
        if self.path.exists():
            raise BusyError(Problem(str(self.path), "output", "a lock", "none", "remove it"))

    def __exit__(self, *_: object) -> None:
        pass


class NumberLock(FileLock):
    """A lock that is held while there is a process of its number."""

    def __enter__(self) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError, ProcessLookupError):
            os.kill(int(json.loads(self.path.read_text())["pid"]), 0)
            super().__enter__()


def report(record: RunRecord, results: Mapping[str, xr.Dataset], folder: Path, registry: Registry) -> Path:
    """Write a title into a page as it is."""
    page = folder / "report.html"
    page.write_text(f"<html><title>{record.title}</title><h1>{record.title}</h1>{len(results)}</html>")
    return page


def _run(output: Path, seed: int) -> int:
    """Write two results of which one depends on the clock, and take no lock and heed no signal."""
    from tests.run import tiny

    made = tiny.make(params=tiny.MakeParams(edge=20, seed=seed))
    (output / ".aetx-tmp").mkdir(parents=True, exist_ok=True)
    (output / ".aetx-output").touch()
    for name, one in (("made", made), ("smooth", made + time.time() % 1000)):
        one.to_zarr(output / "results" / f"{name}.zarr", mode="w", consolidated=False)
        if name == "made" and "--local" in sys.argv:
            _compute()
        time.sleep(1.5)
    return 0


def _compute() -> None:
    """Let worker processes work for some seconds; the loss of one ends it."""
    import dask
    from distributed import Client

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client,
    ):
        client.gather(client.map(time.sleep, [0.4 + i / 1e6 for i in range(30)]))


if __name__ == "__main__":
    began = time.monotonic()
    code = _run(Path(sys.argv[1]), int(float(sys.argv[2])) if len(sys.argv) > 2 else 0)
    print(f"worked {began} {time.monotonic()}")
    sys.exit(code)
