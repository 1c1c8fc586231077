"""The numbers of the simulating and preparing stages, version by version."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from aetx.stages.prepare.background import background
from aetx.stages.prepare.normalise import normalise
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
    return images(atoms, pixels=128, background=1.0, width_spread=0.05, read_noise=0.3, tilts=5, seed=5).compute()


def test_a_particle_keeps_its_numbers(golden: Golden) -> None:
    made = particle(smallest=20.0, largest=22.0, seed=5)
    square = made["position"] ** 2
    golden("simulate.particle-1", summary(square) | {"atoms": made.sizes["atom"]})


def test_images_keep_their_numbers(golden: Golden) -> None:
    golden("simulate.images-1", summary(series()["image"]))


def test_backgrounds_keep_their_numbers(golden: Golden) -> None:
    for method in ("constant", "polynomial", "harmonic"):
        made = background(series(), method=method)
        golden(f"prepare.background-1-{method}", summary(made["image"]) | {"level": float(made["background"].mean())})


def test_totals_keep_their_numbers(golden: Golden) -> None:
    golden("prepare.normalise-1", summary(normalise(series())["scale"]))
