"""measure.damage: lost atoms are seen, noise is not, and a pose that did not return is told from damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.kernels.repeats import trend
from aetx.stages.measure.damage import damage

SIZE, STEP, WIDTH = 32, 0.8, 0.9


def cluster() -> np.ndarray:
    side = 2.8 * np.arange(-2, 3)
    sites = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
    return sites + np.random.default_rng(1).uniform(-0.2, 0.2, sites.shape)


PLACES = cluster()


def seen(
    theta: np.ndarray,
    *,
    kept: list[np.ndarray] | None = None,
    turn: dict[int, Rotation] | None = None,
    shift: dict[int, tuple[float, float]] | None = None,
    counts: float = 60.0,
    seed: int | None = 0,
) -> xr.Dataset:
    """Images by plain numpy; of the atoms kept, with a further turn about the camera and a shift of some images."""
    grid = (np.arange(SIZE) - SIZE // 2) * STEP
    images = []
    for i, angle in enumerate(theta):
        turned = Rotation.from_euler("y", angle, degrees=True) * (turn or {}).get(i, Rotation.identity())
        places = PLACES if kept is None else PLACES[kept[i]]
        u, v, _ = turned.inv().apply(places).T
        right, up = (shift or {}).get(i, (0.0, 0.0))
        along, across = (np.exp(-((grid - p[:, None]) ** 2) / (2 * WIDTH**2)) for p in (v + up, u + right))
        norm = counts * STEP**2 / (2 * np.pi * WIDTH**2)
        images.append(norm * np.einsum("ni,nj->ij", along, across) + 1.0)
    image = np.array(images) if seed is None else np.random.default_rng(seed).poisson(images)
    none = np.zeros(len(theta))
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(len(theta)), {"units": "1"}),
            "phi": ("tilt", none, {"units": "degree"}),
            "theta": ("tilt", np.asarray(theta, float), {"units": "degree"}),
            "psi": ("tilt", none, {"units": "degree"}),
            "y": ("y", grid, {"units": "angstrom"}),
            "x": ("x", grid, {"units": "angstrom"}),
        },
        {"aetx_schema": "tilt_series/1"},
    )


def counted(series: xr.Dataset, seed: int) -> xr.Dataset:
    drawn = np.random.default_rng(seed).poisson(series["image"]).astype(np.float32)
    return series.assign(image=(series["image"].dims, drawn, series["image"].attrs))


THERE_AND_BACK = np.append(np.linspace(-60, 60, 16), -60.0)
ATOMS = atoms_dataset(PLACES, 78)


def losing(share: float, of: np.ndarray, seed: int) -> list[np.ndarray]:
    """Which atoms are left in each image, where a share of some is lost evenly over the acquisition."""
    gone = np.random.default_rng(seed).permutation(of)
    steps = np.linspace(0, share, len(THERE_AND_BACK))
    return [np.setdiff1d(np.arange(len(PLACES)), gone[: round(part * len(of))]) for part in steps]


def judged(series: xr.Dataset, last: xr.Dataset | None = None, atoms: xr.Dataset | None = None, **p: Any) -> xr.Dataset:
    given: dict[str, Any] = {"width": WIDTH, "profile": "gaussian"}
    return damage(series, last, atoms, **given | p)


def test_noise_alone_is_never_called_damage_and_the_misfit_of_a_pair_is_one() -> None:
    misfit, error = [], []
    images = seen(THERE_AND_BACK, seed=None)
    for seed in range(24):
        made = judged(counted(images, seed), None, ATOMS if seed < 6 else None)
        assert float(made["changed"]) == 0
        assert made.sizes["pair"] == 1
        misfit.append(float(made["misfit"][0]))
        error.append(float(made["misfit_error"][0]))
    assert abs(np.mean(misfit) - 1) < 3.5 * np.mean(error) / 24**0.5
    assert 0.6 < np.std(misfit, ddof=1) / np.mean(error) < 1.4


def test_the_loss_of_an_eighth_of_the_atoms_is_seen_in_pairs_and_trends() -> None:
    for seed in range(3):
        made = judged(seen(THERE_AND_BACK, kept=losing(0.125, np.arange(125), seed), seed=seed), None, ATOMS)
        assert float(made["changed"]) == 1
        told = made["change"].to_series()
        assert float(made["chance"].sel(measure="total")) < 1e-4
        assert float(made["chance"].sel(measure="r1")) < 5e-3
        assert told["total"] == pytest.approx(-0.12, abs=0.05)
        assert told["r1"] > 0 > told["scale"]
        assert float(made["total"][0]) == pytest.approx(0.89, abs=0.03)


def test_atoms_lost_from_the_surface_show_in_the_height_of_the_surface() -> None:
    outer = np.flatnonzero((np.abs(PLACES) > 4).any(axis=1))
    made = judged(seen(THERE_AND_BACK, kept=losing(0.2, outer, 0)), None, ATOMS)
    surface = made.sel(measure="surface")
    assert float(surface["change"]) < -3 * float(surface["change_error"])


def test_without_atoms_pairs_and_totals_are_followed() -> None:
    made = judged(seen(THERE_AND_BACK, kept=losing(0.2, np.arange(125), 1)))
    assert float(made["changed"]) == 1
    assert np.isnan(made["chance"].sel(measure=["r1", "scale", "surface"])).all()
    assert np.isnan(made["turn"]).all()


def test_a_shift_between_the_images_of_a_pair_is_found_and_no_damage() -> None:
    made = judged(seen(THERE_AND_BACK, shift={16: (1.3, -0.7)}))
    assert float(made["shift_x"][0]) == pytest.approx(-1.3, abs=0.35), "moves the later one back"
    assert float(made["shift_y"][0]) == pytest.approx(0.7, abs=0.1)
    assert float(made["changed"]) == 0
    assert float(made["correlation"][0]) > 0.9


def test_a_pose_that_was_not_reached_again_is_told_from_damage_by_the_atoms() -> None:
    vector = np.array([1.5, 2.5, -2.0])
    series = seen(THERE_AND_BACK, turn={16: Rotation.from_rotvec(vector, degrees=True)}, counts=3000)
    made = judged(series, None, ATOMS)
    assert float(made["misfit"][0]) > 2
    turn, error = made["turn"][0].values, made["turn_error"][0].values
    np.testing.assert_allclose(turn, vector, atol=0.3)
    assert (np.abs(turn - vector) < 4 * error).all()
    assert float(made["r1_last"][0]) == pytest.approx(float(made["r1_first"][0]), rel=0.1)


def test_images_taken_last_are_compared_with_those_of_the_series() -> None:
    first = seen(np.linspace(-60, 60, 9))
    late = seen(np.array([0.0]), kept=[np.arange(100)], seed=5)
    made = judged(first, late)
    assert (int(made["first"][0]), int(made["later"][0])) == (4, 9)
    np.testing.assert_array_equal(made["taken_last"], [0] * 9 + [1])
    assert float(made["total"][0]) == pytest.approx(0.82, abs=0.04)
    with pytest.raises(InputError, match="bin and cut both alike"):
        judged(first, late.isel(x=slice(2, None)))


def test_pixels_that_are_masked_do_not_count() -> None:
    series = seen(THERE_AND_BACK)
    series["image"][16, 3:6, 4:9] = 900.0
    assert float(judged(series)["changed"]) == 1
    mask = np.ones(series["image"].shape, bool)
    mask[16, 2:7, 3:10] = False
    masked = judged(series.assign(mask=(("tilt", "y", "x"), mask, {"units": "1"})))
    assert float(masked["changed"]) == 0
    assert np.isnan(masked["value"].sel(measure="total")[16])


def test_the_dose_before_each_image_follows_the_order() -> None:
    series = seen(np.array([0.0, 20.0, 40.0]))
    series["dose"] = ("tilt", np.array([10.0, 20.0, 40.0]), {"units": "e/angstrom**2"})
    with pytest.warns(AetxWarning, match="nothing tells of damage"):
        made = judged(series, order=(30, 10, 20))
    np.testing.assert_array_equal(made["order"], [2, 0, 1])
    np.testing.assert_array_equal(made["dose"], [60, 0, 20])


def test_nothing_is_told_without_two_images_of_one_pose_and_enough_of_them() -> None:
    with pytest.warns(AetxWarning, match="nothing tells of damage"):
        made = judged(seen(np.linspace(-60, 60, 5)), None, ATOMS)
    assert np.isnan(made["changed"])
    assert made.sizes["pair"] == 0
    assert np.isnan(made["change"]).all()


def test_neighbours_in_time_are_no_first_and_last() -> None:
    made = judged(seen(np.repeat(np.linspace(-60, 60, 8), 2)))
    assert made.sizes["pair"] == 0


def test_an_order_must_place_every_image_once() -> None:
    for order in ((1, 2), (0, 0, 1)):
        with pytest.raises(InputError, match="give each image one place"):
            judged(seen(np.array([0.0, 20.0, 40.0])), order=order)


def test_trends_that_are_not_there_have_evenly_spread_chances_and_those_that_are_come_back() -> None:
    generator = np.random.default_rng(0)
    dose, pose = np.linspace(0, 1, 21), np.linspace(-1, 1, 21)[:, None] ** 2
    null = [trend(generator.normal(size=21) + 3 * pose[:, 0], dose, pose).chance for _ in range(400)]
    assert kstest(null, "uniform").pvalue > 1e-3
    assert np.mean(np.array(null) < 0.01) < 0.03
    found = trend(2 + 0.5 * dose + 3 * pose[:, 0], dose, pose)
    assert found.change == pytest.approx(0.5)


def test_noise_that_is_alike_from_image_to_image_seldom_looks_like_a_trend() -> None:
    generator, dose = np.random.default_rng(1), np.linspace(0, 1, 41)
    seldom = 0
    for _ in range(300):
        noise = np.convolve(generator.normal(size=60), 0.6 ** np.arange(12), "valid")[:41]
        seldom += trend(noise, dose, np.abs(dose - 0.5)[:, None]).chance < 0.01
    assert seldom <= 12, "of 300; white noise has three"


def test_a_dose_that_goes_with_the_pose_is_not_told_from_it() -> None:
    dose = np.linspace(0, 1, 21)
    assert np.isnan(trend(dose, dose, (2 * dose + 1)[:, None]).change)
