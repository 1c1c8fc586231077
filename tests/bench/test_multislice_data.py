"""Simulated series that are kept as data, and what is said where they are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.bench import _multislice
from aetx.bench._benchmark import ROOM, STRIDE
from aetx.bench._multislice import multislice_series, stored
from aetx.cli import execute
from aetx.core.tilts import NAMES
from aetx.io import open_input
from aetx.model import ATOMS, TILT_SERIES
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return particle(smallest=11.0, largest=12.0, seed=1)


@pytest.fixture(scope="module")
def series(truth: xr.Dataset) -> xr.Dataset:
    return images(truth, pixels=64, tilts=5, tilt_error=0.4, seed=1).compute()


@pytest.fixture
def source(tmp_path: Path, truth: xr.Dataset, series: xr.Dataset) -> Path:
    """Keep a series as the command that makes the data does."""
    path = tmp_path / "multislice-0.npz"
    arrays: dict[str, Any] = {name: series[name].values for name in (*NAMES, *(f"true_{name}" for name in NAMES))}
    arrays |= {"position": truth["position"].values, "species": truth["species"].values}
    arrays |= {name: series[name].values for name in ("image", "y", "x")}
    arrays["settings"] = json.dumps({"aetx": "0"})
    np.savez_compressed(path, **arrays)
    return path


def test_a_kept_series_is_read_back_as_it_was(
    source: Path, truth: xr.Dataset, series: xr.Dataset, tmp_path: Path
) -> None:
    made = stored(source, tmp_path / "inputs")
    found = open_input([Path(made["series"])], kind=TILT_SERIES, stated={})
    xr.testing.assert_allclose(found["image"].load(), series["image"])
    assert not [name for name in found.data_vars if str(name).startswith("true_")]
    atoms = open_input([Path(made["truth"])], kind=ATOMS, stated={})
    np.testing.assert_array_equal(atoms["position"].values, truth["position"].values)
    assert (atoms["species"] == 78).all()


def test_the_dose_gives_170_electrons_for_each_atom_and_tilt(
    source: Path, truth: xr.Dataset, series: xr.Dataset, tmp_path: Path
) -> None:
    dose = float(stored(source, tmp_path / "inputs")["dose"].removesuffix(" e/angstrom^2"))
    counts = acquisition(series, dose=dose, noise="none")["image"].sum()
    assert float(counts) / series.sizes["tilt"] / truth.sizes["atom"] == pytest.approx(170.0, rel=1e-4)


def test_stores_that_stand_are_left_alone_and_written_again_for_other_data(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    stored(source, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    stored(source, folder)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with np.load(source) as kept:
        changed: dict[str, Any] = dict(kept) | {"image": 2 * kept["image"]}
    np.savez_compressed(source, **changed)
    stored(source, folder)
    assert before != {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_particles_take_turns_with_the_specimens_there_are(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "multislice-1.npz").write_bytes(source.read_bytes())
    monkeypatch.setattr(_multislice, "DATA", tmp_path)
    names = [Path(multislice_series(tmp_path / "inputs", 7 * STRIDE + i)["truth"]).name for i in range(3)]
    assert names == ["multislice-0-truth.zarr", "multislice-1-truth.zarr", "multislice-0-truth.zarr"]


@pytest.mark.skipif(any((ROOM / "data").glob(_multislice.PATTERN)), reason="the data are there")
def test_missing_data_are_told_with_the_command_that_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["bench", "accuracy-multislice", "-o", str(tmp_path / "o")]) == 3
    assert "run python -m tests.benchmarks.make_multislice_series" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
