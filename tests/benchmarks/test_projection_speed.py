"""Time of one projection and one transpose; run with ``--benchmark-enable``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from aetx.kernels.projection import Grid, Projector, rotation


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("wobble", [0.0, 3.0], ids=["one axis", "Euler angles"])
def test_one_pass_forth_and_back(size: int, wobble: float, benchmark: Callable[..., torch.Tensor]) -> None:
    noise = np.random.default_rng(0).uniform(-wobble, wobble, (2, 21))
    r = rotation(*np.deg2rad([noise[0], np.linspace(-70, 70, 21), noise[1]]))
    tool = Projector(r, Grid.centred(size, size, size), Grid.centred(size, size))
    volume = torch.rand(tool.volume_shape, generator=torch.Generator().manual_seed(0))
    out = torch.empty_like(volume)
    tool.transpose(tool.project(volume), out)
    found = benchmark(lambda: tool.transpose(tool.project(volume), out))
    assert bool(torch.isfinite(found).all())


def test_the_matrices_stay_within_their_forecast() -> None:
    size = 64
    r = rotation(*np.deg2rad([np.full(21, 2.0), np.linspace(-70, 70, 21), np.full(21, -2.0)]))
    tool = Projector(r, Grid.centred(size, size, size), Grid.centred(size, size))
    assert tool.matrix_bytes <= 21 * size**2 * 4 * 16 + 64 * 21 * 200 * 8
