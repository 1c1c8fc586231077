"""What the tests of the report are made of: a record and its results."""

from typing import Any

import numpy as np
import xarray as xr

from aetx.core.record import FileRecord, InputRecord, RunRecord, StepRecord
from aetx.model import ATOMS, SCORE, TILT_SERIES, VOLUME

ONE, LENGTH, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}


def grid(count: int, names: str) -> dict[str, Any]:
    return {name: (name, (np.arange(count) - count // 2) * 0.4, LENGTH) for name in names}


def atoms(count: int = 40) -> xr.Dataset:
    rng = np.random.default_rng(0)
    return ATOMS.stamp(
        xr.Dataset(
            {
                "position": (("atom", "axis"), rng.uniform(-8, 8, (count, 3)), LENGTH),
                "species": ("atom", rng.choice(np.array([78, 26], np.int32), count), ONE),
                "intensity": ("atom", rng.uniform(1, 2, count).astype(np.float32), {"units": "count"}),
                "sigma": (("atom", "axis"), np.full((count, 3), 0.05), LENGTH),
            },
            {"atom": ("atom", np.arange(count), ONE), "axis": ["x", "y", "z"]},
        )
    )


def results() -> dict[str, xr.Dataset]:
    rng = np.random.default_rng(0)
    tilts = {"tilt": ("tilt", np.arange(5), ONE)}
    poses = {name: ("tilt", np.linspace(-60, 60, 5) * (name == "theta"), DEGREE) for name in ("phi", "theta", "psi")}
    series = xr.Dataset(
        {"image": (("tilt", "y", "x"), rng.normal(9, 1, (5, 16, 16)), {"units": "count"})},
        {**tilts, **poses, **grid(16, "yx")},
    )
    volume = xr.Dataset(
        {
            "density": (("z", "y", "x"), rng.normal(size=(16, 16, 16)).astype("f4"), {"units": "1/angstrom"}),
            "r1": ("tilt", np.full(5, 0.5), ONE),
        },
        {**grid(16, "zyx"), **tilts, **poses},
    )
    score = xr.Dataset({"rmsd": ((), 0.123, LENGTH), "r1": ("tilt", np.full(5, 0.25), ONE)}, {**tilts, **poses})
    return {
        "series": TILT_SERIES.stamp(series),
        "volume": VOLUME.stamp(volume),
        "atoms": atoms(),
        "score": SCORE.stamp(score),
    }


def record(**changes: Any) -> RunRecord:
    file = FileRecord(path="data/pt.mrc", bytes=12_345_678, sha256="a1" * 32)
    stated = InputRecord(
        name="series",
        kind="tilt_series",
        reader="mrc",
        files=[file],
        stated={"pixel_size": "0.35 angstrom"},
        facts={"dtype": "f4"},
    )
    steps = [
        StepRecord(
            name="volume",
            stage="export.cif",
            version=3,
            sources={"series": ["series"]},
            params={"margin": 7.5},
            state="computed",
            reason="no result with this key",
            key="b2" * 32,
            store="results/volume.zarr",
            seconds=61.0,
            cpu_seconds=90.0,
            peak_bytes=5 * 10**8,
            forecast_bytes=7 * 10**8,
            warnings=["three tilts are dim"],
        ),
        StepRecord(name="atoms", stage="gone.away", version=1, sources={}, params={"x": None}, state="reused"),
        StepRecord(name="score", stage="measure.compare", version=1, sources={}, params={}, state="waiting"),
    ]
    values: dict[str, Any] = {
        "title": "A title",
        "name": "",
        "status": "finished",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:10+00:00",
        "recipe": "aetx: 1\ntitle: A title\n",
        "recipe_path": "a.yaml",
        "recipe_sha256": "c3" * 32,
        "command": ["aetx", "run", "a.yaml"],
        "inputs": [stated],
        "steps": steps,
        "exports": ["atoms.extxyz"],
        "versions": {"numpy": "2.2"},
        "machine": {"cpu": "two cores"},
        "settings": {"memory": "1 GB"},
        "variables": {"area": "22"},
    }
    return RunRecord(**{**values, **changes})
