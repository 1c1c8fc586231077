"""measure.hand: wrong signs of angles are found where images can tell them, and nowhere else."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.kernels.hand import MEANINGS, angles, apart, meant
from aetx.stages.measure.hand import hand

SIZE, STEP, WIDTH, TILTS = 36, 0.8, 0.7, 13
MIRROR = "ignore:no projection tells"


@cache
def cluster() -> np.ndarray:
    """Some ninety places in a lopsided body, no two close together: it is not its own mirror image."""
    generator = np.random.default_rng(3)
    found: list[np.ndarray] = []
    for place in generator.uniform(-9, 9, (5000, 3)):
        x, y, z = place
        inside = x**2 + y**2 + z**2 < 81 and not (x > 0 and y > 0 and z > 0) and not (x < -2 and z > 1)
        if inside and all(np.linalg.norm(place - other) > 2.3 for other in found):
            found.append(place)
    return np.array(found)


def seen(place: np.ndarray, phi: np.ndarray, theta: np.ndarray, psi: np.ndarray, seed: int | None = 0) -> xr.Dataset:
    """Images by plain numpy: R = Rz Ry Rx of scipy, p = transpose(R) r, with counting noise."""
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    images = []
    for turn in Rotation.from_euler("ZYX", np.stack([phi, theta, psi], axis=1), degrees=True):
        u, v, _ = turn.inv().apply(place).T
        along, across = (np.exp(-((grid - p[:, None]) ** 2) / (2 * WIDTH**2)) for p in (v, u))
        images.append(100 * np.einsum("ni,nj->ij", along, across))
    image = np.array(images)
    if seed is not None:
        image = np.random.default_rng(seed).poisson(image)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(len(theta)), {"units": "1"}),
            **{
                name: ("tilt", values.astype(float), {"units": "degree"})
                for name, values in (("phi", phi), ("theta", theta), ("psi", psi))
            },
            "y": ("y", grid, {"units": "angstrom"}),
            "x": ("x", grid, {"units": "angstrom"}),
        },
        {"aetx_schema": "tilt_series/1"},
    )


def poses(phi: float = 0.0, psi: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tilt range with phi and psi that wander by so many degrees."""
    generator = np.random.default_rng(7)
    theta = np.linspace(-64, 64, TILTS)
    return phi * generator.uniform(-1, 1, TILTS), theta, psi * generator.uniform(-1, 1, TILTS)


def flipped(series: xr.Dataset, *names: str) -> xr.Dataset:
    return series.assign_coords({name: (-series[name]).assign_attrs(units="degree") for name in names})


def judged(series: xr.Dataset, atoms: xr.Dataset | None = None, **params: Any) -> xr.Dataset:
    given: dict[str, Any] = {"coarse": 1.6, "iterations": 12, "profile": "gaussian"}
    return hand(series, atoms, **given | params)


@given(
    st.lists(st.tuples(*[st.floats(-80, 80)] * 3), min_size=2, max_size=5),
    st.integers(0, 1000),
)
def test_the_mirror_image_at_minus_theta_and_minus_psi_has_the_same_projections_whatever_the_angles(
    degrees: list[tuple[float, float, float]], seed: int
) -> None:
    place = np.random.default_rng(seed).normal(size=(20, 3))
    phi, theta, psi = np.array(degrees).T
    one = Rotation.from_euler("ZYX", np.stack([phi, theta, psi], 1), degrees=True)
    other = Rotation.from_euler("ZYX", np.stack([phi, -theta, -psi], 1), degrees=True)
    for turn, back in zip(one, other, strict=True):
        straight = turn.inv().apply(place)[:, :2]
        np.testing.assert_allclose(back.inv().apply(place * [1, 1, -1])[:, :2], straight, atol=1e-9)
    assert apart(one.as_matrix(), other.as_matrix()).mirrored < 1e-6


@given(st.lists(st.tuples(*[st.floats(-85, 85)] * 3), min_size=1, max_size=4), st.sampled_from(MEANINGS))
def test_the_poses_of_a_meaning_have_angles(degrees: list[tuple[float, float, float]], meaning: str) -> None:
    turned = meant(meaning, *np.deg2rad(degrees).T)
    again = Rotation.from_euler("ZYX", angles(turned)).as_matrix()
    np.testing.assert_allclose(again, turned, atol=1e-9)


def test_poses_turned_as_one_are_not_apart() -> None:
    one = Rotation.random(6, random_state=1)
    common = Rotation.from_euler("x", 40, degrees=True)
    assert apart(one.as_matrix(), (common * one).as_matrix()).turned < 1e-7
    off = one * Rotation.from_rotvec(np.outer([3, -3] * 3, [0, 0, 1]), degrees=True)
    assert np.rad2deg(apart(one.as_matrix(), off.as_matrix()).turned) == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("names", [("theta",), ("phi",), ("theta", "phi")])
def test_wrong_signs_are_found_where_phi_and_psi_vary(names: tuple[str, ...]) -> None:
    right = seen(cluster(), *poses(8, 8))
    assert float(judged(right)["given_fits"]) == 1
    made = judged(flipped(right, *names))
    assert float(made["given_fits"]) == 0
    best = {("theta",): "-theta", ("phi",): "-phi", ("theta", "phi"): "-phi -theta"}[names]
    assert MEANINGS[int(made["r_free"].argmin("meaning"))] == best
    assert float(made["verdict"].sel(meaning=best)) == 0
    assert float(made["difference"].sel(meaning=best)) < -3 * float(made["difference_error"].sel(meaning=best))


def test_images_with_rows_and_columns_exchanged_are_found() -> None:
    right = seen(cluster(), *poses(8, 8))
    swapped = right.copy(deep=True)
    swapped["image"][:] = right["image"].values.transpose(0, 2, 1)
    made = judged(swapped)
    assert float(made["verdict"].sel(meaning="transposed")) == 0
    assert MEANINGS[int(made["r_free"].argmin("meaning"))] == "transposed"


@pytest.mark.parametrize("phi", [0.0, 10.0])
def test_the_sign_of_theta_is_left_open_without_psi_even_if_phi_varies(phi: float) -> None:
    right = seen(cluster(), *poses(phi, 0))
    for series in (right, flipped(right, "theta")):
        with pytest.warns(AetxWarning, match="no projection tells the given angles from .*-theta"):
            made = judged(series)
        assert np.isnan(made["given_fits"])
        assert np.isnan(made["verdict"].sel(meaning="-theta"))
        assert float(made["mirrored_apart"].sel(meaning="-theta")) < 1e-5
        assert float(made["turned_apart"].sel(meaning="-theta")) > 30


@pytest.mark.filterwarnings(MIRROR)
def test_known_atoms_tell_the_sign_of_theta_on_a_single_axis() -> None:
    right, atoms = seen(cluster(), *poses()), atoms_dataset(cluster(), 78)
    assert float(judged(right, atoms, width=WIDTH)["atoms_fit"]) == 1
    made = judged(flipped(right, "theta"), atoms, width=WIDTH)
    assert float(made["atoms_fit"]) == 0
    r1 = made["atoms_r1"]
    assert float(r1.sel(meaning="-theta")) < 0.5 * float(r1.sel(meaning="given"))


@pytest.mark.filterwarnings(MIRROR)
def test_atoms_are_looked_for_where_the_rotation_centre_of_a_sub_area_is() -> None:
    centre = np.array([30.0, -20.0, 10.0])
    series = seen(cluster(), *poses())
    moved = series.assign(origin=("axis", centre, {"units": "angstrom"})).assign_coords(axis=["x", "y", "z"])
    one = judged(series, atoms_dataset(cluster(), 78), iterations=2)
    other = judged(moved, atoms_dataset(cluster() + centre, 78), iterations=2)
    np.testing.assert_allclose(other["atoms_r1"], one["atoms_r1"], rtol=1e-4)


def test_the_mirror_image_is_reconstructed_as_well_to_the_last_digits() -> None:
    series = seen(cluster(), *poses(2, 2))
    one, other = (judged(each, iterations=6)["r_free_tilt"][0] for each in (series, flipped(series, "theta", "psi")))
    np.testing.assert_allclose(other, one, rtol=1e-4)


def test_right_angles_are_never_called_wrong() -> None:
    for seed in range(4):
        series = seen(cluster(), *poses(0.5, 0.5), seed=seed)
        assert float(judged(series, iterations=6)["given_fits"]) != 0


@pytest.mark.filterwarnings(MIRROR)
def test_a_mask_hides_what_it_covers() -> None:
    series = seen(cluster(), *poses(8, 8))
    spoiled = series.copy(deep=True)
    spoiled["image"][:, 5:8, 5:8] = 3000.0
    mask = np.ones(series["image"].shape, bool)
    mask[:, 4:9, 4:9] = False
    spoiled["mask"] = (("tilt", "y", "x"), mask, {"units": "1"})
    assert float(judged(spoiled)["r_free"][0]) == pytest.approx(float(judged(series)["r_free"][0]), rel=0.1)


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(InputError, match="lower folds"):
        judged(seen(cluster(), *poses()), folds=20)
