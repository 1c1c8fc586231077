"""Time and gain of BM3D; run with ``--benchmark-enable``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aetx.kernels.bm3d import PROFILES, denoise
from tests.benchmarks.accuracy_denoise import NOISE, decibel, platinum


@pytest.mark.parametrize("side", [96, pytest.param(512, marks=pytest.mark.slow)])
@pytest.mark.parametrize("profile", ["general", pytest.param("atomic", marks=pytest.mark.slow)])
def test_a_film_of_platinum(side: int, profile: str, benchmark: Callable[..., np.ndarray]) -> None:
    true = np.ascontiguousarray(platinum(150.0, 2)[:side, :side])
    image = (true + np.random.default_rng(0).normal(0, NOISE, true.shape)).astype(np.float32)
    denoise(image[:32, :32], NOISE, PROFILES[profile])
    found = benchmark(lambda: denoise(image, NOISE, PROFILES[profile]))
    assert decibel(found, true) > decibel(image, true) + 9
