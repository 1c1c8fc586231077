"""The numbers of the simulating and preparing stages, version by version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import xarray as xr

from aetx.stages.prepare.background import background
from aetx.stages.prepare.normalise import normalise
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle

Golden = Callable[[str, dict[str, float]], None]


def summary(values: xr.DataArray) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "spread": float(values.std()),
        "least": float(values.min()),
        "most": float(values.max()),
    }


def series() -> xr.Dataset:
    atoms = particle(smallest=20.0, largest=22.0, seed=5)
    expected = images(atoms, pixels=128, tilts=5, tilt_error=0.4, width_spread=0.05, seed=5)
    distorted: dict[str, Any] = {"film": 0.2, "shift": 0.3, "drift": 0.4, "jitter": 0.1}
    return acquisition(expected, background=0.001, read_noise=0.3, seed=5, **distorted).compute()


def test_a_particle_keeps_its_numbers(golden: Golden) -> None:
    made = particle(smallest=20.0, largest=22.0, seed=5)
    square = made["position"] ** 2
    golden("simulate.particle-1", summary(square) | {"atoms": made.sizes["atom"]})


@pytest.mark.parametrize("profile", ["gaussian", "kirkland"])
def test_images_keep_their_numbers(profile: Literal["gaussian", "kirkland"], golden: Golden) -> None:
    atoms = particle(smallest=20.0, largest=22.0, seed=5)
    varied: dict[str, Any] = {"tilt_error": 0.4, "width_spread": 0.05, "height_spread": 0.2}
    made = images(atoms, pixels=128, tilts=5, profile=profile, seed=5, **varied)
    golden(f"simulate.images-2-{profile}", summary(made["image"]))


def test_counts_keep_their_numbers(golden: Golden) -> None:
    golden("simulate.acquisition-1", summary(series()["image"]))


def test_backgrounds_keep_their_numbers(golden: Golden) -> None:
    for method in ("constant", "polynomial", "harmonic"):
        made = background(series(), method=method)
        golden(f"prepare.background-1-{method}", summary(made["image"]) | {"level": float(made["background"].mean())})


def test_totals_keep_their_numbers(golden: Golden) -> None:
    golden("prepare.normalise-1", summary(normalise(series())["scale"]))
