"""Files with bytes changed at random: opened and read, or refused in words; never a traceback."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import ase.io
import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import xarray as xr

from aetx.errors import EnvironmentFault, InputError
from aetx.io import open_input
from aetx.model import ATOMS, TILT_SERIES

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)
STATED = {"pixel_size": 0.34, "angles": ANGLES, "override": ["pixel_size", "angles"]}
AXES = STATED | {"axes": ["tilt", "y", "x"]}
MUTANTS = 40

Writer = Callable[[Path, Any], None]


def _matlab(path: Path, stack: Any) -> None:
    scipy.io.savemat(path, {"images": stack}, do_compression=False)


def _packed_matlab(path: Path, stack: Any) -> None:
    scipy.io.savemat(path, {"images": stack}, do_compression=True)


def _tiff(path: Path, stack: Any) -> None:
    tifffile.imwrite(path, stack, photometric="minisblack")


def _packed_tiff(path: Path, stack: Any) -> None:
    tifffile.imwrite(path, stack, imagej=True, compression="zlib", metadata={"unit": "nm", "axes": "ZYX"})


def _emd(path: Path, stack: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data/tomography/data", data=stack, chunks=(1, 6, 8), compression="gzip")
        file["data/tomography/dim1"] = np.array(ANGLES)
        file["data/tomography/dim1"].attrs["name"] = "angles"
        file["data/tomography/dim1"].attrs["units"] = "[deg]"


def _atoms(path: Path, stack: Any) -> None:
    made = ase.Atoms("Pt3", np.arange(9).reshape(3, 3))
    made.set_array("id", np.arange(3))
    ase.io.write(path, made, format="extxyz")


WRITERS: dict[str, tuple[Writer, dict[str, Any]]] = {
    "a.mat": (_matlab, {"stated": AXES}),
    "b.mat": (_packed_matlab, {"stated": AXES}),
    "s.tif": (_tiff, {"stated": STATED}),
    "p.tif": (_packed_tiff, {"stated": STATED}),
    "s.emd": (_emd, {"stated": AXES}),
    "s.npy": (np.save, {"stated": AXES}),
    "s.npz": (lambda path, stack: np.savez(path, stack), {"stated": AXES}),
    "c.npz": (lambda path, stack: np.savez_compressed(path, stack), {"stated": AXES}),
    "a.extxyz": (_atoms, {"kind": ATOMS}),
}


def _mutant(content: bytes, rng: np.random.Generator) -> bytes:
    made = bytearray(content)
    head = min(len(made), 600)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, head if rng.random() < 0.7 else len(made)))
        made[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(0, 256))]))
    if rng.random() < 0.15:
        del made[int(rng.integers(0, len(made))) :]
    return bytes(made)


def _survives(path: Path, options: dict[str, Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            open_input([path], **({"kind": TILT_SERIES} | options)).load()
    except (InputError, EnvironmentFault) as error:
        for problem in error.problems:
            assert problem.file
            assert problem.field
            assert problem.found
            assert problem.wanted
            assert problem.fix


@pytest.mark.parametrize("name", list(WRITERS))
def test_mutants_are_read_or_refused(tmp_path: Path, stack: Any, name: str) -> None:
    write, options = WRITERS[name]
    path = tmp_path / name
    write(path, stack)
    open_input([path], **({"kind": TILT_SERIES} | options)).load()
    content = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(MUTANTS):
        path.write_bytes(_mutant(content, rng))
        _survives(path, options)


def test_mutants_of_mrc_are_read_or_refused(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.mrc"
    content = mrc_bytes(stack)
    rng = np.random.default_rng(3)
    for _ in range(80):
        path.write_bytes(_mutant(content, rng))
        _survives(path, {"stated": STATED})


def test_mutants_of_zarr_metadata_are_read_or_refused(tmp_path: Path, stack: Any) -> None:
    path = tmp_path / "s.zarr"
    xr.Dataset({"image": (("tilt", "y", "x"), stack)}).to_zarr(path, zarr_format=3, consolidated=False)
    file = path / "image" / "zarr.json"
    content = file.read_bytes()
    whole = json.loads(content)
    for key in whole:
        for value in (None, -1, "x", {}, [1, 2], {"name": "x"}, [{"name": "bytes"}]):
            file.write_text(json.dumps(whole | {key: value}))
            _survives(path, {"stated": STATED})
    rng = np.random.default_rng(3)
    for _ in range(30):
        file.write_bytes(_mutant(content, rng))
        _survives(path, {"stated": STATED})
