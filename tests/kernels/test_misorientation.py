"""Turns between grains: reduced by symmetry, with vectors that are right at all angles; twins and their planes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aetx.kernels.misorientation import OCTAHEDRAL, Turn, between, off_site, planes, twin, vector_of
from aetx.kernels.unit_cell import named, turns

CUBIC = turns(named("fcc", 1.633))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 2.0, math.pi - 1e-6])
def test_vectors_of_rotations_are_right_near_none_and_near_half_a_turn(angle: float) -> None:
    vector = angle * np.array([0.6, 0.0, -0.8])
    np.testing.assert_allclose(vector_of(Rotation.from_rotvec(vector).as_matrix()), vector, atol=1e-8)


def test_a_turn_is_the_same_whichever_of_the_equivalent_orientations_is_meant() -> None:
    first = Rotation.random(random_state=0).as_matrix()
    vector = np.array([0.1, -0.05, 0.2])
    second = Rotation.from_rotvec(vector).as_matrix() @ first
    for one in CUBIC:
        np.testing.assert_allclose(between(first, second @ one, CUBIC).vector, vector, atol=1e-9)


def test_no_cubic_grains_are_turned_by_more_than_62_8_degrees() -> None:
    """The largest disorientation of cubic crystals; J. K. Mackenzie, Biometrika 45, 229 (1958)."""
    found = Rotation.random(500, random_state=1).as_matrix()
    angles = np.rad2deg([between(one, other, CUBIC).angle for one, other in zip(found[1:], found[:-1], strict=True)])
    assert 55 < angles.max() <= 62.8


def test_what_is_left_of_a_twin_is_what_was_added_and_its_normal_is_between_those_of_both() -> None:
    first = Rotation.random(random_state=2).as_matrix()
    half = Rotation.from_rotvec(math.pi * OCTAHEDRAL[2]).as_matrix()
    rest = np.array([0.01, 0.02, -0.015])
    turn = Rotation.from_rotvec(rest).as_matrix()
    found = twin(first, turn @ first @ half @ CUBIC[7], CUBIC)
    np.testing.assert_allclose(found.rest.vector, rest, atol=1e-9)
    middle = first @ OCTAHEDRAL[2] + turn @ first @ OCTAHEDRAL[2]
    assert abs(found.normal @ middle) / np.linalg.norm(middle) == pytest.approx(1.0, abs=1e-8)
    assert between(first, first @ half, CUBIC).angle == pytest.approx(math.radians(60))


def test_the_error_of_an_angle_is_that_along_its_axis() -> None:
    covariance = np.diag([1e-4, 4e-4, 9e-4])
    assert Turn(np.array([0.0, 0.1, 0.0])).error(covariance) == pytest.approx(0.02)
    assert Turn(np.zeros(3)).error(covariance) == pytest.approx(0.03)
    assert math.isnan(Turn(np.ones(3)).error(np.full((3, 3), np.nan)))


def test_shared_atoms_are_split_into_planes_by_their_height() -> None:
    heights = np.array([0.0, 0.1, -0.1, 6.8, 6.7, 0.05, 20.0])
    place = np.column_stack([np.arange(7.0), np.zeros(7), heights])
    found = planes(np.arange(7), place, np.array([0.0, 0.0, 1.0]), 2.26, 2)
    assert [atoms.tolist() for _, atoms in found] == [[0, 1, 2, 5], [3, 4]]
    assert found[1][0] == pytest.approx(6.75)


def test_the_distance_from_the_nearest_site_knows_all_sites_of_the_cell() -> None:
    motif, basis = named("fcc", 1.633).motif, 4.0 * Rotation.random(random_state=3).as_matrix()
    cells = np.array([[0, 0, 0], [3, -2, 1], [-5, 1, 2]])
    sites = (cells[:, None] + motif).reshape(-1, 3) @ basis + 1.5
    away = 0.3 * np.random.default_rng(0).normal(size=sites.shape)
    wanted = np.linalg.norm(away, axis=1)
    np.testing.assert_allclose(off_site(sites + away, np.full(3, 1.5), basis, motif), wanted, atol=1e-9)
