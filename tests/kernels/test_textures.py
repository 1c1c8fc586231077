"""Textures against their analytic numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from aetx.kernels import textures

Texture = Callable[[np.ndarray], np.ndarray]


def grid(half: float, count: int) -> np.ndarray:
    """Points of an even cube, shape (count, count, count, 3), indices along x, y, z."""
    edge = (np.arange(count) + 0.5) / count * 2 * half - half
    return np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), axis=-1)


def ball(radius: float, count: int = 64) -> np.ndarray:
    points = grid(radius, count).reshape(-1, 3)
    return points[np.linalg.norm(points, axis=1) < radius]


def winding(texture: Texture, centre: tuple[float, float], radius: float) -> float:
    """Turns of the direction in the plane, along a circle."""
    angle = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), 0 * angle], axis=1)
    found = texture(circle)
    steps = np.diff(np.arctan2(found[:, 1], found[:, 0]))
    return float(((steps + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi))


def circulation(texture: Texture, centre: tuple[float, float]) -> float:
    """Mean component along a small circle, anticlockwise."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    around = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    along = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
    return float((texture(np.array([*centre, 0.0]) + around) * along).sum(axis=1).mean())


def solid_angle(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> np.ndarray:
    triple = (one * np.cross(two, three)).sum(axis=-1)
    pairs = (one * two).sum(axis=-1) + (two * three).sum(axis=-1) + (three * one).sum(axis=-1)
    return 2 * np.arctan2(triple, 1 + pairs)


def skyrmion_number(texture: Texture, half: float, count: int = 64) -> float:
    edge = np.linspace(-half, half, count)
    plane = np.stack([*np.meshgrid(edge, edge, indexing="ij"), np.zeros((count, count))], axis=-1)
    n = texture(plane.reshape(-1, 3)).reshape(plane.shape)
    a, b, c, d = n[:-1, :-1], n[1:, :-1], n[1:, 1:], n[:-1, 1:]
    return float((solid_angle(a, b, c) + solid_angle(a, c, d)).sum() / (4 * np.pi))


def hopf_number(texture: Texture, half: float, count: int) -> float:
    """The integral of A . B with B_i = eps_ijk n . (d_j n x d_k n) / 8 pi, by second-order differences and Fourier."""
    points = grid(half, count)
    step = 2 * half / count
    n = texture(points.reshape(-1, 3)).reshape(points.shape)
    slope = [np.gradient(n, step, axis=i) for i in range(3)]
    field = np.stack(
        [(n * np.cross(slope[(i + 1) % 3], slope[(i + 2) % 3])).sum(axis=-1) / (4 * np.pi) for i in range(3)]
    )
    q = np.stack(np.meshgrid(*[np.fft.fftfreq(count, step)] * 3, indexing="ij"))
    square = (q**2).sum(axis=0)
    square[0, 0, 0] = 1
    spectrum = np.fft.fftn(field, axes=(1, 2, 3))
    potential = np.fft.ifftn(1j * np.cross(q, spectrum, axis=0) / (2 * np.pi * square), axes=(1, 2, 3)).real
    return float(-(potential * field).sum() * step**3)


def toroidal(points: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.cross(points - points.mean(axis=0), vectors - vectors.mean(axis=0)).mean(axis=0) / 2


def test_the_toroidal_moment_of_a_vortex_in_a_ball_is_three_pi_over_thirty_two() -> None:
    points = ball(40.0)
    found = toroidal(points, textures.vortex(points, 1e-6))
    assert_allclose(found, [0, 0, 3 * np.pi / 32 * 40.0], rtol=2e-3, atol=1e-9)


def test_the_toroidal_moment_of_a_vortex_in_a_cylinder_is_a_third_of_its_radius() -> None:
    points = grid(30.0, 64).reshape(-1, 3)
    points = points[np.hypot(points[:, 0], points[:, 1]) < 30]
    assert_allclose(toroidal(points, textures.vortex(points, 1e-6))[2], 10.0, rtol=2e-3)


@pytest.mark.parametrize("texture", [textures.uniform, lambda points: textures.antivortex(points, 4.0)])
def test_uniform_and_antivortex_have_no_toroidal_moment(texture: Texture) -> None:
    points = ball(20.0)
    assert_allclose(toroidal(points, texture(points)), 0, atol=1e-9)


def test_a_vortex_winds_once_and_an_antivortex_once_the_other_way() -> None:
    assert_allclose(winding(lambda r: textures.vortex(r, 4.0), (0, 0), 5.0), 1.0)
    assert_allclose(winding(lambda r: textures.antivortex(r, 4.0), (0, 0), 5.0), -1.0)
    assert_allclose(winding(lambda r: textures.vortex(r, 4.0), (20, 0), 5.0), 0.0, atol=1e-12)
    assert_allclose(winding(textures.flux_closure, (0, 0), 5.0), 1.0)


@pytest.mark.parametrize(("sense", "around_both"), [(1.0, 1.0), (-1.0, 2.0)])
def test_two_vortices_have_two_cores_that_turn_as_stated(sense: float, around_both: float) -> None:
    def texture(points: np.ndarray) -> np.ndarray:
        return textures.two_vortices(points, 4.0, 40.0, sense)

    assert_allclose([winding(texture, (x, 0), 5.0) for x in (-20.0, 20.0)], 1.0)
    assert_allclose(winding(texture, (0.3, 0.2), 200.0), around_both)
    assert circulation(texture, (-20.0, 0.0)) > 0.1
    assert circulation(texture, (20.0, 0.0)) * sense > 0.1


@pytest.mark.parametrize("turns", [1, 2, -1])
@pytest.mark.parametrize("helicity", [0.0, np.pi / 2])
def test_the_skyrmion_number_is_the_winding(turns: int, helicity: float) -> None:
    found = skyrmion_number(lambda r: textures.skyrmion(r, 30.0, turns, helicity), 40.0)
    assert_allclose(abs(found), abs(turns), atol=1e-6)


def test_the_skyrmion_number_changes_its_sign_with_the_winding() -> None:
    one, other = (skyrmion_number(lambda r, m=m: textures.skyrmion(r, 30.0, m, 0.0), 40.0) for m in (1, -1))  # type: ignore[misc]
    assert_allclose(one, -other, atol=1e-6)


def test_a_skyrmion_points_down_on_its_axis_and_up_at_its_rim() -> None:
    points = np.array([[0.0, 0, 3], [10, 0, 0], [0, 20, -5], [0, 30, 1]])
    found = textures.skyrmion(points, 20.0, 1, np.pi / 2)
    assert_allclose(found, [[0, 0, -1], [0, 1, 0], [0, 0, 1], [0, 0, 1]], atol=1e-12)


def test_the_hopf_number_of_the_hopfion_is_one_within_the_known_error_of_its_measure() -> None:
    found = abs(hopf_number(lambda r: textures.hopfion(r, 1.0), 4.0, 96))
    assert_allclose(found, 0.955, atol=0.01)


def test_the_hopfion_is_down_on_its_ring_and_up_on_its_axis_and_far_away() -> None:
    points = np.array([[0.0, 5, 0], [3, -4, 0], [0, 0, 2.2], [0, 0, -9], [1e5, 0, 0]])
    assert_allclose(textures.hopfion(points, 5.0)[:, 2], [-1, -1, 1, 1, 1], atol=1e-6)


def test_the_domains_of_a_flux_closure_run_along_the_edges_and_leave_no_flux_outside() -> None:
    points = np.array([[5.0, 1, 0], [1, 5, 0], [-5, 1, 3], [1, -5, -2]])
    assert_allclose(textures.flux_closure(points), [[0, 1, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0]])


def test_directions_have_length_one_and_cores_have_length_zero() -> None:
    points = np.random.default_rng(0).uniform(-60, 60, (500, 3))
    whole: list[Texture] = [
        textures.uniform,
        textures.flux_closure,
        lambda r: textures.skyrmion(r, 20.0, 1, 0.3),
        lambda r: textures.hopfion(r, 9.0),
    ]
    for texture in whole:
        assert_allclose(np.linalg.norm(texture(points), axis=1), 1.0)
    cored: list[Texture] = [lambda r: textures.vortex(r, 4.0), lambda r: textures.antivortex(r, 4.0)]
    for texture in cored:
        assert_allclose(np.linalg.norm(texture(points), axis=1), np.tanh(np.hypot(*points.T[:2]) / 4))
        assert_allclose(texture(np.zeros((1, 3))), 0)
    for sense, side in itertools.product((1.0, -1.0), (15.0, -15.0)):
        found = textures.two_vortices(np.array([[side, 0, 2.0], [side + 40, 9, 0]]), 4.0, 30.0, sense)
        assert_allclose(found[0], 0)
        assert_allclose(np.linalg.norm(found[1]), 1.0, atol=5e-3)
