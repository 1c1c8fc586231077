"""prepare.background"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aetx.errors import AetxWarning
from aetx.stages.prepare.background import background

DIMS = ("tilt", "y", "x")
METHODS = ("constant", "polynomial", "harmonic")
SIDE, STEP = 96, 0.5


def series_of(image: np.ndarray, step: float = STEP) -> xr.Dataset:
    length, angle, none = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
    tilts, rows, columns = image.shape
    return xr.Dataset(
        {"image": (DIMS, image, {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(tilts), none),
            **{name: ("tilt", np.zeros(tilts), angle) for name in ("phi", "theta", "psi")},
            "y": ("y", (np.arange(rows) - rows // 2) * step, length),
            "x": ("x", (np.arange(columns) - columns // 2) * step, length),
        },
    )


def particle(radius: float = 11.0, height: float = 12.0) -> np.ndarray:
    """Return the projected thickness of a ball, off centre."""
    v, u = (np.mgrid[:SIDE, :SIDE] - SIDE // 2) * STEP
    return np.asarray(height * np.sqrt(np.maximum(0, 1 - ((u - 2) ** 2 + (v + 1) ** 2) / radius**2)))


def slope() -> np.ndarray:
    v, u = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return np.asarray(5 + u - 0.5 * v + 0.8 * u * u + 0.3 * u * v)


def noisy(*expected: np.ndarray) -> xr.Dataset:
    generator = np.random.default_rng(0)
    return series_of(np.stack([generator.poisson(one) for one in expected]).astype(np.float32))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.01, 1.6, 50.0])
def test_a_level_below_noise_is_found_and_the_particle_kept(method: str, level: float) -> None:
    made = background(noisy(*[particle() + level] * 3), method=method)
    assert_allclose(made["background"], level, atol=0.02 + 0.05 * np.sqrt(level))
    spread = np.sqrt(level * SIDE**4 / 3000 + particle().sum() + SIDE**2 * level)
    assert_allclose(made["image"].sum(["y", "x"]), particle().sum(), atol=4 * spread + 0.01 * particle().sum())


@pytest.mark.parametrize("method", ["polynomial", "harmonic"])
def test_a_smooth_slope_is_taken_away_below_the_particle_too(method: str) -> None:
    exact = series_of((particle() + slope())[None].astype(np.float32))
    left = background(exact, method=method)["image"][0].values - particle()
    below = particle() > 0
    assert np.abs(left[below]).max() < (1e-3 if method == "polynomial" else 0.5)
    assert abs(left[below].mean()) < (1e-3 if method == "polynomial" else 0.5)
    assert np.abs((background(exact)["image"][0].values - particle())[below]).max() > 0.5


def test_a_polynomial_does_not_follow_noise_in_the_corners() -> None:
    wide = noisy(*[particle(19.0) + 1.0] * 4)
    made = background(wide, method="polynomial", margin=2.0)
    assert_allclose(made["image"].sum(["y", "x"]), particle(19.0).sum(), rtol=0.02)


def test_noise_averages_to_zero_around_the_particle_before_anything_is_clipped() -> None:
    series = noisy(*[particle() + 1.0] * 3)
    corner = {"y": slice(0, 15), "x": slice(0, 96)}
    for method in METHODS:
        made = background(series, method=method)["image"]
        assert abs(float(made.isel(corner).mean())) < 0.03
        assert float(made.min()) < 0
    clipped = background(series, clipped=True)["image"]
    assert_array_equal(clipped, np.maximum(background(series)["image"], 0))


def test_wild_pixels_do_not_move_the_level() -> None:
    series = noisy(particle() + 1.0)
    series["image"].values[0, 3, 3::30] = 1e5
    assert_allclose(background(series, smoothing=0.5)["background"], 1.0, atol=0.1)


def test_untrusted_pixels_are_not_used() -> None:
    series = noisy(particle() + 1.0)
    series["image"].values[0, :20] = 4.0
    mask = np.ones(series["image"].shape, bool)
    mask[0, :20] = False
    masked = series.assign(mask=(DIMS, mask, {"units": "1"}))
    assert_allclose(background(masked)["background"], 1.0, atol=0.06)
    with pytest.warns(AetxWarning, match="no surroundings"):
        assert np.isnan(background(series)["background"][0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["film", "noise", "constant", "zero"])
def test_films_and_images_without_a_specimen_are_left_as_they_are_with_a_warning(method: str, kind: str) -> None:
    generator = np.random.default_rng(2)
    lumps = xr.DataArray(generator.poisson(0.02, (SIDE, SIDE))).rolling(dim_0=5, dim_1=5, min_periods=1).mean().values
    image = {
        "film": 40 + 2000 * lumps,
        "noise": generator.poisson(3.0, (SIDE, SIDE)),
        "constant": np.full((SIDE, SIDE), 7.0),
        "zero": np.zeros((SIDE, SIDE)),
    }[kind]
    series = series_of(image[None].astype(np.float32))
    with pytest.warns(AetxWarning, match="no surroundings"):
        made = background(series, method=method)
    assert_array_equal(made["image"], series["image"])
    assert np.isnan(made["background"]).all()


def test_one_image_does_not_change_another() -> None:
    series = noisy(particle() + 1.0, particle() + 9.0)
    made = background(series)
    alone = background(series.isel(tilt=[1]))
    assert_array_equal(made["image"][1], alone["image"][0])


def matlab_series(image: Path, name: str, step: float) -> xr.Dataset:
    found = scipy.io.loadmat(image)[name]
    return series_of(found.transpose(2, 1, 0).astype(np.float32), step)


def test_published_counts_of_amorphous_silicon_have_one_count_of_background(real_data: Callable[[str], Path]) -> None:
    for dose in ("1p6e5", "1p6e4"):
        path = real_data(f"paet_asi208/aSi_2nmFosCetr_Dose{dose}_cov35pm_ForBM3D.mat")
        made = background(matlab_series(path, "Trunc_projections_forBM3D", 0.195), margin=2.5)
        assert_allclose(made["background"], 1.0, atol=0.25)
        assert_allclose(made["background"].mean(), 1.0, atol=0.06)


def test_published_images_of_a_film_are_left_as_they_are(real_data: Callable[[str], Path]) -> None:
    for area in (1, 22):
        path = real_data(f"ta_film_saet/projections/Projections_area{area}.mat")
        series = matlab_series(path, "Proj_sub", 0.3216).isel(tilt=slice(0, 46, 5))
        with pytest.warns(AetxWarning, match="no surroundings"):
            made = background(series)
        assert_array_equal(made["image"], series["image"])
