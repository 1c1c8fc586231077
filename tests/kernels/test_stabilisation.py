"""Stabilised noise is 1, and what comes back has no bias."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels.stabilisation import destabilise, stabilise


def counts(level: float, gain: float, offset: float, read: float, size: int = 400_000) -> np.ndarray:
    generator = np.random.default_rng(int(10 * level))
    return gain * generator.poisson(level, size) + offset + generator.normal(0, 1, size) * read


@pytest.mark.parametrize("noise", [(1.0, 0.0, 0.0), (2.5, 7.0, 2.0), (0.3, -4.0, 0.6)])
@pytest.mark.parametrize("level", [0.5, 2.0, 5.0, 20.0, 300.0])
def test_the_mean_of_stabilised_counts_goes_back_to_the_mean_of_counts(
    level: float, noise: tuple[float, float, float]
) -> None:
    gain, offset, read = noise
    stable = stabilise(counts(level, *noise), *noise)
    back = destabilise(np.array([stable.mean(dtype=float)], np.float32), *noise)[0]
    spread = np.sqrt(level + (read / gain) ** 2) / np.sqrt(stable.size)
    assert (back - offset) / gain == pytest.approx(level, rel=2e-3, abs=4 * spread)


@pytest.mark.parametrize("read", [0.0, 1.5])
def test_stabilised_noise_is_one_from_three_counts_up(read: float) -> None:
    for level in (3.0, 10.0, 200.0):
        assert_allclose(stabilise(counts(level, 2.0, 5.0, read), 2.0, 5.0, read).std(), 1, atol=0.05)


def test_the_algebraic_inverse_would_be_biased() -> None:
    mean = float(stabilise(counts(2.0, 1.0, 0.0, 0.0), 1.0, 0.0, 0.0).mean(dtype=float))
    assert mean**2 / 4 - 3 / 8 < 0.95 * 2
    assert_allclose(destabilise(np.array([mean], np.float32), 1.0, 0.0, 0.0), 2, rtol=5e-3)


def test_both_directions_agree_for_many_counts() -> None:
    image = np.linspace(1e3, 1e5, 50).astype(np.float32)
    assert_allclose(destabilise(stabilise(image, 1.5, 10.0, 3.0), 1.5, 10.0, 3.0), image, rtol=1e-3)


def test_the_inverse_rises_without_a_step_where_the_table_ends() -> None:
    stable = np.linspace(0, 40, 4001, dtype=np.float32)
    back = destabilise(stable, 1.0, 0.0, 0.7)
    assert np.diff(back).min() >= 0
    near = np.abs(stable - 32) < 0.5
    assert_allclose(np.diff(back[near]), 0.01 * stable[near][1:] / 2, rtol=0.15)


def test_nothing_comes_back_below_no_counts() -> None:
    assert_allclose(destabilise(np.array([0.0, 0.5], np.float32), 2.0, 9.0, 0.0), 9)


def test_without_gain_noise_is_scaled() -> None:
    image = np.array([4.0, 7.0], np.float32)
    assert_allclose(stabilise(image, 0.0, 1.0, 3.0), [1, 2])
    assert_allclose(destabilise(stabilise(image, 0.0, 1.0, 3.0), 0.0, 1.0, 3.0), image)
