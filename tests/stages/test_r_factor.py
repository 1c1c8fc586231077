"""R factors from the volume alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.kernels.scattering import kirkland
from aetx.stages.measure.r_factor import r_factor

LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
STEP = 0.5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def volume() -> xr.Dataset:
    values = np.random.default_rng(0).random((7, 9, 8)).astype(np.float32)
    return xr.Dataset(
        {"density": (("z", "y", "x"), values, {"units": "count/angstrom"})},
        {
            axis: (axis, (np.arange(size) - size // 2) * STEP, LENGTH)
            for axis, size in zip("zyx", (7, 9, 8), strict=True)
        },
    )


@pytest.fixture
def series(volume: xr.Dataset) -> xr.Dataset:
    """Images at 0 and 180 degrees, which are plain sums: at 180 x runs backwards about the centre."""
    top = volume["density"].values.sum(0) * STEP
    back = np.zeros_like(top)
    back[:, 1:] = top[:, :0:-1]
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), np.stack([top, back]), {"units": "count"})},
        {
            "tilt": ("tilt", [0, 1], NONE),
            "phi": ("tilt", [0.0, 0.0], ANGLE),
            "theta": ("tilt", [0.0, 180.0], ANGLE),
            "psi": ("tilt", [0.0, 0.0], ANGLE),
            "y": volume["y"],
            "x": volume["x"],
        },
    )


def test_a_volume_explains_its_own_images(series: xr.Dataset, volume: xr.Dataset) -> None:
    found = r_factor(series, volume)
    assert float(found["mean_r1"]) < 1e-5
    assert float(found["global_r1"]) < 1e-5
    assert found["pixels"].values.tolist() == [72, 72]


def test_r_factors_are_what_their_definitions_say(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[0] *= 1.25
    found = r_factor(series.assign(image=image), volume)
    np.testing.assert_allclose(found["r1"], [0.2, 0], atol=1e-5)
    np.testing.assert_allclose(found["r2"], [0.2, 0], atol=1e-5)
    first, second = (float(abs(image[i]).sum()) for i in (0, 1))
    assert float(found["mean_r1"]) == pytest.approx(0.1, abs=1e-5)
    assert float(found["global_r1"]) == pytest.approx(0.2 * first / (first + second), abs=1e-5)


def test_scaling_takes_a_common_factor_out(series: xr.Dataset, volume: xr.Dataset) -> None:
    bright = series.assign(image=(series["image"] * 3).assign_attrs(units="count"))
    assert float(r_factor(bright, volume)["mean_r1"]) == pytest.approx(2 / 3, abs=1e-5)
    found = r_factor(bright, volume, scale="tilt")
    assert float(found["mean_r1"]) < 1e-5
    np.testing.assert_allclose(found["scale"], 3, rtol=1e-5)


def test_the_coordinates_say_where_the_volume_lies(series: xr.Dataset, volume: xr.Dataset) -> None:
    place = dict(zip("xyz", (40.0, -30.0, 7.0), strict=True))
    moved = volume.assign_coords({a: (a, volume[a].values + place[a], LENGTH) for a in "xyz"})
    placed = series.assign_coords(axis=["x", "y", "z"]).assign(origin=("axis", list(place.values()), LENGTH))
    assert float(r_factor(placed, moved)["mean_r1"]) < 1e-4
    shifted = volume.assign_coords(x=("x", volume["x"].values + STEP, LENGTH))
    assert float(r_factor(series, shifted)["mean_r1"]) > 0.1


def test_masked_pixels_are_not_counted(series: xr.Dataset, volume: xr.Dataset) -> None:
    image, mask = series["image"].copy(deep=True), np.ones(series["image"].shape, np.int8)
    image[0, 2, 3], mask[0, 2, 3] = np.nan, 0
    found = r_factor(series.assign(image=image, mask=(("tilt", "y", "x"), mask, NONE)), volume)
    assert float(found["mean_r1"]) < 1e-5
    assert found["pixels"].values.tolist() == [71, 72]


def test_a_film_is_compared_where_whole_rays_lie_in_it(series: xr.Dataset, volume: xr.Dataset) -> None:
    tilted = series.assign_coords(theta=("tilt", [0.0, 80.0], ANGLE))
    with pytest.warns(AetxWarning, match="1 of 2 tilts have no pixel"):
        found = r_factor(tilted, volume, extended=True)
    assert np.isnan(found["r1"][1])
    assert float(found["mean_r1"]) == pytest.approx(float(found["r1"][0]))


def test_a_volume_of_another_step_is_refused(series: xr.Dataset, volume: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"the pixel size 0\.5 angstrom"):
        r_factor(series, volume.assign_coords(z=("z", volume["z"].values * 1.1, LENGTH)))


def test_a_volume_with_holes_is_refused(series: xr.Dataset, volume: xr.Dataset) -> None:
    holed = volume["density"].copy(deep=True)
    holed[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 voxels that are not finite"):
        r_factor(series, volume.assign(density=holed))


def test_an_empty_image_has_no_r(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[1] = 0
    found = r_factor(series.assign(image=image), volume)
    assert np.isnan(found["r1"][1])
    assert np.isfinite(found["mean_r1"])


def drawn(
    small_series: xr.Dataset, small_atoms: xr.Dataset, species: list[int], heights: list[float]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Atoms of two elements, and their images drawn plainly: Gaussians of 0.9 angstrom about y."""
    atoms = small_atoms.assign(species=("atom", np.array(species, np.int32), NONE))
    image = np.zeros(small_series["image"].shape)
    v, u = np.meshgrid(small_series["y"].values, small_series["x"].values, indexing="ij")
    for i, angle in enumerate(np.deg2rad(small_series["theta"].values)):
        for (x, y, z), height in zip(atoms["position"].values, heights, strict=True):
            off = (u - x * np.cos(angle) + z * np.sin(angle)) ** 2 + (v - y) ** 2
            image[i] += height * np.exp(-off / (2 * 0.9**2)) / (2 * np.pi * 0.9**2)
    return atoms, small_series.assign(image=(("tilt", "y", "x"), image.astype(np.float32), {"units": "count"}))


def test_heights_of_elements_are_fitted(small_series: xr.Dataset, small_atoms: xr.Dataset) -> None:
    species = [78] * 6 + [28] * 7
    atoms, series = drawn(small_series, small_atoms, species, [30.0] * 6 + [7.0] * 7)
    found = r_factor(series, atoms=atoms, profile="gaussian", width=0.9)
    assert found["element"].values.tolist() == [28, 78]
    np.testing.assert_allclose(found["height"], [7, 30], rtol=1e-3)
    assert found["height"].attrs["units"] == "angstrom**2*count"
    assert float(found["mean_r1"]) < 1e-3
    wrong = r_factor(series, atoms=atoms.assign(position=atoms["position"] + 0.3), profile="gaussian", width=0.9)
    assert float(wrong["mean_r1"]) > 0.2


def test_the_intensity_and_width_of_each_atom_are_used_as_they_are(
    small_series: xr.Dataset, small_atoms: xr.Dataset
) -> None:
    heights = np.linspace(5, 40, 13)
    atoms, series = drawn(small_series, small_atoms, [78] * 13, list(heights))
    columns = {
        "intensity": ("atom", heights, {"units": "angstrom**2*count"}),
        "width": ("atom", np.full(13, 0.9), LENGTH),
    }
    found = r_factor(series, atoms=atoms.assign(columns), profile="gaussian", columns=("width", "intensity"))
    assert float(found["mean_r1"]) < 1e-4
    assert "height" not in found


def test_atoms_have_the_scattering_factor_of_their_element(small_series: xr.Dataset, small_atoms: xr.Dataset) -> None:
    """The images are sums over waves: exp(-2 pi i q r) exp(-2 (pi w q)**2) f(q) / f(0), on a far larger field."""
    size, width, theta = 128, 0.9, np.deg2rad(small_series["theta"].values)
    q = np.fft.fftfreq(size, 0.8)
    square = q[:, None] ** 2 + q**2
    factor = kirkland(78, np.sqrt(square)) / kirkland(78, 0.0) * np.exp(-2 * np.pi**2 * width**2 * square)
    x, y, z = small_atoms["position"].values.T
    image = np.zeros(small_series["image"].shape, np.float32)
    for i, angle in enumerate(theta):
        u = x * np.cos(angle) - z * np.sin(angle)
        wave = np.exp(-2j * np.pi * y[:, None] * q).T @ np.exp(-2j * np.pi * u[:, None] * q)
        whole = np.fft.fftshift(np.fft.ifft2(wave * factor).real) / 0.8**2 * 20.0
        image[i] = whole[size // 2 - 12 : size // 2 + 12, size // 2 - 12 : size // 2 + 12]
    series = small_series.assign(image=(("tilt", "y", "x"), image, {"units": "count"}))
    found = r_factor(series, atoms=small_atoms, width=width)
    assert float(found["mean_r1"]) < 2e-3
    assert float(found["height"][0]) == pytest.approx(20.0, rel=1e-3)
    assert float(r_factor(series, atoms=small_atoms, width=width, profile="gaussian")["mean_r1"]) > 0.04


def test_the_fourier_factor_is_that_of_amplitudes(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[0] = np.roll(image[0].values, 2, axis=0)  # a cyclic shift leaves the amplitudes as they are
    image[1] *= 1.25
    found = r_factor(series.assign(image=image), volume)
    np.testing.assert_allclose(found["r_fourier"], [0, 0.2], atol=1e-5)
    assert float(found["r1"][0]) > 0.1
    assert float(found["global_r2"]) > float(found["r2"][1])


def test_one_scale_for_all_is_not_one_for_each(series: xr.Dataset, volume: xr.Dataset) -> None:
    image = series["image"].copy(deep=True)
    image[0] *= 2.0
    changed = series.assign(image=image)
    one, each = (r_factor(changed, volume, scale=scale) for scale in ("global", "tilt"))
    np.testing.assert_allclose(each["scale"], [2, 1], rtol=1e-5)
    assert float(each["mean_r1"]) < 1e-5 < 0.1 < float(one["mean_r1"])
    power = np.square(series["image"].values.astype(float)).sum(axis=(1, 2))
    np.testing.assert_allclose(one["scale"], (2 * power[0] + power[1]) / power.sum(), rtol=1e-5)


def test_atoms_lie_where_the_origin_says(small_series: xr.Dataset, small_atoms: xr.Dataset) -> None:
    atoms, series = drawn(small_series, small_atoms, [78] * 13, [20.0] * 13)
    place = np.array([40.0, -30.0, 7.0])
    placed = series.assign_coords(axis=["x", "y", "z"]).assign(origin=("axis", place, LENGTH))
    moved = atoms.assign(position=(("atom", "axis"), atoms["position"].values + place, LENGTH))
    assert float(r_factor(placed, atoms=moved, profile="gaussian", width=0.9)["mean_r1"]) < 1e-3
    assert float(r_factor(placed, atoms=atoms, profile="gaussian", width=0.9)["mean_r1"]) > 0.9


def test_a_film_of_atoms_is_compared_where_whole_rays_lie_in_it(
    small_series: xr.Dataset, small_atoms: xr.Dataset
) -> None:
    atoms, series = drawn(small_series, small_atoms, [78] * 13, [20.0] * 13)
    with pytest.warns(AetxWarning, match="no pixel to compare"):
        found = r_factor(series, atoms=atoms, profile="gaussian", width=0.9, extended=True)
    middle = series.sizes["tilt"] // 2
    assert 0 < int(found["pixels"][middle]) < 24 * 24
    assert np.isnan(found["r1"][0])


def test_either_a_volume_or_atoms_are_compared(
    small_series: xr.Dataset, small_volume: xr.Dataset, small_atoms: xr.Dataset
) -> None:
    with pytest.raises(InputError, match="both"):
        r_factor(small_series, small_volume, small_atoms)
    with pytest.raises(InputError, match="neither"):
        r_factor(small_series)
    with pytest.raises(InputError, match="profile"):
        r_factor(small_series, small_volume, profile="gaussian")
    unknown = small_atoms.assign(species=("atom", np.zeros(13, np.int32), NONE))
    with pytest.raises(InputError, match="atoms of unknown element"):
        r_factor(small_series, atoms=unknown)
    flat = small_atoms.assign(width=("atom", np.linspace(0.0, 1.0, 13), {"units": "angstrom"}))
    with pytest.raises(InputError, match="1 atoms without one above 0"):
        r_factor(small_series, atoms=flat, profile="gaussian", columns=("width",))
