"""simulate.roughened"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.stages.simulate.roughened import roughened

NEAREST = 4.078 / np.sqrt(2)


def spots(position: np.ndarray) -> int:
    """Number of different places in the image."""
    image = position[:, :2]
    near = KDTree(image).query_ball_point(image, 0.4)
    return len({min(one) for one in near})


def test_atoms_lie_on_an_fcc_lattice_and_know_their_neighbours() -> None:
    made = roughened(seed=1)
    position = made["position"].values
    tree = KDTree(position)
    assert_allclose(np.asarray(tree.query(position, k=2)[0])[:, 1], NEAREST)
    near = np.asarray(tree.query_ball_point(position, NEAREST * 1.1, return_length=True)) - 1
    assert (made["coordination"].values == near).all()
    assert near.max() == 12
    assert (made["species"] == 79).all()


@pytest.mark.parametrize(("zone", "spacing"), [("110", 4.078 * np.sqrt(6) / 4), ("111", 4.078 / np.sqrt(6))])
def test_columns_lie_along_the_beam_without_tilt(zone: str, spacing: float) -> None:
    position = roughened(zone=zone, tilt=0.0, smallest=20.0, added=0.0)["position"].values
    image = position[:, :2]
    distance = np.asarray(KDTree(image).sparse_distance_matrix(KDTree(image), 3.0).todense())
    assert_allclose(distance[distance > 1e-6].min(), spacing, rtol=1e-6)
    assert spots(position) < len(position) / 2.5


def test_the_tilt_is_up_to_five_degrees_in_any_direction() -> None:
    leans = []
    for seed in range(12):
        position = roughened(seed=seed, zone="111", smallest=14.0, largest=14.0)["position"].values
        first, second = KDTree(position).query_pairs(4.078 * np.sqrt(3) * 1.01, output_type="ndarray").T
        steps = position[second] - position[first]
        steps = steps[np.linalg.norm(steps, axis=1) > 4.078 * np.sqrt(3) * 0.99]
        leans.append(steps[np.argmax(np.abs(steps[:, 2]))] / (4.078 * np.sqrt(3)))
    lean = np.array(leans) * np.sign(np.array(leans)[:, 2:])
    angle = np.rad2deg(np.arccos(np.clip(lean[:, 2], -1, 1)))
    assert 0.5 < angle.mean() < 4.5
    assert angle.max() < 5
    assert np.ptp(np.arctan2(lean[:, 1], lean[:, 0])) > 3


def test_cold_particles_are_smooth_and_hot_ones_rough() -> None:
    options: dict[str, Any] = {"smallest": 24.0, "largest": 24.0, "added": 0.33}

    def loose(temperature: float) -> int:
        made = roughened(**options, coldest=temperature, warmest=temperature, seed=7)
        assert made.attrs["temperature"] == temperature
        assert made.attrs["added"] > 100
        return int((made["coordination"] <= 4).sum())

    assert loose(0.1) < 5 < 50 < loose(50.0)


def test_up_to_a_third_more_atoms_are_added_to_a_faceted_particle() -> None:
    for seed in range(6):
        made = roughened(seed=seed)
        cut = roughened(seed=seed, added=0.0)
        assert 50 < cut.sizes["atom"] < 1300
        assert made.sizes["atom"] == cut.sizes["atom"] + made.attrs["added"]
        assert 0 <= made.attrs["added"] <= cut.sizes["atom"] / 3


def test_a_support_lies_below_a_plane_that_contains_the_beam() -> None:
    made = roughened(tilt=0.0, smallest=24.0, buried=0.3, support=10.0, seed=3, coldest=1.0)
    position, metal = made["position"].values, made["species"].values == 79
    assert set(made["species"].values.tolist()) == {6, 79}
    assert np.isnan(made["coordination"].values[~metal]).all()
    towards = position[metal].mean(axis=0) - position[~metal].mean(axis=0)
    assert abs(towards[2]) < 0.3 * np.linalg.norm(towards)
    angle = np.linspace(0, 2 * np.pi, 3601)
    up = np.stack([np.cos(angle), np.sin(angle)])
    gap = (position[metal, :2] @ up).min(axis=0) - (position[~metal, :2] @ up).max(axis=0)
    assert_allclose(gap.max(), (NEAREST + 1.42) / 2, atol=0.4)
    density = (~metal).sum() / (10.0 * np.prod(np.sort(np.ptp(position @ _frame(up[:, gap.argmax()]), axis=0))[-2:]))
    assert_allclose(density, 0.1, rtol=0.1)


def _frame(up: np.ndarray) -> np.ndarray:
    return np.array([[up[0], -up[1], 0], [up[1], up[0], 0], [0, 0, 1]])


def test_a_buried_particle_has_lost_its_lower_layers() -> None:
    options: dict[str, Any] = {"smallest": 28.0, "added": 0.0}
    whole, most, few = (roughened(**options, buried=buried).sizes["atom"] for buried in (0.0, 0.2, 0.8))
    assert 0.8 < most / whole < 1  # a ball keeps 0.896 and 0.104 of its volume
    assert 0 < few / whole < 0.3


def test_seeds_make_different_particles_and_the_same_seed_the_same() -> None:
    assert roughened(seed=1).identical(roughened(seed=1))
    assert not roughened(seed=1).equals(roughened(seed=2))


def test_two_hundred_thousand_atoms_are_possible() -> None:
    assert roughened(smallest=160.0, largest=160.0).sizes["atom"] > 180_000


@pytest.mark.parametrize("wrong", [{"smallest": 30.0}, {"coldest": 2.0}, {"margin": 5.0}])
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"not above|without a support"):
        roughened(**wrong)
