"""`measure.bound`: known limits of lone atoms, what must not matter, and fits that reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.kernels.particle import fcc_sites, random_rotation
from aetx.kernels.rendering import rotation
from aetx.stages.measure.bound import bound, euler_rates
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle
from tests.benchmarks.accuracy_bound import lone, monte_carlo, pair

F64 = NDArray[np.float64]
KNOWN: dict[str, Any] = {"angles": False, "shifts": False}
WIDE: dict[str, Any] = {"first": -70.0, "last": 70.0}


def at(position: F64, species: int = 78, **columns: tuple[F64, str]) -> xr.Dataset:
    return atoms_dataset(np.reshape(position, (-1, 3)), species, columns)


@pytest.fixture(scope="module")
def cluster() -> xr.Dataset:
    return particle(smallest=14.0, largest=15.0, seed=1)


def pm(score: xr.Dataset) -> list[float]:
    return [100 * float(score["bound"]), *(100 * score["bound_axis"].values)]


def test_a_lone_platinum_atom_is_known_to_1_7_pm() -> None:
    """Published analysis: sigma / sqrt(n), 175 electrons in each of 21 images within 70 degrees."""
    score = bound(at(np.zeros(3)), **KNOWN, **WIDE)
    assert score["electrons"].values == pytest.approx(175, rel=0.01)
    theta = np.deg2rad(np.linspace(-70, 70, 21))
    share = np.array([(np.cos(theta) ** 2).sum(), 21, (np.sin(theta) ** 2).sum()])
    sigma = 0.45 / np.sqrt(float(score["electrons"][0]) * share)
    np.testing.assert_allclose(score["sigma"].values[0], sigma, rtol=1e-3)
    assert pm(score) == pytest.approx([1.69, 0.95, 0.74, 1.18], rel=0.01)


def test_the_scattering_factor_makes_a_lone_atom_wider_and_worse() -> None:
    score = bound(at(np.zeros(3)), **KNOWN, **WIDE, profile="kirkland")
    assert pm(score)[0] == pytest.approx(2.28, rel=0.01)


def test_overlap_in_a_particle_of_1200_atoms_costs_what_was_found_before() -> None:
    """A ball of fcc Pt, atoms displaced by 22 pm, 176 electrons, 21 images within 65 degrees: 8.7 pm +- 3 %."""
    generator = np.random.default_rng(0)
    sites = fcc_sites(3.912, 30.0, random_rotation(generator), generator.random(3))
    sites = sites[np.argsort(np.linalg.norm(sites, axis=1))[:1200]]
    ball = at(sites - sites.mean(0) + generator.uniform(-0.22, 0.22, sites.shape))
    score = bound(ball, profile="kirkland", dose=7680.0, method="stochastic", samples=4)
    assert float(score["bound_error"]) < 0.005 * float(score["bound"])
    assert pm(score) == pytest.approx([8.7, 4.3, 3.7, 6.4], rel=0.05)
    assert pm(score)[0] == pytest.approx(8.7, rel=0.03)


def test_background_and_reading_noise_add_to_the_variance_of_a_pixel() -> None:
    """A faint atom on a strong background: sum of (d m/d x)**2 / b over the pixels = n**2 d**2 / (8 pi w**4 b)."""
    common: dict[str, Any] = {**KNOWN, "theta": (0.0, 90.0), "dose": 10.0, "pixel_size": 0.3}
    electrons = 10.0 * 0.0229
    noises: tuple[dict[str, Any], ...] = ({"background": 400.0}, {"read_noise": 20.0})
    for noise in noises:
        score = bound(at(np.zeros(3)), **common, **noise)
        sigma = np.sqrt(8 * np.pi * 0.45**4 * 400.0 / 0.3**2) / electrons
        assert score["sigma"].sel(axis="x").values[0] == pytest.approx(sigma, rel=0.01)


def test_four_times_the_dose_halves_the_bound_and_four_times_the_images_do_too(cluster: xr.Dataset) -> None:
    once = bound(cluster, tilts=11)
    np.testing.assert_allclose(bound(cluster, tilts=11, dose=4 * 7656.0)["sigma"], once["sigma"] / 2, rtol=1e-6)
    four_times = bound(cluster, theta=tuple(np.tile(np.linspace(-65, 65, 11), 4)))
    np.testing.assert_allclose(four_times["sigma"], once["sigma"] / 2, rtol=1e-5)


def test_turning_the_specimen_with_the_images_turns_the_bound(cluster: xr.Dataset) -> None:
    """About y by 30 degrees: theta - 30 sees the turned specimen as theta saw the first."""
    theta = np.linspace(-60, 60, 9)
    once = bound(cluster, theta=tuple(theta))
    turn = Rotation.from_rotvec([0, np.deg2rad(30), 0]).as_matrix()
    turned = bound(
        cluster.assign(position=cluster["position"].copy(data=cluster["position"].values @ turn.T)),
        theta=tuple(theta + 30),
    )
    assert float(turned["bound"]) == pytest.approx(float(once["bound"]), rel=1e-6)
    np.testing.assert_allclose(turned["sigma"].sel(axis="y"), once["sigma"].sel(axis="y"), rtol=1e-5)
    assert float(turned["bound_axis"].sel(axis="x")) > 1.03 * float(once["bound_axis"].sel(axis="x"))


def test_moving_everything_changes_nothing_once_shifts_are_unknown(cluster: xr.Dataset) -> None:
    away = cluster.assign(position=cluster["position"] + [3.03, -5.2, 4.4])
    away["position"].attrs["units"] = "angstrom"
    np.testing.assert_allclose(bound(away, tilts=9)["sigma"], bound(cluster, tilts=9)["sigma"], rtol=2e-2)


def test_what_is_unknown_never_helps(cluster: xr.Dataset) -> None:
    every: dict[str, Any] = {"first": -60.0, "last": 60.0, "tilts": 9}
    last = 0.0
    for free in (
        {"angles": False, "shifts": False},
        {"angles": False, "shifts": False, "scale": True},
        {"angles": False, "shifts": False, "scale": True, "widths": "shared"},
        {"angles": False, "shifts": False, "scale": True, "widths": "each"},
        {"angles": False, "shifts": False, "scale": True, "widths": "each", "heights": "each"},
    ):
        now = float(bound(cluster, **every, **free)["bound"])
        assert now > last
        last = now


def test_the_stochastic_bound_is_the_exact_one_within_its_error(cluster: xr.Dataset) -> None:
    options: dict[str, Any] = {"tilts": 9, "profile": "kirkland"}
    exact = bound(cluster, **options)
    drawn = bound(cluster, **options, method="stochastic", samples=64)
    assert exact["method"] == 1
    assert drawn["method"] == 0
    assert float(exact["bound_error"]) == 0
    assert abs(float(drawn["bound"] - exact["bound"])) < 4 * float(drawn["bound_error"])
    assert float(drawn["bound_error"]) < 0.01 * float(exact["bound"])
    off = (drawn["sigma"] - exact["sigma"]) / drawn["sigma_error"]
    assert 0.7 < float(np.sqrt((off**2).mean())) < 1.4


def test_the_poses_are_known_as_the_gauge_leaves_them(cluster: xr.Dataset) -> None:
    score = bound(cluster, tilts=9, scale=True, heights="shared", widths="shared")
    for name in ("phi", "theta", "psi", "shift_x", "shift_y", "scale"):
        assert score[f"sigma_{name}"].dims == ("tilt",)
        assert (score[f"sigma_{name}"] > 0).all()
        assert (score[f"sigma_{name}"] < 1).all()
    assert score["sigma_height"].dims == ("species",)
    assert 0 < float(score["sigma_height"][0]) < 0.02
    assert 0 < float(score["sigma_width"][0]) < 0.02
    edge_on = bound(cluster, theta=(-60.0, -30.0, 0.0, 30.0, 60.0, 90.0))
    assert np.isnan(edge_on["sigma_phi"].values).tolist() == [False] * 5 + [True]
    assert np.isfinite(edge_on["sigma_theta"].values).all()


def test_euler_angles_change_by_turns_of_the_camera_as_the_rotation_does() -> None:
    angles, step = np.array([0.3, -0.7, 0.5]), 1e-6
    rates = np.array([one[0] for one in euler_rates(angles[1:2], angles[2:])])
    for k in range(3):
        apart = rotation(*(angles + step * np.eye(3)[k]))
        turn = Rotation.from_matrix(rotation(*angles).T @ apart).as_rotvec() / step
        np.testing.assert_allclose(rates @ turn, np.eye(3)[k], atol=1e-5)


def test_a_measured_series_gives_poses_dose_and_pixels(cluster: xr.Dataset) -> None:
    series = images(cluster, tilts=9, first=-60.0, last=60.0, pixels=80)
    series["dose"] = ("tilt", np.full(9, 1000.0), {"units": "e/angstrom**2"})
    wanted = bound(cluster, tilts=9, first=-60.0, last=60.0, dose=1000.0)
    np.testing.assert_allclose(bound(cluster, series)["sigma"], wanted["sigma"], rtol=1e-3)
    half = np.ones((9, 80, 80), bool)
    half[::2] = False
    masked = bound(cluster, series.assign(mask=(("tilt", "y", "x"), half, {"units": "1"})))
    few = bound(cluster, theta=tuple(np.linspace(-60, 60, 9)[1::2]), dose=1000.0)
    np.testing.assert_allclose(masked["sigma"], few["sigma"], rtol=1e-3)
    with pytest.raises(InputError, match="beside a series"):
        bound(cluster, series, tilts=3)


def test_surface_atoms_are_better_known_than_those_in_the_core(cluster: xr.Dataset) -> None:
    score = bound(particle(smallest=20.0, largest=21.0, seed=1), tilts=11)
    assert float(score["surface_bound"]) < float(score["bound"]) < float(score["core_bound"])
    both = score["on_surface"].values
    mean = np.sqrt((score["sigma"].values[both] ** 2).sum(1).mean())
    assert float(score["surface_bound"]) == pytest.approx(mean)


def test_a_width_of_each_atom_is_heeded() -> None:
    place = np.array([[0.0, 0, 0], [9.0, 0, 0]])
    one = bound(at(place, width=(np.array([0.4, 0.8]), "angstrom")), **KNOWN, columns=("width",))
    ratio = one["sigma"][1] / one["sigma"][0]
    np.testing.assert_allclose(ratio.sel(axis=["y", "z"]), 2.0, rtol=5e-3)
    with pytest.raises(InputError, match="a column 'width'"):
        bound(at(place), **KNOWN, columns=("width",))


def test_what_cannot_be_told_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="2 atoms in 21 images"):
        bound(at(np.array([[0.0, 0, 0], [2.0, 1.0, 2.4]])))
    with pytest.raises(InputError, match="unknown element"):
        bound(at(np.zeros(3), species=0), **KNOWN)
    with pytest.raises(InputError, match="at least one"):
        bound(at(np.full(3, np.nan)), **KNOWN)
    with pytest.raises(ValidationError, match="not both"):
        bound(at(np.zeros(3)), method="exact", samples=4)


def test_maximum_likelihood_reaches_the_bound_for_one_atom() -> None:
    found = monte_carlo(lone(), trials=400, seed=0)
    assert found["ratio"] == pytest.approx(1.0, abs=0.05)


def test_maximum_likelihood_reaches_the_bound_for_two_atoms_that_overlap() -> None:
    found = monte_carlo(pair(), trials=250, seed=0)
    assert found["ratio"] == pytest.approx(1.0, abs=0.05)
