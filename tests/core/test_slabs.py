"""Tall series are reconstructed in slabs of rows, in memory or beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from aetx.core import Registry, slabs
from aetx.errors import AetxWarning, EnvironmentFault, InputError
from aetx.kernels.projection import rotation
from aetx.store import open_store, write

METHODS: dict[str, dict[str, Any]] = {
    "wbp": {},
    "sirt": {"iterations": 6},
    "art": {"iterations": 2},
    "sart": {"iterations": 2},
    "cgls": {"iterations": 4},
    "resire": {"iterations": 25},
}
TILTS, WIDE, TALL = 7, 12, 400


def tall_series(rows: int = TALL, psi: float = 0.0) -> xr.Dataset:
    """Return a tilt series of Gaussian balls in a column, by the sums of Gaussians that they project to."""
    rng = np.random.default_rng(2)
    count = rows // 4
    place = np.stack(
        [rng.uniform(-3, 3, count), np.linspace(-rows / 2 + 3, rows / 2 - 3, count), rng.uniform(-3, 3, count)]
    )
    theta, up, across = np.linspace(-60, 60, TILTS), np.arange(rows) - rows // 2, np.arange(WIDE) - WIDE // 2
    image = np.empty((TILTS, rows, WIDE), np.float32)
    for tilt, turned in enumerate(rotation(np.zeros(TILTS), np.deg2rad(theta), np.full(TILTS, np.deg2rad(psi)))):
        u, v, _ = turned.T @ place
        image[tilt] = np.exp(-((up[:, None] - v) ** 2) / 2) @ np.exp(-((across[:, None] - u) ** 2) / 2).T
    image += 0.02 * rng.standard_normal(image.shape).astype(np.float32)
    angle, length = {"units": "degree"}, {"units": "angstrom"}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image, {"units": "1"})},
        {
            "tilt": ("tilt", np.arange(TILTS), {"units": "1"}),
            "phi": ("tilt", np.zeros(TILTS), angle),
            "theta": ("tilt", theta, angle),
            "psi": ("tilt", np.full(TILTS, psi), angle),
            "y": ("y", 0.5 * up, length),
            "x": ("x", 0.5 * across, length),
        },
    )


def run(name: str, series: xr.Dataset, memory: int | None = None, **params: Any) -> xr.Dataset:
    return Registry().stage(f"reconstruct.{name}")(series, memory=memory, **{**METHODS[name], **params})


@pytest.fixture(autouse=True)
def low_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabs, "ROWS", 48)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_slabs_give_what_the_whole_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not depend on each other; only step lengths and momentum may differ from slab to slab."""
    options: dict[str, Any] = {"tolerance": 0.0} if name == "resire" else {}
    cut = run(name, tall_series(), **options)
    monkeypatch.setattr(slabs, "ROWS", TALL)
    whole = run(name, tall_series(), **options)
    assert cut["density"].shape == whole["density"].shape
    assert set(cut.variables) == set(whole.variables)
    loose = name in ("cgls", "resire")
    apart = float(np.abs(cut["density"] - whole["density"]).max() / whole["density"].max())
    assert apart < (0.05 if loose else 1e-5)
    np.testing.assert_allclose(cut["r1"], whole["r1"], rtol=2e-2 if loose else 1e-5)
    np.testing.assert_allclose(cut["r1_history"], whole["r1_history"], rtol=5e-2 if loose else 1e-5)
    for axis in "zyx":
        np.testing.assert_array_equal(cut[axis], whole[axis])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_less_memory_gives_the_same_bits_slab_by_slab(name: str, tmp_path: Path) -> None:
    series = tall_series(2000).chunk(tilt=1)
    free = run(name, series)
    limited = run(name, series, memory=1_300_000)
    assert limited["density"].chunks is not None
    assert free["density"].chunks is None
    write(limited, tmp_path / "made.zarr", key="made", record={})
    stored = open_store(tmp_path / "made.zarr").load()
    for one in ("density", "r1", "r1_history"):
        np.testing.assert_array_equal(stored[one], free[one])
    xr.testing.assert_identical(cloudpickle.loads(cloudpickle.dumps(limited))["density"].compute(), free["density"])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_a_forecast_that_does_not_fit_is_refused_before_a_pixel_is_read(name: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"give --memory \d+MB"):
        run(name, unreadable(tall_series()), memory=500_000)


@pytest.mark.parametrize("name", ["tv", "mbir", "genfire"])
def test_methods_that_tie_rows_together_need_the_whole(name: str) -> None:
    stage, sizes = Registry().stage(f"reconstruct.{name}"), {"tilt": 20, "y": 4000, "x": 64}
    told = stage.forecast({"series": (sizes,)}, stage.params())
    assert told.least == told.memory
    rows = Registry().stage("reconstruct.sirt")
    whole = rows.forecast({"series": (sizes,)}, rows.params())
    assert whole.least is not None
    assert whole.least < whole.memory / 8
    with pytest.raises(EnvironmentFault, match=r"give --memory \d+MB"):
        stage(unreadable(tall_series()), memory=500_000)


def unreadable(series: xr.Dataset) -> xr.Dataset:
    """Return a series whose images cannot be read."""
    image = series["image"]
    lazy = da.map_blocks(refuse, chunks=((1,) * TILTS, *((size,) for size in image.shape[1:])), dtype=np.float32)
    return series.assign(image=(image.dims, lazy, image.attrs))


def refuse() -> np.ndarray:
    raise AssertionError("a pixel was read")


def test_tilts_about_two_axes_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    series = tall_series(120, psi=0.5)
    cut = run("sirt", series)
    monkeypatch.setattr(slabs, "ROWS", TALL)
    xr.testing.assert_identical(cut, run("sirt", series))


def test_rows_from_everywhere_choose_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("resire", tall_series(), iterations="auto", held_out=1)
    monkeypatch.setattr(slabs, "ROWS", TALL)
    whole = run("resire", tall_series(), iterations="auto", held_out=1)
    assert 0.5 < int(found["best_iterations"]) / int(whole["best_iterations"]) < 2
    assert found.sizes["iteration"] == int(found["best_iterations"]) + 1


def test_a_loose_tolerance_stops_all_slabs_together() -> None:
    found = run("resire", tall_series(), iterations=200, tolerance=0.05)
    assert 11 <= found.sizes["iteration"] < 150
    assert np.isfinite(found["r1_history"]).all()


def test_support_and_mask_are_cut_with_the_rows() -> None:
    series = tall_series(120)
    mask = np.ones(series["image"].shape, np.int8)
    mask[2, 50:70] = 0
    image = series["image"].where(mask == 1).assign_attrs(units="1")
    hidden = series.assign(image=image, mask=(("tilt", "y", "x"), mask, {"units": "1"}))
    box = run("sirt", series)
    inside = box.assign(density=xr.where(abs(box["x"]) < 2, 1.0, 0.0).broadcast_like(box["density"]).astype(np.float32))
    inside["density"].attrs["units"] = "1/angstrom"
    found = Registry().stage("reconstruct.sirt")(hidden, inside, iterations=6)
    assert float(abs(found["density"].where(abs(found["x"]) >= 2, 0.0)).max()) == 0
    assert np.isfinite(found["density"]).all()


def test_what_is_odd_is_told_of_whole_images() -> None:
    series = tall_series(120)
    dark = series.assign(image=series["image"].where(series["tilt"] != 3, 0.0).assign_attrs(units="1"))
    dark["image"][:, :50] = 0.0
    with pytest.warns(AetxWarning, match=r"^1 images are zero everywhere: tilt \[3\]"):
        found = run("sirt", dark)
    assert np.isnan(found["r1"][3])
    bad = series.copy(deep=True)
    bad["image"][2, 100, 4] = np.nan
    with pytest.raises(InputError, match="not finite in tilt 2"):
        run("sirt", bad)
