"""Images of atoms against plain numpy and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose

from aetx.kernels import profiles, rendering
from aetx.kernels.scattering import kirkland

angles = some.floats(-np.pi, np.pi)


def one(values: list[float]) -> np.ndarray:
    return np.array(values, float)


def test_a_point_at_plus_z_moves_to_minus_x_at_positive_theta() -> None:
    assert_allclose(rendering.to_camera(one([0, 0, 10])[None], 0, np.deg2rad(30), 0)[0, :2], [-5, 0], atol=1e-12)
    assert_allclose(rendering.to_camera(one([10, 0, 0])[None], 0, np.deg2rad(30), 0)[0, 0], 8.660254, atol=1e-6)


def test_a_point_at_plus_x_moves_to_minus_y_at_positive_phi() -> None:
    assert_allclose(rendering.to_camera(one([10, 0, 0])[None], np.deg2rad(30), 0, 0)[0], [8.660254, -5, 0], atol=1e-6)


def test_a_point_at_plus_z_moves_to_plus_y_at_positive_psi() -> None:
    assert_allclose(rendering.to_camera(one([0, 0, 10])[None], 0, 0, np.deg2rad(30))[0], [0, 5, 8.660254], atol=1e-6)


@given(phi=angles, theta=angles, psi=angles)
def test_the_rotation_is_the_product_of_its_three_turns(phi: float, theta: float, psi: float) -> None:
    whole = rendering.rotation(phi, theta, psi)
    parts = rendering.rotation(phi, 0, 0) @ rendering.rotation(0, theta, 0) @ rendering.rotation(0, 0, psi)
    assert_allclose(whole, parts, atol=1e-12)
    assert_allclose(whole @ whole.T, np.eye(3), atol=1e-12)
    assert_allclose(np.linalg.det(whole), 1)


def brute_force(
    x: np.ndarray, y: np.ndarray, height: np.ndarray, width: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    v, u = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for i in range(x.size):
        square = (u - x[i]) ** 2 + (v - y[i]) ** 2
        image += height[i] / (2 * np.pi * width[i] ** 2) * np.exp(-square / (2 * width[i] ** 2))
    return image


def test_images_are_those_of_plain_numpy() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-3, 33, 20), generator.uniform(-3, 27, 20)
    height, width = generator.uniform(1, 5, 20), generator.uniform(1, 2, 20)
    found = rendering.render(x, y, height, width, 25, 31)
    assert found.dtype == np.float32
    wanted = brute_force(x, y, height, width, (25, 31))
    assert_allclose(found, wanted, atol=3e-6 * wanted.max())


def test_narrow_atoms_are_integrated_over_the_pixels() -> None:
    x, y, width = one([7.3]), one([6.8]), one([0.4])
    fine = brute_force(x * 50 + 24.5, y * 50 + 24.5, one([1.0]), width * 50, (750, 750))
    wanted = fine.reshape(15, 50, 15, 50).sum(axis=(1, 3))
    assert_allclose(rendering.render(x, y, one([1.0]), width, 15, 15), wanted, atol=1e-4)
    assert_allclose(rendering.render(x, y, one([1.0]), width, 15, 15).sum(), 1, rtol=1e-6)


@given(x=some.floats(12, 20), y=some.floats(12, 20), width=some.floats(0.3, 1.8))
def test_the_total_is_the_height_wherever_the_atom_is(x: float, y: float, width: float) -> None:
    found = rendering.render(one([x]), one([y]), one([3.0]), one([width]), 33, 33)
    assert_allclose(found.sum(), 3.0, rtol=2e-6)


@pytest.mark.parametrize("factor", [(78,), (79, 14)])
@given(x=some.floats(12, 20), y=some.floats(12, 20), width=some.floats(0.3, 1.8))
def test_a_scattering_factor_keeps_the_total(factor: tuple[int, ...], x: float, y: float, width: float) -> None:
    every = np.array([x, x + 3])[: len(factor)]
    height, widths = np.full(len(factor), 3.0), np.full(len(factor), width)
    found = rendering.scattered(every + 40, every * 0 + y + 40, height, widths, np.array(factor), 0.358, 113, 120)
    assert_allclose(found.sum(), 3.0 * len(factor), rtol=1e-4)


@pytest.mark.parametrize("number", [6, 56, 78])
def test_an_atom_with_its_scattering_factor_has_the_radial_profile_of_the_integral(number: int) -> None:
    width, step = 0.45, 0.358

    def factor(q: np.ndarray) -> np.ndarray:
        return kirkland(number, q) / kirkland(number, 0.0)

    table = profiles.radial_table(factor, width, 0.04, 14.0)
    v, u = np.mgrid[:41, :47]
    radius = step * np.hypot(u - 22.3, v - 19.8)
    wanted = np.array([[profiles.radial(table, 0.04, rho)[0] for rho in row] for row in radius]) * step**2
    place, shape = (one([22.3]), one([19.8])), (41, 47)
    found = rendering.scattered(*place, one([1.0]), one([width / step]), np.array([number]), step, *shape)
    assert_allclose(found, wanted, atol=2e-4 * wanted.max())


@pytest.mark.parametrize("width", [0.3, 0.45, 0.9, 1.2])
def test_an_atom_with_its_scattering_factor_is_where_it_should_be(width: float) -> None:
    height, species = one([1.0]), np.array([78])
    found = rendering.scattered(one([33.3]), one([29.8]), height, one([width]), species, 0.358, 61, 67)
    v, u = np.mgrid[:61, :67]
    assert_allclose([(found * u).sum(), (found * v).sum()], [33.3, 29.8], atol=0.01)


def test_atoms_beyond_the_edge_send_their_tails_in_and_not_around() -> None:
    at, height, width = one([-2.0]), one([1.0]), one([1.3])
    found = rendering.scattered(at, one([8.0]), height, width, np.array([56]), 0.358, 17, 40)
    whole = rendering.scattered(at + 30, one([8.0]) + 30, height, width, np.array([56]), 0.358, 77, 100)
    assert_allclose(found, whole[30:47, 30:70], atol=2e-4 * whole.max())
    assert found[:, 30:].max() < 1e-5 * found.max()
