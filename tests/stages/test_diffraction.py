"""simulate.diffraction: fractions and counts, where the electrons go, and another program's pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.kernels.scattering import wavelength
from aetx.stages.simulate.diffraction import diffraction

SMALL: dict[str, Any] = {
    "theta": (0.0,),
    "scan_rows": 3,
    "scan_columns": 4,
    "pixels": 28,
    "reciprocal_pixel": 0.1,
    "window": 10.0,
    "sampling": 0.2,
}


def atom(*position: tuple[float, float, float], number: int = 78) -> xr.Dataset:
    return atoms_dataset(np.array(position), number)


def test_all_electrons_of_a_probe_are_in_its_pattern() -> None:
    found = diffraction(atom((0, 0, 0)), **SMALL | {"sampling": 0.08, "pixels": 60, "vibration": 0.1})
    total = found["pattern"].sum(["ky", "kx"]).values
    assert found["pattern"].attrs["units"] == "1"
    assert total.max() <= 1 + 1e-5
    assert total.min() > 0.99
    assert float(found["energy"]) == 300.0


def test_vacuum_shows_the_disc_of_the_aperture() -> None:
    found = diffraction(atom((40, 40, 0)), **SMALL)
    k = np.hypot(found["ky"].values[:, None], found["kx"].values[None])
    disc = k < 0.021 / wavelength(300.0) - 0.1
    pattern = found["pattern"].values[0]
    assert_allclose(pattern.sum((2, 3)), 1, rtol=1e-5)
    assert_allclose(pattern[..., disc], pattern[0, 0][disc][0], rtol=1e-3)
    assert pattern[..., k > 0.021 / wavelength(300.0) + 0.1].max() == 0


def test_the_scan_stands_where_its_coordinates_say() -> None:
    """Only the probe at the atom is scattered without a side; left of it electrons are drawn to the right."""
    found = diffraction(atom((0.5, -0.5, 0)), **SMALL)
    pattern = found["pattern"][0, ..., 1:, 1:].compute()  # as many frequencies on either side
    across = (pattern * pattern["kx"]).sum(["ky", "kx"])
    along = (pattern * pattern["ky"]).sum(["ky", "kx"])
    assert across.sel(scan_x=0.5, scan_y=-0.5).item() == pytest.approx(0, abs=1e-4)
    assert along.sel(scan_x=0.5, scan_y=-0.5).item() == pytest.approx(0, abs=1e-4)
    assert across.sel(scan_x=0.0, scan_y=-0.5).item() > 1e-3
    assert along.sel(scan_x=0.5, scan_y=0.0).item() < -1e-3


def test_matter_above_the_centre_is_found_at_lower_x_at_positive_tilt() -> None:
    options = SMALL | {"theta": (30.0,), "scan_rows": 1, "scan_columns": 15, "scan_step": 1.0}
    pattern = diffraction(atom((0, 0, 10)), **options)["pattern"][0, 0]
    k = np.hypot(pattern["ky"], pattern["kx"])
    scattered = pattern.where(k > 1.2 * 0.021 / wavelength(300.0), 0).sum(["ky", "kx"])
    assert float(scattered["scan_x"][int(scattered.values.argmax())]) == -5.0


def test_the_focus_is_counted_from_the_centre_of_rotation() -> None:
    """Under focus the beam crosses behind the centre, so that an atom there meets the narrow probe."""
    options = SMALL | {"scan_rows": 1, "scan_columns": 1, "pixels": 24, "sampling": 0.2}
    far = {
        (z, defocus): float(
            diffraction(atom((0, 0, z)), **options, defocus=defocus)["pattern"].values[..., [0, -1], :].sum()
        )
        for z in (-60.0, 60.0)
        for defocus in (-60.0, 60.0)
    }
    assert far[60.0, 60.0] > 1.5 * far[-60.0, 60.0]
    assert far[-60.0, -60.0] > 1.5 * far[60.0, -60.0]


def test_counts_have_the_mean_and_the_variance_of_electrons() -> None:
    options = SMALL | {"scan_rows": 20, "scan_columns": 20, "scan_step": 0.5}
    clean = diffraction(atom((40, 40, 0)), **options)["pattern"].values
    counts = diffraction(atom((40, 40, 0)), **options, dose=4000.0)
    assert counts["pattern"].attrs["units"] == "count"
    assert counts["dose"].item() == 4000.0
    values = counts["pattern"].values[0].reshape(400, -1)
    assert (values == np.round(values)).all()
    assert values.sum(1).mean() == pytest.approx(1000.0, rel=0.01)
    bright = clean[0, 0, 0].ravel() > 0.5 * clean.max()
    assert values[:, bright].var() == pytest.approx(1000.0 * clean[0, 0, 0].ravel()[bright].mean(), rel=0.03)
    assert (counts["pattern"].values[0, 0] != counts["pattern"].values[0, 1]).any()


def test_frozen_phonons_scatter_more_to_high_angles_than_a_blurred_potential() -> None:
    options = SMALL | {"scan_rows": 1, "scan_columns": 1, "pixels": 40, "sampling": 0.15, "vibration": 0.12}
    specimen = atom((0, 0, 0))
    blurred, moved = (diffraction(specimen, **options, configurations=count)["pattern"][0, 0, 0] for count in (0, 12))
    high = np.hypot(blurred["ky"], blurred["kx"]) > 1.6
    assert float(moved.where(high).sum()) > 1.5 * float(blurred.where(high).sum())
    assert 0.9 < float(moved.sum()) < float(blurred.sum())  # what is scattered beyond the detector


def test_a_block_of_rows_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = atom((0, 0, 0), (1.3, 2.2, 1.0), number=29)
    whole = diffraction(specimen, **SMALL, dose=100.0)
    monkeypatch.setattr("aetx.stages.simulate.diffraction.WAVES", 1)
    rows = diffraction(specimen, **SMALL, dose=100.0)
    assert rows["pattern"].chunks != whole["pattern"].chunks
    difference = np.abs(rows["pattern"].values - whole["pattern"].values)
    assert (difference > 0).mean() < 0.01  # the edges of the potential lie elsewhere: a last digit now and then


def test_abtem_computes_the_same_pattern() -> None:
    abtem = pytest.importorskip("abtem", reason="the test extra is not installed")
    ase = pytest.importorskip("ase")
    size, edge, depth = 128, 16.0, 12.0
    position = np.random.default_rng(0).uniform(-4, 4, (12, 3))
    # on pixels, where the other program, which spreads an atom over the nearest ones, is exact too
    position[:, :2] = np.round(position[:, :2] * size / edge) * edge / size
    numbers = np.array([78] * 6 + [8] * 6)
    ours = diffraction(
        atoms_dataset(position, numbers),
        theta=(0.0,),
        scan_rows=1,
        scan_columns=1,
        pixels=80,
        reciprocal_pixel=1 / edge,
        window=edge,
        sampling=edge / size,
        semi_angle=21.0,
        defocus=40.0,
        vibration=0.0,
        oversampling=1,
    )["pattern"].values[0, 0, 0]
    cell = ase.Atoms(numbers=numbers, positions=position + np.array([edge / 2, edge / 2, depth / 2]))
    cell.set_cell([edge, edge, depth])
    with abtem.config.set({"fft": "numpy", "precision": "float32"}):
        potential = abtem.Potential(
            cell, gpts=(size, size), slice_thickness=2.0, parametrization="kirkland", projection="infinite"
        )
        probe = abtem.Probe(energy=300e3, semiangle_cutoff=21, C10=-40.0 - depth / 2 + 1.0)
        probe.grid.match(potential)
        scan = abtem.CustomScan(np.array([[edge / 2, edge / 2]]))
        theirs = probe.multislice(potential, scan=scan, lazy=False).diffraction_patterns(max_angle=None).array
    theirs = theirs.reshape(theirs.shape[-2:]).T
    start = [(one - 80) // 2 if one % 2 == 0 else (one + 1 - 80) // 2 for one in theirs.shape]
    theirs = theirs[start[0] : start[0] + 80, start[1] : start[1] + 80]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.01)
    assert np.abs(np.sqrt(ours) - np.sqrt(theirs)).max() < 0.03 * np.sqrt(ours.max())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pixels": 64, "reciprocal_pixel": 0.1, "sampling": 0.2}, "lower sampling to 0.1042 angstrom"),
        ({"configurations": 2, "vibration": 0.0}, "they would all be the same"),
        ({"phi12": 20.0}, "phi12 turns nothing: c12 is 0"),
        ({"theta": (0.0,), "tilts": 3}, "either theta or tilts, not both"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diffraction.params(**options)


def test_atoms_without_an_element_are_refused() -> None:
    with pytest.raises(InputError, match="1 atoms of unknown element"):
        diffraction(atom((0, 0, 0), number=0), **SMALL)


def test_a_probe_wider_than_its_window_is_told() -> None:
    with pytest.warns(AetxWarning, match="the probe is 16.8 angstrom wide, its window 10"):
        diffraction(atom((0, 0, 0)), **SMALL, defocus=400.0)


def test_the_result_keeps_its_numbers(golden: Callable[[str, dict[str, float]], None]) -> None:
    found = diffraction(atom((0, 0, 0), (2.0, 0.5, 3.0)), **SMALL)["pattern"].values
    golden(
        "simulate.diffraction-1",
        {"mean": float(found.mean()), "deviation": float(found.std()), "greatest": float(found.max())},
    )
