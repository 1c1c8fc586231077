"""Damage to finished stores: every file deleted, emptied or cut, and single bits flipped; each is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.errors import AetxError
from aetx.store import damage_in_words, open_store, verify, write
from tests.faults.inputs.stores import published

Reader = Callable[[Path], xr.Dataset]


@dataclass
class Found:
    """How many damages there were, how many `verify` found, and how many were found when the store was just read."""

    made: int = 0
    verified: int = 0
    read: int = 0
    silent: list[str] = field(default_factory=list)


def read(store: Path) -> xr.Dataset:
    """Read a store as a run does."""
    with damage_in_words(lambda: [store]):
        return open_store(store).load()


def read_naively(store: Path) -> xr.Dataset:
    """Read a store as another program does."""
    return xr.open_zarr(store, consolidated=False, chunks=None).load()


def damages(store: Path, flips: int, seed: int = 0) -> Iterator[tuple[str, Path, bytes | None]]:
    """Give each damage: what it is, the file, its bytes afterwards (None where it is deleted)."""
    files = sorted(one for one in store.rglob("*") if one.is_file())
    for file in files:
        content = file.read_bytes()
        name = file.relative_to(store).as_posix()
        yield f"{name} deleted", file, None
        yield f"{name} emptied", file, b""
        yield f"{name} cut", file, content[: len(content) // 2]
    rng = np.random.default_rng(seed)
    chunks = [one for one in files if one.suffix != ".json"]
    for _ in range(flips):
        file = chunks[int(rng.integers(len(chunks)))]
        flipped = bytearray(file.read_bytes())
        place = int(rng.integers(len(flipped)))
        flipped[place] ^= 1 << int(rng.integers(8))
        yield f"{file.relative_to(store).as_posix()} byte {place} flipped", file, bytes(flipped)


def damage_all(folder: Path, flips: int, reader: Reader = read) -> Found:
    """Damage a store in every way, one after the other, and look whether it is found."""
    store = folder / "v.zarr"
    dataset = published()
    write(dataset, store, key="k", record={})
    naive = reader is read_naively
    if naive:
        shutil.rmtree(store)
        dataset.to_zarr(store, zarr_format=3, consolidated=False, mode="w")
    found, whole = Found(), dataset["density"].values
    for what, file, changed in damages(store, flips):
        before = file.read_bytes()
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)
        found.made += 1
        found.verified += bool(not naive and verify(store))
        try:
            wrong = not np.array_equal(reader(store)["density"].values, whole)
        except (AetxError, OSError, ValueError, KeyError, RuntimeError):
            found.read += 1
        else:
            if wrong:
                found.silent.append(what)
        file.write_bytes(before)
    return found
