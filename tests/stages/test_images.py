"""simulate.images: signs worked by hand, an independent projection, counts and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.errors import AetxWarning, InputError
from aetx.stages.simulate.images import images

PLAIN: dict[str, Any] = {"tilt_error": 0.0, "noise": "none", "pixel_size": 0.5, "pixels": 65, "width": 0.8}


def atoms(position: object, species: int = 78) -> xr.Dataset:
    where = np.asarray(position, float)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), where, {"units": "angstrom"}),
            "species": ("atom", np.full(len(where), species, np.int32), {"units": "1"}),
        },
        coords={"atom": ("atom", np.arange(len(where)), {"units": "1"}), "axis": ["x", "y", "z"]},
    )


def centroid(series: xr.Dataset) -> tuple[float, float]:
    image = series["image"].isel(tilt=0)
    total = float(image.sum())
    return float((image * image["x"]).sum()) / total, float((image * image["y"]).sum()) / total


@pytest.mark.parametrize("pixels", [64, 65])
@pytest.mark.parametrize(
    ("point", "pose", "seen"),
    [
        ((0, 0, 10), {"angles": (30.0,)}, (-5, 0)),
        ((0, 0, 10), {"angles": (90.0,)}, (-10, 0)),
        ((10, 0, 0), {"angles": (30.0,)}, (8.660254, 0)),
        ((0, 10, 0), {"angles": (30.0,)}, (0, 10)),
        ((10, 0, 0), {"angles": (0.0,), "phi": 30.0}, (8.660254, -5)),
        ((0, 0, 10), {"angles": (0.0,), "psi": 30.0}, (0, 5)),
        ((0, 0, 0), {"angles": (30.0,), "phi": 20.0, "psi": 10.0}, (0, 0)),
    ],
)
def test_a_point_appears_where_the_hand_worked_cases_say(
    point: tuple[float, ...], pose: dict[str, Any], seen: tuple[float, float], pixels: int
) -> None:
    made = images(atoms([point]), **PLAIN | pose | {"pixels": pixels})
    assert_allclose(centroid(made), seen, atol=1e-4)


def brute_force(position: np.ndarray, phi: float, theta: float, psi: float) -> np.ndarray:
    """Turn the specimen by hand, then add every atom to every pixel."""
    a, b, c = np.deg2rad([phi, theta, psi])
    x, y, z = position.T
    x, y = np.cos(a) * x + np.sin(a) * y, -np.sin(a) * x + np.cos(a) * y
    x, z = np.cos(b) * x - np.sin(b) * z, np.sin(b) * x + np.cos(b) * z
    y, z = np.cos(c) * y + np.sin(c) * z, -np.sin(c) * y + np.cos(c) * z
    grid = (np.arange(65) - 32) * 0.5
    square = (grid[None, None] - x[:, None, None]) ** 2 + (grid[None, :, None] - y[:, None, None]) ** 2
    return np.asarray((np.exp(-square / (2 * 0.8**2)) / (2 * np.pi * 0.8**2)).sum(axis=0)) * 7656 * 0.0229 * 0.25


CHIRAL = np.array([[0, 0, 0], [6, 0, 0], [0, 4, 0], [0, 0, 9], [-3, 5, 2], [2, -7, -4]], float)


def test_images_of_a_chiral_object_are_those_of_an_independent_projection() -> None:
    made = images(atoms(CHIRAL), **PLAIN, angles=(-71.0, -20.0, 0.0, 33.0, 160.0), phi=25.0, psi=-40.0)
    for image, theta in zip(made["image"].values, made["theta"].values, strict=True):
        wanted = brute_force(CHIRAL, 25.0, theta, -40.0)
        assert_allclose(image, wanted, atol=1e-5 * wanted.max())


def test_no_image_of_the_mirrored_object_is_the_same() -> None:
    pose = PLAIN | {"angles": (33.0,), "phi": 25.0, "psi": -40.0}
    right = images(atoms(CHIRAL), **pose)["image"].values
    for axis in range(3):
        mirrored = CHIRAL * np.where(np.arange(3) == axis, -1, 1)
        left = images(atoms(mirrored), **pose)["image"].values
        assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < 0.9


def test_an_atom_of_platinum_gives_175_electrons_at_the_published_dose() -> None:
    made = images(atoms(CHIRAL), **PLAIN)
    assert_allclose(made["image"].sum(["y", "x"]) / len(CHIRAL), 7656 * 0.0229, rtol=1e-4)


def test_lighter_elements_give_fewer_counts_unless_all_are_equal() -> None:
    total = {
        contrast: float(images(atoms(CHIRAL, 14), **PLAIN, contrast=contrast)["image"].isel(tilt=3).sum())
        for contrast in ("element", "equal")
    }
    assert_allclose(total["element"] / total["equal"], 0.043, rtol=1e-5)


def test_atoms_of_unknown_element_are_an_error() -> None:
    with pytest.raises(InputError, match="6 atoms of unknown element"):
        images(atoms(CHIRAL, 0), **PLAIN)


def test_the_angles_used_differ_from_those_told_by_at_most_the_error() -> None:
    made = images(atoms(CHIRAL), **PLAIN | {"tilt_error": 0.4})
    for name in ("phi", "theta", "psi"):
        error = (made[f"true_{name}"] - made[name]).values
        assert 0.2 < np.abs(error).max() <= 0.4
    assert_allclose(made["theta"], np.linspace(-65, 65, 21))
    pose = [float(made[f"true_{name}"][20]) for name in ("phi", "theta", "psi")]
    wanted = brute_force(CHIRAL, *pose)
    assert_allclose(made["image"][20], wanted, atol=1e-5 * wanted.max())


def test_each_image_has_its_own_stream_whatever_is_computed_first() -> None:
    options = PLAIN | {"noise": "poisson", "background": 3.0, "background_variation": 0.5, "read_noise": 1.0}
    made = images(atoms(CHIRAL), **options)
    assert made["image"].chunks == ((1,) * 21, (65,), (65,))
    last = made["image"][20].values
    assert_allclose(made["image"].values[20], last, rtol=0, atol=0)
    longer = images(atoms(CHIRAL), **options | {"seed": 1})
    assert not np.array_equal(longer["image"][20].values, last)


def test_images_at_the_same_angles_have_noise_of_their_own() -> None:
    options = PLAIN | {"angles": (10.0, 10.0), "noise": "poisson", "background": 5.0}
    first, second = images(atoms(CHIRAL), **options)["image"].values - 5
    assert abs(np.corrcoef(first[:20].ravel(), second[:20].ravel())[0, 1]) < 0.1


def test_noise_has_the_mean_and_the_variance_of_a_counting_detector() -> None:
    options = PLAIN | {"angles": (0.0,), "pixels": 256, "width": 2.0, "background": 4.0}
    clean = images(atoms([[0, 0, 0]]), **options)["image"].values
    noisy = images(atoms([[0, 0, 0]]), **options | {"noise": "poisson", "gain": 2.0, "offset": 10.0, "read_noise": 3.0})
    residual = (noisy["image"].values - 10) / 2 - clean
    assert_allclose(residual.mean(), 0, atol=0.05)
    assert_allclose(residual.var(), clean.mean() + 9 / 4, rtol=0.03)


def test_a_smooth_background_keeps_its_mean_and_its_bounds() -> None:
    made = images(atoms([[0, 0, 0]]), **PLAIN | {"dose": 1e-6}, background=5.0, background_variation=0.4)
    assert_allclose(made["image"].mean(["y", "x"]), 5.0, rtol=0.05)
    assert_allclose(np.abs(made["image"].values - 5).max(axis=(1, 2)), 2.0, rtol=1e-4)


def test_widths_spread_about_their_mean() -> None:
    point = images(atoms([[0, 0, 0]] * 2000), **PLAIN | {"angles": (0.0,)})["image"][0].values
    spread = images(atoms([[0, 0, 0]] * 2000), **PLAIN | {"angles": (0.0,)}, width_spread=0.2)["image"][0].values
    assert_allclose(spread.sum(), point.sum(), rtol=1e-3)
    assert spread.max() > 1.1 * point.max()


def test_atoms_outside_the_images_are_told() -> None:
    with pytest.warns(AetxWarning, match="1 of 2 atoms are further"):
        images(atoms([[0, 0, 0], [0, 0, 40]]), **PLAIN)
