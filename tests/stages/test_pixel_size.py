"""measure.pixel_size: a wrong scale is seen, with its error, on every crystal; nothing is seen where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.stages.measure.pixel_size import pixel_size

CELLS = {
    "fcc": (np.eye(3), [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]),
    "bcc": (np.eye(3), [(0, 0, 0), (0.5, 0.5, 0.5)]),
    "sc": (np.eye(3), [(0, 0, 0)]),
    "diamond": (
        np.eye(3),
        [
            (x + d, y + d, z + d)
            for x, y, z in [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
            for d in (0, 0.25)
        ],
    ),
    "hcp": (np.array([[1, 0, 0], [-0.5, 3**0.5 / 2, 0], [0, 0, 1]]), [(0, 0, 0), (1 / 3, 2 / 3, 0.5)]),
}


def ball(lattice: str, edge: float, radius: float, seed: int = 0, ratio: float = 1.6) -> np.ndarray:
    """Sites of a crystal within a ball, turned at random; made without the code under test."""
    vectors, basis = CELLS[lattice]
    vectors = edge * vectors * ([1, 1, ratio] if lattice == "hcp" else 1)
    count = int(np.ceil(2 * radius / edge)) + 1
    cells = np.stack(np.meshgrid(*[np.arange(-count, count + 1)] * 3), axis=-1).reshape(-1, 1, 3)
    generator = np.random.default_rng(seed)
    sites = (cells + np.array(basis)).reshape(-1, 3) @ vectors + generator.uniform(-1, 1, 3)
    sites = sites[np.linalg.norm(sites, axis=1) < radius]
    return np.asarray(Rotation.random(random_state=seed).apply(sites))


def measured(position: np.ndarray, **params: Any) -> xr.Dataset:
    return pixel_size(atoms_dataset(position, 78), **params)


@pytest.mark.parametrize("lattice", list(CELLS))
@pytest.mark.filterwarnings("ignore:bonds ask for")
def test_the_scale_of_a_perfect_crystal_comes_back_exactly_along_every_axis(lattice: str) -> None:
    true = np.array([1.004, 0.99, 1.015])
    ratio = {"ratio": 1.6} if lattice == "hcp" else {}
    made = measured(ball(lattice, 4.0, 13.0) / true, lattice=lattice, lattice_constant=4.0, **ratio)
    np.testing.assert_allclose(made["scale_axis"], true, rtol=1e-9)
    np.testing.assert_allclose(made["stretch"], np.diag(true), atol=1e-9)
    assert float(made["scale"]) == pytest.approx(true.mean(), rel=1e-9)
    assert float(made["bulk"]) > 20


def test_an_error_of_0_36_percent_is_seen_on_1400_atoms_with_the_error_it_says() -> None:
    off, axes = [], []
    for seed in range(40):
        sites = ball("fcc", 3.924, 17.3, seed)
        assert 1300 < len(sites) < 1500
        noisy = sites / 1.0036 + np.random.default_rng(seed).normal(0, 0.1, sites.shape)
        with pytest.warns(AetxWarning, match="unless the specimen is strained"):
            made = measured(noisy, lattice_constant=3.924, resamples=50)
        off.append((float(made["scale"]) - 1.0036) / float(made["scale_error"]))
        axes.append((made["scale_axis"] - 1.0036) / made["scale_axis_error"])
        assert float(made["deviation"]) > 4
    assert abs(np.mean(off)) < 3 / 40**0.5, "no bias"
    assert 0.75 < np.std(off) < 1.25
    assert 0.85 < np.std(axes) < 1.15


def test_no_alarm_is_raised_where_the_pixel_size_is_right() -> None:
    for seed in range(20):
        sites = ball("fcc", 3.924, 14.0, seed)
        noisy = sites + np.random.default_rng(seed).normal(0, 0.1, sites.shape)
        assert abs(float(measured(noisy, lattice_constant=3.924, resamples=50)["deviation"])) < 3


def test_the_errors_of_the_atoms_give_the_error_of_the_scale() -> None:
    generator = np.random.default_rng(4)
    sites = ball("fcc", 3.924, 17.3, 4)
    sigma = np.broadcast_to([0.04, 0.05, 0.1], sites.shape)
    atoms = atoms_dataset(sites + generator.normal(0, sigma), 78, {"sigma": (sigma.copy(), "angstrom")})
    made = pixel_size(atoms, lattice_constant=3.924)
    np.testing.assert_allclose(made["scale_axis_sigma_error"], made["scale_axis_error"], rtol=0.12)
    assert made["scale_axis_error"][2] > 1.5 * made["scale_axis_error"][0]
    assert np.isnan(measured(sites, lattice_constant=3.924)["scale_sigma_error"])


@pytest.mark.parametrize("lattice", ["fcc", "diamond"])
@pytest.mark.filterwarnings("ignore:bonds ask for")
def test_the_errors_along_the_axes_are_those_of_repeats_for_a_long_specimen(lattice: str) -> None:
    sites = ball(lattice, 5.0, 22.0, 2)
    rod = sites[(np.abs(sites[:, 0]) < 20) & (np.hypot(sites[:, 1], sites[:, 2]) < 8)]
    off, error = [], []
    for seed in range(60):
        noisy = rod + np.random.default_rng(seed).normal(0, 0.08, rod.shape)
        made = measured(noisy, lattice=lattice, lattice_constant=5.0, resamples=2)
        off.append(made["scale_axis"].values - 1)
        error.append(made["scale_axis_error"].values)
    spread = np.std(off, axis=0)
    assert spread[1] > 1.3 * spread[0]
    np.testing.assert_allclose(np.mean(error, axis=0), spread, rtol=0.3)


@pytest.mark.slow
def test_a_published_particle_is_one_grain_that_is_stretched_along_the_beam(real_data: Callable[[str], Path]) -> None:
    place = loadmat(real_data("pdpt_core_shell/coordinates_TO.mat"))["pos"].T * 0.3434
    with pytest.warns(AetxWarning, match="unless the specimen is strained"):
        made = measured(place, lattice_constant=3.9)
    assert made.sizes["grain"] == 1
    assert int(made["grain_atoms"][0]) > 0.99 * int(made["bulk"])
    assert float(made["scale_axis"][1] - made["scale_axis"][2]) > 10 * float(made["scale_axis_block_error"][2])


def test_every_distance_is_lengthened_by_noise_but_the_scale_is_not() -> None:
    sites = ball("fcc", 3.924, 25.0, 1)
    noisy = sites + np.random.default_rng(1).normal(0, 0.13, sites.shape)
    made = measured(noisy, lattice_constant=3.924)
    assert float(made["bond"].mean() / made["crystal_bond"]) > 1.003
    assert abs(float(made["scale"]) - 1) < 3 * float(made["scale_error"]) < 0.001


@pytest.mark.filterwarnings("ignore:bonds ask for")
def test_twins_are_grains_that_share_their_scale() -> None:
    sites = ball("fcc", 4.0, 14.0)
    normal = np.array([1, 1, 1]) / 3**0.5
    untwisted = np.asarray(Rotation.random(random_state=0).inv().apply(sites))
    height = untwisted @ normal
    base = height[np.abs(height).argmin()]
    mirrored = untwisted - 2 * np.outer(height - base, normal)
    twin = np.where((height > base + 1e-6)[:, None], np.nan, untwisted)
    keep = np.isfinite(twin[:, 0])
    above = mirrored[(height < base - 1e-6)]
    made = measured(np.concatenate([untwisted[keep], above]) / 1.002, lattice_constant=4.0)
    assert made.sizes["grain"] == 2
    assert float(made["scale"]) == pytest.approx(1.002, rel=1e-9)


@pytest.mark.filterwarnings("ignore:bonds ask for")
def test_turning_the_specimen_turns_the_stretch() -> None:
    sites = ball("bcc", 3.2, 12.0) / [1.0, 1.0, 1.003]
    turn = Rotation.from_euler("zyx", [20, 40, -10], degrees=True)
    one = measured(sites, lattice="bcc", lattice_constant=3.2)
    other = measured(turn.apply(sites), lattice="bcc", lattice_constant=3.2)
    turned = turn.as_matrix() @ one["stretch"].values @ turn.as_matrix().T
    np.testing.assert_allclose(other["stretch"], turned, atol=1e-9)
    assert float(one["scale"]) == pytest.approx(float(other["scale"]), rel=1e-9)


def test_strain_that_varies_shows_in_the_error_of_the_parts() -> None:
    sites = ball("fcc", 4.0, 20.0)
    bent = sites * (1 + 0.01 * np.sin(2 * np.pi * sites[:, :1] / 40))
    made = measured(bent, lattice_constant=4.0)
    assert float(made["scale_block_error"]) > 3 * float(made["scale_error"])


def test_what_is_no_crystal_has_no_scale() -> None:
    gas = np.random.default_rng(0).uniform(-10, 10, (500, 3))
    with pytest.warns(AetxWarning, match="none of 500 atoms"):
        made = measured(gas, lattice_constant=4.0)
    for name in ("scale", "scale_error", "scale_block_error", "deviation", "scale_axis", "scale_axis_error"):
        assert np.isnan(made[name]).all(), name
    assert made.sizes["grain"] == made.sizes["bond"] == 0


def test_the_table_of_elements_has_an_error_of_its_own() -> None:
    made = measured(ball("fcc", 3.92, 12.0), element="Pt")
    assert float(made["scale"]) == pytest.approx(1, rel=1e-9)
    assert float(made["known_error"]) == pytest.approx(0.005 / 3**0.5 / 3.92)
    assert abs(float(made["deviation"])) < 1e-6


def test_nothing_is_guessed() -> None:
    with pytest.raises(InputError, match="state lattice_constant, or element"):
        measured(ball("fcc", 4.0, 8.0))
    with pytest.raises(ValueError, match="either element or lattice"):
        measured(ball("fcc", 4.0, 8.0), element="Pt", lattice="bcc")
    with pytest.raises(InputError, match="element with such a cell"):
        measured(ball("fcc", 4.0, 8.0), element="O")
