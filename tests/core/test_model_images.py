"""Atoms and images as the problem that a refinement solves."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.core.model_images import euler, problem_of
from aetx.core.tilts import centred_axis, pose_coords
from aetx.errors import InputError

SIZE, STEP = 9, 1.0


def series_of(theta: list[float]) -> xr.Dataset:
    """Return images of ones, 9 pixels of 1 angstrom on a side."""
    angles = np.stack([np.zeros(len(theta)), np.array(theta), np.zeros(len(theta))], axis=1)
    image = np.ones((len(theta), SIZE, SIZE), np.float32)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image, {"units": "count"})},
        {**pose_coords(angles), "y": centred_axis("y", SIZE, STEP), "x": centred_axis("x", SIZE, STEP)},
    )


def slab(reach: float) -> xr.Dataset:
    """Return the corners of a film 10 angstrom thick, as atoms."""
    corners = np.stack(np.meshgrid([-reach, reach], [-20.0, 20.0], [-5.0, 5.0]), axis=-1).reshape(-1, 3)
    return atoms_dataset(corners, 73)


def test_angles_come_back_as_those_nearest_to_what_was_given() -> None:
    given = np.array([[0.0, 100.0, 0.0], [3.0, 177.0, -2.0], [10.0, -40.0, 5.0], [-190.0, 20.0, 350.0]])
    turned = Rotation.from_euler("ZYX", given, degrees=True).as_matrix()
    assert_allclose(euler(turned, given + 1.5), given, atol=1e-9)


def test_only_rays_that_stay_among_the_atoms_of_a_film_are_trusted() -> None:
    # at 45 degrees the ray through x meets z = +-5 at x * sqrt(2) +- 5, and the box ends at 10 - 2
    problem = problem_of("here", slab(10.0), series_of([0.0, 45.0]), "gaussian", None, 50.0, True)
    assert problem.scene.seen is not None
    x = np.arange(SIZE) - SIZE // 2
    assert_array_equal(problem.scene.seen[0, 4], np.ones(SIZE))
    assert_array_equal(problem.scene.seen[1, 4] > 0, np.abs(x) * np.sqrt(2) + 5.5 < 8.5)


def test_a_film_that_no_ray_stays_in_is_refused() -> None:
    with pytest.raises(InputError, match="no ray that stays among the atoms"):
        problem_of("here", slab(4.0), series_of([70.0, 75.0]), "gaussian", None, 50.0, True)
