"""Local orbitals: against images summed atom by atom with plain numpy, with probes at the exact depth of each."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.core import Params
from aetx.errors import EnvironmentFault, InputError
from aetx.kernels.matching import pairs
from aetx.stages.refine.orbitals import OrbitalsParams, orbitals
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle

WAVELENGTH, STEP, FINE = 0.0196875, 0.4, 0.2
LENGTH, ANGLE, ONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}


def atoms_at(position: np.ndarray) -> xr.Dataset:
    count = len(position)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), np.asarray(position, float), LENGTH),
            "species": ("atom", np.full(count, 78, np.int32), ONE),
        },
        {"atom": ("atom", np.arange(count), ONE), "axis": ["x", "y", "z"]},
        {"aetx_schema": "atoms/1"},
    )


def series_of(
    position: np.ndarray, theta: np.ndarray, defocus: float, width: float = 0.3, size: int = 64
) -> xr.Dataset:
    """Images about y: each atom a Gaussian under the intensity of a probe at the atom's own depth, by numpy alone."""
    grid = 2 * size
    q = np.fft.fftfreq(grid, FINE)
    square = q[:, None] ** 2 + q**2
    aperture = np.sqrt(square) * WAVELENGTH < 25e-3
    image = np.zeros((len(theta), size, size), np.float32)
    for i, angle in enumerate(np.deg2rad(theta)):
        spectrum = np.zeros((grid, grid), complex)
        for x, y, z in position:
            u, w = x * np.cos(angle) - z * np.sin(angle), x * np.sin(angle) + z * np.cos(angle)
            wave = np.fft.ifft2(aperture * np.exp(-1j * np.pi * WAVELENGTH * (w - defocus) * square))
            probe = np.fft.fft2(np.abs(wave) ** 2)
            shift = np.exp(-2j * np.pi * (q[:, None] * y + q * u))
            spectrum += probe / probe[0, 0].real * np.exp(-2 * (np.pi * width) ** 2 * square) * shift
        image[i] = np.fft.fftshift(np.fft.ifft2(spectrum).real / FINE**2)[::2, ::2]
    axis, none = STEP * (np.arange(size) - size // 2), np.zeros(len(theta))
    poses = {name: ("tilt", values, ANGLE) for name, values in (("phi", none), ("theta", theta), ("psi", none))}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image, ONE)},
        {"tilt": ("tilt", np.arange(len(theta)), ONE), **poses, "y": ("y", axis, LENGTH), "x": ("x", axis, LENGTH)},
        {"aetx_schema": "tilt_series/1"},
    )


def apart(found: xr.Dataset, truth: np.ndarray) -> float:
    """Root mean square distance after the best translation, angstrom."""
    off = found["position"].values - truth
    return float(np.sqrt(((off - off.mean(0)) ** 2).sum(1).mean()))


@pytest.fixture(scope="module")
def block() -> np.ndarray:
    """Atoms of a rod along x, fcc but for 6 pm, that reaches 9 angstrom from the centre."""
    cells = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = cells[cells.sum(1) % 2 == 0] * 1.956
    sites = sites[(np.abs(sites[:, 0]) < 9) & (np.abs(sites[:, 1:]) < 3).all(1)]
    return np.asarray(sites + np.random.default_rng(0).normal(0, 0.06, sites.shape))


@pytest.fixture(scope="module")
def deep(block: np.ndarray) -> xr.Dataset:
    """Its images 60 angstrom out of focus, where the probe changes much with the depth."""
    return series_of(block, np.linspace(-70, 70, 7), defocus=60.0, size=60)


def start_of(truth: np.ndarray) -> xr.Dataset:
    return atoms_at(truth + np.random.default_rng(1).normal(0, 0.1, truth.shape))


def test_a_single_atom_comes_back_to_a_tenth_of_a_picometre_without_a_depth() -> None:
    truth = atoms_at(np.array([[1.3, -2.1, 0.7]]))
    series = images(truth, tilts=7, pixels=32, pixel_size=STEP, width=0.5).compute()
    start = truth.assign(position=truth["position"] + [[0.15, -0.1, 0.2]])
    start["position"].attrs = LENGTH
    found = orbitals(series, start, mode="direct", shifts=False, width=0.6)
    assert np.abs(found["position"].values - truth["position"].values).max() < 1e-3
    assert float(found["width"][0]) == pytest.approx(0.5, abs=1e-3)


def test_depth_is_told_by_a_rigid_probe_and_missed_without_one(block: np.ndarray, deep: xr.Dataset) -> None:
    rigid = orbitals(deep, start_of(block), mode="rigid", defocus=60.0)
    direct = orbitals(deep, start_of(block), mode="direct", width=0.6)
    assert apart(rigid, block) < 3e-3
    assert apart(direct, block) > 10 * apart(rigid, block)
    assert float(rigid["r1"].mean()) < 0.01 < float(direct["r1"].mean())
    assert float(rigid["width"].mean()) == pytest.approx(0.3, abs=0.01)
    assert abs(float(rigid["shift_y"].mean())) < 1e-9, "a translation of the atoms is not shared out to the images"


def test_adaptive_probes_mend_a_defocus_that_is_wrong(block: np.ndarray, deep: xr.Dataset) -> None:
    rigid = orbitals(deep, start_of(block), mode="rigid", defocus=56.0, steps=3, weights="equal")
    adaptive = orbitals(deep, start_of(block), mode="adaptive", defocus=56.0, steps=3, weights="equal")
    assert float(adaptive["loss"][-1]) < 0.5 * float(rigid["loss"][-1])
    assert apart(adaptive, block) < apart(rigid, block)
    probe = adaptive["probe"].values
    assert probe.min() > -1e-6 * probe.max()
    assert np.abs(probe.sum(1) - 1).max() < 0.05


def test_a_bare_grid_finds_every_atom_and_no_other() -> None:
    truth = particle(smallest=13.0, largest=15.0, displacement=0.1, seed=2)
    series = images(truth, tilts=15, pixels=64, width=0.45).compute()
    found = orbitals(series, mode="direct", width=0.45, heights="shared")
    first, _ = pairs(found["position"].values, truth["position"].values, 0.5)
    assert len(first) == truth.sizes["atom"] == found.sizes["atom"]
    assert set(found["atom"].values) <= set(found["ledger_atom"].values)
    assert (found["ledger_reason"].values != "").all()


def test_images_that_are_held_out_do_not_move_the_atoms_and_are_judged() -> None:
    truth = particle(smallest=9.0, largest=10.0, displacement=0.1, seed=1)
    series = images(truth, tilts=9, pixels=48, width=0.45).compute()
    spoiled = series.assign(image=series["image"] * xr.where(series["tilt"] == 1, 1.3, 1.0).astype(np.float32))
    spoiled["image"].attrs = series["image"].attrs
    start = start_of(truth["position"].values)
    given = OrbitalsParams(mode="direct", width=0.45, held_out=3)
    found, after = orbitals(series, start, params=given), orbitals(spoiled, start, params=given)
    assert found["held_out"].values.tolist() == [0, 1, 0] * 3
    np.testing.assert_allclose(found["position"].values, after["position"].values, atol=1e-5)
    assert float(found["r1"][1]) < 1e-3 < float(after["r1"][1])


def test_errors_are_as_large_as_they_are_told_without_a_word_about_the_noise() -> None:
    truth = particle(smallest=13.0, largest=14.0, displacement=0.1, seed=3)
    drawn = images(truth, tilts=21, pixels=64, width=0.45)
    pulls = []
    for seed in range(3):
        series = acquisition(drawn, dose=7656.0, seed=seed).compute()
        start = start_of(truth["position"].values)
        found = orbitals(series, start, mode="direct", width=0.45, heights="shared", seed=seed)
        off = found["position"].values - truth["position"].values
        pulls.append((off - off.mean(0)) / found["sigma"].values)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(found["sigma"] ** 2, np.einsum("naa->na", found["covariance"].values))
    assert "sigma" not in orbitals(series, start, mode="direct", width=0.45, steps=1, errors="none")


def test_angles_and_shifts_that_are_wrong_come_back_but_for_a_common_turn() -> None:
    truth = particle(smallest=11.0, largest=12.0, displacement=0.1, seed=3)
    series = images(truth, tilts=9, pixels=48, width=0.45, tilt_error=0.8).compute()
    found = orbitals(series, start_of(truth["position"].values), mode="direct", width=0.45, angles=True)
    fixed = orbitals(series, start_of(truth["position"].values), mode="direct", width=0.45)
    assert float(found["r1"].mean()) < 0.02 * float(fixed["r1"].mean())


def test_species_have_their_own_widths_and_the_forms_of_their_elements() -> None:
    truth = particle(smallest=10.0, largest=11.0, displacement=0.1, seed=4)
    numbers = np.where(np.arange(truth.sizes["atom"]) % 2, 78, 28).astype(np.int32)
    truth = truth.assign(species=("atom", numbers, ONE))
    series = images(truth, tilts=9, pixels=48, width=0.4, profile="kirkland").compute()
    start = start_of(truth["position"].values).assign(species=truth["species"].variable)
    found = orbitals(series, start, mode="direct", orbital="kirkland", width=0.5, heights="shared")
    assert apart(found, truth["position"].values) < 5e-3
    for number in (28, 78):
        assert float(found["width"].values[numbers == number].std()) == pytest.approx(0, abs=1e-9)
        assert float(found["width"].values[numbers == number][0]) == pytest.approx(0.4, abs=0.02)
    bright = found["intensity"].values
    ratio = bright[numbers == 78][0] / bright[numbers == 28][0]
    with_gaussians = orbitals(series, start, mode="direct", width=0.5, heights="shared")
    assert 3 < ratio < 8
    assert float(found["r1"].mean()) < 0.2 * float(with_gaussians["r1"].mean())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "direct", "defocus": 20.0}, "defocus: a direct mode has no depth"),
        ({"mode": "rigid", "stiffness": 0.1}, "stiffness: only adaptive probes"),
        ({"decay": 0.2}, "only a Slater orbital"),
        ({"held_out": 1}, "leaves no image"),
    ],
)
def test_parameters_that_void_each_other_are_refused(given: dict[str, object], said: str) -> None:
    made: type[Params] = OrbitalsParams
    with pytest.raises(ValueError, match=said):
        made.model_validate(given)


def test_a_grid_beside_atoms_is_refused(block: np.ndarray, deep: xr.Dataset) -> None:
    with pytest.raises(InputError, match="spacing"):
        orbitals(deep, atoms_at(block), spacing=1.2)


def test_too_little_memory_is_said_before_the_fit(block: np.ndarray, deep: xr.Dataset) -> None:
    with pytest.raises(EnvironmentFault, match="give --memory"):
        orbitals(deep, atoms_at(block), memory=10**6)
