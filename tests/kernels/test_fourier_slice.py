"""Projection in Fourier space against the analytic images of Gaussians."""

import numpy as np
import pytest

from aetx.kernels.fourier_slice import FourierProjector
from aetx.kernels.projection import F64, Grid, rotation

SIGMA = 1.4
PLACES = np.array([[5.0, -5.0, 4.5], [-5.5, 4.5, -4.0]])


def turned() -> F64:
    rng = np.random.default_rng(0)
    return rotation(*np.deg2rad([rng.uniform(-20, 20, 5), np.linspace(-70, 70, 5), rng.uniform(-20, 20, 5)]))


def errors(volume: Grid, image: Grid, oversampling: float, places: F64 = PLACES) -> F64:
    """Return projected less analytic images, as fractions of the peak."""
    z, y, x = (first + np.arange(size) for first, size in zip(volume.start, volume.shape, strict=True))
    density = np.zeros(volume.shape)
    for px, py, pz in places:
        square = (z[:, None, None] - pz) ** 2 + (y[:, None] - py) ** 2 + (x - px) ** 2
        density += np.exp(-square / (2 * SIGMA**2))
    tool = FourierProjector(turned(), volume, image, oversampling=oversampling)
    found = tool.images_out(tool.project(tool.volume_in(density.astype(np.float32))))
    v, u = (first + np.arange(size) for first, size in zip(image.start, image.shape, strict=True))
    wanted = np.zeros(found.shape)
    for tilt, r in enumerate(tool.rotations):
        for place in places:
            p = r.T @ place
            wanted[tilt] += np.exp(-((u - p[0]) ** 2 + (v[:, None] - p[1]) ** 2) / (2 * SIGMA**2))
    peak = np.sqrt(2 * np.pi) * SIGMA
    error: F64 = np.abs(found / peak - wanted)
    return error


@pytest.mark.parametrize(
    ("volume", "image"),
    [
        (Grid.centred(24, 26, 25), Grid.centred(26, 25)),
        (Grid((24, 26, 31), (-12.0, -13.0, -15.0)), Grid((22, 25), (-10.0, -12.0))),
        (Grid((24, 26, 25), (-11.7, -13.25, -12.5)), Grid((26, 25), (-13.25, -12.5))),
    ],
)
def test_images_of_gaussians_are_the_analytic_ones(volume: Grid, image: Grid) -> None:
    assert errors(volume, image, 3.0).max() < 0.02


def test_what_lies_beyond_the_image_is_not_folded_into_it() -> None:
    """A film is longer than its images: this ball lies 41 pixels from the axis of an image that ends at 10."""
    far = (turned()[2] @ np.array([41.0, 1.0, 0.0]))[None]
    assert errors(Grid.centred(16, 40, 101), Grid.centred(26, 21), 2.0, far).max() < 0.1


def test_more_padding_is_more_exact() -> None:
    found = [errors(Grid.centred(24, 26, 25), Grid.centred(26, 25), factor).max() for factor in (1.0, 2.0, 4.0)]
    assert found[0] > 2 * found[1] > 4 * found[2]
