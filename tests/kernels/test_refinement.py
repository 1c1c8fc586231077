"""The joint fit of atoms and poses: its derivatives against differences of plain images, and what it recovers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.fft import fftfreq, next_fast_len, rfftfreq
from scipy.spatial.transform import Rotation

from aetx.kernels import refinement
from aetx.kernels.mixtures import gaussians
from aetx.kernels.refinement import (
    F64,
    Free,
    Linear,
    Noise,
    Plan,
    Prior,
    Scene,
    State,
    conjugate_gradients,
    fit,
    turned_by,
    turns,
    without_gauge,
)
from aetx.kernels.scattering import kirkland
from tests.kernels.scenes import (
    BACKGROUND,
    STEP,
    apart,
    cluster,
    counted,
    disturbed,
    pictures,
    scene_of,
    state_of,
    turned,
)

ALL = Free(distortion=True, heights="each", widths="each")
SHARED = Free(distortion=True)
FIXED = Free(False, False, False, False, heights="fixed", widths="fixed")
DELTA = 1e-5


def problem(atoms: int = 6, tilts: int = 4, seed: int = 0) -> tuple[Scene, State]:
    """Two sorts of atoms at odd poses, and counts of a model that stands a little elsewhere."""
    generator = np.random.default_rng(seed)
    truth = state_of(cluster(atoms, seed), turned(tilts, seed=seed, spread=20.0), sorts=2)
    scene = scene_of(truth, sorts=2)
    state = disturbed(truth, seed + 1, position=0.1, turn=1.0, shift=0.2)
    state = replace(
        state,
        width=state.width * generator.uniform(0.95, 1.1, atoms),
        scale=generator.uniform(0.9, 1.1, tilts),
        stretch=generator.normal(0, 0.01, (tilts, 3)),
    )
    return replace(scene, images=counted(pictures(scene, truth), seed)), state


def along(state: State, free: Free, vector: F64) -> State:
    """Move a state by hand along unknowns in their order: atoms, sorts, images."""
    atoms, tilts, sorts = len(state.position), len(state.turned), int(state.sort.max()) + 1
    parts = np.split(vector, np.cumsum([atoms * len(free.of_atom), sorts * len(free.of_sort)]))
    of_atom = dict(zip(free.of_atom, parts[0].reshape(atoms, -1).T, strict=True))
    of_sort = dict(zip(free.of_sort, parts[1].reshape(sorts, -1).T, strict=True))
    of_tilt = dict(zip(free.of_tilt, parts[2].reshape(tilts, -1).T, strict=True))

    def both(name: str) -> F64 | float:
        return of_atom.get(name, 0.0) + (of_sort[name][state.sort] if name in of_sort else 0.0)

    def many(table: dict[str, F64], *names: str) -> F64:
        return np.stack([table.get(name, np.zeros(tilts)) for name in names], axis=1)

    turn = many(of_tilt, "turn_x", "turn_y", "turn_z")
    moved = np.stack([of_atom[axis] for axis in "xyz"], axis=1) if free.positions else 0.0
    return replace(
        state,
        position=state.position + moved,
        height=state.height * np.exp(both("height")),
        width=state.width + both("width"),
        turned=state.turned @ Rotation.from_rotvec(-turn).as_matrix(),
        shift=state.shift + many(of_tilt, "shift_x", "shift_y"),
        scale=state.scale * np.exp(of_tilt.get("scale", 0.0)),
        background=state.background + of_tilt.get("background", 0.0),
        stretch=state.stretch + many(of_tilt, "stretch_xx", "stretch_yy", "stretch_xy"),
    )


def jacobian(scene: Scene, state: State, free: Free, size: int) -> F64:
    """Central differences of all pixels by all unknowns, shape (unknowns, T * rows * columns)."""
    made = []
    for unit in np.eye(size):
        ends = [pictures(scene, along(state, free, sign * DELTA * unit)) for sign in (1, -1)]
        made.append((ends[0] - ends[1]).ravel() / (2 * DELTA))
    return np.array(made)


def profiled(scene: Scene) -> Scene:
    """The same images for atoms of one sort with the scattering factor of platinum."""
    padded = next_fast_len(scene.shape[0] + 40, real=True), next_fast_len(scene.shape[1] + 40, real=True)
    q = np.hypot(fftfreq(padded[0], STEP)[:, None], rfftfreq(padded[1], STEP))
    transfer = (kirkland(78, q) / kirkland(78, 0.0)).astype(np.float32)
    return replace(scene, transfer=[transfer], padding=20, padded=padded, effective=np.array([0.3]))


def weights(scene: Scene, state: State, noise: Noise) -> np.ndarray:
    return np.stack([noise.weight(i, one, scene.trusted(i)) for i, one in enumerate(scene.models(state))])


def test_models_are_the_images_of_plain_numpy() -> None:
    scene, state = problem()
    wanted = pictures(scene, state)
    assert_allclose(scene.models(state), wanted, atol=4e-6 * wanted.max())


@pytest.mark.parametrize("free", [ALL, SHARED, Free(heights="each"), FIXED], ids=["each", "shared", "mixed", "fixed"])
def test_the_gradient_is_a_difference_of_the_deviance(free: Free) -> None:
    scene, state = problem()
    noise = Noise(1.0, 0.3)

    def deviance(moved: State) -> float:
        mean, count = pictures(scene, moved) + 0.3, scene.images.astype(float) + 0.3
        return float(2 * (mean - count + count * np.log(count / mean)).sum())

    linear = Linear(scene, state, free, weights(scene, state, noise))
    models = scene.models(state)
    score = linear.back(lambda tilt: linear.weight[tilt] * (scene.images[tilt] - models[tilt]))
    wanted = np.empty(linear.size)
    for i, unit in enumerate(np.eye(linear.size)):
        wanted[i] = deviance(along(state, free, DELTA * unit)) - deviance(along(state, free, -DELTA * unit))
    wanted /= -4 * DELTA
    size = np.sqrt(np.diag(np.stack([linear.apply(unit) for unit in np.eye(linear.size)])))
    assert_allclose(score / size, wanted / size, rtol=1e-4, atol=1e-4 * np.abs(wanted / size).max())


@pytest.mark.parametrize("free", [ALL, SHARED], ids=["each", "shared"])
def test_information_is_that_of_the_dense_jacobian(free: Free) -> None:
    scene, state = problem()
    weight = weights(scene, state, Noise(1.3, 0.3))
    prior = Prior(height=0.2, width=0.1, turn=0.05, shift=0.5, stretch=0.01)
    linear = Linear(scene, state, free, weight, prior)
    dense = jacobian(scene, state, free, linear.size)
    wanted = dense * weight.ravel() @ dense.T + np.diag(linear.prior_information)
    found = np.stack([linear.apply(unit) for unit in np.eye(linear.size)])
    root = np.sqrt(np.diag(wanted))
    assert_allclose(found / np.outer(root, root), wanted / np.outer(root, root), atol=2e-5)


@pytest.mark.parametrize("free", [ALL, SHARED], ids=["each", "shared"])
def test_rough_information_is_that_of_gaussians_on_pixels_put_together(free: Free) -> None:
    scene, state = problem()
    scene = replace(scene, step=0.5 * scene.step, images=np.repeat(np.repeat(scene.images, 2, 1), 2, 2))
    weight = weights(scene, state, Noise(1.3, 0.3))
    prior = Prior(height=0.2, width=0.1, turn=0.05, shift=0.5, stretch=0.01)
    exact = Linear(scene, state, free, weight, prior)
    rough = replace(exact, rough=True)
    assert rough.together > 1
    found, wanted = (np.stack([one.apply(unit) for unit in np.eye(exact.size)]) for one in (rough, exact))
    root = np.sqrt(np.diag(wanted))
    assert_allclose(found, found.T, atol=1e-5 * np.outer(root, root).max())
    assert_allclose(found / np.outer(root, root), wanted / np.outer(root, root), atol=0.1)


def test_rough_steps_end_where_exact_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = state_of(cluster(12), turned(9))
    scene = profiled(scene_of(truth))
    scene = replace(scene, images=counted(scene.models(truth).astype(np.float64), 0))
    state = disturbed(truth, 1, position=0.1, turn=1.0, shift=0.2)
    made = []
    for slow in (0.0, 1.0):
        monkeypatch.setattr(refinement, "SLOW", slow)
        made.append(fit(scene, state, SHARED, Noise(1.0, 0.3), Plan(40, 40, 1e-6)))
    assert made[1].deviance == pytest.approx(made[0].deviance, abs=0.01)
    assert_allclose(made[1].state.position, made[0].state.position, atol=1e-3)


def test_priors_are_relative_for_heights_and_widths() -> None:
    scene, state = problem()
    prior = Prior(height=0.2, width=0.1, turn=0.05, shift=0.5, stretch=0.01)
    linear = Linear(scene, state, ALL, np.ones_like(scene.images), prior)
    atoms, _, tilts = linear.parts(linear.prior_information)
    assert_allclose(atoms[:, 3], 25.0)
    assert_allclose(atoms[:, 4], (0.1 * state.width) ** -2)
    assert not atoms[:, :3].any()
    known = [400.0] * 3 + [4.0] * 2 + [0.0] * 2 + [1e4] * 3
    assert_allclose(tilts, np.tile(known, (len(tilts), 1)))


def test_blocks_invert_the_information_of_each_atom_and_image_alone() -> None:
    scene, state = problem()
    linear = Linear(scene, state, ALL, weights(scene, state, Noise()), Prior(height=0.3))
    whole = np.stack([linear.apply(unit) for unit in np.eye(linear.size)])
    size = len(ALL.of_atom)
    for atom in range(len(state.position)):
        part = slice(atom * size, (atom + 1) * size)
        assert_allclose(linear.blocks[0][atom] @ whole[part, part], np.eye(size), atol=2e-3)
    first, many = linear.shapes[0][0] * size, len(ALL.of_tilt)
    for tilt in range(len(state.turned)):
        part = slice(first + tilt * many, first + (tilt + 1) * many)
        assert_allclose(linear.blocks[2][tilt] @ whole[part, part], np.eye(many), atol=2e-3)


def test_conjugate_gradients_solve_the_equations() -> None:
    scene, state = problem()
    free, prior = replace(SHARED, scale=False), Prior(turn=0.05, shift=0.5, stretch=0.01)
    linear = Linear(scene, state, free, weights(scene, state, Noise()), prior)
    whole = np.stack([linear.apply(unit) for unit in np.eye(linear.size)])
    right = np.random.default_rng(0).standard_normal(linear.size)
    found, taken = conjugate_gradients(linear, right, 300, 1e-5)
    assert taken < 300
    wanted = np.linalg.solve(whole, right)
    error = found - wanted
    assert error @ whole @ error < 1e-6 * (wanted @ whole @ wanted)


def test_a_step_moves_the_state_as_the_unknowns_say() -> None:
    scene, state = problem()
    for free in (ALL, SHARED):
        linear = Linear(scene, state, free, np.ones_like(scene.images))
        vector = 1e-4 * np.random.default_rng(1).standard_normal(linear.size)
        found, wanted = linear.stepped(vector), along(state, free, vector)
        for name in ("position", "height", "width", "turned", "shift", "scale", "background", "stretch"):
            assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-6, atol=1e-12)
        half = linear.stepped(vector, 0.5)
        assert_allclose(half.position - state.position, 0.5 * (found.position - state.position), atol=1e-12)


def test_a_scattering_factor_is_that_of_its_sum_of_gaussians_and_its_transpose() -> None:
    truth = state_of(cluster(5), turned(3))
    scene = scene_of(truth)
    scene = profiled(scene)
    mixture = gaussians(lambda q: kirkland(78, q) / kirkland(78, 0.0), 0.5)
    wanted = pictures(scene, truth, list(zip(*mixture, strict=True)))
    assert_allclose(scene.models(truth), wanted, atol=2e-3 * wanted.max())
    linear = Linear(scene, truth, ALL, np.ones_like(scene.images))
    generator = np.random.default_rng(3)
    vector, images = generator.standard_normal(linear.size), generator.standard_normal(scene.images.shape)
    images = images.astype(np.float32)
    atoms, sorts, tilts = linear.parts(vector)
    changed = np.stack([linear.image(tilt, *linear.moves(tilt, atoms, sorts, tilts[tilt])) for tilt in range(3)])
    size = np.sqrt((changed.astype(float) ** 2).sum() * (images.astype(float) ** 2).sum())
    assert_allclose(linear.back(lambda tilt: images[tilt]) @ vector, np.vdot(changed, images), atol=1e-5 * size)


def test_one_atom_is_found_within_a_tenth_of_a_picometre() -> None:
    truth = state_of(np.array([[0.4, -0.3, 0.7]]), turned(7))
    scene = scene_of(truth)
    free = Free(angles=False, shifts=False)
    begin = replace(
        truth, position=truth.position + np.array([0.15, -0.2, 0.2]), width=np.array([0.6]), height=np.array([250.0])
    )
    begin = replace(begin, background=np.zeros(7))
    found = fit(scene, begin, free, Noise(), Plan(20, 20, 1e-9)).state
    assert_allclose(found.position, truth.position, atol=1e-3)
    assert_allclose(found.width, 0.5, rtol=1e-3)
    assert_allclose(found.height * found.scale.mean(), 300.0, rtol=1e-3)
    assert_allclose(found.background, BACKGROUND, atol=0.01)


def test_a_cluster_30_pm_astray_is_found_within_a_picometre() -> None:
    truth = state_of(cluster(30), turned(21))
    scene = scene_of(truth)
    begin = disturbed(truth, 1, position=0.3 / np.sqrt(3))
    assert apart(begin.position, truth.position) > 0.2
    found = fit(scene, begin, Free(), Noise(), Plan(15, 30, 1e-8), Prior(turn=0.05, shift=1.0), begin).state
    assert apart(found.position, truth.position) < 0.01


def test_angles_and_shifts_are_recovered_but_for_the_gauge() -> None:
    truth = state_of(cluster(30), turned(21))
    scene = scene_of(truth)
    begin = disturbed(truth, 2, position=0.05, turn=3.0, shift=STEP)
    plan = Plan(25, 30, 1e-8)
    found = fit(scene, begin, Free(), Noise(), plan, Prior(turn=0.05, shift=1.0), begin).state
    assert apart(found.position, truth.position) < 0.01
    end = without_gauge(found, truth)
    assert np.rad2deg(np.linalg.norm(turned_by(truth.turned, end.turned), axis=1)).max() < 0.1
    assert np.abs(end.shift - truth.shift).max() < 0.02
    assert np.rad2deg(np.linalg.norm(turned_by(truth.turned, begin.turned), axis=1)).max() > 3.0


def test_the_gauge_changes_poses_and_not_images() -> None:
    begin = state_of(cluster(8), turned(9))
    scene = scene_of(begin)
    by = Rotation.from_euler("ZYX", [4, -3, 5], degrees=True).as_matrix()
    moved = np.array([0.3, -0.2, 0.4])
    turned_all = by @ begin.turned
    other = replace(
        begin,
        position=begin.position @ by.T + moved,
        turned=turned_all,
        shift=begin.shift - (turned_all.transpose(0, 2, 1) @ moved)[:, :2],
        height=begin.height * 1.2,
        scale=begin.scale / 1.2,
    )
    assert_allclose(pictures(scene, other), pictures(scene, begin), atol=1e-9)
    found = without_gauge(other, begin)
    assert_allclose(pictures(scene, found), pictures(scene, begin), atol=1e-9)
    for name in ("position", "turned", "shift", "height", "scale"):
        assert_allclose(getattr(found, name), getattr(begin, name), atol=1e-9, err_msg=name)


def test_turns_are_told_by_the_vectors_that_made_them() -> None:
    vector = np.concatenate(
        [np.random.default_rng(4).uniform(-1.5, 1.5, (40, 3)), np.zeros((1, 3)), np.full((1, 3), 1e-9)]
    )
    assert_allclose(turns(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    before = turned(42, seed=1)
    assert_allclose(turned_by(before, before @ turns(-vector)), vector, atol=1e-7)


def test_weights_are_one_over_the_variance_and_nothing_behind_a_mask() -> None:
    model = np.array([[0.0, 3.0, -1.0, 8.0]], np.float32)
    seen = np.array([[1, 1, 1, 0]], np.float32)
    assert_allclose(Noise(2.0, 0.5).weight(0, model, None), 1 / (2.0 * np.array([[0.5, 3.5, 0.5, 8.5]])), rtol=1e-6)
    assert_allclose(Noise(2.0, 0.5).weight(0, model, seen)[0, 3], 0)
    variance = np.array([[[4.0, 0.0, 2.0, 1.0]]], np.float32)
    assert_allclose(Noise(2.0, 0.5, variance).weight(0, model, seen), [[0.25, 0, 0.5, 0]])


def test_the_deviance_is_twice_the_log_likelihood_ratio() -> None:
    image, model = np.array([[0.0, 4.0]], np.float32), np.array([[1.0, 3.0]], np.float32)
    wanted = 2 * (1.0 + (3.0 - 4.0 + 4.0 * np.log(4 / 3)))
    assert_allclose(Noise(1.0, 0.0).deviance(0, image, model, None), wanted, rtol=1e-6)
    assert_allclose(Noise(2.0, 0.0).deviance(0, image, model, None), wanted / 2, rtol=1e-6)
    variance = np.array([[[4.0, 0.25]]], np.float32)
    assert_allclose(Noise(1.0, 0.0, variance).deviance(0, image, model, None), 0.25 + 4.0, rtol=1e-6)
    assert Noise(1.0, 0.0).deviance(0, image, model, np.array([[0, 0]], np.float32)) == 0


def test_masked_pixels_do_not_matter() -> None:
    truth = state_of(cluster(6), turned(5))
    scene = scene_of(truth)
    seen = (np.random.default_rng(5).random(scene.images.shape) > 0.3).astype(np.float32)
    spoiled = np.where(seen > 0, scene.images, np.float32(1e4))
    begin = disturbed(truth, 3, position=0.05)
    free, plan = Free(angles=False, shifts=False), Plan(12, 20, 1e-8)
    found = fit(replace(scene, images=spoiled, seen=seen), begin, free, Noise(), plan).state
    assert_allclose(found.position, truth.position, atol=2e-3)


def test_given_variances_are_what_counts() -> None:
    truth = state_of(cluster(6), turned(5))
    scene = scene_of(truth)
    variance = np.full(scene.images.shape, 5.0, np.float32)
    spoiled = scene.images.copy()
    spoiled[:, :, ::3] = 500.0
    variance[:, :, ::3] = 1e12
    begin = disturbed(truth, 3, position=0.05)
    free, plan = Free(angles=False, shifts=False), Plan(12, 20, 1e-9)
    found = fit(replace(scene, images=spoiled), begin, free, Noise(variance=variance), plan).state
    assert_allclose(found.position, truth.position, atol=2e-3)


def test_the_fit_of_counts_ends_where_the_gradient_of_the_likelihood_vanishes() -> None:
    truth = state_of(cluster(8), turned(7))
    scene = scene_of(truth)
    scene = replace(scene, images=counted(pictures(scene, truth), 6))
    noise, prior = Noise(), Prior(turn=0.05, shift=1.0)
    made = fit(scene, truth, Free(), noise, Plan(15, 40, 1e-6), prior)
    assert made.left < 1e-4
    models = scene.models(made.state)
    linear = Linear(scene, made.state, Free(), weights(scene, made.state, noise), prior)
    score = linear.back(lambda tilt: linear.weight[tilt] * (scene.images[tilt] - models[tilt]))
    start = linear.back(
        lambda tilt: linear.weight[tilt] * (scene.images[tilt] - pictures(scene, truth)[tilt].astype(np.float32))
    )
    first, _, _ = linear.parts(score)
    other, _, _ = linear.parts(start)
    assert np.abs(first).max() < 0.02 * np.abs(other).max()
    pixels = scene.images.size
    assert abs(made.deviance / pixels - 1.0) < 0.1


def test_a_stiff_prior_holds_heights_together() -> None:
    truth = state_of(cluster(8), turned(7))
    scene = scene_of(truth)
    scene = replace(scene, images=counted(pictures(scene, truth), 7))
    free, spreads = replace(FIXED, heights="each"), []
    for known in (np.inf, 1e-4):
        height = fit(scene, truth, free, Noise(), Plan(8, 20, 1e-6), Prior(height=known)).state.height
        spreads.append(np.std(height) / np.mean(height))
    assert 0.01 < spreads[0] < 0.05
    assert spreads[1] < 1e-4


def test_workers_do_not_change_the_result() -> None:
    scene, state = problem()
    one, two = (
        fit(
            replace(scene, workers=workers),
            state,
            SHARED,
            Noise(),
            Plan(3, 10),
            Prior(turn=0.05, shift=0.5, stretch=0.01),
        )
        for workers in (1, 2)
    )
    assert (one.models == two.models).all()
    assert (one.state.position == two.state.position).all()


def test_no_step_makes_the_fit_worse_not_even_by_rounding() -> None:
    truth = state_of(cluster(6), turned(5))
    scene, free = scene_of(truth), Free(angles=False, shifts=False)
    scene = replace(scene, images=counted(pictures(scene, truth), 8))
    made = fit(scene, disturbed(truth, 3, position=0.1), free, Noise(), Plan(rounds=0))
    every = [made]
    for _ in range(25):
        every.append(fit(scene, every[-1].state, free, Noise(), Plan(rounds=1)))
    assert (np.diff([one.deviance for one in every]) <= 0).all()
    assert every[0].rounds == 0
    assert every[-1].deviance < every[0].deviance - 100


def test_what_is_known_before_pulls_with_its_own_information() -> None:
    truth = state_of(cluster(6), turned(3))
    scene, free = scene_of(truth), replace(FIXED, positions=False, shifts=True)
    begin = replace(truth, shift=truth.shift + 0.02)
    told = np.diag(
        np.stack([Linear(scene, truth, free, weights(scene, truth, Noise())).apply(one) for one in np.eye(6)])
    )
    prior = Prior(shift=float(told.mean()) ** -0.5)
    found = fit(scene, truth, free, Noise(), Plan(20, 20, 1e-12), prior, begin).state
    weight = told / (told + told.mean())
    assert_allclose((begin.shift - found.shift).ravel(), 0.02 * weight, rtol=0.05)


@pytest.mark.parametrize("unseen", ["image", "atom", "sort"])
def test_what_no_pixel_tells_stays_as_it_is_and_all_else_is_fitted(unseen: str) -> None:
    truth = state_of(cluster(6), turned(7))
    scene = scene_of(truth)
    begin = disturbed(truth, 3, position=0.05)
    if unseen == "image":
        seen = np.ones(scene.images.shape, np.float32)
        seen[2] = 0
        scene = replace(scene, seen=seen)
    elif unseen == "atom":
        begin = begin.of_atoms(np.array([0, 1, 2, 3, 4, 5, 5]))
        begin.position[6] = [0.0, 900.0, 0.0]
    else:
        scene = replace(scene, transfer=[None, None], effective=np.zeros(2))
    found = fit(scene, begin, Free(angles=False, shifts=False), Noise(), Plan(12, 20, 1e-9)).state
    assert_allclose(found.position[:6], truth.position, atol=2e-3)
    assert (found.position[6:] == begin.position[6:]).all()
    assert found.scale[2] == 1.0 or unseen != "image"
