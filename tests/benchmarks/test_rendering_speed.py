"""Time to draw an image of atoms, to count it, and to find and take away its background."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aetx.kernels import acquisition, intensity, rendering


def ball(atoms: int, pixels: int) -> tuple[np.ndarray, ...]:
    """Return x, y, height and width, in pixels of 0.358 angstrom, of atoms as dense as platinum seen from somewhere."""
    generator = np.random.default_rng(0)
    direction = generator.standard_normal((3, atoms))
    radius = (3 * atoms / (4 * np.pi * 0.0668)) ** (1 / 3) * generator.random(atoms) ** (1 / 3)
    x, y, _ = radius * direction / np.linalg.norm(direction, axis=0) / 0.358 + pixels // 2
    return x, y, np.full(atoms, 175.0), np.full(atoms, 0.45 / 0.358)


@pytest.mark.parametrize(("atoms", "pixels"), [(1_200, 256), (25_000, 512)])
def test_drawing_atoms(benchmark: BenchmarkFixture, atoms: int, pixels: int) -> None:
    """The least that has to move: 13 rows of 16 pixels read and written for each atom, 1.7 kB."""
    scene = ball(atoms, pixels)
    rendering.render(*(part[:1] for part in scene), 8, 8)
    image = benchmark(rendering.render, *scene, pixels, pixels)
    assert image.sum() == pytest.approx(175.0 * atoms, rel=1e-5)


@pytest.mark.parametrize(("atoms", "pixels"), [(1_200, 256), (25_000, 512)])
def test_drawing_atoms_with_their_scattering_factor(benchmark: BenchmarkFixture, atoms: int, pixels: int) -> None:
    """Beside the atoms, two Fourier transforms of the padded image and one look-up for each frequency."""
    scene, species = ball(atoms, pixels), np.full(atoms, 78)
    x, y, height, width = (part[:1] for part in scene)
    rendering.scattered(x, y, height, width, species[:1], 0.358, 8, 8)
    image = benchmark(rendering.scattered, *scene, species, 0.358, pixels, pixels)
    assert image.sum() == pytest.approx(175.0 * atoms, rel=1e-4)


@pytest.mark.parametrize("pixels", [128, 512])
def test_counting_a_distorted_scan(benchmark: BenchmarkFixture, pixels: int) -> None:
    image = np.random.default_rng(0).random((pixels, pixels), np.float32)
    along, across = np.linspace(-1, 1, pixels), np.random.default_rng(1).normal(0, 0.2, pixels)

    def take() -> np.ndarray:
        moved = np.maximum(acquisition.displaced(image, along, across), 0) * np.float32(20)
        return acquisition.detect(moved, 1.0, 0.0, 0.3, np.random.default_rng(2))

    assert benchmark(take).mean() == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("size", [128, 512])
def test_finding_the_surroundings(benchmark: BenchmarkFixture, size: int) -> None:
    v, u = np.mgrid[:size, :size] - size // 2
    expected = 1.0 + 10.0 * (np.hypot(u, v) < size / 4)
    image = np.random.default_rng(0).poisson(expected).astype(np.float32)
    trusted = np.ones(image.shape, bool)
    outside = benchmark(intensity.surroundings, image, trusted, 5.0, 0.5, 12.0)
    assert outside is not None
