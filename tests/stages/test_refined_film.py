"""Atoms of a film that fills the field of view, and of a part of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import pdist

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.stages.measure.compare import compare
from aetx.stages.refine.images import images
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images as drawn

OFF = 0.12


@pytest.fixture(scope="module")
def film() -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return the atoms of a film, its images, and the atoms of its middle, each a little off."""
    generator = np.random.default_rng(4)
    axes = [np.arange(-16, 17) * 3.0, np.arange(-4, 5) * 3.0, np.array([-3.0, 0.0, 3.0])]
    place = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    place += generator.normal(0, 0.2, place.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # the film goes on beyond the images
        film = atoms_dataset(place, 73)
        expected = drawn(film, pixels=40, pixel_size=0.45, tilts=9, first=-50, last=50, profile="kirkland")
    part = place[(np.abs(place[:, 0]) < 16) & (np.abs(place[:, 1]) < 13.5)]
    start = part + generator.normal(0, OFF / np.sqrt(3), part.shape)
    return atoms_dataset(part, 73), acquisition(expected, dose=1e5).compute(), atoms_dataset(start, 73)


def test_atoms_of_a_part_of_a_film_are_refined_and_those_beyond_the_view_stay(
    film: tuple[xr.Dataset, xr.Dataset, xr.Dataset],
) -> None:
    truth, series, start = film
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        found = images(start, series, extended=True, separation=1.8, errors="drawn", samples=2)
    assert_array_equal(found["atom"].values, start["atom"].values)
    fitted = np.isfinite(found["sigma"].values).all(axis=1)
    assert 40 < fitted.sum() < 0.8 * len(fitted)
    beyond = np.abs(start["position"].values[:, 1]) > 11
    assert not fitted[beyond].any()
    before, after = (pdist(one["position"].values[beyond]) for one in (start, found))
    assert_allclose(after, before, atol=1e-6)
    score = compare(found.isel(atom=fitted), truth.isel(atom=fitted), align="rigid")
    assert float(score["rmsd"]) < 0.6 * OFF
