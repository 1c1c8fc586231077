"""Volume, sphericity and ellipsoid of particles."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.stages.surface.shape import shape
from tests.stages.crystals import CELL, TURN, atoms, sites


@pytest.mark.parametrize(
    ("body", "size", "cut", "wanted"),
    [
        ("cube", 8, 0, 0.806),
        ("octahedron", 12, 0, 0.846),
        ("truncated_octahedron", 18, 12, 0.910),
        ("cuboctahedron", 6, 0, 0.905),
    ],
)
def test_sphericity_is_that_of_the_polyhedron(body: str, size: int, cut: int, wanted: float) -> None:
    found = shape(atoms(sites(body, size, cut) @ (CELL * TURN)))
    assert float(found["sphericity"]) == pytest.approx(wanted, abs=6e-4)


def test_the_volume_of_a_cube_is_that_between_its_outer_planes() -> None:
    found = shape(atoms(sites("cube", 8) @ (CELL * TURN)))
    assert float(found["volume"]) == pytest.approx((8 * CELL) ** 3, rel=1e-9)
    assert float(found["area"]) == pytest.approx(6 * (8 * CELL) ** 2, rel=1e-9)


def test_a_cut_ellipsoid_has_its_semi_axes_within_one_percent_and_its_tilt() -> None:
    edge = np.arange(-40, 41)
    twice = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    place = twice[twice.sum(1) % 2 == 0] / 2 * CELL
    wanted = np.array([34.0, 27.0, 20.0])
    along = np.array([[0, np.cos(0.3), np.sin(0.3)], [1, 0, 0], [0, np.sin(0.3), -np.cos(0.3)]])
    found = shape(atoms(place[((place @ along.T / wanted) ** 2).sum(1) <= 1]))
    np.testing.assert_allclose(found["semi_axes"], wanted, rtol=0.01)
    np.testing.assert_allclose(np.abs((found["axes"].values * along).sum(axis=1)), 1, atol=1e-3)
    assert float(found["tilt"][2]) == pytest.approx(np.rad2deg(0.3), abs=1)
    assert float(found["aspect_ratio"]) == pytest.approx(1.7, rel=0.01)


def test_errors_of_volume_area_and_sphericity_are_their_scatter() -> None:
    site = sites("truncated_octahedron", 10, 6)
    generator, noise = np.random.default_rng(5), 0.1
    drawn = [shape(atoms(site @ (CELL * TURN) + generator.normal(0, noise, site.shape), noise)) for _ in range(30)]
    for name in ("volume", "area", "sphericity"):
        scatter = np.std([float(one[name]) for one in drawn], ddof=1)
        assert np.mean([float(one[f"{name}_error"]) for one in drawn]) == pytest.approx(scatter, rel=0.35)


def test_without_errors_of_positions_there_are_none_of_the_volume() -> None:
    found = shape(atoms(sites("cuboctahedron", 3) @ (CELL * TURN)))
    assert np.isnan(found["volume_error"])


def test_turning_the_particle_changes_no_number_of_its_shape() -> None:
    place = sites("truncated_octahedron", 12, 6) * CELL
    place = place + np.random.default_rng(0).normal(0, 0.1, place.shape)
    one, other = shape(atoms(place, 0.1)), shape(atoms(place @ TURN, 0.1))
    for name in ("volume", "area", "sphericity", "sphericity_error", "semi_axes", "semi_axes_error"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9)
