"""Fourier shell correlation: itself, noise, known signal to noise, a wedge, a mask."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.kernels.correlation import crossing
from aetx.stages.measure.fsc import FscParams, fsc

STEP = 0.5


def volume_of(density: np.ndarray, theta: np.ndarray | None = None) -> xr.Dataset:
    axes = {
        axis: (axis, (np.arange(size) - size // 2) * STEP, {"units": "angstrom"})
        for axis, size in zip("zyx", density.shape, strict=True)
    }
    tilts = {} if theta is None else {"theta": ("tilt", theta, {"units": "degree"})}
    values = (("z", "y", "x"), density.astype(np.float32), {"units": "count/angstrom"})
    return xr.Dataset({"density": values}, {**axes, **tilts})


def noise(seed: int, shape: tuple[int, int, int] = (32, 36, 33)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def plainly(first: np.ndarray, second: np.ndarray, cone: float) -> np.ndarray:
    """The definition on the whole transform, by a loop over shells."""
    one, other = np.fft.fftn(first), np.fft.fftn(second)
    z, y, x = np.meshgrid(*(np.fft.fftfreq(size, STEP) for size in first.shape), indexing="ij")
    length = np.sqrt(z**2 + y**2 + x**2)
    steps = np.round(length * min(first.shape) * STEP)
    slope = np.rad2deg(np.arctan2(np.abs(z), np.hypot(x, y)))
    found = []
    for chosen in (slope >= 0, slope >= 90 - cone, slope <= cone):
        for k in range(1, min(first.shape) // 2 + 1):
            here = chosen & (steps == k)
            power = np.sqrt((np.abs(one[here]) ** 2).sum() * (np.abs(other[here]) ** 2).sum())
            found.append((one[here] * other[here].conj()).sum().real / power)
    return np.reshape(found, (3, -1))


@pytest.mark.parametrize("shape", [(16, 18, 20), (17, 15, 21), (15, 20, 16)])
def test_curves_are_those_of_the_definition(shape: tuple[int, int, int]) -> None:
    one = noise(0, shape)
    other = one + noise(1, shape)
    score = fsc(volume_of(one), volume_of(other), cone=35.0)
    np.testing.assert_allclose(score["fsc"], plainly(one, other, 35.0), atol=2e-5)
    assert float(score["frequency"][-1]) == pytest.approx(min(shape) // 2 / (min(shape) * STEP))


def test_a_volume_agrees_with_itself() -> None:
    score = fsc(volume_of(noise(0)), volume_of(noise(0)))
    np.testing.assert_allclose(score["fsc"], 1, atol=1e-5)
    assert np.isnan(score["resolution"]).all()


def test_independent_noise_scatters_about_zero_as_much_as_is_said() -> None:
    score = fsc(volume_of(noise(0)), volume_of(noise(1)))
    ratio = (score["fsc"] / score["noise"]).isel(direction=0).values
    assert abs(ratio.mean()) < 3 / ratio.size**0.5
    assert 0.6 < ratio.std() < 1.5


@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_the_correlation_of_halves_is_that_of_their_signal_to_noise(ratio: float) -> None:
    signal = noise(0)
    halves = [volume_of(signal + noise(seed) / ratio**0.5) for seed in (1, 2)]
    score = fsc(*halves)
    late = score["fsc"].isel(direction=0, shell=slice(6, None))
    assert float(late.mean()) == pytest.approx(ratio / (1 + ratio), abs=0.02)


def test_the_resolution_is_where_the_signal_ends() -> None:
    signal, cut = np.fft.fftn(noise(0, (40, 40, 40))), 0.45
    length = np.sqrt(sum(q**2 for q in np.meshgrid(*[np.fft.fftfreq(40, STEP)] * 3)))
    low = np.fft.ifftn(np.where(length < cut, signal, 0)).real
    halves = [volume_of(low + 0.2 * noise(seed, (40, 40, 40))) for seed in (1, 2)]
    found = fsc(*halves)["resolution"].sel(direction="all")
    np.testing.assert_allclose(found, 1 / (cut + 0.025), rtol=0.06)  # half a shell beyond
    assert float(found[0]) <= float(found[1])


def test_one_shell_below_the_threshold_is_no_end() -> None:
    frequency = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert crossing(np.array([0.9, 0.1, 0.9, 0.6, 0.2, 0.1]), frequency, 0.5) == pytest.approx(0.4 + 0.1 * 0.1 / 0.4)
    assert crossing(np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.1]), frequency, 0.5) == pytest.approx(0.55)
    assert np.isnan(crossing(np.array([0.1, 0.1, 0.9, 0.9, 0.9, 0.9]), frequency, 0.5))
    assert np.isnan(crossing(np.full(6, 0.9), frequency, 0.5))


def test_a_missing_wedge_is_seen_along_z_and_not_across() -> None:
    wave = np.fft.fftn(noise(0, (36, 36, 36)))
    z, _, x = np.meshgrid(*[np.fft.fftfreq(36)] * 3, indexing="ij")
    seen = np.abs(z) <= np.tan(np.deg2rad(60)) * np.abs(x)
    signal = np.fft.ifftn(np.where(seen, wave, 0)).real
    halves = [volume_of(signal + 0.5 * noise(seed, (36, 36, 36))) for seed in (1, 2)]
    curve = fsc(*halves, cone=20.0)["fsc"].isel(shell=slice(5, None)).mean("shell")
    assert float(curve.sel(direction="z")) < 0.3 < 0.7 < float(curve.sel(direction="xy"))


def test_a_mask_alone_makes_noise_agree_and_the_correction_takes_that_out() -> None:
    """Two volumes of independent noise on a level: under a mask the level becomes a ball, and both look alike."""
    shape = (48, 48, 48)
    halves = [volume_of(4 + noise(seed, shape)) for seed in (1, 2)]
    found = fsc(*halves, mask=4.0, edge=2.0).isel(direction=0)
    untouched = (found["fsc"] == found["fsc_masked"]).values
    assert untouched[:2].all()  # phases are random from the first shell on, the correction begins two later
    assert not untouched[2:].any()
    shells = found.isel(shell=slice(5, 10))
    assert float(shells["fsc_masked"].mean()) > 0.8
    assert float(abs(shells["fsc_unmasked"]).mean()) < 0.1
    assert float(abs(shells["fsc"]).mean()) < 0.1


def test_the_correction_leaves_a_signal_as_it_is() -> None:
    shape = (40, 40, 40)
    halves = [volume_of(noise(0, shape) + noise(seed, shape)) for seed in (1, 2)]
    late = fsc(*halves, mask=5.0, edge=2.0).isel(direction=0, shell=slice(6, None))
    assert float(late["fsc"].mean()) == pytest.approx(0.5, abs=0.06)
    assert float(abs(late["fsc_random"]).mean()) < 0.1


def test_tilts_say_how_much_the_wedge_stretches_and_what_their_number_allows() -> None:
    """Published elongations: 1.55 at 60 degrees, 1.31 at 70; 21 tilts over 140 degrees are 7 degrees apart."""
    density = noise(0, (12, 12, 12))
    for half, wanted in ((60.0, 1.55), (70.0, 1.31), (75.0, 1.21)):
        tilts = np.linspace(-half, half, 21)
        score = fsc(volume_of(density, tilts[::2]), volume_of(density, tilts[1::2]), diameter=40.0)
        assert float(score["elongation"]) == pytest.approx(wanted, abs=0.006)
        assert float(score["crowther"]) == pytest.approx(40 * np.deg2rad(half / 10))
    assert np.isnan(fsc(volume_of(density), volume_of(density))["elongation"])


def test_grids_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="one grid for both"):
        fsc(volume_of(noise(0, (8, 8, 8))), volume_of(noise(0, (8, 8, 9))))
    holed = noise(0, (8, 8, 8))
    holed[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 voxels that are not finite"):
        fsc(volume_of(holed), volume_of(noise(0, (8, 8, 8))))
    with pytest.raises(ValueError, match="edge without a mask"):
        FscParams(edge=1.0)
