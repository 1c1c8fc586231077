"""What residuals say about missing atoms: against sums over plain pictures, and atoms that were taken away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.fft import fftfreq, next_fast_len, rfftfreq

from aetx.kernels.mixtures import gaussians
from aetx.kernels.refinement import F64, Free, Noise, Plan, Scene, State, fit
from aetx.kernels.scattering import kirkland
from aetx.kernels.sites import FINE, Candidates, at, between, candidates, evidence, left_over, unit_picture
from tests.kernels.scenes import STEP, cluster, counted, pictures, scene_of, state_of, turned


def problem(seed: int = 0) -> tuple[Scene, State]:
    """A cluster of 20 atoms in 9 images of counts, with scales of their own."""
    state = state_of(cluster(20, seed), turned(9, seed=seed))
    state = replace(state, scale=np.linspace(0.8, 1.2, 9), shift=np.random.default_rng(seed).normal(0, 0.3, (9, 2)))
    scene = scene_of(state)
    return replace(scene, images=counted(pictures(scene, state), seed)), state


def looked(scene: Scene, state: State, **changes: float) -> Candidates:
    noise = Noise(1.0, 0.3)
    found = evidence(scene, state, scene.models(state), noise, 0, 0.5)
    wanted = {"least": 5.0, "height": 90.0, "separation": 1.3, "reach": 3.0} | changes
    return candidates(scene, state, found, within=state.position, **wanted)


def nearest(places: F64, one: F64) -> float:
    return float(np.linalg.norm(places - one, axis=1).min(initial=np.inf))


@pytest.mark.parametrize("masked", [False, True])
def test_evidence_is_the_sum_over_the_picture_of_an_atom(masked: bool) -> None:
    scene, state = problem()
    if masked:
        seen = (np.random.default_rng(1).random(scene.images.shape) > 0.2).astype(np.float32)
        scene = replace(scene, seen=seen)
    fewer = state.of_atoms(np.arange(1, 20))
    noise, width = Noise(1.0, 0.3), 0.55
    models = scene.models(fewer)
    found = evidence(scene, fewer, models, noise, 0, width)
    rows, columns = scene.shape
    for tilt, row, column in ((0, rows // 2, columns // 2), (4, 0, 3), (8, rows - 1, columns - 1)):
        v, u = np.mgrid[:rows, :columns].astype(float)
        square = ((v - row) ** 2 + (u - column) ** 2) * STEP**2
        picture = state.scale[tilt] * np.exp(-square / (2 * width**2)) * STEP**2 / (2 * np.pi * width**2)
        weight = 1.0 / (pictures(scene, fewer)[tilt] + 0.3)
        weight = weight if scene.seen is None else weight * scene.seen[tilt]
        residual = scene.images[tilt] - pictures(scene, fewer)[tilt]
        pulls = np.abs(weight * residual * picture).sum()
        assert_allclose(found.score[tilt, row, column], (weight * residual * picture).sum(), atol=1e-4 * pulls)
        assert_allclose(found.information[tilt, row, column], (weight * picture**2).sum(), rtol=1e-4)


def test_the_picture_of_an_atom_has_its_scattering_factor() -> None:
    scene, _ = problem()
    padded = next_fast_len(scene.shape[0] + 40, real=True), next_fast_len(scene.shape[1] + 40, real=True)
    q = np.hypot(fftfreq(padded[0], STEP)[:, None], rfftfreq(padded[1], STEP))
    transfer = (kirkland(78, q) / kirkland(78, 0.0)).astype(np.float32)
    scene = replace(scene, transfer=[transfer], padding=20, padded=padded, effective=np.array([0.3]))
    half = 12
    square = np.sum(np.square(np.mgrid[-half : half + 1, -half : half + 1]), axis=0) * STEP**2
    wanted = np.zeros(square.shape)
    for weight, spread in zip(*gaussians(lambda q: kirkland(78, q) / kirkland(78, 0.0), 0.5), strict=True):
        variance = 0.25 + spread**2
        wanted += weight * STEP**2 / (2 * np.pi * variance) * np.exp(-square / (2 * variance))
    assert_allclose(unit_picture(scene, 0, 0.5, half), wanted, atol=2e-3 * wanted.max())


def test_what_is_said_of_a_place_is_summed_over_the_images_where_it_shows() -> None:
    scene, state = problem()
    found = evidence(scene, state, scene.models(state), Noise(1.0, 0.3), 0, 0.5)
    place = np.array([[0.7, -1.1, 0.4], [500.0, 0.0, 0.0]])
    score, information = at(scene, state, found, place, [1, 5])
    wanted = np.zeros(2)
    for tilt in (1, 5):
        seen = (state.turned[tilt].T @ place[0])[:2] + state.shift[tilt] - scene.corner
        (left, low), (u, v) = np.floor(seen / STEP).astype(int), seen / STEP % 1
        for i, image in enumerate((found.score[tilt], found.information[tilt])):
            corners = image[low : low + 2, left : left + 2]
            wanted[i] += np.array([1 - v, v]) @ corners @ np.array([1 - u, u])
    assert_allclose([score[0], information[0]], wanted, rtol=1e-6)
    assert score[1] == information[1] == 0


@pytest.mark.parametrize("missing", [0, 7, 19])
def test_an_atom_that_was_taken_away_is_the_most_significant_place(missing: int) -> None:
    scene, state = problem()
    found = looked(scene, state.of_atoms(np.delete(np.arange(20), missing)))
    assert np.linalg.norm(found.place[0] - state.position[missing]) < 0.3 * FINE
    assert (np.diff(found.significance) <= 0).all()
    assert found.significance[0] > 20
    assert 0.75 < found.height[0] / state.height[missing] < 1.25


def test_nothing_is_missing_where_all_atoms_are_there() -> None:
    scene, state = problem()
    assert not len(looked(scene, state).place)


def test_several_missing_atoms_are_found_at_once() -> None:
    scene, state = problem()
    found = looked(scene, state.of_atoms(np.arange(3, 20)))
    for one in state.position[:3]:
        assert nearest(found.place, one) < 0.6


def test_places_are_apart_from_atoms_and_from_each_other() -> None:
    scene, state = problem()
    fewer = state.of_atoms(np.arange(6, 20))
    found = looked(scene, fewer, least=1.0, height=0.0, separation=1.7)
    assert len(found.place) > 3
    away = np.linalg.norm(found.place[:, None] - found.place, axis=-1) + 10 * np.eye(len(found.place))
    assert away.min() >= 1.7
    assert np.linalg.norm(found.place[:, None] - fewer.position, axis=-1).min() >= 1.7


def test_no_further_than_the_reach_from_places_is_looked() -> None:
    scene, state = problem()
    outer = int(np.argmax(state.position[:, 0]))
    fewer = state.of_atoms(np.delete(np.arange(20), outer))
    away = nearest(fewer.position, state.position[outer])
    assert nearest(looked(scene, fewer, reach=away + 0.5).place, state.position[outer]) < 0.5 * FINE
    inside = looked(scene, fewer, reach=away - 0.5, least=1.0, height=0.0).place
    assert len(inside)
    assert max(nearest(fewer.position, one) for one in inside) <= away - 0.5


def test_a_fit_takes_a_part_of_the_noise_with_it_and_of_an_atom_that_is_missing() -> None:
    position = cluster(60, 3)
    state = state_of(position, turned(4))
    scene = scene_of(state)
    scene = replace(scene, images=counted(pictures(scene, state), 1))
    noise = Noise(1.0, 0.3)
    told = evidence(scene, state, pictures(scene, state).astype(np.float32), noise, 0, 0.5)
    assert left_over(scene, state, told, 1.0) == pytest.approx(1, abs=0.3)
    free = Free(False, False, False, False, heights="each")
    fitted = fit(scene, state, free, noise, Plan(rounds=8, inner=30, tolerance=1e-3))
    after = evidence(scene, fitted.state, fitted.models, noise, 0, 0.5)
    assert left_over(scene, fitted.state, after, 1.0) < 0.7


def test_the_maximum_of_a_parabola_is_found_between_the_points_of_a_grid() -> None:
    top = np.array([3.2, 2.9, 4.4])
    z, y, x = np.meshgrid(*map(np.arange, (7, 6, 8)), indexing="ij")
    values = (9.0 - (z - top[0]) ** 2 - 2.0 * (y - top[1]) ** 2 - 0.5 * (x - top[2]) ** 2).astype(np.float32)
    known = np.ones(values.shape, bool)
    where = np.array([[3, 3, 4], [0, 3, 4]])
    assert_allclose(between(values, known, where)[0], top - where[0], atol=1e-5)
    assert between(values, known, where)[1, 0] == 0
    known[3, 3, 5] = False
    assert_allclose(between(values, known, where)[0], [0.2, -0.1, 0], atol=1e-5)
