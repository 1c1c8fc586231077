"""What a filter did to a volume: Gaussian atoms drawn by plain numpy, and waves taken out or left in by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from aetx.errors import InputError
from aetx.kernels.refinement import F64
from aetx.stages.measure.filter import filter as measured_filter
from tests.stages.test_images_refined import ANGLE, LENGTH, ONE

SIZE, STEP, WIDTH = 40, 0.5, 0.7
GRID = STEP * (np.arange(SIZE) - SIZE // 2)
TILTS = np.linspace(-60, 60, 13)


def atoms(count: int = 60, seed: int = 0) -> F64:
    generator = np.random.default_rng(seed)
    made = generator.normal(size=(count, 3))
    return made / np.linalg.norm(made, axis=1, keepdims=True) * 6.5 * generator.uniform(0, 1, (count, 1)) ** (1 / 3)


def volume(place: F64, width: float = WIDTH) -> xr.Dataset:
    """Atoms of integral 100, by (x, y, z)."""
    lines = [
        np.exp(-0.5 * ((GRID[:, None] - place[:, k]) / width) ** 2) / (np.sqrt(2 * np.pi) * width) for k in (2, 1, 0)
    ]
    density = 100 * np.einsum("an,bn,cn->abc", *lines) * STEP**2
    return dressed(density)


def dressed(density: F64) -> xr.Dataset:
    axes = {name: (name, GRID, LENGTH) for name in "zyx"}
    return xr.Dataset({"density": (("z", "y", "x"), density.astype(np.float32), {"units": "count/angstrom"})}, axes)


def series(place: F64, width: float = WIDTH) -> xr.Dataset:
    """Images of the same atoms, p = transpose(R) r about y."""
    made = []
    for theta in np.deg2rad(TILTS):
        x, y = place[:, 0] * np.cos(theta) - place[:, 2] * np.sin(theta), place[:, 1]
        lines = [np.exp(-0.5 * ((GRID[:, None] - one) / width) ** 2) / (np.sqrt(2 * np.pi) * width) for one in (y, x)]
        made.append(100 * STEP**2 * np.einsum("bn,cn->bc", *lines))
    none = np.zeros(TILTS.size)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), np.array(made, np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(TILTS.size), ONE),
            "phi": ("tilt", none, ANGLE),
            "theta": ("tilt", TILTS, ANGLE),
            "psi": ("tilt", none, ANGLE),
            **{name: (name, GRID, LENGTH) for name in "yx"},
        },
    )


def without_wedge(whole: xr.Dataset) -> xr.Dataset:
    """Take out all waves that are more than 30 degrees from the plane of x and y, as seen along y."""
    k = np.fft.fftfreq(SIZE)
    z, _, x = np.meshgrid(k, k, k, indexing="ij")
    beyond = np.abs(z) > np.tan(np.deg2rad(60)) * np.abs(x)
    return dressed(np.fft.ifftn(np.where(beyond, 0, np.fft.fftn(whole["density"].values))).real)


PLACE = atoms()
WHOLE = volume(PLACE)


def test_a_wedge_that_is_empty_before_and_full_after_is_told_by_its_power() -> None:
    found = measured_filter(series(PLACE), without_wedge(WHOLE), WHOLE)
    raw, filtered = found["median_filled"].values
    assert raw < 0.05
    assert 0.7 < filtered < 1.4
    np.testing.assert_array_less(found["filled"].sel(form="raw").values[5:12], 0.1)
    plane = found["section"]
    inside = plane.sel(kx=0, method="nearest").sel(kz=slice(0.2, 0.6))
    assert float(inside.sel(form="raw").max()) < 0.05 * float(inside.sel(form="filtered").max())


def test_the_section_is_that_of_the_whole_transform() -> None:
    found = measured_filter(series(PLACE), WHOLE, without_wedge(WHOLE), section=0.04)["section"]
    taper = np.hanning(SIZE + 2)[1:-1]
    density = WHOLE["density"].values - WHOLE["density"].values.mean()
    power = np.abs(np.fft.fftshift(np.fft.fftn(density * np.einsum("a,b,c->abc", taper, taper, taper)))) ** 2
    k = np.fft.fftshift(np.fft.fftfreq(SIZE, STEP))
    plane = power[:, np.abs(k) <= 0.04].mean(axis=1)
    assert_allclose(found["kz"], k)
    assert_allclose(found["kx"][:-1], k[1:], atol=1e-12)  # the last is the Nyquist frequency, of either sign
    expected, seen = plane[1:, 1:], found.sel(form="raw").values[1:, :-1]
    assert_allclose(seen / seen.max(), expected / expected.max(), rtol=1e-3, atol=1e-6)


def test_a_volume_that_is_right_agrees_and_a_wrong_one_does_not() -> None:
    moved = PLACE + np.random.default_rng(1).normal(0, 0.6, PLACE.shape)
    found = measured_filter(series(PLACE), volume(moved), WHOLE)
    before, after = found["mean_r1"].values
    assert after < 0.02
    assert before > 10 * after
    assert_allclose(found["scale"].sel(form="filtered"), 1.0, rtol=0.01)
    assert found["projected"].shape == (3, SIZE, SIZE)
    assert_allclose(found["projected"], found["measured"], atol=0.02 * float(found["measured"].max()))


def test_atoms_of_another_shape_agree_once_the_shape_is_matched() -> None:
    sharper = volume(PLACE, 0.55)
    broken = dressed(gaussian_filter(sharper["density"].values, 1.5).astype(float))
    found = measured_filter(series(PLACE), sharper, broken)
    assert found["mean_r1"].values.min() > 0.1
    assert found["mean_r1_matched"].values[0] < 0.03


def test_a_filtered_volume_on_another_grid_is_an_error() -> None:
    with pytest.raises(InputError, match="filter the volume as it is"):
        measured_filter(series(PLACE), WHOLE, WHOLE.isel(z=slice(2, None)))
