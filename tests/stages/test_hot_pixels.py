"""prepare.hot_pixels and prepare.raw_hot_pixels: bad pixels go, atoms and noise stay."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aetx.stages.prepare.hot_pixels import hot_pixels
from aetx.stages.prepare.raw_hot_pixels import raw_hot_pixels
from tests.conftest import make_raw

BAD = {(3, 4): 900.0, (11, 12): 500.0, (11, 13): 700.0, (0, 7): 800.0, (20, 20): -300.0}


def noisy(series: xr.Dataset) -> xr.Dataset:
    image = np.random.default_rng(0).poisson(series["image"].values + 5).astype(np.float32)
    return series.assign(image=series["image"].copy(data=image))


def spoilt(series: xr.Dataset) -> xr.Dataset:
    image = series["image"].values.copy()
    for (row, column), value in BAD.items():
        image[..., row, column] = value
    return series.assign(image=series["image"].copy(data=image))


def test_bad_pixels_single_or_in_pairs_become_like_their_neighbours(small_series: xr.Dataset) -> None:
    clean = noisy(small_series)
    made = hot_pixels(spoilt(clean))
    assert_array_equal(made["replaced"], np.full(9, len(BAD)))
    changed = made["image"].values != clean["image"].values
    rows, columns = np.array(list(BAD)).T
    changed[:, rows, columns] = False
    assert not changed.any()
    assert np.abs(made["image"].values[:, rows, columns] - clean["image"].values[:, rows, columns]).max() < 25


def test_atoms_and_their_noise_stay(small_series: xr.Dataset) -> None:
    for series in (small_series, noisy(small_series)):
        made = hot_pixels(series)
        assert_array_equal(made["image"], series["image"])
        assert not made["replaced"].any()


def test_what_replaces_a_pixel_is_as_uncertain_as_its_worst_neighbour(small_series: xr.Dataset) -> None:
    clean = noisy(small_series)
    variance = np.broadcast_to(np.arange(24.0 * 24).reshape(24, 24), clean["image"].shape).astype(np.float32)
    units = {"units": "count**2"}
    made = hot_pixels(spoilt(clean.assign(variance=(clean["image"].dims, variance, units))))
    assert_allclose(made["variance"].values[:, 3, 4], 4 * 24 + 5)
    assert_array_equal(made["variance"].values[:, 5], variance[:, 5])
    assert made["variance"].attrs == units


def test_raw_frames_are_mended_one_by_one() -> None:
    clean = noisy(make_raw())
    made = raw_hot_pixels(spoilt(clean))
    assert_array_equal(made["replaced"], np.full((3, 3), len(BAD)))
    assert np.abs(made["image"] - clean["image"]).max() < 25
    assert not raw_hot_pixels(clean)["replaced"].any()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_flat_image_stays(small_series: xr.Dataset, value: float) -> None:
    flat = small_series.assign(image=small_series["image"].copy(data=np.full((9, 24, 24), value, np.float32)))
    assert not hot_pixels(flat)["replaced"].any()
