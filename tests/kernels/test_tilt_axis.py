from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels.tilt_axis import backlash, falling, position


def test_tilts_fall_where_they_are_below_the_one_before() -> None:
    assert falling(np.array([0.0, 2.0, 4.0, 3.0, 1.0])).tolist() == [False, False, False, True, True]
    assert falling(np.array([5.0, 5.0, 4.0, 4.0, 6.0])).tolist() == [True, True, True, True, False]
    assert not falling(np.zeros(3)).any()


def test_backlash_is_what_falling_images_have_beside_a_parabola() -> None:
    theta = np.deg2rad(np.linspace(-60, 60, 13))
    down = np.arange(13) % 2 == 1
    noise = np.random.default_rng(0).normal(0, 1e-3, 13)
    value, error = backlash(0.01 - 0.02 * theta + 0.01 * theta**2 + 0.005 * down + noise, theta, down, np.ones(13))
    assert abs(value - 0.005) < 2.5 * error
    assert error == pytest.approx(1e-3 * np.sqrt(4 / 13), rel=0.6)


def test_a_constant_is_told_from_a_specimen_off_the_axis() -> None:
    theta = np.deg2rad(np.linspace(-70, 70, 21))
    found = position(1.3 + 2.0 * np.cos(theta) + 0.7 * np.sin(theta), theta, np.ones(21))
    assert found.offset == pytest.approx(1.3, abs=1e-9)
    assert np.abs(found.residual).max() < 1e-9
