"""Strains that go together give the ratio they were made with, with an error that is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.kernels import total_least_squares as line
from aetx.stages.strain.core_shell import core_shell
from aetx.stages.strain.poisson import poisson
from tests.stages.lattices import EDGE, fcc_ball, lattice_of, rotation

BALL = fcc_ball(683)
ONE = {"units": "1"}


def with_strain(strain: np.ndarray, error: float) -> xr.Dataset:
    own = ("atom", "axis", "axis2")
    lattice = lattice_of(BALL, np.zeros(BALL.shape)).assign_coords(axis2=["x", "y", "z"])
    return lattice.assign(strain=(own, strain, ONE), strain_error=(own, np.full(strain.shape, error), ONE))


def uniaxial(seed: int, noise: float) -> xr.Dataset:
    generator = np.random.default_rng(seed)
    pulled = generator.normal(0, 0.01, len(BALL))
    strain = pulled[:, None, None] * np.diag([1, -0.38, -0.38]) + noise * generator.normal(size=(len(BALL), 3, 3))
    return with_strain(strain, noise)


def test_poisson_s_ratio_of_a_pulled_body_is_found_without_the_bias_of_noise() -> None:
    found = [poisson(uniaxial(seed, 0.005), seed=seed, block=3.0, resamples=60) for seed in range(80)]
    ratio = np.array([one["poisson"].values[0, 1] for one in found])
    error = np.array([one["poisson_error"].values[0, 1] for one in found])
    assert ratio.mean() == pytest.approx(0.38, abs=0.01), "least squares with exact x would say 0.30"
    assert error.mean() == pytest.approx(ratio.std(ddof=1), rel=0.2)
    assert np.isnan(found[0]["poisson"].values[0, 0])
    assert found[0]["correlation"].values[0, 1] < -0.4


def test_poisson_s_ratio_of_a_film_is_found_across_it() -> None:
    generator = np.random.default_rng(0)
    plane = generator.normal(0, 0.01, len(BALL))
    strain = plane[:, None, None] * np.diag([1, 1, -2 * 0.38 / (1 - 0.38)])
    made = poisson(with_strain(strain + 1e-4 * generator.normal(size=strain.shape), 1e-4))
    assert made["biaxial_poisson"].values[2] == pytest.approx(0.38, abs=0.003)
    assert made["biaxial_correlation"].values[2] < -0.99


def test_noise_has_no_poisson_s_ratio_and_a_lattice_without_strain_none_either() -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=(len(BALL), 3, 3))
    with pytest.warns(AetxWarning, match="no two strains go together"):
        poisson(with_strain(noise, 0.01))
    with pytest.raises(InputError, match=r"put strain\.atoms or strain\.local before"):
        poisson(lattice_of(BALL, np.zeros(BALL.shape)))


def test_errors_of_a_line_hold_for_points_that_share_what_their_block_has() -> None:
    pulls = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        block = np.repeat(np.arange(60), 10)
        x = np.repeat(generator.normal(size=60), 10)
        shared = np.repeat(0.2 * generator.normal(size=(2, 60)), 10, axis=1)
        found = line.fit(x + shared[0], 0.7 * x + shared[1], 1.0, block, line.resamples(block, 200, seed))
        pulls.append((found.slope - 0.7) / found.slope_error)
    assert np.std(pulls) == pytest.approx(1, abs=0.25)
    assert abs(np.mean(pulls)) < 0.4


def test_a_line_through_two_points_is_not_known() -> None:
    one = line.fit(np.arange(2.0), np.arange(2.0), 1.0, np.zeros(2, np.int64), np.ones((5, 1)))
    assert np.isnan(one).all()
    one = line.fit(np.arange(4.0), 2 * np.arange(4.0), 1.0, np.zeros(4, np.int64), np.ones((5, 1)))
    assert one.slope == pytest.approx(2)
    assert np.isnan(one.slope_error)


def layered(turn: np.ndarray) -> xr.Dataset:
    """Radial strain by direction: more along x, at the surface 0.87 of that at the interface 8 angstrom within."""
    place = EDGE * BALL @ turn.T
    radius = np.linalg.norm(BALL, axis=1) * EDGE
    outwards = BALL / np.maximum(np.linalg.norm(BALL, axis=1, keepdims=True), 1e-9)
    size = 0.02 * outwards[:, 0]
    surface = radius > radius.max() - 1.5
    noise = 2e-4 * np.random.default_rng(0).normal(size=len(BALL))
    variables: dict[str, Any] = {
        "radial": ("atom", np.where(surface, 0.87 * size, size) + noise, ONE),
        "hoop": ("atom", -size, ONE),
        "interface_depth": ("atom", radius - radius.max() + 5.0, {"units": "angstrom"}),
        "surface": ("atom", surface.astype(np.int8), ONE),
    }
    made = lattice_of(BALL, np.zeros(BALL.shape), turn=turn)
    np.testing.assert_allclose(made["position"], place, atol=1e-9)
    return made.assign(variables).assign_attrs(strain_centre=[0.0, 0.0, 0.0])


def test_the_strain_of_the_surface_follows_that_of_the_interface_by_the_slope_it_has() -> None:
    made = core_shell(layered(np.eye(3)))
    assert float(made["slope"]) == pytest.approx(0.87, abs=0.06)
    assert float(made["slope_error"]) < 0.05
    assert float(made["correlation"]) > 0.95


def test_cones_follow_the_crystal() -> None:
    still, turned = core_shell(layered(np.eye(3))), core_shell(layered(rotation(40)))
    np.testing.assert_allclose(still["radial_profile"], turned["radial_profile"], atol=1e-12)
    assert list(still["direction"].values) == ["all", "<100>", "<110>", "<111>"]
    layer = still["hoop_profile"].sel(layer=3.0)
    assert abs(float(layer.sel(direction="<100>"))) < 3 * float(still["hoop_profile_error"].sel(layer=3.0)[1]), "+x, -x"


def test_what_is_missing_is_named_with_the_stage_that_makes_it() -> None:
    with pytest.raises(InputError, match=r"structure\.interface") as caught:
        core_shell(lattice_of(BALL, np.zeros(BALL.shape)))
    assert len(caught.value.problems) == 4
