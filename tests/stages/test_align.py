from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.core.tomography import rotations
from aetx.errors import AetxWarning, InputError
from aetx.kernels.pose_matching import translation_of
from aetx.kernels.projection import rotation
from aetx.stages.align.axis import AxisParams, axis
from aetx.stages.align.backlash import backlash
from aetx.stages.align.centre import centre
from aetx.stages.align.common_line import common_line
from aetx.stages.align.correlate import correlate
from aetx.stages.align.reproject import ReprojectParams, reproject

STEP, SIZE, WIDTH, TILTS = 0.8, 48, 1.3, 11
LENGTH, ANGLE, ONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}
ATOMS = np.random.default_rng(5).normal(size=(14, 3)) * 3.2


def poses(azimuth: float = 0.0, phi: np.ndarray | None = None) -> np.ndarray:
    theta = np.deg2rad(np.linspace(-65, 65, TILTS))
    turn = rotation(np.array([np.deg2rad(azimuth)]), np.zeros(1), np.zeros(1))[0]
    return turn @ rotation(np.zeros(TILTS) if phi is None else np.deg2rad(phi), theta, 0 * theta) @ turn.T


def draw(turned: np.ndarray, shift: np.ndarray, stated: np.ndarray | None = None) -> xr.Dataset:
    """Counts of Gaussian atoms written out; `shift` in pixels; the angles are those of `stated`, or true."""
    side = (np.arange(SIZE) - SIZE // 2) * STEP
    images = []
    for turn, (x, y) in zip(turned, shift * STEP, strict=True):
        seen = ATOMS @ turn
        parts = [np.exp(-((side - p - s) ** 2) / (2 * WIDTH**2)) for p, s in ((seen[:, 1:2], y), (seen[:, :1], x))]
        images.append(1000 * np.einsum("ay,ax->yx", *parts))
    told = turned if stated is None else stated
    theta = np.rad2deg(np.arcsin(-told[:, 2, 0]))
    phi = np.rad2deg(np.arctan2(told[:, 1, 0], told[:, 0, 0]))
    psi = np.rad2deg(np.arctan2(told[:, 2, 1], told[:, 2, 2]))
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), np.array(images, np.float32), {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(len(turned)), ONE),
            **{name: ("tilt", one, ANGLE) for name, one in (("phi", phi), ("theta", theta), ("psi", psi))},
            "y": ("y", side, LENGTH),
            "x": ("x", side, LENGTH),
        },
        attrs={"aetx_schema": "tilt_series/1"},
    )


def noisy(series: xr.Dataset, seed: int = 0) -> xr.Dataset:
    counts = np.random.default_rng(seed).poisson(series["image"].values).astype(np.float32)
    return series.assign(image=(series["image"].dims, counts, series["image"].attrs))


def wander(seed: int = 2, size: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-size, size, (TILTS, 2))


def left(aligned: xr.Dataset, shift: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """What was found less the truth, pixels, without what a translation of the specimen makes."""
    off = np.stack([aligned[f"shift_{axis}"].values for axis in "xy"], axis=1) / STEP - shift
    return np.asarray(off - translation_of(off, turned))


def test_centres_of_mass_align_images_whatever_their_poses() -> None:
    shift, turned = wander(), poses(phi=np.linspace(0, 200, TILTS))
    series = draw(turned, shift)
    made = centre(series)
    assert np.abs(left(made, shift, turned)).max() < 0.02
    side = made["x"].values
    total = made["image"].sum(["y", "x"])
    assert np.abs(((made["image"] * side).sum(["y", "x"]) / total).values).max() < 0.03
    assert not made["mask"].values.all()


def test_errors_of_centres_are_the_scatter_of_repeats() -> None:
    turned = poses()
    series = draw(turned, np.zeros((TILTS, 2)))
    quiet = centre(series)["shift_x"].values
    made = [centre(noisy(series, seed)) for seed in range(12)]
    seen = np.sqrt(np.mean([(one["shift_x"].values - quiet) ** 2 for one in made]))
    told = np.sqrt(np.mean([one["shift_x_error"].values ** 2 for one in made]))
    assert told == pytest.approx(seen, rel=0.25)


def test_a_second_stage_adds_to_the_shifts_of_the_first_and_moves_on_from_its_images() -> None:
    shift, turned = wander(), poses()
    series = draw(turned, shift)
    first = centre(series)
    second = centre(first)
    assert np.abs((second["shift_x"] - first["shift_x"]).values).max() < 0.02 * STEP
    moved = draw(turned, shift - np.stack([second[f"shift_{a}"].values for a in "xy"], axis=1) / STEP)
    inner = np.s_[:, 5:-5, 5:-5]
    np.testing.assert_allclose(second["image"].values[inner], moved["image"].values[inner], atol=2.0)


@pytest.mark.parametrize("space", ["fourier", "real"])
def test_common_lines_of_one_axis_tell_shifts_along_it_and_nothing_across(space: str) -> None:
    shift, turned = wander(size=1.5), poses()
    made = common_line(noisy(draw(turned, shift)), space=space, resolution=3.0)
    assert np.abs(left(made, shift, turned)[:, 1]).max() < 0.06
    assert np.isnan(made["shift_x_error"].values).all()
    assert (made["shift_x"].values == 0).all()


@pytest.mark.parametrize("space", ["fourier", "real"])
def test_common_lines_of_many_axes_tell_both_shifts_within_their_errors(space: str) -> None:
    shift, turned = wander(size=1.5), poses(phi=np.linspace(0, 170, TILTS))
    made = common_line(noisy(draw(turned, shift)), space=space, resolution=3.0)
    off = left(made, shift, turned)
    error = np.stack([made[f"shift_{axis}_error"].values for axis in "xy"], axis=1) / STEP
    assert np.sqrt((off**2).mean()) < 0.06
    assert np.isfinite(error).all()
    assert 0.2 < np.sqrt(((off / error) ** 2).mean()) < 2.0


@pytest.mark.parametrize("azimuth", [1.5, -2.3])
def test_the_direction_of_the_axis_is_found_with_its_sign_and_becomes_part_of_the_poses(azimuth: float) -> None:
    true = poses(azimuth)
    series = draw(true, wander(), stated=poses())
    seen = axis(noisy(series), position=False, resolution=3.0)
    assert abs(float(seen["azimuth"]) - azimuth) < 2.5 * float(seen["azimuth_error"]) < 0.3
    made = axis(series, position=False, resolution=3.0)
    assert float(made["azimuth"]) == pytest.approx(azimuth, abs=0.02)
    np.testing.assert_allclose(rotations(made), true, atol=1.5e-3)
    assert (made["stated_phi"].values == 0).all()
    again = axis(made, position=False, resolution=3.0)
    np.testing.assert_allclose(rotations(again), rotations(made), atol=1e-3)
    assert (again["stated_phi"].values == 0).all()
    assert "mask" not in made


def test_what_is_known_of_single_images_helps_to_find_the_axis() -> None:
    wrong = np.random.default_rng(1).uniform(-3, 3, TILTS)
    stated = poses() @ rotation(np.deg2rad(wrong), 0 * wrong, 0 * wrong)
    turn = rotation(np.deg2rad([1.2]), np.zeros(1), np.zeros(1))[0]
    made = axis(draw(turn @ stated @ turn.T, wander(), stated=stated), position=False, resolution=3.0)
    np.testing.assert_allclose(rotations(made), turn @ stated @ turn.T, atol=2e-3)


def test_the_position_of_the_axis_is_found_though_the_specimen_is_off_it() -> None:
    turned = poses()
    carried = np.einsum("tij,i->tj", turned, [1.5, -0.5, 2.0])[:, :2]
    made = axis(draw(turned, carried + np.array([2.0, 0.0])), reach=1.0)
    assert float(made["axis_offset"]) == pytest.approx(2.0 * STEP, abs=0.05)
    np.testing.assert_allclose(made["shift_x"].values, 2.0 * STEP, atol=0.05)


def test_an_axis_beyond_the_search_is_told_and_many_axes_are_refused() -> None:
    series = draw(poses(4.0), np.zeros((TILTS, 2)), stated=poses())
    with pytest.warns(AetxWarning, match="raise 'reach'"):
        axis(series, reach=2.0, position=False)
    with pytest.raises(InputError, match=r"align\.common_line and align\.reproject"):
        axis(draw(poses(phi=np.linspace(0, 90, TILTS)), np.zeros((TILTS, 2))))


def test_neighbours_that_correlate_bring_large_shifts_near() -> None:
    shift, turned = wander(size=6.0), poses()
    made = correlate(draw(turned, shift), fine=2.0)
    assert np.sqrt((left(made, shift, turned) ** 2).mean()) < 0.25 * np.sqrt((shift**2).mean())
    assert np.isnan(made["correlation"].values).sum() == 1
    assert np.nanmin(made["correlation"].values) > 0.5


def test_a_flat_specimen_needs_the_stretch() -> None:
    turned = poses()
    flat = ATOMS * [2.0, 1.0, 0.0]
    series = draw(turned, np.zeros((TILTS, 2)))
    side = series["x"].values
    for i, turn in enumerate(turned):
        seen = flat @ turn
        parts = [np.exp(-((side - seen[:, k : k + 1]) ** 2) / (2 * WIDTH**2)) for k in (1, 0)]
        series["image"].values[i] = 1000 * np.einsum("ay,ax->yx", *parts)
    off = {
        one: np.abs(left(correlate(series, stretch=one), np.zeros((TILTS, 2)), turned)).max() for one in (True, False)
    }
    assert off[True] < 0.3
    assert off[True] < 0.6 * off[False]


def test_reprojection_refines_shifts_and_angles_together() -> None:
    shift = wander(seed=4, size=0.7)
    wrong = np.random.default_rng(8).uniform(-1.5, 1.5, TILTS)
    stated = poses()
    true = stated @ rotation(np.deg2rad(wrong), 0 * wrong, 0 * wrong)
    series = draw(true, shift, stated=stated)
    made = reproject(series, turn="in_plane", angle_error=2.0, iterations=30, rounds=5)
    assert np.sqrt((left(made, shift, true) ** 2).mean()) < 0.1
    turn = true.transpose(0, 2, 1) @ rotations(made)
    assert np.sqrt((np.rad2deg(turn[:, 1, 0]) ** 2).mean()) < 0.6 * np.sqrt((wrong**2).mean())
    assert made["r_free"].values.mean() < 0.7 * float(made["r_free_history"][0])
    assert made["turn_error"].dims == ("tilt", "camera")
    np.testing.assert_array_equal(made["stated_phi"].values, series["phi"].values)


def test_images_that_show_nothing_or_are_not_finite_are_refused_by_number() -> None:
    series = draw(poses(), np.zeros((TILTS, 2)))
    series["image"].values[3] = 0
    series["image"].values[5, 0, 0] = np.nan
    with pytest.raises(InputError) as caught:
        centre(series)
    assert "tilt 3 constant" in str(caught.value)
    assert "not finite in tilt 5" in str(caught.value)


def test_parameters_without_use_are_refused() -> None:
    with pytest.raises(ValueError, match="position: false leaves margin"):
        AxisParams(position=False, margin=3.0)
    with pytest.raises(ValueError, match="turn: none"):
        ReprojectParams(turn="none", angle_error=1.0)
    with pytest.raises(ValueError, match="settled below"):
        ReprojectParams(settled=3.0)


def sweep(play: float) -> xr.Dataset:
    """Every other image with rising tilt, the others with falling, tilted by `play` more than they say, degree."""
    order = np.r_[np.arange(0, TILTS, 2), np.arange(TILTS - 2, 0, -2)]
    down = np.arange(TILTS) >= (TILTS + 1) // 2
    stated = poses()[order]
    true = stated @ rotation(np.zeros(TILTS), np.deg2rad(np.where(down, play, 0.0)), np.zeros(TILTS))
    return draw(true, np.zeros((TILTS, 2)), stated=stated)


def test_falling_images_are_turned_by_the_play_of_the_goniometer() -> None:
    series = sweep(2.0)
    made = backlash(series, angle_error=3.0, iterations=30, rounds=3)
    assert float(made["backlash"]) == pytest.approx(2.0, abs=0.5)
    assert 0 < float(made["backlash_error"]) < 0.5
    change = (made["theta"] - series["theta"]).values
    np.testing.assert_allclose(change, np.where(np.arange(TILTS) >= 6, float(made["backlash"]), 0), atol=1e-9)
    np.testing.assert_array_equal(made["image"].values, series["image"].values)


def test_tilts_that_only_rise_tell_no_backlash() -> None:
    series = draw(poses(), np.zeros((TILTS, 2)))
    with pytest.warns(AetxWarning, match="0 of 11 images"):
        made = backlash(series)
    assert np.isnan(made["backlash"])
    np.testing.assert_array_equal(made["theta"].values, series["theta"].values)
