"""Time to draw an image of atoms, and to find and take away its background."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aetx.kernels import intensity, rendering


@pytest.mark.parametrize("atoms", [1_000, 20_000])
def test_drawing_atoms(benchmark: BenchmarkFixture, atoms: int) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(40, 216, (2, atoms))
    height, width = np.full(atoms, 175.0), np.full(atoms, 1.26)
    rendering.render(x[:1], y[:1], height[:1], width[:1], 8, 8, False)
    image = benchmark(rendering.render, x, y, height, width, 256, 256, False)
    assert image.sum() == pytest.approx(175.0 * atoms, rel=1e-3)


@pytest.mark.parametrize("size", [128, 512])
def test_finding_the_surroundings(benchmark: BenchmarkFixture, size: int) -> None:
    v, u = np.mgrid[:size, :size] - size // 2
    expected = 1.0 + 10.0 * (np.hypot(u, v) < size / 4)
    image = np.random.default_rng(0).poisson(expected).astype(np.float32)
    trusted = np.ones(image.shape, bool)
    outside = benchmark(intensity.surroundings, image, trusted, 5.0, 0.5, 12.0)
    assert outside is not None
