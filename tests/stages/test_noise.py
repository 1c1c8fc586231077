"""prepare.noise"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.errors import AetxWarning, InputError
from aetx.stages.prepare.noise import noise

STEP = 0.4
NUMBERS = ("gain", "offset", "read_noise")


def expected(tilts: int = 4, side: int = 128) -> np.ndarray:
    v, u = (np.mgrid[:side, :side] - side // 2) * STEP
    thickness = np.sqrt(np.maximum(0, 1 - (u**2 + v**2) / 20**2))
    images = [2 + 30 * thickness * (1 + 0.3 * np.cos(2 * u + i) * np.cos(1.8 * v)) for i in range(tilts)]
    return np.stack(images).astype(np.float32)


def series_of(image: np.ndarray, *dims: str, kind: str = "tilt_series") -> xr.Dataset:
    length, angle, none = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
    tilts, side = image.shape[0], image.shape[-1]
    grid = (np.arange(side) - side // 2) * STEP
    return xr.Dataset(
        {"image": (("tilt", *dims, "y", "x"), image.astype(np.float32), {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(tilts), none),
            **{name: ("tilt", np.zeros(tilts), angle) for name in ("phi", "theta", "psi")},
            "y": ("y", grid, length),
            "x": ("x", grid, length),
        },
        attrs={"aetx_schema": f"{kind}/1"},
    )


def counts(gain: float = 3.0, offset: float = 10.0, read: float = 4.0, frames: int = 1) -> np.ndarray:
    generator = np.random.default_rng(0)
    true = expected()[:, None]
    shape = (len(true), frames, *true.shape[2:])
    return np.asarray(gain * generator.poisson(true, shape) + offset + generator.normal(0, read, shape))


def test_the_noise_of_a_series_is_found_with_the_variance_of_each_pixel() -> None:
    made = noise(series_of(counts()[:, 0]), offset=10.0)
    assert_allclose(made["gain"], 3, atol=4 * float(made["gain_error"][0]))
    assert float(made["gain_error"][0]) < 0.15
    assert_allclose(made["read_noise"], 4, atol=4 * float(made["read_noise_error"][0]) + 0.1)
    assert made["variance"].attrs["units"] == "count**2"
    true = 9 * expected() + 16
    assert_allclose(made["variance"].mean(), true.mean(), rtol=0.05)
    assert np.corrcoef(made["variance"].values.ravel(), true.ravel())[0, 1] > 0.98
    assert_allclose(made["image"], counts()[:, 0].astype(np.float32))


def test_residuals_over_the_root_of_the_variance_have_spread_one() -> None:
    made = noise(series_of(counts()[:, 0]), offset=10.0)
    residual = (made["image"] - (3 * expected() + 10)) / np.sqrt(made["variance"])
    inside = expected() > 10
    assert_allclose(residual.values[inside].std(), 1, atol=0.05)
    assert_allclose(residual.values[~inside].std(), 1, atol=0.05)


def test_frames_tell_the_noise_of_their_mean() -> None:
    frames = counts(frames=4)
    made = noise(series_of(frames.mean(1)), series_of(frames, "frame", kind="raw_series"), offset=10.0)
    assert_allclose(made["gain"], 3 / 4, atol=4 * float(made["gain_error"][0]))
    assert_allclose(made["read_noise"], 4 / 2, rtol=0.05)
    assert float(made["gain_error"][0]) < 0.02
    white = noise(series_of(frames.mean(1)), offset=10.0)
    assert_allclose(made["variance"].mean(), white["variance"].mean(), rtol=0.1)


def test_each_image_may_have_its_own() -> None:
    images = counts()[:, 0]
    images[1] *= 2
    own = noise(series_of(images), offset=10.0, shared=False)
    assert_allclose(own["gain"], [3, 6, 3, 3], rtol=0.15)
    assert len(set(own["gain"].values)) == 4
    assert len(set(noise(series_of(images), offset=10.0)["gain"].values)) == 1


def test_without_read_noise_the_offset_is_found() -> None:
    made = noise(series_of(counts(offset=30.0, read=0.0)[:, 0]))
    assert_allclose(made["offset"], 30, atol=4 * float(made["offset_error"][0]))
    assert float(made["offset_error"][0]) < 1.5
    assert_allclose(made["read_noise"], 0)


def test_bins_rise_along_the_line() -> None:
    made = noise(series_of(counts()[:, 0]), offset=10.0)
    level, variance = made["bin_level"].values, made["bin_variance"].values
    assert np.all(np.diff(level) > 0)
    assert_allclose(variance, 3 * (level - 10) + 16, rtol=0.25)


def test_a_dark_pixel_has_the_variance_of_one_electron_at_least() -> None:
    image = np.random.default_rng(0).poisson(expected() * (expected() > 2)).astype(float)
    made = noise(series_of(image), smoothing=0.0)
    least = float(made["gain"][0]) ** 2 + float(made["read_noise"][0]) ** 2
    assert float(made["variance"].min()) == pytest.approx(least, rel=1e-5)


def test_what_cannot_be_measured_is_unknown() -> None:
    with pytest.warns(AetxWarning, match="too few blocks"):
        made = noise(series_of(counts()[:, 0, :24, :24]))
    assert np.isnan(made["gain"]).all()
    assert np.isnan(made["variance"]).all()


def test_frames_that_do_not_go_with_the_series_are_refused() -> None:
    frames = series_of(counts(frames=1), "frame", kind="raw_series")
    with pytest.raises(InputError, match="two frames of each tilt"):
        noise(series_of(counts()[:, 0]), frames)
    many = series_of(counts(frames=2)[:3], "frame", kind="raw_series")
    with pytest.raises(InputError, match="3 tilts"):
        noise(series_of(counts()[:, 0]), many, shared=False)
