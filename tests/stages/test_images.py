"""simulate.images: signs worked by hand, independent projections, poses and pixels of a series, what varies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.kernels.scattering import kirkland
from aetx.stages.simulate.images import images

PLATINUM = 0.0229185
"""Cross-section of Pt for 40-200 mrad at 300 keV, angstrom**2 in the first Born approximation."""
PLAIN: dict[str, Any] = {"pixel_size": 0.5, "pixels": 65, "width": 0.8}


def atoms(position: object, species: int | list[int] = 78, **columns: tuple[np.ndarray, str]) -> xr.Dataset:
    return atoms_dataset(np.asarray(position, float), np.asarray(species), columns)


def centroid(series: xr.Dataset) -> tuple[float, float]:
    image = series["image"].isel(tilt=0)
    total = float(image.sum())
    return float((image * image["x"]).sum()) / total, float((image * image["y"]).sum()) / total


@pytest.mark.parametrize("pixels", [64, 65])
@pytest.mark.parametrize(
    ("point", "pose", "seen"),
    [
        ((0, 0, 10), {"theta": (30.0,)}, (-5, 0)),
        ((0, 0, 10), {"theta": (90.0,)}, (-10, 0)),
        ((10, 0, 0), {"theta": (30.0,)}, (8.660254, 0)),
        ((0, 10, 0), {"theta": (30.0,)}, (0, 10)),
        ((10, 0, 0), {"theta": (0.0,), "phi": 30.0}, (8.660254, -5)),
        ((0, 0, 10), {"theta": (0.0,), "psi": 30.0}, (0, 5)),
        ((0, 0, 0), {"theta": (30.0,), "phi": 20.0, "psi": 10.0}, (0, 0)),
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
    return np.asarray((np.exp(-square / (2 * 0.8**2)) / (2 * np.pi * 0.8**2)).sum(axis=0)) * PLATINUM


CHIRAL = np.array([[0, 0, 0], [6, 0, 0], [0, 4, 0], [0, 0, 9], [-3, 5, 2], [2, -7, -4]], float)


def test_images_of_a_chiral_object_are_those_of_an_independent_projection() -> None:
    made = images(atoms(CHIRAL), **PLAIN, theta=(-71.0, -20.0, 0.0, 33.0, 160.0), phi=25.0, psi=-40.0)
    for image, theta in zip(made["image"].values, made["theta"].values, strict=True):
        wanted = brute_force(CHIRAL, 25.0, theta, -40.0)
        assert_allclose(image, wanted, atol=1e-5 * wanted.max())


def test_no_image_of_the_mirrored_object_is_the_same() -> None:
    pose = PLAIN | {"theta": (33.0,), "phi": 25.0, "psi": -40.0}
    right = images(atoms(CHIRAL), **pose)["image"].values
    for axis in range(3):
        mirrored = CHIRAL * np.where(np.arange(3) == axis, -1, 1)
        left = images(atoms(mirrored), **pose)["image"].values
        assert np.corrcoef(left.ravel(), right.ravel())[0, 1] < 0.9


def voxel_route(
    position: np.ndarray, species: list[int] | None, poses: list[tuple[float, float, float]], step: float, pixels: int
) -> np.ndarray:
    """Fill voxels with Gaussians, multiply the 3D transform by f(|q|) / f(0), take central slices, and go back."""
    grid = (np.arange(36) - 18) * 0.55
    q = np.fft.fftshift(np.fft.fftfreq(pixels, step))
    qv, qu = (part.ravel() for part in np.meshgrid(q, q, indexing="ij"))
    images = []
    for pose in poses:
        turn = Rotation.from_euler("ZYX", pose, degrees=True).as_matrix()
        where = np.stack([qu, qv, 0 * qu], axis=1) @ turn.T
        phases = [np.exp(-2j * np.pi * np.outer(where[:, i], grid)) for i in range(3)]
        slices = np.zeros(qu.size, complex)
        for number in {78} if species is None else set(species):
            kept = position if species is None else position[np.array(species) == number]
            profiles = [np.exp(-((grid - kept[:, i, None]) ** 2) / (2 * 0.8**2)) for i in range(3)]
            volume = np.einsum("ax,ay,az->xyz", *profiles) * (0.55 / (0.8 * np.sqrt(2 * np.pi))) ** 3
            planes = (phases[0] @ volume.reshape(36, -1)).reshape(-1, 36, 36)
            transform = np.einsum("qyz,qy,qz->q", planes, *phases[1:], optimize=True)
            if species is not None:
                length = np.linalg.norm(where, axis=1)
                transform *= kirkland(number, length) / kirkland(number, 0.0)
            slices += transform
        square = np.fft.ifftshift(slices.reshape(pixels, pixels))
        images.append(np.fft.fftshift(np.fft.ifft2(square)).real / step**2)
    return np.array(images)


POSES = [(0.0, 0.0, 0.0), (25.0, -71.0, -40.0), (-10.0, 33.0, 5.0)]


@pytest.mark.parametrize("pixels", [32, 33])
@pytest.mark.parametrize("profile", ["gaussian", "kirkland"])
def test_images_are_central_slices_through_the_transform_of_the_voxels(profile: str, pixels: int) -> None:
    position, species = CHIRAL * 0.7, [78, 78, 14, 14, 29, 29]
    wanted = voxel_route(position, species if profile == "kirkland" else None, POSES, 0.65, pixels)
    for (phi, theta, psi), expected in zip(POSES, wanted, strict=True):
        options: dict[str, Any] = {
            "phi": phi,
            "theta": (theta,),
            "psi": psi,
            "width": 0.8,
            "pixels": pixels,
            "pixel_size": 0.65,
        }
        made = images(atoms(position, species), **options, contrast="equal", profile=profile)["image"][0]
        assert_allclose(made / PLATINUM, expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("profile", ["gaussian", "kirkland"])
def test_the_integral_of_every_image_is_that_of_its_atoms(profile: str) -> None:
    made = images(atoms(CHIRAL, [78, 78, 46, 46, 14, 14]), **PLAIN | {"pixels": 97}, profile=profile)
    assert made["image"].attrs["units"] == "1"
    wanted = PLATINUM * 2 * (1 + 0.380 + 0.043)
    assert_allclose(made["image"].sum(["y", "x"]) * 0.25, wanted, rtol=5e-4)


def test_half_a_turn_mirrors_the_image_across_the_axis() -> None:
    front, back = images(atoms(CHIRAL), **PLAIN, theta=(33.0, 213.0))["image"].values
    assert_allclose(front, back[:, ::-1], atol=1e-6 * front.max())


def test_a_turned_specimen_looks_like_a_turned_pose() -> None:
    turn = Rotation.from_euler("xyz", [20.0, -35.0, 50.0], degrees=True)
    pose = Rotation.from_euler("ZYX", [10.0, 33.0, -5.0], degrees=True)
    phi, theta, psi = (turn * pose).as_euler("ZYX", degrees=True)
    still = images(atoms(CHIRAL), **PLAIN, phi=10.0, theta=(33.0,), psi=-5.0)["image"].values
    turned = images(atoms(turn.apply(CHIRAL)), **PLAIN, phi=phi, theta=(theta,), psi=psi)["image"].values
    assert_allclose(turned, still, atol=1e-6 * still.max())


def test_a_platinum_atom_has_its_cross_section() -> None:
    made = images(atoms([[0, 0, 0]]), **PLAIN)
    assert_allclose(made["image"].sum(["y", "x"]) * 0.25, 0.0229, rtol=2e-3)


@pytest.mark.parametrize("width", [0.15, 0.2, 0.358, 0.7])
def test_the_integral_does_not_depend_on_where_the_atom_is_within_its_pixel(width: float) -> None:
    for shift in (0.0, 0.09, 0.179, 0.2):
        made = images(atoms([[shift, -shift / 3, 0]]), theta=(0.0,), pixels=33, pixel_size=0.5, width=width)
        assert_allclose(made["image"].sum() * 0.25, PLATINUM, rtol=1e-5)


def test_the_detector_and_the_energy_set_the_signal() -> None:
    def total(**options: Any) -> float:
        return float(images(atoms([[0, 0, 0]]), **PLAIN, theta=(0.0,), **options)["image"].sum())

    assert_allclose(total(inner=40.0, outer=90.0) + total(inner=90.0, outer=200.0), total(), rtol=1e-5)
    assert total(energy=100.0) > total() > total(energy=1000.0)


def test_lighter_elements_give_less_unless_all_are_equal() -> None:
    total = {
        contrast: float(images(atoms(CHIRAL, 14), **PLAIN, contrast=contrast)["image"].isel(tilt=3).sum())
        for contrast in ("element", "equal")
    }
    assert_allclose(total["element"] / total["equal"], 0.043, rtol=0.02)


def test_atoms_of_unknown_element_are_an_error_unless_nothing_depends_on_it() -> None:
    dependent: tuple[dict[str, Any], ...] = ({}, {"contrast": "equal", "profile": "kirkland"})
    for options in dependent:
        with pytest.raises(InputError, match="6 atoms of unknown element"):
            images(atoms(CHIRAL, 0), **PLAIN, **options)
    assert float(images(atoms(CHIRAL, 0), **PLAIN, contrast="equal")["image"].sum()) > 0


def test_the_angles_used_differ_from_those_told_by_at_most_the_error() -> None:
    made = images(atoms(CHIRAL), **PLAIN | {"tilt_error": 0.4})
    for name in ("phi", "theta", "psi"):
        error = (made[f"true_{name}"] - made[name]).values
        assert 0.2 < np.abs(error).max() <= 0.4
    assert_allclose(made["theta"], np.linspace(-65, 65, 21))
    pose = [float(made[f"true_{name}"][20]) for name in ("phi", "theta", "psi")]
    wanted = brute_force(CHIRAL, *pose)
    assert_allclose(made["image"][20], wanted, atol=1e-5 * wanted.max())


def test_a_series_lends_its_poses_its_pixels_and_its_origin() -> None:
    first = images(atoms(CHIRAL), **PLAIN, theta=(-50.0, 10.0), phi=20.0, psi=-3.0).isel(x=slice(9, 60), y=slice(3, 50))
    again = images(atoms(CHIRAL), first.assign(image=first["image"].astype(int)), width=0.8)
    xr.testing.assert_allclose(again, first.compute(), rtol=0, atol=1e-9)
    place = xr.DataArray([1.0, -2.0, 3.0], {"axis": ["x", "y", "z"]}, "axis", attrs={"units": "angstrom"})
    moved = images(atoms(CHIRAL + np.array([1, -2, 3])), first.assign(origin=place), width=0.8)
    assert_allclose(moved["image"], first["image"], atol=1e-8)
    assert_allclose(moved["origin"], place)


def test_what_a_series_says_is_not_stated_again() -> None:
    like = images(atoms(CHIRAL), **PLAIN)
    with pytest.raises(InputError, match="pixels, theta: found stated beside a series `like`"):
        images(atoms(CHIRAL), like, pixels=65, theta=(0.0,))
    with pytest.raises(ValidationError, match="either theta or tilts"):
        images(atoms(CHIRAL), theta=(0.0,), tilts=3)


def test_images_are_lazy_and_the_same_whatever_is_computed_first() -> None:
    made = images(atoms(CHIRAL), **PLAIN | {"tilt_error": 0.4}, width_spread=0.1, height_spread=0.1)
    assert made["image"].chunks == ((1,) * 21, (65,), (65,))
    last = made["image"][20].values
    assert_allclose(made["image"].values[20], last, rtol=0, atol=0)
    other = images(atoms(CHIRAL), **PLAIN | {"tilt_error": 0.4, "seed": 1})
    assert not np.array_equal(other["image"][20].values, last)


def test_columns_of_the_atoms_say_width_and_integral_of_each() -> None:
    width, intensity = np.array([0.6, 1.1]), np.array([2.0, 5.0])
    pair = atoms([[-6, 0, 0], [6, 0, 0]], 0, width=(width, "angstrom"), intensity=(intensity, "angstrom**2"))
    made = images(pair, pixels=97, pixel_size=0.4, theta=(0.0,), columns=("width", "intensity"))["image"][0]
    assert made.attrs["units"] == "1"
    for half, w, total in zip((slice(None, -0.1), slice(0.1, None)), width, intensity, strict=True):
        part = made.sel(x=half)
        assert_allclose(part.sum() * 0.16, total, rtol=1e-5)
        assert_allclose((part * part["y"] ** 2).sum() / part.sum(), w**2, rtol=1e-4)


def test_intensities_in_another_unit_give_images_in_that_unit_per_area() -> None:
    pair = atoms(CHIRAL, intensity=(np.ones(6), "count*angstrom**2"))
    made = images(pair, **PLAIN, columns=("intensity",))
    assert made["image"].attrs["units"] == "count"
    assert_allclose(made["image"].sum(["y", "x"]) * 0.25, 6, rtol=1e-5)


def test_columns_that_are_not_there_and_values_that_mean_nothing_are_errors() -> None:
    with pytest.raises(InputError, match="a column 'width'"):
        images(atoms(CHIRAL), columns=("width",))
    bad = np.array([1.0, np.nan, 1, 1, 0, 1])
    with pytest.raises(InputError, match="2 atoms without one above 0"):
        images(atoms(CHIRAL, width=(bad, "angstrom")), columns=("width",))
    with pytest.raises(InputError, match="1 atoms without one"):
        images(atoms(CHIRAL, intensity=(bad, "1")), columns=("intensity",))
    with pytest.raises(ValidationError, match="either the column intensity or contrast, not both"):
        images(atoms(CHIRAL), columns=("intensity",), contrast="equal")
    with pytest.raises(ValidationError, match="inner below outer"):
        images(atoms(CHIRAL), inner=200.0)


def test_widths_and_signals_vary_about_their_means() -> None:
    flat = PLAIN | {"theta": (0.0,), "pixels": 401, "pixel_size": 0.25, "width": 0.4}
    line = atoms([[x, y, 0] for x in np.arange(-48, 49, 4.0) for y in np.arange(-48, 49, 4.0)])
    made = images(line, **flat, width_spread=0.1, height_spread=0.3)["image"][0].values[:400, :400]
    each = made.reshape(25, 16, 25, 16).sum(axis=(1, 3)) * 0.0625 / PLATINUM
    assert_allclose(each.mean(), 1, rtol=0.03)
    assert_allclose(each.std(), 0.239, rtol=0.07)  # a normal deviate of 0.3 cut at 0.5 and 1.5
    assert 0.5 < each.min() < 0.6
    assert 1.4 < each.max() < 1.5
    square = (np.arange(16) - 8) ** 2 * 0.0625
    blocks = made.reshape(25, 16, 25, 16).transpose(0, 2, 1, 3)
    width = np.sqrt((blocks * square[:, None]).sum(axis=(2, 3)) / blocks.sum(axis=(2, 3)))
    assert_allclose(width.mean(), 0.4, rtol=0.02)
    assert_allclose(width.std(), 0.1, rtol=0.1)


def test_atoms_outside_the_images_are_told() -> None:
    with pytest.warns(AetxWarning, match="1 of 2 atoms are outside the images at some tilts"):
        images(atoms([[0, 0, 0], [0, 0, 40]]), **PLAIN)
