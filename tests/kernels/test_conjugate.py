"""Conjugate gradients against the direct solution."""

import numpy as np
import torch

from aetx.kernels.conjugate import cgls
from aetx.kernels.projection import Grid, Projector, rotation
from aetx.kernels.reconstruction import Scheme


def test_no_volume_in_the_span_of_the_gradients_fits_better() -> None:
    rng = np.random.default_rng(2)
    turned = rotation(*np.deg2rad([rng.uniform(-9, 9, 4), np.linspace(-60, 60, 4), rng.uniform(-9, 9, 4)]))
    tool = Projector(turned, Grid.centred(4, 5, 4), Grid.centred(5, 4))
    voxels = int(np.prod(tool.volume_shape))
    columns = [tool.project(one.reshape(tool.volume_shape)).ravel() for one in torch.eye(voxels)]
    images = torch.as_tensor(rng.standard_normal(tool.image_shape).astype(np.float32))
    trusted = torch.as_tensor((rng.random(tool.image_shape) > 0.2).astype(np.float32))
    kept = trusted.ravel().numpy() > 0
    matrix = np.stack([one.numpy() for one in columns], axis=1)[kept]
    measured, steps = images.ravel().numpy()[kept].astype(float), 5
    gradients = [matrix.T @ measured]
    for _ in range(steps - 1):
        gradients.append(matrix.T @ (matrix @ gradients[-1]))
    span = np.linalg.qr(np.stack(gradients, axis=1))[0]
    wanted = span @ np.linalg.lstsq(matrix @ span, measured, rcond=None)[0]
    found = cgls(tool, images, Scheme(steps, 0.0, 1.0, positive=False), trusted=trusted)
    np.testing.assert_allclose(found.volume.ravel().numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_an_empty_series_gives_an_empty_volume() -> None:
    tool = Projector(rotation(*np.zeros((3, 2))), Grid.centred(4, 4, 4), Grid.centred(4, 4))
    found = cgls(tool, torch.zeros(tool.image_shape), Scheme(5, 0.0, 1.0, positive=False))
    assert float(found.volume.abs().max()) == 0
