"""`classify.species`: three species come back by boxes and by heights, also where brightness varies."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError
from xarray.core import indexing

from aetx.core import peaks as shared
from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.model import ATOMS, VOLUME
from aetx.stages.classify.species import species
from tests.stages.stored import Stored

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
RATIO, NUMBERS = np.array([1.0, 1.36, 2.58]), np.array([28, 45, 78])
ELEMENTS = ("Ni", "Rh", "Pt")
METHODS = ["level", "local", "k_means", "templates", "mixture"]
STEP, WIDTH = 0.35, 0.6


def sites(cells: int, seed: int = 0) -> F64:
    corner = np.stack(np.meshgrid(*[np.arange(cells) - (cells - 1) / 2] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) - 0.25
    place: F64 = (corner + basis).reshape(-1, 3) * 3.9
    return place + 0.1 * np.random.default_rng(seed).standard_normal(place.shape)


def volume(position: F64, height: F64, noise: float) -> xr.Dataset:
    """The density of Gaussian atoms on a grid, in plain numpy, with noise in each voxel."""
    grid = np.arange(-32, 33) * STEP
    axes = [np.exp(-0.5 * ((grid - position[:, k, None]) / WIDTH) ** 2) for k in (2, 1, 0)]
    density = np.einsum("n,nz,ny,nx->zyx", height, *axes, optimize=True)
    density += noise * np.random.default_rng(1).standard_normal(density.shape)
    return VOLUME.stamp(
        xr.Dataset(
            {"density": (("z", "y", "x"), density.astype(np.float32), {"units": "1/angstrom"})},
            {name: (name, grid, {"units": "angstrom"}) for name in "zyx"},
        )
    )


def particle(slope: float = 0.0, noise: float = 0.1) -> tuple[xr.Dataset, xr.Dataset, I64]:
    """256 atoms of three species, placed 20 pm wrong, whose brightness varies by `slope` from middle to end."""
    position = sites(4)
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, len(position))
    made = volume(position, RATIO[kind] * (1 + slope * position[:, 0] / position[:, 0].max()), noise)
    wrong = position + rng.normal(0, 0.2 / np.sqrt(3), position.shape)
    return ATOMS.stamp(atoms_dataset(wrong, 0)), made, NUMBERS[kind]


def heights(count: int = 4000, slope: float = 0.0, seed: int = 0) -> tuple[xr.Dataset, I64]:
    """Atoms of which a fit told the height, with an error of a tenth of the faintest."""
    rng = np.random.default_rng(seed)
    position, kind = rng.uniform(-30, 30, (count, 3)), rng.integers(0, 3, count)
    height = RATIO[kind] * (1 + slope * position[:, 0] / 30) + 0.1 * rng.standard_normal(count)
    column = (height.astype(np.float32), "angstrom**2")
    return ATOMS.stamp(atoms_dataset(position, 0, {"intensity": column})), NUMBERS[kind]


def right(found: xr.Dataset, true: I64) -> float:
    return float((found["species"].values == true).mean())


@pytest.mark.parametrize("method", METHODS)
def test_three_species_come_back_from_a_volume_with_a_tenth_of_noise(method: str) -> None:
    atoms, made, true = particle()
    found = species(atoms, made, elements=ELEMENTS, method=method)
    assert right(found, true) >= 0.97
    assert found["intensity"].attrs["units"] == "angstrom**2"
    assert found["element"].values.tolist() == [28, 45, 78]


@pytest.mark.parametrize("method", METHODS)
def test_three_species_come_back_from_heights_with_a_tenth_of_error(method: str) -> None:
    atoms, true = heights()
    found = species(atoms, None, elements=ELEMENTS, method=method)
    assert right(found, true) >= 0.97


def test_a_slope_of_brightness_hurts_all_that_do_not_look_around() -> None:
    atoms, true = heights(slope=0.15)
    kept = {method: right(species(atoms, None, elements=ELEMENTS, method=method), true) for method in METHODS}
    assert min(kept.pop("local"), kept.pop("level")) >= 0.97
    assert max(kept.values()) < 0.95


@pytest.mark.parametrize("method", ["level", "local"])
def test_a_slope_of_brightness_does_not_hurt_boxes_compared_with_those_around(method: str) -> None:
    atoms, made, true = particle(slope=0.15)
    assert right(species(atoms, made, elements=ELEMENTS, method=method), true) >= 0.97
    found = species(atoms, made, elements=ELEMENTS, method=method, radius=7.0)
    assert right(found, true) >= 0.99
    for number in (28, 45, 78):
        flat = found["flat_intensity"].values[true == number]
        raw = found["intensity"].values[true == number]
        assert flat.std() / flat.mean() < 0.7 * raw.std() / raw.mean()


def test_a_rare_element_under_a_slope_is_told_from_a_common_one() -> None:
    rng = np.random.default_rng(1)
    position, kind = rng.uniform(-25, 25, (3000, 3)), rng.choice(3, 3000, p=[0.06, 0.47, 0.47])
    height = RATIO[kind] * (1 + 0.15 * position[:, 0] / 25) + 0.06 * rng.standard_normal(3000)
    atoms = ATOMS.stamp(atoms_dataset(position, 0, {"intensity": (height.astype(np.float32), "1")}))
    assert right(species(atoms, None, elements=ELEMENTS, method="mixture"), NUMBERS[kind]) < 0.6
    assert right(species(atoms, None, elements=ELEMENTS), NUMBERS[kind]) > 0.99


@pytest.mark.parametrize("slope", [0.0, 0.15])
def test_probability_and_confusion_are_what_the_truth_shows(slope: float) -> None:
    atoms, true = heights(slope=slope)
    found = species(atoms, None, elements=ELEMENTS)
    assert float(found["probability"].max("element").mean()) == pytest.approx(right(found, true), abs=0.006)
    np.testing.assert_allclose(found["probability"].sum("element"), 1, atol=1e-5)
    seen = [
        [((true == a) & (found["species"].values == b)).sum() / (true == a).sum() for b in NUMBERS] for a in NUMBERS
    ]
    np.testing.assert_allclose(found["confusion"], seen, atol=0.015)
    np.testing.assert_allclose(found["confusion"].sum("assigned"), 1)
    low, high = found["threshold"].values
    assert (low, high) == pytest.approx((1.18, 1.97), abs=0.05)


def test_the_intensity_of_a_box_is_the_integral_of_the_density_over_its_ball() -> None:
    atoms = ATOMS.stamp(atoms_dataset(np.array([[0.1, -0.2, 0.15], [8.0, 8, 8]]), 0))
    made = volume(atoms["position"].values, np.array([2.0, 1.0]), 0.0)
    found = species(atoms, made, elements=("Fe", "Pt"), method="k_means", half_size=12, oversampling=3)
    radius = 12.5 / 3 * STEP
    grid = (np.arange(60) + 0.5) / 60 * radius
    integral = (4 * np.pi * grid**2 * np.exp(-0.5 * (grid / WIDTH) ** 2)).sum() * radius / 60
    np.testing.assert_allclose(found["intensity"], [2 * integral, integral], rtol=0.01)


def test_blocks_of_the_volume_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms, made, _ = particle()
    whole = species(atoms, made, elements=ELEMENTS)
    monkeypatch.setattr(shared, "IN_MEMORY", 24)
    xr.testing.assert_identical(species(atoms, made, elements=ELEMENTS), whole)


def test_a_volume_larger_than_the_memory_is_never_read_whole() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((900, 30, 30)).astype(np.float32)
    axes = {name: (np.arange(n) - n // 2) * STEP for name, n in zip("zyx", values.shape, strict=True)}
    coords = {name: (name, axis, {"units": "angstrom"}) for name, axis in axes.items()}
    stored = Stored(values)
    lazy = xr.Variable(("z", "y", "x"), indexing.LazilyIndexedArray(stored), {"units": "1/angstrom"})
    plain = VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), values, {"units": "1/angstrom"})}, coords))
    place = rng.uniform(-1, 1, (200, 3)) * [axes["x"][-1], axes["y"][-1], axes["z"][-1]]
    atoms = ATOMS.stamp(atoms_dataset(place, 0))
    given: dict[str, Any] = {"elements": ELEMENTS, "method": "k_means"}
    found = species(atoms, plain.assign(density=lazy), memory=values.nbytes * 5 // 2, **given)
    assert stored.most < values.size / 2
    xr.testing.assert_identical(found, species(atoms, plain, **given))


def test_atoms_in_another_order_are_of_the_same_species() -> None:
    atoms, made, _ = particle(slope=0.1)
    turned = np.random.default_rng(0).permutation(atoms.sizes["atom"])
    first = species(atoms, made, elements=ELEMENTS)
    second = species(atoms.isel(atom=turned), made, elements=ELEMENTS)
    xr.testing.assert_allclose(second["probability"].isel(atom=np.argsort(turned)), first["probability"], atol=1e-5)
    xr.testing.assert_equal(second["species"].isel(atom=np.argsort(turned)), first["species"])


def test_skewed_intensities_are_told_apart_by_their_logarithms() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 5000)
    height = np.array([1.0, 2.0])[kind] * np.exp(0.2 * rng.standard_normal(5000))
    column = (height.astype(np.float32), "angstrom**2")
    atoms = ATOMS.stamp(atoms_dataset(rng.uniform(-20, 20, (5000, 3)), 0, {"intensity": column}))
    true = np.array([26, 78])[kind]
    plain, logs = (
        species(atoms, None, elements=("Fe", "Pt"), method="mixture", scale=scale)
        for scale in ("linear", "logarithmic")
    )
    assert right(logs, true) >= right(plain, true)
    assert logs["threshold"].values[0] == pytest.approx(np.sqrt(2.0), rel=0.03)


def test_without_names_the_elements_that_the_atoms_have_are_told_apart_anew() -> None:
    atoms, true = heights(600)
    wrong = np.random.default_rng(0).permutation(true).astype(np.int32)
    found = species(atoms.assign(species=("atom", wrong, {"units": "1"})), None, method="k_means")
    assert right(found, true) > 0.95
    with pytest.raises(InputError, match="name them by rising brightness"):
        species(atoms, None)


def test_atoms_without_an_intensity_or_rejected_stay_unknown_and_a_warning_says_so() -> None:
    atoms, true = heights(600)
    atoms["intensity"][4] = np.nan
    atoms = atoms.assign(flag=("atom", np.where(np.arange(600) == 7, 64 + 1, 1).astype(np.int32), {"units": "1"}))
    with pytest.warns(AetxWarning, match="1 atoms have no intensity"):
        found = species(atoms, None, elements=ELEMENTS)
    assert found["species"].values[[4, 7]].tolist() == [0, 0]
    assert np.isnan(found["probability"].values[[4, 7]]).all()
    assert (np.delete(found["species"].values == true, [4, 7])).mean() > 0.9


def test_what_cannot_be_classified_is_refused() -> None:
    atoms, made, _ = particle()
    with pytest.raises(InputError, match="give the volume too"):
        species(atoms, None, elements=ELEMENTS)
    far = atoms.copy(deep=True)
    far["position"][3, 0] = 60
    with pytest.raises(InputError, match="1 outside the volume"):
        species(far, made, elements=ELEMENTS)
    same = atoms.assign(intensity=("atom", np.ones(256, np.float32), {"units": "1"}))
    with pytest.raises(InputError, match="found 1 values, wanted at least 3"):
        species(same, None, elements=ELEMENTS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"elements": ("Pt", "78")}, "each element once"),
        ({"method": "mixture", "radius": 5.0}, "without radius"),
        ({"method": "local", "scale": "logarithmic"}, "without scale"),
        ({"elements": ("Xx",)}, "chemical symbol"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        species.params(**given)


def test_one_element_is_that_of_all_atoms() -> None:
    atoms, _ = heights(50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = species(atoms, None, elements=("Pt",))
    assert (found["species"] == 78).all()
    np.testing.assert_array_equal(found["probability"], 1)
