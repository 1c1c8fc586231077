"""simulate.acquisition: counts, their noise, and the errors of the scan, measured back from the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images

PIXEL = 0.358


def expected(position: object = ((0.0, 0.0, 0.0),), tilts: int = 5, **options: Any) -> xr.Dataset:
    atoms = atoms_dataset(np.array(position, float), 78)
    return images(atoms, **{"tilts": tilts, "pixels": 65, "pixel_size": PIXEL} | options).compute()


def empty(tilts: int, pixels: int = 128) -> xr.Dataset:
    series = expected(tilts=tilts, pixels=pixels)
    return series.assign(image=(series["image"] * 0).assign_attrs(units="1").compute())


def centroids(series: xr.Dataset) -> np.ndarray:
    image = series["image"]
    total = image.sum(["y", "x"])
    return np.stack([((image * image[axis]).sum(["y", "x"]) / total).values for axis in ("x", "y")], axis=1)


def test_an_atom_of_platinum_gives_175_electrons_at_the_published_dose() -> None:
    made = acquisition(expected(), dose=7656.0, noise="none")
    assert_allclose(made["image"].sum(["y", "x"]), 175, rtol=5e-3)
    assert_allclose(made["dose"], 7656)
    assert made["image"].attrs["units"] == "count"
    counted = acquisition(expected(tilts=400), dose=7656.0)["image"].sum(["y", "x"])
    assert_allclose(counted.mean(), 175.46, rtol=0.01)
    assert_allclose(counted.var(), 175.46, rtol=0.25)


def test_counts_have_the_mean_and_the_variance_of_the_detector() -> None:
    options: dict[str, Any] = {"dose": 2000.0, "background": 0.02}
    electrons = 2000 * PIXEL**2 * 0.02
    plain = acquisition(empty(8), **options)["image"].values
    assert_allclose(plain.mean(), electrons, rtol=0.01)
    assert_allclose(plain.var(), electrons, rtol=0.02)
    made = acquisition(empty(8), **options, gain=2.5, offset=10.0, read_noise=3.0)["image"].values
    assert_allclose(made.mean(), 2.5 * electrons + 10, rtol=0.01)
    assert_allclose(made.var(), 2.5**2 * electrons + 9, rtol=0.02)
    clean = acquisition(empty(2), **options, noise="none", gain=2.5, offset=10.0)["image"].values
    assert_allclose(clean, 2.5 * electrons + 10, rtol=1e-6)


def test_chunks_and_what_is_computed_first_do_not_move_the_draw() -> None:
    series = expected(tilts=6)
    options: dict[str, Any] = {"background": 0.01, "film": 0.2, "shift": 0.3, "drift": 0.2, "jitter": 0.1}
    options |= {"background_variation": 0.1, "blur": 0.2, "tails": 0.1, "read_noise": 1.0, "seed": 3}
    whole = acquisition(series, **options)
    for cut in ({"tilt": 1}, {"tilt": 4, "y": 7}):
        lazy = acquisition(series.chunk(cut), **options)
        assert lazy["image"].chunks is not None
        assert_allclose(lazy["image"][5].values, whole["image"][5].values, rtol=0, atol=0)
        xr.testing.assert_identical(lazy.compute(), whole)
    assert not np.array_equal(acquisition(series, **options | {"seed": 4})["image"], whole["image"])


def test_images_have_noise_of_their_own() -> None:
    first, second = acquisition(empty(2), background=0.01)["image"].values
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_shifts_are_where_the_truth_says() -> None:
    made = acquisition(expected(tilts=200), shift=0.5, noise="none")
    true = np.stack([made["true_shift_x"].values, made["true_shift_y"].values], axis=1)
    assert_allclose(true.std(axis=0), 0.5, rtol=0.15)
    assert_allclose(centroids(made), true, atol=2e-3)
    assert_allclose(made["image"].sum(["y", "x"]), 175.46, rtol=1e-4)


def test_a_drift_shears_and_stretches_by_its_length_over_the_scan() -> None:
    """Two atoms 14 angstrom apart along y are seen at different times, as far apart as the scan says."""
    pair = expected([[0, -7, 0], [0, 7, 0]], tilts=3)
    for direction, axis in ((0.0, 0), (90.0, 1)):
        made = acquisition(pair, drift=1.2, drift_direction=direction, noise="none")
        low, high = (centroids(made.sel(y=half)) for half in (slice(None, -0.1), slice(0.1, None)))
        span = 64 * PIXEL
        apart = high - low - centroids(pair.sel(y=slice(0.1, None))) + centroids(pair.sel(y=slice(None, -0.1)))
        seen = 14 if axis == 0 else 14 / (1 - 1.2 / span)
        assert_allclose(apart[:, axis], 1.2 * seen / span, rtol=0.01)
        assert_allclose(apart[:, 1 - axis], 0, atol=1e-3)
        assert_allclose(made[f"true_drift_{'xy'[axis]}"], 1.2, rtol=1e-12)


def test_a_drift_leaves_the_middle_of_the_scan_in_place() -> None:
    made = acquisition(expected(), drift=1.2, noise="none")
    assert_allclose(centroids(made), 0, atol=2e-3)


def test_drifts_go_anywhere_unless_a_direction_is_stated() -> None:
    made = acquisition(expected(tilts=100), drift=1.0, noise="none")
    x, y = made["true_drift_x"].values, made["true_drift_y"].values
    assert_allclose(np.hypot(x, y), 1)
    assert np.abs([x.mean(), y.mean()]).max() < 0.25


def test_jitter_moves_the_rows_along_x_by_its_standard_deviation() -> None:
    column = expected([[0, y, 0] for y in np.arange(-10, 10.1, 0.25)], tilts=20)
    made = acquisition(column, jitter=0.1, noise="none")["image"].sel(y=slice(-8, 8))
    place = ((made * made["x"]).sum("x") / made.sum("x")).values
    assert_allclose(place.std(), 0.1, rtol=0.05)
    lag = np.mean(place[:, 1:] * place[:, :-1]) / place.var()
    assert abs(lag) < 0.1, "rows move independently"
    assert_allclose(made.sum("x"), column["image"].sel(y=slice(-8, 8)).sum("x") * 7656 * PIXEL**2, rtol=1e-4)


def test_a_film_has_its_correlation_length_and_its_contrast() -> None:
    made = acquisition(empty(12, 160), dose=1e4, background=0.05, film=0.2, film_length=5.0, noise="none")[
        "image"
    ].values
    level = 1e4 * PIXEL**2 * 0.05
    assert_allclose(made.mean(), level, rtol=0.02)
    assert_allclose(made.std(), 0.2 * level, rtol=0.1)
    signal = made - level
    correlation = [np.mean(signal[:, k:] * signal[:, :-k]) / np.mean(signal**2) for k in range(1, 30)]
    length = PIXEL * (1 + np.interp(-np.exp(-1), -np.array(correlation), np.arange(29)))
    assert_allclose(length, 5.0, rtol=0.1)
    assert abs(np.corrcoef(signal[0].ravel(), signal[1].ravel())[0, 1]) < 0.3


def test_focus_changes_from_image_to_image_by_at_most_the_blur() -> None:
    made = acquisition(expected(tilts=60), blur=0.6, noise="none")
    true = made["true_blur"].values
    assert 0 <= true.min() < 0.05
    assert 0.55 < true.max() <= 0.6
    image = made["image"]
    width = np.sqrt((image * image["x"] ** 2).sum(["y", "x"]) / image.sum(["y", "x"]))
    assert_allclose(width, np.hypot(0.45, true), rtol=1e-3)
    assert_allclose(image.sum(["y", "x"]), 175.46, rtol=1e-4)


def test_tails_of_the_probe_keep_the_total_and_lower_the_peak() -> None:
    sharp, tailed = (acquisition(expected(), tails=tails, noise="none")["image"] for tails in (0.0, 0.3))
    assert_allclose(tailed.sum(["y", "x"]), sharp.sum(["y", "x"]), rtol=1e-4)
    assert 0.7 < float(tailed.max() / sharp.max()) < 0.85


def test_a_smooth_background_keeps_its_bounds() -> None:
    made = acquisition(empty(4), dose=1e4, background=0.05, background_variation=0.4, noise="none")["image"].values
    level = 1e4 * PIXEL**2 * 0.05
    assert_allclose(np.abs(made / level - 1).max(axis=(1, 2)), 0.4, rtol=1e-4)


def test_no_expectation_is_below_zero() -> None:
    made = acquisition(empty(3), background=0.001, film=1.0, noise="none")["image"]
    assert float(made.min()) == 0


def test_images_in_counts_are_refused() -> None:
    counts = acquisition(expected())
    with pytest.raises(InputError, match=r"units 'count'.*fractions of the incident electrons"):
        acquisition(counts)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"noise": "none", "read_noise": 1.0}, "either noise: none or a read_noise"),
        ({"film": 0.1}, "fractions of a background above 0"),
        ({"background_variation": 0.1}, "fractions of a background above 0"),
        ({"drift_direction": 10.0}, "needs a drift above 0"),
    ],
)
def test_no_parameter_is_void(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        acquisition(expected(), **options)
