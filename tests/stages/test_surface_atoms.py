"""Which atoms are on the surface, how curved it is, and the shape of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.stages.surface.atoms import AtomsParams
from aetx.stages.surface.atoms import atoms as surface_atoms
from aetx.stages.surface.curvature import curvature
from tests.stages.crystals import CELL, TURN, atoms, sites


def cuboctahedron(noise: float = 0.0) -> xr.Dataset:
    site = sites("cuboctahedron", 5)
    return atoms(site @ (CELL * TURN) + np.random.default_rng(0).normal(0, noise, site.shape), noise)


@pytest.mark.parametrize("rule", [{}, {"radius": 3.5}, {"shrink": 0.5}, {"coordination": 12}, {"coordination": 10}])
def test_a_cuboctahedron_of_561_atoms_has_252_on_its_surface(rule: dict[str, Any]) -> None:
    found = surface_atoms(cuboctahedron(), **rule)
    assert found.sizes["atom"] == 561
    assert int(found["surface"].sum()) == 252


@pytest.mark.parametrize("rule", [{}, {"radius": 3.5}, {"coordination": 10}])
def test_noise_of_fifteen_picometres_changes_nothing(rule: dict[str, Any]) -> None:
    found = surface_atoms(cuboctahedron(0.15 / 3**0.5), **rule)
    xr.testing.assert_equal(found["surface"], surface_atoms(cuboctahedron(), **rule)["surface"])


def test_the_wall_of_a_hole_is_surface_by_coordination_and_not_by_shape() -> None:
    whole = cuboctahedron()
    holed = whole.isel(atom=np.linalg.norm(whole["position"].values, axis=1) > 4.5)
    assert int(surface_atoms(holed)["surface"].sum()) == 252
    assert int(surface_atoms(holed, coordination=12)["surface"].sum()) > 252


def test_two_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="one rule, not radius and coordination"):
        AtomsParams(radius=3.5, coordination=10)


def test_a_rule_without_an_answer_is_refused() -> None:
    flat = atoms(np.stack([np.arange(9.0), np.arange(9.0) ** 2, np.zeros(9)], axis=1))
    with pytest.raises(InputError, match="atoms that enclose a volume"):
        surface_atoms(flat, shrink=0.5)


def test_facets_are_flat_and_corners_bulge() -> None:
    found = curvature(surface_atoms(cuboctahedron()), radius=4.0)
    mean, outer = found["mean_curvature"].values, found["surface"].values > 0
    assert np.isnan(mean[~outer]).all()
    place = found["position"].values
    face = np.abs(place @ TURN.T).max(axis=1) > 4.9 * CELL / 2
    middle = outer & face & (np.abs(place @ TURN.T) > 1.1 * CELL).sum(axis=1) == 1
    assert np.abs(mean[middle & outer & face]).max() < 0.12
    corner = np.linalg.norm(place, axis=1) > np.linalg.norm(place, axis=1).max() - 0.1
    assert mean[corner].min() > mean[middle & outer & face].max()
    along = (found["normal"].values * place).sum(axis=1)[outer]
    assert along.min() > 0


def test_a_ball_of_atoms_has_the_curvature_of_the_ball() -> None:
    edge = np.arange(-24, 25)
    twice = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    place = twice[twice.sum(1) % 2 == 0] / 2 * CELL
    ball = atoms(place[np.linalg.norm(place, axis=1) <= 30])
    found = curvature(ball, radius=12.0)
    mean = found["mean_curvature"].values
    assert np.nanmedian(mean) == pytest.approx(1 / 29.4, rel=0.1)
    assert np.nanmedian(found["gaussian_curvature"].values) == pytest.approx(1 / 29.4**2, rel=0.2)
