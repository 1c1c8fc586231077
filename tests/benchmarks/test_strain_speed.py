"""Time of strain; run with ``--benchmark-enable``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.stages.strain.atoms import atoms
from aetx.stages.strain.lattice_constant import lattice_constant
from aetx.stages.strain.local import local
from tests.benchmarks.accuracy_strain import NOISE
from tests.stages.lattices import fcc_ball, lattice_of


@pytest.mark.parametrize("stage", [atoms, local, lattice_constant], ids=lambda stage: str(stage.name))
@pytest.mark.parametrize("count", [3511, pytest.param(20_000, marks=pytest.mark.slow)])
def test_strain_of_all_atoms(stage: Any, count: int, benchmark: Callable[..., xr.Dataset]) -> None:
    site = fcc_ball(count)
    lattice = lattice_of(site, NOISE * np.random.default_rng(0).normal(size=site.shape), sigma=NOISE)
    made = benchmark(lambda: stage(lattice))
    name = "volumetric" if "volumetric" in made else "local_strain"
    pull = made[name] / made[f"{name}_error"]
    assert float(pull.std()) == pytest.approx(1, abs=0.2)
