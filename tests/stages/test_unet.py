"""The learned filter as a stage: scales, tiles, memory, and what it refuses."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from pydantic import ValidationError

from aetx.core.weights import shipped, write
from aetx.errors import AetxWarning, EnvironmentFault, InputError
from aetx.kernels.neural_networks import build
from aetx.kernels.volume_scale import volume_scale
from aetx.stages.augment.unet import UnetParams, unet
from aetx.stages.trace.peaks import peaks
from tests.small_weights import OPTIONS, card, passing, small_weights

LENGTH = {"units": "angstrom"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


def volume(*shape: int, step: float = 0.36, seed: int = 0) -> xr.Dataset:
    """Atoms of height 40 and noise."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"), -1)
    density = generator.normal(0, 1, shape)
    for atom in generator.uniform(4, np.array(shape) - 4, (8, 3)):
        density += 40 * np.exp(-((grid - atom) ** 2).sum(-1) / 4)
    axes = {name: (name, (np.arange(size) - size // 2) * step, LENGTH) for name, size in zip("zyx", shape, strict=True)}
    units = {"units": "count/angstrom"}
    return xr.Dataset({"density": (("z", "y", "x"), density.astype(np.float32), units)}, axes)


def tilted(dataset: xr.Dataset, largest: float, phi: float = 0.0) -> xr.Dataset:
    theta = np.linspace(-largest, largest, 7)
    angle = {"units": "degree"}
    poses = {"phi": np.full(7, phi), "theta": theta, "psi": np.zeros(7)}
    r1 = ("tilt", np.full(7, 0.1), {"units": "1"})
    made = dataset.assign(r1=r1, r1_history=("iteration", np.ones(2), {"units": "1"}))
    return made.assign_coords({name: ("tilt", values, angle) for name, values in poses.items()})


@pytest.fixture(scope="module", params=["published", "residual"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, of which every layer matters."""
    torch.manual_seed(0)
    options = {"width": 4} if request.param == "published" else OPTIONS
    network = build(request.param, **options)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.1)
    folder = tmp_path_factory.mktemp("weights")
    write(folder, network, card(name="random", form=request.param, options=options))
    return folder / "random.safetensors"


def values(dataset: xr.Dataset, **params: Any) -> np.ndarray:
    found = unet(dataset, **params)["density"].values
    assert isinstance(found, np.ndarray)
    return found


def test_a_network_that_passes_all_on_leaves_the_density_above_zero() -> None:
    given = volume(24, 20, 28)
    found = unet(given, weights=small_weights())
    wanted = np.maximum(given["density"].values, 0)
    np.testing.assert_allclose(found["density"].values, wanted, rtol=0, atol=1e-5 * wanted.max())
    assert found["density"].attrs["units"] == "count/angstrom"
    assert found.attrs["model"] == "small"
    assert len(found.attrs["model_sha256"]) == 64


def test_heights_of_the_card_are_those_of_the_input_and_of_the_output(tmp_path: Path) -> None:
    write(tmp_path, passing(), card(input_peak=13.0, output_peak=78.0))
    given = volume(24, 20, 28)
    wanted = np.maximum(given["density"].values, 0) / 6
    found = values(given, weights=tmp_path / "small.safetensors")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


def test_the_result_rises_with_the_volume_and_changes_in_nothing_else(weights: Path) -> None:
    given = volume(24, 24, 24)
    once = values(given, weights=weights)
    brighter = values(
        given.assign(density=(given["density"] * 1024).assign_attrs(given["density"].attrs)), weights=weights
    )
    np.testing.assert_allclose(brighter, 1024 * once, rtol=1e-5, atol=1e-5 * brighter.max())


def test_atoms_are_traced_where_they_were() -> None:
    given = volume(24, 24, 24)
    before, after = (
        np.sort(peaks(one)["position"].values, axis=0) for one in (given, unet(given, weights=small_weights()))
    )
    np.testing.assert_allclose(after, before, atol=0.01)


@pytest.mark.parametrize("shape", [(160, 16, 150), (16, 200, 70)])
def test_tiles_are_equal_to_the_whole(weights: Path, shape: tuple[int, ...]) -> None:
    given = volume(*shape)
    whole = values(given, weights=weights)
    tiled = unet(given, weights=weights, tile=32)["density"]
    assert tiled.chunks is not None
    assert np.abs(tiled.values - whole).max() < 1e-5 * whole.max()


def test_tiles_that_are_read_too_near_are_not(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = volume(160, 16, 16)
    whole = values(given, weights=weights)
    monkeypatch.setattr("aetx.stages.augment.unet.reach", lambda form, **options: 8)
    assert np.abs(values(given, weights=weights, tile=32) - whole).max() > 1e-4 * whole.max()


def test_a_limit_of_memory_cuts_tiles_and_changes_nothing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aetx.stages.augment.unet.BESIDE", 0)
    given, limit = volume(280, 16, 16), 270 * 16 * 16 * 60
    whole = values(given, weights=weights)
    limited = unet(given, weights=weights, memory=limit)["density"]
    assert limited.chunks is not None
    assert np.abs(limited.values - whole).max() < 1e-5 * whole.max()
    with pytest.raises(EnvironmentFault, match="--memory"):
        unet(given, weights=weights, memory=10_000)
    with pytest.raises(EnvironmentFault, match="--memory"):
        unet(given, weights=weights, memory=limit // 2, tile=280)


@pytest.mark.parametrize("step", [0.30, 0.89])
def test_voxels_outside_the_card_are_refused_with_a_remedy(step: float) -> None:
    with pytest.raises(InputError, match=r"0\.34 to 0\.85 angstrom for 'small'; bin or resample the images"):
        unet(volume(8, 8, 8, step=step), weights=small_weights())
    near = 0.335 if step < 0.5 else 0.87
    unet(volume(8, 8, 8, step=near), weights=small_weights())


def test_a_wider_missing_wedge_than_that_of_the_card_is_told() -> None:
    with pytest.warns(AetxWarning, match="end at 50.0 degree, and 'small' is trained for ends from 60 to 75"):
        unet(tilted(volume(8, 8, 8), 50.0), weights=small_weights())
    with pytest.warns(AetxWarning, match="not about y alone"):
        unet(tilted(volume(8, 8, 8), 65.0, phi=90.0), weights=small_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = unet(tilted(volume(8, 8, 8), 65.0), weights=small_weights())
    assert "theta" in found.coords
    assert not {"r1", "r1_history"} & set(found.variables)


def test_a_volume_of_nothing_stays_nothing() -> None:
    empty = volume(8, 8, 8) * 0
    empty["density"].attrs["units"] = "1"
    with pytest.warns(AetxWarning, match="nothing to filter"):
        assert not values(empty.assign_coords(volume(8, 8, 8).coords), weights=small_weights()).any()


def test_undefined_voxels_are_empty_and_infinite_ones_refused() -> None:
    given = volume(16, 16, 16)
    given["density"].values[3, 4, 5] = np.nan
    with pytest.warns(AetxWarning, match="undefined"):
        assert np.isfinite(values(given, weights=small_weights())).all()
    given["density"].values[3, 4, 5] = np.inf
    with pytest.raises(InputError, match=r"density\[3, 4, 5\]"):
        unet(given, weights=small_weights())


def test_other_weights_under_the_same_name_are_other_parameters(tmp_path: Path) -> None:
    write(tmp_path, passing(), card())
    path = tmp_path / "small.safetensors"
    first = UnetParams(weights=path)
    assert len(first.sha256) == 64
    write(tmp_path, build("residual", **OPTIONS), card())
    assert UnetParams(weights=path).sha256 != first.sha256
    with pytest.raises(InputError, match="sha256"):
        unet(volume(8, 8, 8), params=first)


def test_weights_that_changed_on_the_disk_are_refused(tmp_path: Path) -> None:
    for file in small_weights().parent.iterdir():
        shutil.copy(file, tmp_path)
    path = tmp_path / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="sha256"):
        unet(volume(8, 8, 8), weights=path)


def test_what_cannot_be_meant_is_refused_before_it_runs(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no weights 'generall' come with aetx"):
        UnetParams(model="generall")
    with pytest.raises(ValidationError, match="either model or weights"):
        UnetParams(model="general", weights=small_weights())
    with pytest.raises(InputError, match="safetensors"):
        UnetParams(weights=tmp_path / "evil.pt")


def test_the_forecast_holds_and_says_what_little_memory_would_do() -> None:
    params = UnetParams(weights=small_weights())
    small = unet.forecast({"volume": ({"z": 24, "y": 20, "x": 28},)}, params)
    assert small.sizes == {"z": 24, "y": 20, "x": 28}
    assert small.least == small.memory >= 24 * 20 * 28 * 60
    big = unet.forecast({"volume": ({"z": 768, "y": 768, "x": 768},)}, params)
    assert big.least is not None
    assert big.least < 1e9 < big.memory
    assert big.seconds > 10 * small.seconds
    mirrored = unet.forecast(
        {"volume": ({"z": 768, "y": 768, "x": 768},)}, UnetParams(weights=small_weights(), mirrors=True)
    )
    assert mirrored.seconds > 6 * big.seconds


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same(weights: Path) -> None:
    given = volume(48, 48, 48)
    host, device = values(given, weights=weights), values(given, weights=weights, device="cuda")
    np.testing.assert_allclose(device, host, rtol=0, atol=1e-4 * host.max())


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_make_atoms_narrow_and_equal(name: str) -> None:
    given = volume(48, 48, 48, step=0.358)
    found = unet(given, model=name)
    assert volume_scale(found["density"].values) > 0
