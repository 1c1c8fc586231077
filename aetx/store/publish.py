"""Publish a result: written aside, counted, hashed, made durable, then renamed. A store is complete or absent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
import zarr
from dask.callbacks import Callback
from dask.core import flatten

from aetx.errors import InputError, Problem, RecipeError
from aetx.model import kind_of
from aetx.store import disk
from aetx.store.disk import ROOT
from aetx.store.folder import SCRATCH, forget_swap, note_swap
from aetx.store.layout import Layout, lay_out
from aetx.store.opening import MANIFEST, Manifest, manifest

Blocks = Callable[[int, int], None]


def write(
    dataset: xr.Dataset,
    path: Path,
    *,
    key: str,
    record: Mapping[str, Any],
    scratch: Path | None = None,
    blocks: Blocks | None = None,
    before: Callable[[], None] | None = None,
) -> Manifest:
    """Write a dataset as a store that is complete or absent, and return its manifest.

    A finished store that stands at `path` is replaced: the new one is published first, the old one removed after.
    Large variables go block by block, computed by the dask scheduler that is in force.

    Parameters
    ----------
    dataset
        In memory, lazy through dask, or not yet read; its kind stands in ``attrs["aetx_schema"]``.
    path
        The store, ``OUT/results/<step>.zarr``.
    key
        What made it; `manifest` gives it back.
    record
        What made it, in words; JSON.
    scratch
        Folder for what is unfinished, on the same file system; ``.aetx-tmp`` beside the store if not given.
    blocks
        Told how many blocks are done, of how many.
    before
        Called when all is written and nothing is published: the last moment to refuse.

    Raises
    ------
    RecipeError
        If something stands at `path` that is no finished store of aetx.
    EnvironmentFault
        If the disk is full, read-only or failing.
    """
    path = Path(path)
    refuse_foreign(path)
    schema = kind_of(dataset).schema
    scratch = path.parent / SCRATCH if scratch is None else scratch
    aside = scratch / disk.litter_name(path.name)
    with disk.in_words(path, int(dataset.nbytes)):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir(parents=True)
        try:
            layout = lay_out(dataset)
            _fill(layout, aside, blocks)
            _count(aside, path)
            files = {name: _measure(aside / name) for name in disk.files_below(aside)}
            made = Manifest(schema, key, record, files)
            (aside / MANIFEST).write_text(made.text(), encoding="utf-8")
            disk.sync_tree(aside)
            if before is not None:
                before()
        except Exception:
            disk.discard(aside)
            raise
        publish(aside, path)
    return made


def refuse_foreign(path: Path) -> None:
    """Raise `RecipeError` where something stands at `path` that is no finished store of aetx."""
    if not path.exists() and not path.is_symlink():
        return
    try:
        manifest(path)
    except InputError as error:
        problem = Problem(
            str(path), "store", error.problems[0].found, "nothing, or a finished store of aetx", "move it away"
        )
        raise RecipeError(problem, "aetx replaces only what it made") from error


def publish(aside: Path, path: Path) -> None:
    """Give a finished folder its final name; what stood there is removed after."""
    if not path.exists():
        aside.rename(path)
        disk.sync(path.parent)
        return
    if disk.exchange(aside, path):
        disk.sync(path.parent)
    else:
        old = aside.with_name(disk.litter_name(path.name))
        note = note_swap(aside.parent, final=path, new=aside, old=old)
        path.rename(old)
        aside.rename(path)
        disk.sync(path.parent)
        forget_swap(note)
        aside = old
    disk.discard(aside)


def _fill(layout: Layout, folder: Path, blocks: Blocks | None) -> None:
    """Write metadata and small variables, then the large ones; the root of the group comes last."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        layout.dataset.to_zarr(
            folder,
            mode="a",
            zarr_format=3,
            consolidated=False,
            encoding=layout.encoding,
            compute=False,
            write_empty_chunks=True,
        )
        hidden = folder / f"{ROOT}.unfinished"
        (folder / ROOT).rename(hidden)
        with zarr.config.set({"array.write_empty_chunks": True}):  # an opened array takes it from there
            targets = {name: zarr.open_array(folder / name, mode="r+") for name in layout.blocks}
        _store_blocks([(layout.dataset[name].data, targets[name]) for name in layout.blocks], blocks)
        hidden.rename(folder / ROOT)
        zarr.consolidate_metadata(folder, zarr_format=3)


def _store_blocks(pairs: list[tuple[da.Array, zarr.Array[Any]]], blocks: Blocks | None) -> None:
    tasks = [
        source.map_blocks(
            _put,
            target=target,
            dtype=bool,
            chunks=tuple((1,) * len(sizes) for sizes in source.chunks),
            meta=np.empty((0,) * source.ndim, bool),
        )
        for source, target in pairs
    ]
    keys = {key for task in tasks for key in flatten(task.__dask_keys__())}
    if blocks is None or not keys:
        dask.compute(*tasks)
        return
    with _Count(keys, blocks):
        dask.compute(*tasks)


def _put(block: np.ndarray, target: Any = None, block_info: Any = None) -> np.ndarray:
    place = block_info[0]["array-location"]
    target[tuple(slice(int(a), int(b)) for a, b in place)] = block
    return np.ones((1,) * block.ndim, bool)


class _Count(Callback):
    """Counts finished blocks on the local schedulers."""

    def __init__(self, keys: set[Any], blocks: Blocks) -> None:
        self._keys, self._blocks, self._done = keys, blocks, 0
        super().__init__(posttask=self._after)

    def _after(self, key: Any, *_: Any) -> None:
        if key in self._keys:
            self._done += 1
            self._blocks(self._done, len(self._keys))


def _count(folder: Path, path: Path) -> None:
    """Refuse to publish an array of which a chunk is missing."""
    group = zarr.open_group(folder, mode="r")
    for name, array in group.arrays():
        if array.nchunks_initialized != array.nchunks:
            raise InputError(
                Problem(
                    str(path),
                    name,
                    f"{array.nchunks_initialized} chunks written",
                    f"{array.nchunks} chunks",
                    "the disk or another program removed some: run again",
                )
            )


def _measure(file: Path) -> tuple[int, str]:
    return file.stat().st_size, disk.sha256(file)
