"""measure.atom_shape: planted widths and elongations come back, odd atoms are flagged, noise is not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import elongation
from aetx.errors import AetxWarning, InputError
from aetx.kernels.shape import apparent, applied
from aetx.stages.measure.atom_shape import atom_shape

STEP, SIZE = 0.4, 48
ROUND = np.eye(3) * 0.25


def places(seed: int = 0, spacing: float = 2.9) -> np.ndarray:
    """A jittered cubic lattice of 5**3 places, off the voxels."""
    side = spacing * np.arange(-2, 3)
    sites = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
    return sites + np.random.default_rng(seed).uniform(-0.2, 0.2, sites.shape)


def density(position: np.ndarray, covariance: np.ndarray) -> xr.Dataset:
    """Gaussians of height 10 on a background of 1, by plain numpy; one covariance, or one for each atom."""
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    values, half = np.full((SIZE, SIZE, SIZE), 1.0), 9
    every = np.broadcast_to(covariance, (len(position), 3, 3))
    for place, own in zip(position, np.linalg.inv(every), strict=True):
        at = [slice(i - half, i + half) for i in np.rint(place[::-1] / STEP).astype(int) + SIZE // 2]
        z, y, x = np.meshgrid(*[grid[part] for part in at], indexing="ij")
        off = np.stack([x - place[0], y - place[1], z - place[2]], axis=-1)
        values[tuple(at)] += 10 * np.exp(-0.5 * np.einsum("zyxi,ij,zyxj->zyx", off, own, off, optimize=True))
    return xr.Dataset(
        {"density": (("z", "y", "x"), values.astype(np.float32), {"units": "count/angstrom"})},
        {axis: (axis, grid, {"units": "angstrom"}) for axis in "zyx"},
        {"aetx_schema": "volume/1"},
    )


@cache
def plain() -> xr.Dataset:
    """The density of round atoms of width 0.5."""
    return density(places(), ROUND)


def noisy(volume: xr.Dataset, noise: float, seed: int = 0) -> xr.Dataset:
    drawn = np.random.default_rng(seed).normal(0, noise, volume["density"].shape).astype(np.float32)
    return volume.assign(density=(volume["density"] + drawn).assign_attrs(volume["density"].attrs))


def tilted(volume: xr.Dataset, theta: np.ndarray, psi: float = 0.0) -> xr.Dataset:
    poses = {"phi": 0 * theta, "theta": theta, "psi": 0 * theta + psi}
    told = {name: ("tilt", values, {"units": "degree"}) for name, values in poses.items()}
    return volume.assign_coords(told | {"tilt": ("tilt", np.arange(theta.size), {"units": "1"})})


def measured(position: np.ndarray, volume: xr.Dataset, species: Any = 78, **params: Any) -> xr.Dataset:
    return atom_shape(atoms_dataset(position, species), volume, **params)


def test_the_widths_of_the_average_atom_are_those_planted() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    covariance = turn @ np.diag([0.42, 0.5, 0.62]) ** 2 @ turn.T
    made = measured(places(), density(places(), covariance))
    one = made.sel(group="all")
    np.testing.assert_allclose(one["principal"], [0.62, 0.5, 0.42], rtol=0.01)
    np.testing.assert_allclose(one["width_axis"], np.sqrt(np.diag(covariance)), rtol=0.01)
    assert abs(float(one["principal_axis"][0].values @ turn[:, 2])) > 0.999
    assert float(one["anisotropy"]) == pytest.approx(0.62 / 0.42, rel=0.02)
    assert float(one["height"]) == pytest.approx(10, rel=0.02)
    assert float(one["background"]) == pytest.approx(1, abs=0.1)
    assert np.abs(one["centre"]).max() < 0.002
    assert float(one["average"].sel(box_z=0, box_y=0, box_x=0)) == pytest.approx(11, rel=0.02)
    assert int(made["flagged"]) == 0


def test_an_elongation_along_the_beam_is_found_and_compared_with_what_the_wedge_predicts() -> None:
    theta = np.linspace(-60, 60, 9)
    stretch = float(elongation(np.array(60.0)))
    volume = density(places(), np.diag([0.4, 0.45, stretch * 0.18**0.5]) ** 2)
    one = measured(places(), tilted(volume, theta))
    assert float(one["elongation"].sel(group="all")) == pytest.approx(stretch, rel=0.01)
    assert float(one["elongation_expected"]) == pytest.approx(stretch)
    assert float(one["elongation_excess"].sel(group="all")) == pytest.approx(1, rel=0.01)
    assert float(one["width"].sel(group="all")) == pytest.approx(0.18**0.5, rel=0.02)
    assert float(one["longest_from_beam"].sel(group="all")) < 1


def test_the_wedge_is_about_the_beam_and_not_about_z() -> None:
    beam = np.array([0, -np.sin(0.35), np.cos(0.35)])  # Rx(psi) z
    covariance = 0.16 * np.eye(3) + (0.55**2 - 0.16) * np.outer(beam, beam)
    made = measured(places(), tilted(density(places(), covariance), np.linspace(-20, 20, 5), np.rad2deg(0.35)))
    assert abs(float(made["beam"].values @ beam)) > 0.999
    assert float(made["width"].sel(group="all")) == pytest.approx(0.4, rel=0.02)
    assert float(made["width_along"].sel(group="all")) == pytest.approx(0.55, rel=0.01)


def test_without_tilts_nothing_is_expected_and_the_beam_is_z() -> None:
    made = measured(places(), plain())
    assert np.isnan(made["elongation_expected"])
    np.testing.assert_array_equal(made["beam"], [0, 0, 1])
    assert float(made["elongation"].sel(group="all")) == pytest.approx(1, abs=0.005)


def test_an_atom_that_is_longer_than_the_others_is_flagged_with_its_direction() -> None:
    every = np.repeat(ROUND[None], 125, axis=0)
    along = np.array([1.0, 1.0, 0.0]) / 2**0.5
    every[40] += (0.75**2 - 0.25) * np.outer(along, along)
    made = measured(places(), noisy(density(places(), every), 0.2))
    np.testing.assert_array_equal(np.flatnonzero(made["flag"]), [40])
    assert float(made["stretch"][40]) == pytest.approx(1.5, rel=0.1)
    assert abs(float(made["stretch_axis"][40].values @ along)) > 0.98


def test_noise_raises_no_alarm_and_the_errors_of_widths_are_those_of_noise() -> None:
    widths, errors, flagged = [], [], 0
    for seed in range(8):
        made = measured(places(), noisy(plain(), 1.0, seed)).sel(group="all")
        widths.append(np.append(made["width_axis"], made["elongation"]))
        errors.append(np.append(made["width_axis_error"], made["elongation_error"]))
        flagged += int(made["flagged"])
    assert flagged <= 0.005 * 8 * 125
    pull = np.std(widths, axis=0, ddof=1) / np.mean(errors, axis=0)
    assert 0.7 < np.sqrt((pull**2).mean()) < 1.4
    np.testing.assert_allclose(np.mean(widths, axis=0)[:3], 0.5, rtol=0.01)


def test_elements_and_the_surface_have_averages_of_their_own() -> None:
    species = np.where(np.arange(125) < 60, 46, 78)
    every = np.where((species == 46)[:, None, None], 0.16 * np.eye(3), ROUND)
    volume = density(places(), every)
    made = measured(places(), volume, species)
    assert list(made["group"].values) == ["all", "surface", "core", "Pd", "Pt"]
    np.testing.assert_allclose(made["width"].sel(group=["Pd", "Pt"]), [0.4, 0.5], rtol=0.02)
    assert int(made["atoms"].sel(group="core")) == 27
    assert np.isnan(made["applied_width"].sel(group="all"))
    few = measured(places(), volume, species, parts=28)
    assert np.isnan(few["width_error"].sel(group="core")), "fewer atoms than parts"
    assert np.isfinite(few["width_error"].sel(group="Pd"))
    assert 0.3 < float(made["applied_width"].sel(group="Pd")) < 0.4


@pytest.mark.parametrize(("width", "seen"), [(0.403, 0.478), (0.450, 0.524), (0.503, 0.576)])
def test_platinum_looks_wider_than_the_gaussian_that_is_applied(width: float, seen: float) -> None:
    radius = np.linspace(0.005, 1, 200)
    assert apparent(78, width, radius, background=False) == pytest.approx(seen, abs=5e-4)
    assert applied(78, seen, radius, background=False) == pytest.approx(width, abs=1e-3)


def test_a_width_below_that_of_the_scattering_factor_cannot_be_applied() -> None:
    assert np.isnan(applied(78, 0.1, np.linspace(0.01, 1, 50), background=False))


def test_atoms_that_are_not_those_of_the_volume_have_no_shape() -> None:
    volume = plain()
    holes = places() + 1.45
    with pytest.warns(AetxWarning, match="no peak"):
        made = measured(holes[(holes < 6).all(axis=1)], volume)
    assert np.isnan(made["width"]).all()
    assert (made["flag"] == 2).all()


def test_a_radius_beyond_the_box_is_refused() -> None:
    with pytest.raises(InputError, match="raise 'half_size'"):
        measured(places(), plain(), radius=4.0)
