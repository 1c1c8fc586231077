"""Images of atoms against plain numpy and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose

from aetx.kernels import rendering

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
    found = rendering.render(x, y, height, width, 25, 31, False)
    assert found.dtype == np.float32
    wanted = brute_force(x, y, height, width, (25, 31))
    assert_allclose(found, wanted, atol=3e-6 * wanted.max())


def test_narrow_atoms_are_integrated_over_the_pixels() -> None:
    x, y, width = one([7.3]), one([6.8]), one([0.4])
    fine = brute_force(x * 50 + 24.5, y * 50 + 24.5, one([1.0]), width * 50, (750, 750))
    wanted = fine.reshape(15, 50, 15, 50).sum(axis=(1, 3))
    assert_allclose(rendering.render(x, y, one([1.0]), width, 15, 15, True), wanted, atol=1e-4)
    assert_allclose(rendering.render(x, y, one([1.0]), width, 15, 15, True).sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("integrated", [True, False])
@given(x=some.floats(12, 20), y=some.floats(12, 20), width=some.floats(0.9, 1.8))
def test_the_total_is_the_height_wherever_the_atom_is(integrated: bool, x: float, y: float, width: float) -> None:
    found = rendering.render(one([x]), one([y]), one([3.0]), one([width]), 33, 33, integrated)
    assert_allclose(found.sum(), 3.0, rtol=1e-5)


def test_cross_sections_are_the_tabulated_ones_and_rise_with_the_element() -> None:
    found = rendering.adf_cross_section(np.array([6, 8, 14, 22, 28, 46, 56, 78]))
    assert_allclose(found / 0.0229, [0.008, 0.014, 0.043, 0.096, 0.153, 0.380, 0.538, 1.0])
    everything = rendering.adf_cross_section(np.arange(1, 104))
    assert (np.diff(everything) > 0).all()


def test_noise_has_the_mean_and_the_variance_of_its_model() -> None:
    expected = np.full((400, 400), 9.0, np.float32)
    found = rendering.detect(expected, 2.0, 5.0, 3.0, np.random.default_rng(0))
    assert_allclose(found.mean(), 2 * 9 + 5, rtol=0.005)
    assert_allclose(found.var(), 4 * 9 + 9, rtol=0.02)
