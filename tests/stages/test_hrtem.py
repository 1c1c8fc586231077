"""simulate.hrtem: where atoms are dark, how electrons and the camera count, and another program's exit wave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.testing import assert_allclose

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.kernels.bright_field import Coherence, exit_wave, intensity, lens_transfer
from aetx.kernels.multislice import WaveGrid, propagator, to_wave
from aetx.kernels.optics import Aberrations
from aetx.stages.simulate.hrtem import hrtem

SMALL: dict[str, Any] = {"pixels": 40, "pixel_size": 0.4, "sampling": 0.2, "margin": 3.0, "defocus": (50.0,)}
PERFECT: dict[str, Any] = SMALL | {"mtf_exponent": 0.0}


def atom(*position: tuple[float, float, float], number: int = 79) -> xr.Dataset:
    return atoms_dataset(np.array(position), number)


def test_images_have_a_mean_of_one_and_atoms_are_dark_under_focus_and_bright_over_focus() -> None:
    found = hrtem(atom((1.2, -0.8, 0)), **PERFECT | {"defocus": (50.0, -50.0)})
    image = found["image"][0].compute()
    assert image.attrs["units"] == "1"
    assert_allclose(image.mean(["y", "x"]), 1, rtol=1e-5)
    assert float(image[0].sel(x=1.2, y=-0.8, method="nearest")) == pytest.approx(float(image[0].min()))
    assert float(image[1].sel(x=1.2, y=-0.8, method="nearest")) == pytest.approx(float(image[1].max()))
    assert found["defocus"].values.tolist() == [[50.0, -50.0]]


@pytest.mark.parametrize("pixels", [40, 41])
def test_matter_above_the_centre_is_seen_at_lower_x_at_positive_tilt(pixels: int) -> None:
    found = hrtem(atom((0, 0, 8)), **PERFECT | {"theta": (30.0,), "pixels": pixels})["image"][0, 0].compute()
    row, column = np.unravel_index(int(found.values.argmin()), found.shape)
    assert float(found["x"][column]) == pytest.approx(-4.0)
    assert float(found["y"][row]) == pytest.approx(0.0)


def test_the_focus_is_counted_from_the_centre_of_rotation() -> None:
    """The lens looks at p_z = -defocus: an atom at 40 with a defocus of 10 is 50 behind, as one at 0 with 50."""
    wanted, same, other = (
        hrtem(atom((0, 0, z)), **PERFECT | {"defocus": (defocus,)})["image"].values
        for z, defocus in ((0.0, 50.0), (40.0, 10.0), (40.0, 90.0))
    )
    assert np.abs(same - wanted).max() < 1e-3
    assert np.abs(other - wanted).max() > 0.1


def test_counts_have_the_mean_and_the_variance_of_electrons_before_the_camera() -> None:
    light = atom((0, 0, 0), number=1)
    found = hrtem(light, **PERFECT | {"pixels": 120, "dose": 200.0, "defocus": (0.0, 0.0)})
    image = found["image"].values[0]
    assert found["image"].attrs["units"] == "count"
    assert found["dose"].item() == 200.0
    assert_allclose(image, np.round(image), atol=1e-3)
    assert image.mean() == pytest.approx(32.0, rel=0.01)
    assert image.var() == pytest.approx(32.0, rel=0.03)
    assert abs(np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1]) < 0.05


def test_the_camera_colours_the_noise_and_keeps_the_mean() -> None:
    options = SMALL | {"pixels": 128, "dose": 200.0, "mtf_floor": 0.05, "mtf_half": 0.45, "mtf_power": 2.5}
    image = hrtem(atom((0, 0, 0), number=1), **options)["image"].values[0, 0].astype(float)
    assert image.mean() == pytest.approx(32.0, rel=0.02)
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2 / image.size
    q = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    transfer = 0.95 / (1 + (q / 0.45) ** 2.5) + 0.05
    for low in (0.1, 0.25, 0.4, 0.5):
        ring = (q > low) & (q < low + 0.1)
        assert power[ring].mean() == pytest.approx(32.0 * (transfer[ring] ** 2).mean(), rel=0.08)


def test_both_meanings_of_the_spread_of_focus_are_one_number_apart() -> None:
    specimen = atom((0, 0, 0), (1.1, 0.3, 0.0))
    half, deviation = (
        hrtem(specimen, **PERFECT, spread=spread, spread_is=meaning)["image"].values
        for spread, meaning in ((np.sqrt(2) * 40.0, "half_width"), (40.0, "standard_deviation"))
    )
    assert_allclose(half, deviation, atol=1e-6)
    wrong = hrtem(specimen, **PERFECT, spread=40.0, spread_is="half_width")["image"].values
    assert np.abs(wrong - deviation).max() > 0.01


def test_blurring_the_potential_gives_the_mean_of_frozen_phonons_for_light_atoms() -> None:
    places = [(x, y, 0.0) for x in (-6.0, -2.0, 2.0, 6.0) for y in (-6.0, -2.0, 2.0, 6.0)]
    options = PERFECT | {"vibration": 0.15, "spread": 0.0}

    def depth(**change: Any) -> float:
        image = hrtem(atom(*places, number=6), **options | change)["image"][0, 0].compute()
        return float(np.mean([1 - image.sel(x=x, y=y, method="nearest") for x, y, _ in places]))

    blurred, frozen, still = depth(), depth(configurations=20), depth(vibration=0.0)
    assert still > 1.15 * blurred
    assert abs(frozen - blurred) < 0.3 * (still - blurred)


def test_a_series_of_foci_is_the_single_images() -> None:
    specimen = atom((0, 0, 0), (2.0, 1.0, 3.0))
    both = hrtem(specimen, **PERFECT | {"defocus": (30.0, 80.0)})["image"].values
    for i, defocus in enumerate((30.0, 80.0)):
        assert_allclose(both[:, i], hrtem(specimen, **PERFECT | {"defocus": (defocus,)})["image"].values[:, 0])


def test_abtem_computes_the_same_exit_wave_and_image() -> None:
    abtem = pytest.importorskip("abtem", reason="the test extra is not installed")
    ase = pytest.importorskip("ase")
    size, edge, depth = 128, 16.0, 12.0
    position = np.random.default_rng(0).uniform(-4, 4, (12, 3))
    # on pixels, where the other program, which spreads an atom over the nearest ones, is exact too
    position[:, :2] = np.round(position[:, :2] * size / edge) * edge / size
    numbers = np.array([78] * 6 + [8] * 6)
    grid = WaveGrid(size, size, edge / size, 300.0)
    ours = exit_wave(position + np.array([edge / 2, edge / 2, 0]), numbers, grid, 2.0, oversampling=1)
    cell = ase.Atoms(numbers=numbers, positions=position + np.array([edge / 2, edge / 2, depth / 2]))
    cell.set_cell([edge, edge, depth])
    with abtem.config.set({"fft": "numpy", "precision": "float32"}):
        potential = abtem.Potential(
            cell, gpts=(size, size), slice_thickness=2.0, parametrization="kirkland", projection="infinite"
        )
        theirs = abtem.PlaneWave(energy=300e3).multislice(potential, lazy=False)
        ctf = abtem.CTF(energy=300e3, C10=-80.0, Cs=-1e5, focal_spread=30.0, angular_spread=0.1, semiangle_cutoff=30.0)
        image = theirs.apply_ctf(ctf).intensity().array.T
    # the other program's slices act at their faces, ours in their middle, one angstrom on
    moved = to_wave(ours * propagator(grid, depth / 2 + 1.0)).numpy()
    wave = theirs.array.T
    scale = np.sqrt(np.mean(np.abs(wave - 1) ** 2))
    low = np.hypot(*np.meshgrid(np.fft.fftfreq(size, edge / size), np.fft.fftfreq(size, edge / size))) < 2.0
    difference = np.fft.ifft2(np.fft.fft2(moved - wave) * low)
    assert np.sqrt(np.mean(np.abs(difference) ** 2)) < 0.01 * scale
    spectrum = torch.fft.fft2(torch.from_numpy(moved), norm="ortho")
    lens = lens_transfer(grid, Aberrations(c10=-80.0, c30=-1e5), Coherence(30.0 / np.sqrt(2), 0.1, 30.0))
    mine = intensity(spectrum, lens, grid).numpy()
    assert np.corrcoef(mine.ravel(), image.ravel())[0, 1] > 0.999
    assert np.abs(mine - image).max() < 0.03 * np.ptp(image)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mtf_exponent": 0.0, "mtf_half": 0.4}, "leaves mtf_half without effect"),
        ({"spread": 0.0, "spread_is": "half_width"}, "spread 0 leaves spread_is without effect"),
        ({"configurations": 3, "vibration": 0.0}, "they would all be the same"),
        ({"defocus": ()}, "at least 1 item"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        hrtem.params(**options)


def test_atoms_without_an_element_are_refused() -> None:
    with pytest.raises(InputError, match="1 atoms of unknown element"):
        hrtem(atom((0, 0, 0), number=0), **SMALL)


def test_atoms_that_no_image_may_show_are_told() -> None:
    with pytest.warns(AetxWarning, match="1 of 2 atoms are at some tilt beyond the edge"):
        hrtem(atom((0, 0, 0), (30, 0, 0)), **SMALL)


def test_the_result_keeps_its_numbers(golden: Callable[[str, dict[str, float]], None]) -> None:
    found = hrtem(atom((0, 0, 0), (2.0, 0.5, 3.0)), **SMALL, c30=-1e5, c12=20.0, phi12=30.0)["image"].values
    golden(
        "simulate.hrtem-1",
        {"deviation": float(found.std()), "least": float(found.min()), "greatest": float(found.max())},
    )
