"""Time and accuracy of tracing; run with ``--benchmark-enable``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from aetx.kernels import gaussian, peaks
from aetx.stages.trace.peaks import peaks as trace
from tests.benchmarks.accuracy_trace import SIZES, particle, phantom, score


@pytest.mark.parametrize(
    "size", [64, pytest.param(128, marks=pytest.mark.slow), pytest.param(256, marks=pytest.mark.slow)]
)
def test_all_atoms_of_a_particle(size: int, benchmark: Callable[..., xr.Dataset]) -> None:
    true = particle(SIZES.get(size, 174))
    volume = phantom(true, size)
    found = benchmark(lambda: trace(volume))
    missed, false, error = score(true, found["position"].values).split(", ")
    assert (missed, false) == ("0 missed", "0 false")
    assert float(error.split()[0]) < 1.9


@pytest.mark.parametrize("size", [64, 128])
def test_the_local_maxima_of_noise(size: int, benchmark: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    density = np.random.default_rng(0).standard_normal((size,) * 3, np.float32)
    indices, _ = benchmark(lambda: peaks.local_maxima(density, (0, 0, 0), density.shape, 0.0))
    assert len(indices) == pytest.approx(size**3 / 27, rel=0.08)


@pytest.mark.parametrize("size", [64, 128])
def test_one_step_of_all_atoms(size: int, benchmark: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    count = size**3 // 1500
    state = np.column_stack([rng.uniform(5, size - 5, (count, 3)), np.ones(count), np.zeros(count)])
    width = np.full(3, 1.26)
    corner, shape = np.zeros(3, np.int64), np.full(3, size)

    def step() -> np.ndarray:
        residual = np.zeros((size,) * 3, np.float32)
        gaussian.subtract(residual, corner, state, width)
        return gaussian.fit(residual, corner, shape, state, width, False, False)

    assert np.isfinite(benchmark(step)).all()
