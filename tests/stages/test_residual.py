"""What atoms leave of the images: against images made by plain numpy, whose signs were worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.stages.measure.residual import residual
from tests.conftest import SIGMA, STEP

ONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


@pytest.fixture
def atoms(small_atoms: xr.Dataset) -> xr.Dataset:
    """Atoms that say their integrals and widths as the images have them."""
    return small_atoms.assign(
        intensity=("atom", np.full(13, 100 * STEP**2), {"units": "count"}),
        width=("atom", np.full(13, SIGMA), LENGTH),
    )


def refined(atoms: xr.Dataset, series: xr.Dataset, **known: np.ndarray) -> xr.Dataset:
    """Return atoms that bring poses of the images."""
    units = {"shift_x": LENGTH, "shift_y": LENGTH, "scale": ONE, "background": {"units": "count"}}
    told = {name: ("tilt", values, units[name]) for name, values in known.items() if name in units}
    turned: dict[str, Any] = {
        name: ("tilt", known.get(name, series[name].values), {"units": "degree"}) for name in ("phi", "theta", "psi")
    }
    return atoms.assign(told).assign_coords(tilt=series["tilt"].variable, **turned)


def test_atoms_that_made_the_images_leave_nothing(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    found = residual(atoms, small_series, profile="gaussian")
    brightest = float(small_series["image"].max())
    np.testing.assert_allclose(found["model"].values, small_series["image"].values, atol=2e-4 * brightest)
    assert float(found["r1"].max()) < 2e-3
    np.testing.assert_allclose(found["scale"].values, 1.0, atol=1e-3)
    np.testing.assert_allclose(found["background"].values, 0.0, atol=1e-3 * brightest)
    assert found["model"].attrs["units"] == "count"


def test_poses_of_refined_atoms_win_over_those_of_the_series(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    count = small_series.sizes["tilt"]
    moved = np.roll(small_series["image"].values, (2, -1), axis=(1, 2))
    stated = small_series.assign(image=(("tilt", "y", "x"), 1.5 * moved + 3, {"units": "count"}))
    wrong = stated.assign_coords(theta=("tilt", stated["theta"].values + 4.0, {"units": "degree"}))
    known = {
        "theta": small_series["theta"].values,
        "shift_x": np.full(count, -STEP),
        "shift_y": np.full(count, 2 * STEP),
        "scale": np.full(count, 1.5),
        "background": np.full(count, 3.0),
    }
    found = residual(refined(atoms, wrong, **known), wrong, profile="gaussian")
    inner = {"y": slice(3, -3), "x": slice(3, -3)}
    np.testing.assert_allclose(found["model"].isel(inner).values, stated["image"].isel(inner).values, atol=2e-3)
    np.testing.assert_array_equal(found["theta"].values, small_series["theta"].values)
    np.testing.assert_array_equal(found["scale"].values, 1.5)
    assert float(residual(atoms, wrong, profile="gaussian")["r1"].min()) > 0.05


def test_a_stretch_of_the_images_is_that_of_the_positions_in_them(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    head_on = small_series.isel(tilt=[4])
    known = refined(atoms, head_on)
    stretch = xr.DataArray([[0.03, -0.02, 0.05]], dims=("tilt", "component"), coords={"component": ["xx", "yy", "xy"]})
    by_pose = residual(known.assign(stretch=stretch.assign_attrs(ONE)), head_on, profile="gaussian")
    moved = atoms.copy(deep=True)
    x, y = atoms["position"].values[:, 0], atoms["position"].values[:, 1]
    moved["position"].values[:, 0] = 1.03 * x + 0.05 * y
    moved["position"].values[:, 1] = 0.98 * y + 0.05 * x
    by_hand = residual(refined(moved, head_on), head_on, profile="gaussian")
    np.testing.assert_allclose(by_pose["model"].values, by_hand["model"].values, atol=1e-4)
    assert float(by_pose["r1"][0]) > 0.05


def test_the_residual_is_in_standard_deviations_of_the_stated_noise(
    atoms: xr.Dataset, small_series: xr.Dataset
) -> None:
    random = np.random.default_rng(3)
    image = small_series["image"].values
    noise = (0.5 + 0.1 * image).astype(np.float32)
    measured = (image + np.sqrt(noise) * random.standard_normal(image.shape)).astype(np.float32)
    series = small_series.assign(
        image=(("tilt", "y", "x"), measured, {"units": "count"}), variance=(("tilt", "y", "x"), noise, ONE)
    )
    found = residual(atoms, series, profile="gaussian")
    assert float(found["residual"].std()) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(found["chi_square"].values, 1.0, atol=0.25)
    by_gain = residual(atoms, series.drop_vars("variance"), gain=0.1, offset=5.0, profile="gaussian")
    np.testing.assert_allclose(by_gain["residual"].values, found["residual"].values, atol=0.05)
    fitted = residual(atoms, series.drop_vars("variance"), profile="gaussian")
    assert float(fitted["residual"].std()) == pytest.approx(1.0, abs=0.05)
    assert np.isnan(fitted["chi_square"]).all()


def test_an_atom_that_is_missing_is_what_is_left(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    flat = {name: np.full(small_series.sizes["tilt"], level) for name, level in (("scale", 1.0), ("background", 0.0))}
    found = residual(
        refined(atoms, small_series, **flat).isel(atom=slice(1, None)),
        small_series,
        gain=1.0,
        offset=1.0,
        profile="gaussian",
    )
    rest = (found["image"] - found["model"]).values
    np.testing.assert_allclose(rest.sum((1, 2)), 100.0 * STEP**2 / STEP**2, rtol=2e-3)
    for image in rest:
        assert np.unravel_index(image.argmax(), image.shape) == (12, 12)


def test_a_mask_is_honoured(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    trusted = np.ones(small_series["image"].shape, np.int8)
    trusted[:, :4] = 0
    spoilt = small_series.copy(deep=True)
    spoilt["image"].values[:, :4] = 1e4
    masked = spoilt.assign(mask=(("tilt", "y", "x"), trusted, ONE))
    found = residual(atoms, masked, gain=1.0, offset=1.0, profile="gaussian")
    assert np.isnan(found["residual"].values[:, :4]).all()
    assert float(found["r1"].max()) < 2e-3
    np.testing.assert_allclose(found["scale"].values, 1.0, atol=1e-3)


def test_images_that_the_atoms_were_not_refined_to_are_refused(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    known = refined(atoms, small_series).isel(tilt=slice(2, None))
    with pytest.raises(InputError, match="2 images that the atoms know nothing of"):
        residual(known, small_series, profile="gaussian")
    part = residual(known, small_series.isel(tilt=[5, 3]), profile="gaussian")
    np.testing.assert_array_equal(part["theta"].values, small_series["theta"].values[[5, 3]])


def test_two_statements_about_the_noise_are_refused(atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    twice = small_series.assign(variance=small_series["image"].astype(np.float32))
    with pytest.raises(InputError, match="stated beside a series with a variance"):
        residual(atoms, twice, gain=1.0, profile="gaussian")
    with pytest.raises(ValueError, match="an offset needs a gain"):
        residual(atoms, small_series, offset=1.0, profile="gaussian")
