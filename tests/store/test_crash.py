"""Death at every step on the file system: afterwards a store is the old one, the new one, or not there."""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.model import VOLUME
from aetx.store import Lock, claim_output, disk, manifest, open_store, sweep, verify, write

SHAPE = (128, 64, 64)
MUTATING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def volume(seed: int) -> xr.Dataset:
    axes = {
        axis: (axis, np.arange(float(size)), {"units": "angstrom"}) for axis, size in zip("zyx", SHAPE, strict=True)
    }
    values = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    return VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), values, {"units": "count/angstrom"})}, axes))


def die_at(step: int, folder: Path) -> None:
    """Kill this process before the step-th change below a folder; of a write, after half of it."""
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in MUTATING and not (event == "open" and int(arguments[2]) & WRITING):  # type: ignore[call-overload]
            return
        within_a_folder = event in ("os.remove", "os.rmdir") and not str(arguments[0]).startswith("/")
        if not within_a_folder and not str(arguments[0]).startswith(str(folder)):
            return
        seen += 1
        if seen == step:
            if event == "open" and step % 2:
                Path(str(arguments[0])).write_bytes(b"torn")
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def survive(step: int, folder: Path, work: Callable[[Path], None]) -> bool:
    """Do the work in a child that dies at a step; tell whether it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            with dask.config.set(scheduler="synchronous"):
                die_at(step, folder)
                work(folder)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFEXITED(status)


def deaths(
    tmp_path: Path, prepare: Callable[[Path], None], work: Callable[[Path], None], every: int = 1
) -> Iterator[Path]:
    """Yield a folder for each step, or every so many steps, at which the work can die."""
    for step in range(1, 500, every):
        folder = tmp_path / str(step)
        folder.mkdir()
        prepare(folder)
        if survive(step, folder, work):
            assert step > 20
            return
        yield folder
    raise AssertionError("no end")


def careful(folder: Path) -> None:
    claim_output(folder)
    with Lock(folder):
        sweep(folder / ".aetx-tmp")
        write(volume(2), folder / "results" / "v.zarr", key="new", record={}, scratch=folder / ".aetx-tmp")


def in_two_steps(folder: Path) -> None:
    disk.exchange = lambda *_: False
    careful(folder)


def naive(folder: Path) -> None:
    volume(2).to_zarr(folder / "v.zarr", mode="w", consolidated=True)


def found(folder: Path) -> str:
    """Return the key of the store that stands, after a look at every byte and number of it."""
    path = folder / "results" / "v.zarr"
    try:
        key = manifest(path).key
    except InputError:
        assert not path.exists(), "something stands under the final name that is no store"
        return ""
    assert verify(path) == []
    assert np.array_equal(open_store(path)["density"].values, volume({"old": 1, "new": 2}[key])["density"].values)
    return key


def opens_in_part(folder: Path) -> list[str]:
    """Return the stores in the folder for unfinished things that another program opens and of which a part is gone."""
    partial = []
    for root in (folder / ".aetx-tmp").glob("*/zarr.json"):
        with warnings.catch_warnings(), contextlib.suppress(OSError, KeyError, ValueError):
            warnings.simplefilter("ignore")
            one = xr.open_zarr(root.parent, consolidated=True).load()
            whole = [all(np.array_equal(one[name], volume(seed)[name]) for name in one.variables) for seed in (1, 2)]
            partial += [root.parent.name] * (not any(whole))
    return partial


def prepared(folder: Path) -> None:
    claim_output(folder)
    write(volume(1), folder / "results" / "v.zarr", key="old", record={}, scratch=folder / ".aetx-tmp")


EVERY = [pytest.param(9, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_dies_leaves_nothing_that_looks_finished(tmp_path: Path, first: bool, every: int) -> None:
    points = 0
    for folder in deaths(tmp_path, (lambda _: None) if first else prepared, careful, every):
        points += every
        assert found(folder) in (("", "new") if first else ("old", "new"))
        assert opens_in_part(folder) == []
        careful(folder)
        assert found(folder) == "new"
        assert not (folder / ".aetx-lock").exists()
        assert list((folder / ".aetx-tmp").iterdir()) == []
    assert points > 40


@pytest.mark.parametrize("every", EVERY)
def test_a_swap_in_two_steps_loses_neither_the_old_nor_the_new(tmp_path: Path, every: int) -> None:
    for folder in deaths(tmp_path, prepared, in_two_steps, every):
        sweep(folder / ".aetx-tmp")
        assert found(folder) in ("old", "new")


@pytest.mark.filterwarnings("ignore:Object at .* is not recognized")
def test_the_naive_writer_is_caught_by_this_very_test(tmp_path: Path) -> None:
    wrong = 0
    for folder in deaths(tmp_path, lambda _: None, naive, 2):
        try:
            read = xr.open_zarr(folder / "v.zarr", consolidated=False)["density"].values
        except (OSError, KeyError, ValueError):
            continue
        wrong += not np.array_equal(read, volume(2)["density"].values)
    assert wrong >= 2
