"""The numbers of the specimens, version by version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aetx.core import Registry

Golden = Callable[[str, dict[str, float]], None]

SMALL: dict[str, dict[str, Any]] = {
    "simulate.amorphous": {"smallest": 20.0, "largest": 22.0, "seed": 5},
    "simulate.core_shell": {"atoms": 500, "displacement": 0.1, "seed": 5},
    "simulate.cycling": {"cycles": 3000, "edge": 7, "doping": 0.03, "seed": 5},
    "simulate.decahedron": {"atoms": 500, "displacement": 0.1, "distribution": "gaussian", "seed": 5},
    "simulate.dumbbell": {"atoms": 500, "seed": 5},
    "simulate.perovskite": {"size": 24.0, "displacement": 0.1, "texture": "hopfion", "seed": 5},
    "simulate.roughened": {"support": 5.0, "buried": 0.2, "seed": 5},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_specimen_keeps_its_numbers(name: str, golden: Golden) -> None:
    stage = Registry().stage(name)
    made = stage(**SMALL[name])
    square = made["position"] ** 2
    numbers = {
        "atoms": made.sizes["atom"],
        "species": float(made["species"].mean()),
        **{f"mean_{axis}": float(square.sel(axis=axis).mean()) for axis in "xyz"},
        "spread": float(square.std()),
        "most": float(square.max()),
    }
    golden(f"{name}-{stage.version}", numbers)
