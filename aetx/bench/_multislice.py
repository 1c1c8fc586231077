"""The series that were simulated by multislice and are kept as data: as stores that a recipe can read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.bench._benchmark import ROOM, STRIDE
from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import NAMES, pose_coords
from aetx.errors import InputError, Problem
from aetx.model import ATOMS, TILT_SERIES, spacing
from aetx.store import manifest, write

DATA = ROOM / "data"
PATTERN = "multislice*.npz"
COMMAND = "python -m tests.benchmarks.make_multislice_series FOLDER"
FIX = f"run {COMMAND} and put the .npz file that it makes there"
ELECTRONS = 170.0
"""Detected electrons for each atom and tilt, on average over both."""

Arrays = Mapping[str, NDArray[np.generic]]


def multislice_series(folder: Path, draw: int) -> dict[str, str]:
    """Return the files of the specimen of a particle, and the dose at which an atom gives `ELECTRONS`.

    Particle i of a seed is specimen i modulo their number, with counting noise of its own. The stores are written
    in `folder` where they are not there yet.

    Raises
    ------
    InputError
        If the data are not there.
    """
    sources = sorted(DATA.glob(PATTERN))
    if not sources:
        problem = Problem(str(DATA / PATTERN), "file", "nothing", "a series simulated by multislice", FIX)
        raise InputError(problem, "the data of this benchmark are missing")
    return stored(sources[draw % STRIDE % len(sources)], folder)


def stored(source: Path, folder: Path) -> dict[str, str]:
    """Write the series and the atoms of a file as stores, and return their paths and the dose."""
    key = hashlib.sha256(source.read_bytes()).hexdigest()
    with np.load(source, allow_pickle=False) as file:
        arrays: Arrays = {name: file[name] for name in file.files}
    made = {"series": TILT_SERIES.stamp(series(arrays)), "truth": ATOMS.stamp(atoms(arrays))}
    paths = {name: folder / f"{source.stem}-{name}.zarr" for name in made}
    for name, dataset in made.items():
        if not _stands(paths[name], key):
            write(dataset, paths[name], key=key, record={"source": source.name})
    area = spacing(made["series"], "y") * spacing(made["series"], "x")
    electrons = float(made["series"]["image"].sum(("y", "x")).mean()) * area / made["truth"].sizes["atom"]
    return {**{name: str(path) for name, path in paths.items()}, "dose": f"{ELECTRONS / electrons:.6g} e/angstrom^2"}


def series(arrays: Arrays) -> xr.Dataset:
    """Return the images as fractions of the incident electrons, with the angles that an experimenter knows."""
    image = np.asarray(arrays["image"], np.float32)
    angles = np.stack([np.broadcast_to(arrays[name], len(image)).astype(float) for name in NAMES], axis=1)
    axes = {name: (name, np.asarray(arrays[name], float), {"units": "angstrom"}) for name in "yx"}
    return xr.Dataset({"image": (("tilt", "y", "x"), image, {"units": "1"})}, {**pose_coords(angles), **axes})


def atoms(arrays: Arrays) -> xr.Dataset:
    """Return the true atoms."""
    return atoms_dataset(np.asarray(arrays["position"], float), np.asarray(arrays["species"], np.int32))


def _stands(path: Path, key: str) -> bool:
    try:
        return manifest(path).key == key
    except InputError:
        return False
