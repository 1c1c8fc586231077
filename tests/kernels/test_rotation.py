"""The nearest rotation against scipy, and that it is never a reflection."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aetx.kernels.rotation import nearest_rotation


@pytest.mark.parametrize("seed", range(5))
def test_it_takes_vectors_to_others_as_scipy_does(seed: int) -> None:
    generator = np.random.default_rng(seed)
    start, end = generator.normal(size=(2, 7, 3))
    known, _ = Rotation.align_vectors(end, start)
    np.testing.assert_allclose(nearest_rotation(end.T @ start), known.as_matrix(), atol=1e-12)


def test_a_mirror_image_is_met_by_a_proper_rotation() -> None:
    found = nearest_rotation(np.diag([3.0, 2.0, -1.0]))
    np.testing.assert_allclose(found, np.eye(3), atol=1e-15)


def test_in_a_plane_it_is_the_turn_itself() -> None:
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    np.testing.assert_allclose(nearest_rotation(2.5 * turn), turn, atol=1e-15)
