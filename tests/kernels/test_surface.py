"""Points on the surface of a set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aetx.kernels.surface import neighbour_distance, surface


def cuboctahedron(shells: int) -> np.ndarray:
    edge = np.arange(-shells, shells + 1)
    sites = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    inside = (np.abs(sites).sum(1) <= 2 * shells) & (sites.sum(1) % 2 == 0)
    return sites[inside] / 2**0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shells", [2, 5, 7])
def test_a_cuboctahedron_has_ten_k_squared_plus_two_atoms_on_its_surface(shells: int, seed: int) -> None:
    points = cuboctahedron(shells) @ Rotation.random(random_state=seed).as_matrix()
    outer = surface(points, 1.26 * neighbour_distance(points))
    assert outer.sum() == 10 * shells**2 + 2
    flat = cuboctahedron(shells)
    shell = (np.abs(flat).max(1) > (shells - 0.1) / 2**0.5) | (np.abs(flat).sum(1) > (2 * shells - 0.1) / 2**0.5)
    np.testing.assert_array_equal(outer, shell)


def test_a_hole_within_is_no_surface() -> None:
    points = cuboctahedron(5)
    holed = points[np.linalg.norm(points, axis=1) > 1.5]
    assert len(points) - len(holed) == 19
    assert surface(holed, 1.26).sum() == 252


def test_a_stray_point_is_surface_and_uncovers_nothing() -> None:
    points = np.concatenate([cuboctahedron(5), [[12.0, 3.0, 1.0]]])
    outer = surface(points, 1.26)
    assert outer[-1]
    assert outer.sum() == 253


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_a_set_without_an_inside_is_all_surface(count: int) -> None:
    flat = np.stack([*np.unravel_index(np.arange(count), (3, 3)), np.zeros(count)], axis=1).astype(float)
    assert surface(flat, 1.3).tolist() == [True] * count
