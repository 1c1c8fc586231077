"""Which atoms the images support: of a crystal drawn by plain numpy, with counts, and atoms that nobody drew."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal
from scipy.spatial import cKDTree

from aetx.draw import draw
from aetx.errors import AetxWarning, InputError
from aetx.kernels.refinement import F64
from aetx.stages.measure.support import support
from tests.stages.test_images_refined import ANGLE, TRUE, WIDE, atoms_of, moved, series_of

OFF = 0.1
"""How far a filter has atoms from where they are, along each axis, angstrom."""


def invented(position: F64, lattice: int, between: int, seed: int = 0) -> F64:
    """Places that continue the lattice beyond the surface, and places between the atoms, at least 1.9 away from all."""
    generator, near = np.random.default_rng(seed), cKDTree(position)
    first, second = near.query_pairs(3.3, output_type="ndarray").T
    beyond = np.concatenate([2 * position[first] - position[second], 2 * position[second] - position[first]])
    beyond = generator.permutation(beyond[near.query(beyond)[0] > 2.4])
    within = generator.uniform(position.min(0), position.max(0), (100_000, 3))
    within = within[(near.query(within)[0] > 1.9) & (np.asarray(near.query(within, 12)[0])[:, -1] < 4.5)]
    kept: list[F64] = []
    for wanted, places in ((lattice, beyond), (between, within)):
        until = len(kept) + wanted
        for one in places:
            if len(kept) < until and all(np.linalg.norm(one - other) > 2.5 for other in kept):
                kept.append(one)
        assert len(kept) == until
    return np.array(kept)


def turned(series: xr.Dataset, error: float) -> xr.Dataset:
    """State angles that are off."""
    off = np.random.default_rng(1).uniform(-error, error, (3, series.sizes["tilt"]))
    names = ("phi", "theta", "psi")
    return series.assign_coords({n: ("tilt", series[n].values + one, ANGLE) for n, one in zip(names, off, strict=True)})


FALSE = invented(TRUE, 4, 4)
FOUND = moved(np.concatenate([TRUE, FALSE]), OFF)


@pytest.fixture(scope="module")
def judged() -> xr.Dataset:
    return support(atoms_of(FOUND), turned(series_of(TRUE, WIDE), 0.4))


def test_invented_atoms_are_flagged_and_true_ones_are_not(judged: xr.Dataset) -> None:
    false = np.arange(len(FOUND)) >= len(TRUE)
    assert_array_equal(judged["unsupported"].values, false)
    assert judged["support"].values[~false].min() > 0.99
    assert judged["support"].values[false].max() < 0.01


def test_heights_are_one_where_an_atom_is_and_zero_where_none_is_within_their_errors(judged: xr.Dataset) -> None:
    off = judged["height"].values - (np.arange(len(FOUND)) < len(TRUE))
    sigma = judged["height_sigma"].values
    assert sigma.max() < 0.15
    assert np.median(np.abs(off / sigma)) == pytest.approx(0.67, abs=0.25)
    assert np.abs(off / sigma).max() < 5
    assert judged["tilts"].values[: len(TRUE)].min() > 0.8 > 0.3 > judged["tilts"].values[len(TRUE) :].max()
    assert np.abs(judged["vacancy_height"].values).mean() < 0.1


def test_what_is_known_of_the_atoms_stays(judged: xr.Dataset) -> None:
    assert_array_equal(judged["position"].values, FOUND)
    assert_array_equal(judged["atom"].values, np.arange(len(FOUND)))


def test_atoms_without_support_can_be_left_out_and_stand_in_the_ledger(judged: xr.Dataset) -> None:
    kept = support(atoms_of(FOUND), turned(series_of(TRUE, WIDE), 0.4), remove=True)
    assert_array_equal(kept["atom"].values, np.arange(len(TRUE)))
    assert_array_equal(kept["ledger_atom"].values, np.arange(len(TRUE), len(FOUND)))
    assert_array_equal(kept["ledger_position"].values, FOUND[len(TRUE) :])
    assert_array_equal(kept["ledger_score"].values, judged["height"].values[len(TRUE) :])
    assert not kept["unsupported"].values.any()


def test_an_atom_that_one_image_alone_asks_for_is_flagged() -> None:
    series = series_of(TRUE, WIDE)
    place, tilt = FALSE[-1], 7
    theta = np.deg2rad(WIDE[tilt])
    seen = place[0] * np.cos(theta) - place[2] * np.sin(theta), place[1]
    away = [(series[axis].values - one)[:, None] for axis, one in zip("xy", seen, strict=True)]
    spot = 4000 * np.exp(-0.5 * (away[0].T ** 2 + away[1] ** 2) / 0.6**2)
    series["image"][tilt] += (spot * 0.358**2 / (2 * np.pi * 0.6**2)).astype(np.float32)
    judged = support(atoms_of(FOUND), series)
    last = judged.isel(atom=-1)
    assert last["height"] > 3 * last["height_sigma"], "the spot is bright enough to deceive the fit of all images"
    assert abs(float(last["height_tilt"])) < 0.1
    assert last["tilts"] < 0.1
    assert_array_equal(judged["unsupported"].values, np.arange(len(FOUND)) >= len(TRUE))


def test_images_of_noise_support_no_atom() -> None:
    series = series_of(TRUE, WIDE)
    noise = np.random.default_rng(3).poisson(5.0, series["image"].shape).astype(np.float32)
    with pytest.warns(AetxWarning, match="none of the atoms is supported"):
        kept = support(
            atoms_of(TRUE), series.assign(image=(("tilt", "y", "x"), noise, {"units": "count"})), remove=True
        )
    assert kept.sizes["atom"] == 0
    assert kept.sizes["entry"] == len(TRUE)
    told = {one.name: one.caption for one in draw(kept)}
    assert f"{len(TRUE)} of them are left out" in told["unsupported"]


def test_atoms_that_a_mask_hides_are_neither_supported_nor_flagged() -> None:
    series = series_of(TRUE, WIDE)
    seen = np.ones(series["image"].shape, bool)
    hidden = int(np.argmax(TRUE[:, 1]))
    seen[:, np.abs(series["y"].values - TRUE[hidden, 1]) < 1.5] = False
    judged = support(atoms_of(moved(TRUE, OFF)), series.assign(mask=(("tilt", "y", "x"), seen, {"units": "1"})))
    assert np.isnan(judged["support"].values[hidden])
    assert np.isnan(judged["tilts"].values[hidden])
    assert not judged["unsupported"].values.any()


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
@pytest.mark.parametrize("count", [1, 2])
def test_few_atoms_are_judged_too(count: int) -> None:
    place = np.array([[0.0, 1.0, 2.0], [4.0, 0.0, -3.0]])[:count]
    judged = support(atoms_of(place), series_of(place, WIDE))
    assert not judged["unsupported"].values.any()
    np.testing.assert_allclose(judged["height"].values, 1, atol=0.2)


def test_counts_cannot_be_assumed_of_other_images() -> None:
    series = series_of(TRUE, WIDE)
    series["image"].attrs["units"] = "1"
    with pytest.raises(InputError, match="set noise: estimated"):
        support(atoms_of(TRUE), series, noise="poisson")
