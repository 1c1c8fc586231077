"""Cubes around atoms: their points, their room, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.core.cube import cube_around
from aetx.errors import InputError

ATOMS = np.array([[-3.0, 0.2, 1.0], [5.0, 1.0, 2.0]])


@pytest.mark.parametrize("step", [None, 0.5])
def test_all_atoms_and_their_margin_are_inside(step: float | None) -> None:
    for k, axis in enumerate(cube_around("here", ATOMS, 2.0, 40, step)):
        assert axis[0] <= ATOMS[:, k].min() - 2 + 1e-9
        assert axis[-1] >= ATOMS[:, k].max() + 2 - 1e-9
        made = axis[1] - axis[0]
        assert_allclose(np.diff(axis), made)
        assert_allclose(axis / made, np.round(axis / made), atol=1e-9)


def test_too_few_points_are_refused_with_the_number_that_fits() -> None:
    with pytest.raises(InputError, match="at least 27"):
        cube_around("here", ATOMS, 2.0, 26, 0.5)
