"""simulate.multislice and simulate.prism: signs worked by hand, phonons, warnings, and abTEM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from pydantic import ValidationError

from aetx.core.atoms import atoms_dataset
from aetx.core.stem import near, vibrating
from aetx.errors import AetxWarning, InputError
from aetx.kernels.rendering import to_camera
from aetx.stages.simulate.multislice import MultisliceParams, multislice
from aetx.stages.simulate.prism import prism

QUICK: dict[str, Any] = {
    "pixels": 17,
    "pixel_size": 0.7,
    "inner": 30.0,
    "outer": 50.0,
    "reach": 2.0,
    "vibration": 0.0,
    "window": 8.0,
}
CHIRAL = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 1.0], [0.0, 2.5, -1.5], [-2.0, -1.0, 3.0]])


def specimen(position: object = CHIRAL, number: int = 78) -> xr.Dataset:
    return atoms_dataset(np.asarray(position, float), number)


def test_an_atom_above_the_axis_moves_to_negative_x() -> None:
    image = multislice(specimen([[0.0, 0.0, 10.0]]), theta=(30.0,), **QUICK)["image"][0].compute()
    peak = image.where(image == image.max(), drop=True)
    assert_allclose(float(peak["x"][0]), -5.0, atol=0.36)
    assert_allclose(float(peak["y"][0]), 0.0, atol=0.36)


def test_both_methods_see_the_same() -> None:
    windows = multislice(specimen(), theta=(20.0,), **QUICK | {"window": 0.0})["image"].values
    options = {name: value for name, value in QUICK.items() if name != "window"}
    assert_allclose(prism(specimen(), theta=(20.0,), interpolation=1, **options)["image"].values, windows, atol=1e-6)


def test_far_from_all_atoms_there_is_nothing() -> None:
    image = multislice(specimen(), theta=(0.0,), **QUICK)["image"][0]
    distance = np.hypot(image["y"].values[:, None, None] - CHIRAL[:, 1], image["x"].values[:, None] - CHIRAL[:, 0])
    far = distance.min(axis=-1) > 2.0
    assert (image.values[far] == 0).all()
    assert (image.values[~far] > 0).all()
    wider = multislice(specimen(), theta=(0.0,), **QUICK | {"reach": 5.0})["image"][0].values
    assert wider[far].max() < 5e-3 * wider.max()


def test_opposite_configurations_leave_the_atoms_where_they_are() -> None:
    seen = to_camera(CHIRAL, 0.1, 0.2, 0.3)
    params = MultisliceParams(configurations=6, vibration=0.1)
    made = np.array(vibrating(seen, params, 3))
    assert_allclose(made.mean(axis=0), seen, atol=1e-12)
    many = np.array(vibrating(seen, MultisliceParams(configurations=2000, vibration=0.1), 3))
    assert_allclose((many - seen).std(axis=0), 0.1, rtol=0.08)
    assert not np.allclose(vibrating(seen, params, 3)[0], vibrating(seen, params, 4)[0])


def test_an_image_does_not_depend_on_how_many_are_made() -> None:
    options = QUICK | {"vibration": 0.1, "configurations": 2, "pixels": 11, "tilt_error": 0.0}
    alone = multislice(specimen(), theta=(-10.0, 15.0), **options)["image"][1].values
    among = multislice(specimen(), theta=(-10.0, 15.0, 40.0), **options)["image"].chunk(tilt=2)[1].values
    assert_allclose(among, alone, rtol=0, atol=0)


def test_vibrations_blur_atoms_and_scatter_more_to_high_angles() -> None:
    column = [[0.0, 0.0, 2.8 * i - 8.4] for i in range(7)]
    options = QUICK | {"theta": (0.0,), "inner": 40.0, "outer": 65.0, "pixels": 9}
    still = multislice(specimen(column), **options)["image"][0].values
    moving = multislice(specimen(column), **options | {"vibration": 0.1, "configurations": 6})["image"][0].values
    assert moving[4, 4] != pytest.approx(still[4, 4], rel=0.02)
    assert moving.sum() > still.sum()


def test_the_source_blurs_and_keeps_the_sum() -> None:
    options = QUICK | {"pixels": 31, "theta": (0.0,)}
    sharp = multislice(specimen(), **options)["image"][0].values
    blurred = multislice(specimen(), **options, source=0.7)["image"][0].values
    assert_allclose(blurred.sum(), sharp.sum(), rtol=1e-3)
    assert blurred.max() < 0.7 * sharp.max()


def test_poses_of_a_measured_series_are_taken(small_series: xr.Dataset) -> None:
    few = small_series.isel(tilt=[1, 4])
    options = {name: value for name, value in QUICK.items() if name not in ("pixels", "pixel_size")}
    made = multislice(specimen(), few, **options)
    xr.testing.assert_equal(made["theta"], few["theta"])
    xr.testing.assert_equal(made["x"], few["x"])
    with pytest.raises(InputError, match="stated beside a series"):
        multislice(specimen(), few, **options, pixels=8)


def test_a_series_lends_its_pixels_and_its_origin_to_the_scan() -> None:
    options = {name: value for name, value in QUICK.items() if name not in ("pixels", "pixel_size")} | {"source": 0.7}
    first = multislice(specimen(), **QUICK, source=0.7, theta=(25.0,), phi=10.0).isel(x=slice(16), y=slice(1, 17))
    again = multislice(specimen(), first, **options)
    assert_allclose(again["image"], first["image"], atol=2e-3 * float(first["image"].max()))
    place = xr.DataArray([1.0, -2.0, 3.0], {"axis": ["x", "y", "z"]}, "axis", attrs={"units": "angstrom"})
    moved = multislice(specimen(CHIRAL + np.array([1, -2, 3])), first.assign(origin=place), **options)
    assert_allclose(moved["image"], again["image"], atol=1e-4 * float(first["image"].max()))
    assert_allclose(moved["origin"], place)


def test_under_focus_brings_the_probe_together_further_down_the_beam() -> None:
    options = QUICK | {"pixels": 3, "theta": (0.0,)}
    for height in (60.0, -60.0):
        peak = [
            float(multislice(specimen([[0.0, 0.0, height]]), **options, defocus=one)["image"].max())
            for one in (-60.0, 0.0, 60.0)
        ]
        assert np.argmax(peak) == (2 if height > 0 else 0)


def test_atoms_without_an_element_are_refused() -> None:
    with pytest.raises(InputError, match="4 atoms of unknown element"):
        multislice(specimen(number=0), **QUICK)
    with pytest.raises(InputError, match="at least one atom"):
        multislice(specimen(np.empty((0, 3))), **QUICK)


def test_a_grid_too_coarse_for_the_detector_is_told_with_the_pixel_it_needs() -> None:
    with pytest.warns(AetxWarning, match=r"reach 65\.6 mrad, the detector 195 mrad.*sampling of 0\.03365 angstrom"):
        multislice(specimen(), **QUICK | {"outer": 195.0, "sampling": 0.1})


def test_windows_too_short_for_a_probe_are_told() -> None:
    options = {name: value for name, value in QUICK.items() if name != "window"}
    with pytest.warns(AetxWarning, match=r"an interpolation of 3 a probe has a window of 2\.\d angstrom"):
        prism(specimen(), theta=(0.0,), interpolation=3, **options)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValidationError, match="inner below outer"):
        MultisliceParams(inner=60.0, outer=50.0)
    with pytest.raises(ValidationError, match="only with a vibration"):
        MultisliceParams(vibration=0.0, configurations=4)
    with pytest.raises(InputError, match="unknown element"):
        multislice(specimen(number=0), **QUICK)


def test_a_raster_wants_what_is_near_atoms() -> None:
    raster = near(np.array([[0.0, 1.0, 50.0]]), np.array([-3.0, 0.0, 1.9]), np.array([0.0, 2.0]), 2.0)
    assert raster.wanted.tolist() == [[False, True, False], [False, True, False]]


def test_abtem_computes_the_same_image_of_a_platinum_particle() -> None:
    abtem = pytest.importorskip("abtem", reason="the test extra is not installed")
    ase = pytest.importorskip("ase")
    pixel, size, step = 0.11, 160, 0.85
    grid = np.array([(i, j, k) for i in range(-2, 3) for j in range(-2, 3) for k in range(-2, 3)])
    sites = grid[(grid.sum(axis=1) % 2 == 0) & ((grid**2).sum(axis=1) < 8)] * 1.956
    tilted = sites @ to_camera(np.eye(3), 0.3, 0.2, 0.4)
    # on pixels, where the other program, which spreads an atom over the nearest ones, is exact too
    tilted[:, :2] = np.round(tilted[:, :2] / pixel) * pixel
    options: dict[str, Any] = {"pixels": 13, "pixel_size": step, "theta": (0.0,), "vibration": 0.0, "window": 0.0}
    ours = multislice(specimen(tilted), sampling=pixel, oversampling=1, inner=30.0, outer=58.0, reach=6.5, **options)[
        "image"
    ][0].values

    bottom = np.floor(tilted[:, 2].min() / 2) * 2
    depth = np.ceil(tilted[:, 2].max() / 2) * 2 - bottom
    edge = size * pixel
    cell = ase.Atoms(numbers=np.full(len(tilted), 78), positions=tilted + np.array([edge / 2, edge / 2, -bottom]))
    cell.set_cell([edge, edge, depth])
    with abtem.config.set({"fft": "numpy", "precision": "float32"}):
        potential = abtem.Potential(
            cell, gpts=(size, size), slice_thickness=2.0, parametrization="kirkland", projection="infinite"
        )
        probe = abtem.Probe(energy=300e3, semiangle_cutoff=25, C10=bottom + 1.0)
        probe.grid.match(potential)
        axis = (np.arange(13) - 6) * step + edge / 2
        scan = abtem.CustomScan(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
        detector = abtem.AnnularDetector(inner=30, outer=58)
        theirs = probe.scan(potential, scan=scan, detectors=detector, lazy=False).array.reshape(13, 13)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    assert_allclose(ours.mean(), theirs.mean(), rtol=0.02)
