"""Sites of whole perovskite cells."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import perovskite


def test_a_cube_has_its_cells_and_one_more_corner_along_each_edge() -> None:
    corners, centres, faces = perovskite.sites(4.0, 12.3, "cube")
    assert len(centres) == 27
    assert len(corners) == 64
    assert len(faces) == 3 * 9 * 4
    for sites in (corners, centres, faces):
        assert_allclose(sites.mean(axis=0), 0, atol=1e-12)
    assert_allclose(np.ptp(corners, axis=0), 12.0)


@pytest.mark.parametrize("shape", ["sphere", "cube", "rounded_cube"])
@pytest.mark.parametrize("size", [26.0, 29.0])
def test_every_centre_has_eight_corners_and_six_faces_around_it(shape: perovskite.Shape, size: float) -> None:
    corners, centres, faces = perovskite.sites(4.0, size, shape)
    for sites, count, distance in ((corners, 8, 2 * np.sqrt(3)), (faces, 6, 2.0)):
        found = np.asarray(KDTree(sites).query(centres, k=count)[0])
        assert_allclose(found, distance)
        assert len(np.unique(sites.round(6), axis=0)) == len(sites)
        near = np.asarray(KDTree(centres).query(sites)[0])
        assert_allclose(near, distance)  # and none belongs to no cell


def test_the_shapes_have_their_volumes() -> None:
    volume = {shape: len(perovskite.sites(2.0, 80.0, shape)[1]) * 8 / 80**3 for shape in ("sphere", "rounded_cube")}
    assert_allclose(volume["sphere"], np.pi / 6, rtol=0.01)
    assert_allclose(volume["rounded_cube"], 0.8102, rtol=0.01)  # gamma(5/4)^3 / gamma(7/4)
