"""simulate.core_shell"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.special import log_ndtr

from aetx.errors import InputError
from aetx.stages.simulate.core_shell import core_shell


def fitted(made: xr.Dataset) -> tuple[float, float]:
    """Return radius and width of the interface of a sphere, by maximum likelihood from where its atoms are."""
    radius = np.linalg.norm(made["position"].values, axis=1)
    side = np.where(made["species"].values == 46, 1.0, -1.0)

    def cost(guess: np.ndarray) -> float:
        return -float(log_ndtr(side * (guess[0] - radius) / np.exp(guess[1])).sum())

    best = minimize(cost, [np.quantile(radius, 0.2), 0.0], method="Nelder-Mead").x
    return float(best[0]), float(3.29 * np.exp(best[1]))


@pytest.mark.parametrize("width", [4.2, 8.0])
def test_the_profile_of_the_composition_has_the_width_and_place_asked_for(width: float) -> None:
    made = core_shell(shape="sphere", atoms=40_000, interface_width=width, core_fraction=0.4)
    place, found = fitted(made)
    assert_allclose(found, width, rtol=0.05)
    assert_allclose((made["species"] == 46).mean(), 0.4, atol=0.005)
    depth = np.linalg.norm(made["position"].values, axis=1) - place
    assert_allclose(made["depth"].values, depth, atol=0.2)


@pytest.mark.parametrize(("atoms", "core"), [(5377, 1372), (12_038, 2054), (8468, 3690)])
def test_particles_of_the_published_sizes_can_be_made(atoms: int, core: int) -> None:
    made = core_shell(atoms=atoms, core_fraction=core / atoms)
    assert made.sizes["atom"] == atoms
    assert abs(int((made["species"] == 46).sum()) - core) < 3 * np.sqrt(0.25 * atoms * 0.2)
    assert set(np.unique(made["species"])) == {46, 78}


def test_the_displacement_is_the_elastic_solution() -> None:
    made = core_shell(shape="sphere", atoms=20_000, shell_lattice_constant=4.0, core_fraction=0.3, interface_width=0.0)
    moved = made["displacement"].values
    site = made["position"].values - moved
    radius = np.linalg.norm(site, axis=1)
    radial = (moved * site).sum(axis=1) / radius
    assert_allclose(moved, radial[:, None] * site / radius[:, None], atol=1e-12)
    inside = made["depth"].values < -0.5
    strain = radial[inside] / radius[inside]
    assert_allclose(strain, strain[0], rtol=1e-9)
    mismatch = (4.0 - 3.89) / (0.3 * 3.89 + 0.7 * 4.0)
    assert_allclose(strain[0], -(1 - 0.3) * mismatch * 1.39 / (3 * 0.61), rtol=1e-3)
    assert abs(radial[radius > radius.max() - 0.5]).max() < 0.06 * abs(radial).max()


def test_the_core_has_its_own_lattice_constant_but_for_its_stress() -> None:
    options: dict[str, Any] = {
        "shape": "sphere",
        "atoms": 20_000,
        "shell_lattice_constant": 4.0,
        "interface_width": 0.0,
    }
    made = core_shell(**options, core_fraction=0.3, poisson=0.39)
    position = made["position"].values
    core = position[made["depth"].values < -4]
    nearest = np.sort(np.asarray(KDTree(position).query(core, k=13)[0])[:, 1:], axis=1)
    assert_allclose(nearest, nearest.mean(), rtol=1e-6)
    constant = nearest.mean() * np.sqrt(2)
    share, ratio = 0.3, 2 * (1 - 2 * 0.39) / (1 + 0.39)
    expected = 3.89 * (1 + (4.0 / 3.89 - 1) * ratio / (1 + ratio) * (1 - share))
    assert_allclose(constant, expected, rtol=5e-4)


def test_equal_lattice_constants_give_a_perfect_lattice() -> None:
    made = core_shell(shape="cube", atoms=3000, core_lattice_constant=3.9, shell_lattice_constant=3.9)
    assert_allclose(made["displacement"].values, 0.0, atol=1e-12)
    away = (made["position"].values - made["position"].values[0]) / (3.9 / 2)
    assert_allclose(away, np.round(away), atol=1e-9)
    assert (np.round(away).sum(axis=1) % 2 == 0).all()


@pytest.mark.parametrize(
    ("shape", "spacing"), [("octahedron", 3.912 / np.sqrt(3)), ("cube", 1.956), ("sphere", 2.2586)]
)
def test_the_shell_has_as_many_layers_as_asked_for(shape: str, spacing: float) -> None:
    made = core_shell(shape=shape, atoms=20_000, layers=4.0, interface_width=0.0)
    depth = made["depth"].values
    assert_allclose(depth.max(), 4 * spacing, atol=0.05)
    assert ((depth < 0) == (made["species"].values == 46)).all()


@pytest.mark.parametrize("shape", ["octahedron", "truncated_octahedron", "cube", "sphere"])
def test_the_number_of_atoms_is_met_and_all_are_bound(shape: str) -> None:
    made = core_shell(shape=shape, atoms=3001)
    position = made["position"].values
    assert made.sizes["atom"] == 3001
    bound = KDTree(position).query_ball_point(position, 3.3, return_length=True) - 1
    assert bound.min() >= 3
    assert (bound == 12).mean() > 0.5


def test_parameters_that_contradict_are_refused() -> None:
    with pytest.raises(ValidationError, match="either core_fraction or layers"):
        core_shell(layers=2.0, core_fraction=0.3)
    with pytest.raises(ValidationError, match="nearest sites"):
        core_shell(separation=2.76)
    with pytest.raises(InputError, match="all there are"):
        core_shell(atoms=300, layers=20.0)
