"""Sites that come and go: clusters with atoms missing, invented, doubled or astray, seen in images of counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import cKDTree

from aetx.kernels import site_search
from aetx.kernels.refinement import F64, Fitted, Free, Noise, Plan, Prior, Scene, State, fit
from aetx.kernels.site_doubt import Change, doubted, doubtful, low
from aetx.kernels.site_growth import Entry, Patch, Rules, Terms
from aetx.kernels.site_search import STIFF, Found, heights, pruned, r_by_tilt, r_factor, search
from tests.kernels.scenes import BACKGROUND, apart, cluster, counted, disturbed, pictures, scene_of, state_of, turned

ATOMS = 30
NOISE, PRIOR = Noise(1.0, 0.3), Prior(turn=0.05, shift=1.0)


def problem(seed: int = 0) -> tuple[Scene, State]:
    """Atoms of 300 counts in 13 images, and a state that is right up to 10 pm."""
    truth = state_of(cluster(ATOMS, seed), turned(13, seed=seed))
    scene = scene_of(truth)
    scene = replace(scene, images=counted(pictures(scene, truth), seed))
    return scene, disturbed(truth, seed, position=0.1)


def with_atoms(state: State, places: Any) -> State:
    """Put atoms of the usual height at the end, with new ids."""
    places = np.reshape(places, (-1, 3))
    grown = state.of_atoms(np.concatenate([np.arange(len(state.position)), np.zeros(len(places), int)]))
    grown.position[len(state.position) :] = places
    grown.number[len(state.position) :] = state.number.max() + 1 + np.arange(len(places))
    return grown


def void(state: State, away: float = 2.0) -> F64:
    """A place inside the box of the atoms that is far from all of them."""
    places = np.random.default_rng(0).uniform(state.position.min(0), state.position.max(0), (4000, 3))
    distance = np.asarray(cKDTree(state.position).query(places)[0])
    return places[np.argmax(distance >= away)]


def mended(scene: Scene, begin: State, **options: Any) -> Found:
    """Search, and hold the ledger to what came of it."""
    found = search(scene, begin, NOISE, Rules(), prior=PRIOR, **options)
    state, ids = found.fitted.state, set(begin.number.tolist())
    used = set(ids)
    for one in found.ledger:
        assert one.number not in used if one.action == "added" else one.number in ids, one
        used.add(one.number)
        if one.action != "relabelled":
            ids ^= {one.number}
        assert one.reason
        assert np.isfinite([*one.position, one.score, one.r_before, one.r_after]).all()
    assert ids == set(state.number.tolist())
    assert len(ids) == len(state.number)
    return found


def is_the(scene: Scene, found: Found, truth: F64) -> None:
    """Hold the atoms to the true ones, one to one, within five standard errors of such counts."""
    position = found.fitted.state.position
    assert len(position) == len(truth)
    _, which = cKDTree(position).query(truth)
    assert_array_equal(np.sort(which), np.arange(len(truth)))
    assert apart(position[which], truth) < 0.1


def actions(found: Found) -> list[str]:
    return sorted(one.action for one in found.ledger)


def test_nothing_is_changed_where_nothing_is_wrong() -> None:
    scene, begin = problem()
    found = mended(scene, begin)
    assert found.ledger == ()
    assert_array_equal(found.fitted.state.number, begin.number)
    is_the(scene, found, cluster(ATOMS))


@pytest.mark.parametrize("missing", [(4,), (0, 11, 25)])
def test_missing_atoms_are_added(missing: tuple[int, ...]) -> None:
    scene, begin = problem()
    found = mended(scene, begin.of_atoms(np.setdiff1d(np.arange(ATOMS), missing)))
    is_the(scene, found, cluster(ATOMS))
    there = set(found.fitted.state.number.tolist())
    stayed = [one for one in found.ledger if one.number in there]
    assert [one.action for one in stayed] == ["added"] * len(missing)
    assert actions(found).count("added") - actions(found).count("removed") == len(missing)
    for one in stayed:
        assert one.score > 5
        assert one.r_after < one.r_before
        assert np.linalg.norm(cluster(ATOMS)[list(missing)] - one.position, axis=1).min() < 0.6


def test_invented_atoms_are_removed() -> None:
    scene, begin = problem()
    first = void(begin)
    second = void(with_atoms(begin, first))
    grown = with_atoms(begin, [first, second])
    found = mended(scene, grown)
    is_the(scene, found, cluster(ATOMS))
    assert actions(found) == ["removed"] * 2
    assert sorted(one.number for one in found.ledger) == [ATOMS, ATOMS + 1]
    assert all(one.score < 0.5 for one in found.ledger)


def test_two_sites_of_one_atom_become_one() -> None:
    scene, begin = problem()
    grown = with_atoms(begin, begin.position[6] + [0.6, 0.2, 0.3])
    grown.position[6] -= [0.4, 0.1, 0.3]
    found = mended(scene, grown)
    is_the(scene, found, cluster(ATOMS))
    assert actions(found) == ["merged"]


def test_an_atom_astray_is_put_back() -> None:
    scene, begin = problem()
    way = void(begin) - begin.position[9]
    begin.position[9] += 1.4 * way / np.linalg.norm(way)
    is_the(scene, mended(scene, begin), cluster(ATOMS))


def test_no_id_is_given_twice() -> None:
    scene, begin = problem()
    grown = with_atoms(begin, void(begin))
    for atom in (9, 21):
        way = void(grown, 1.8) - grown.position[atom]
        grown.position[atom] += 1.4 * way / np.linalg.norm(way)
    is_the(scene, mended(scene, grown), cluster(ATOMS))


def test_all_mistakes_at_once_are_mended() -> None:
    scene, begin = problem(1)
    spoiled = with_atoms(begin, [void(begin), begin.position[6] + [0.7, 0.2, 0.3]])
    spoiled = spoiled.of_atoms(np.setdiff1d(np.arange(ATOMS + 2), [3, 17]))
    found = mended(scene, spoiled)
    is_the(scene, found, cluster(ATOMS, 1))
    assert found.fitted.state.position.shape == (ATOMS, 3)


def test_atoms_that_are_kept_stay() -> None:
    scene, begin = problem()
    place = void(begin)
    found = mended(scene, with_atoms(begin, place), kept=np.array([ATOMS]))
    assert ATOMS in found.fitted.state.number
    assert all(one.number != ATOMS for one in found.ledger)


def test_where_a_site_is_barred_none_is_added() -> None:
    scene, begin = problem()
    fewer = begin.of_atoms(np.arange(1, ATOMS))
    found = mended(scene, fewer, barred=cluster(ATOMS)[:1])
    away = np.linalg.norm(found.fitted.state.position - cluster(ATOMS)[0], axis=1)
    assert away.min() > 0.5
    assert len(mended(scene, fewer).fitted.state.number) == ATOMS


def test_without_rounds_the_sites_stay_as_they_are() -> None:
    scene, begin = problem()
    fewer = begin.of_atoms(np.arange(1, ATOMS))
    found = search(scene, fewer, NOISE, Rules(rounds=0), prior=PRIOR)
    assert found.ledger == ()
    assert_array_equal(found.fitted.state.number, fewer.number)


def test_heights_are_one_for_atoms_and_none_for_inventions() -> None:
    scene, begin = problem()
    grown = with_atoms(replace(begin, position=cluster(ATOMS)), void(begin))
    relative = heights(scene, grown, NOISE)
    assert_allclose(relative[:ATOMS], 1, atol=0.25)
    assert abs(relative[ATOMS]) < 0.4


def test_who_stands_low_is_taken_out_once_to_see_whether_the_images_ask_again() -> None:
    scene, begin = problem()
    grown = with_atoms(replace(begin, position=cluster(ATOMS)), void(begin))
    relative = np.ones(ATOMS + 1)
    relative[[4, ATOMS]] = 0.6, 0.55
    relative[5:25:2] = 1.01
    fitted = fit(scene, grown, STIFF, NOISE, Plan(rounds=1, inner=6), PRIOR)
    terms = Terms(scene, NOISE, Rules(), STIFF, PRIOR, np.zeros((0, 3)))
    out = doubtful(terms, grown, relative, set())
    assert out == [ATOMS, 4]
    (change,) = doubted(terms, fitted, relative, out, 99)
    assert_array_equal(change.gone, [ATOMS])
    assert [one.action for one in change.entries] == ["removed"]
    assert not len(change.come.position), "the true atom stays as it is"
    assert doubtful(terms, grown, relative, {4, ATOMS}) == []


def test_what_is_asked_for_elsewhere_is_another_atom_with_a_new_id() -> None:
    scene, begin = problem()
    way = void(begin) - begin.position[9]
    begin.position[9] += 1.4 * way / np.linalg.norm(way)
    relative = np.where(np.arange(ATOMS) == 9, 0.6, np.where(np.arange(ATOMS) % 2, 1.01, 0.99))
    fitted = fit(scene, begin, STIFF, NOISE, Plan(rounds=0), PRIOR)
    terms = Terms(scene, NOISE, Rules(), STIFF, PRIOR, np.zeros((0, 3)))
    assert doubtful(terms, begin, relative, set()) == [9]
    (change,) = doubted(terms, fitted, relative, [9], 99)
    assert [(one.action, one.number) for one in change.entries] == [("removed", 9), ("added", 99)]
    assert_array_equal(change.gone, [9])
    assert_array_equal(change.come.number, [99])
    assert np.linalg.norm(change.come.position - cluster(ATOMS)[9]) < 0.3
    assert not doubted(replace(terms, barred=cluster(ATOMS)[9:10]), fitted, relative, [9], 99)


def test_what_is_asked_for_a_little_off_is_the_same_atom_put_there() -> None:
    scene, begin = problem()
    begin = replace(begin, position=cluster(ATOMS), turned=turned(13))
    begin.position[9] += 0.35 / 3**0.5
    relative = np.where(np.arange(ATOMS) == 9, 0.6, 1.0)
    fitted = fit(scene, begin, STIFF, NOISE, Plan(rounds=0), PRIOR)
    terms = Terms(scene, NOISE, Rules(), STIFF, PRIOR, np.zeros((0, 3)))
    (change,) = doubted(terms, fitted, relative, [9], 99)
    assert_array_equal(change.gone, [9])
    assert_array_equal(change.come.number, [9])
    assert np.linalg.norm(change.come.position - cluster(ATOMS)[9]) < 0.2
    assert change.entries == ()


def test_atoms_near_a_place_are_fitted_as_all_are_where_the_others_are_right() -> None:
    scene, begin = problem()
    begin = replace(begin, position=cluster(ATOMS), turned=turned(13))
    fitted = fit(scene, begin, STIFF, NOISE, Plan(rounds=12, inner=30, tolerance=1e-4), PRIOR)
    terms = Terms(scene, NOISE, Rules(), STIFF, PRIOR, np.zeros((0, 3)))
    pushed = fitted.state.position.copy()
    pushed[4] += 0.3
    astray = replace(fitted.state, position=pushed)
    patch = Patch.near(terms, fitted, astray, fitted.state.position[4:5], 4.0)
    assert 0 < patch.chosen.size < ATOMS
    assert_allclose(patch.scene.models(patch.state), scene.models(astray), atol=1e-3 * scene.images.max())
    again = patch.fitted(terms, Plan(rounds=12, inner=30, tolerance=1e-4))
    assert_allclose(again.state.position, fitted.state.position, atol=2e-3)
    assert_allclose(again.models, fitted.models, atol=1e-2 * scene.images.max())


def test_poses_that_are_not_free_stay_while_sites_are_searched() -> None:
    scene, begin = problem()
    free = Free(angles=False, shifts=False, scale=False, background=False)
    found = mended(scene, begin.of_atoms(np.arange(1, ATOMS)), free=free)
    for name in ("turned", "shift", "scale", "background"):
        assert_array_equal(getattr(found.fitted.state, name), getattr(begin, name))
    assert len(found.ledger) == 1


def test_pairs_that_are_too_close_merge_at_their_centre_of_height() -> None:
    place = np.array([[0.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0], [10.0, 0, 0]])
    state = state_of(place, turned(2))
    relative = np.array([0.75, 0.6, 1.0, 0.2])
    made, entries = pruned(state, relative, Rules(), np.zeros(0, int))
    assert [(one.action, one.number) for one in entries] == [("merged", 1), ("removed", 3)]
    assert_array_equal(made.number, [0, 2])
    assert_allclose(made.position[0], [0.6 / 1.35, 0, 0])
    assert_allclose([one.score for one in entries], [0.6, 0.2])
    clearer, _ = pruned(state, np.array([0.75, 0.25, 1.0, 1.0]), Rules(), np.zeros(0, int))
    assert_allclose(clearer.position[0], [0, 0, 0])
    made, entries = pruned(state, relative, Rules(), np.array([1, 3]))
    assert [(one.action, one.number) for one in entries] == [("merged", 0)]
    assert_allclose(made.position[0], [1, 0, 0])
    kept, none = pruned(state, np.array([0.9, 0.8, 1.0, 1.0]), Rules(), np.zeros(0, int))
    assert not none, "the images hold two atoms"
    assert_array_equal(kept.position, place)
    _, bright = pruned(state, np.array([0.9, 0.8, 1.0, 1.0]), Rules(two=1.8), np.zeros(0, int))
    assert [one.action for one in bright] == ["merged"]
    three = state_of(np.array([[0.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0], [10.0, 0, 0]]), turned(2))
    _, one = pruned(three, np.array([0.6, 0.7, 0.7, 1.0]), Rules(), np.zeros(0, int))
    assert [entry.action for entry in one] == ["merged"], "three sites of two atoms become two"
    both, none = pruned(state, relative, Rules(), np.arange(4))
    assert not none
    assert_array_equal(both.position, place)


def test_of_weak_neighbours_the_weakest_goes_first() -> None:
    state = state_of(np.array([[0.0, 0, 0], [2.0, 0, 0], [9.0, 0, 0], [30.0, 0, 0]]), turned(2))
    made, entries = pruned(state, np.array([0.24, 0.2, 0.1, 1.0]), Rules(), np.zeros(0, int))
    assert [one.number for one in entries] == [2, 1]
    assert_array_equal(made.number, [0, 3])


def test_low_is_below_the_median_by_robust_deviations() -> None:
    relative = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 0.5, 3.0])
    deviation = 1.4826 * 0.1
    one = np.zeros(7, np.int64)
    assert_array_equal(np.flatnonzero(low(relative, one, 0.49 / deviation)), [5])
    assert not low(relative, one, 0.51 / deviation).any()


def test_atoms_of_a_sort_whose_heights_spread_more_are_not_low_for_that() -> None:
    bright, faint = np.linspace(0.97, 1.03, 31), np.linspace(0.7, 1.3, 31)
    values, sort = np.concatenate([bright, faint]), np.repeat([0, 1], 31)
    assert not low(values, sort, 2.5).any()
    assert low(values, np.zeros_like(sort), 2.5).sum() > 5


@pytest.mark.parametrize("seed", range(5))
def test_missing_atoms_of_two_sorts_come_back_as_what_they_are(seed: int) -> None:
    truth = state_of(cluster(ATOMS, seed, apart=2.7), turned(13, seed=seed), sorts=2)
    truth = replace(truth, height=np.where(truth.sort == 0, 700.0, 280.0))
    scene = scene_of(truth, sorts=2)
    scene = replace(scene, images=counted(pictures(scene, truth), seed))
    begin = disturbed(truth, seed, position=0.1).of_atoms(np.arange(4, ATOMS))
    found = mended(scene, begin).fitted.state
    away, which = cKDTree(found.position).query(truth.position)
    assert len(found.position) == ATOMS
    assert np.max(away) < 0.6
    assert_array_equal(found.sort[which], truth.sort)
    assert_allclose(np.unique(found.height), [280, 700], rtol=0.05)


def test_a_doubt_that_leads_astray_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites taken out for good though the images hold them: the deviance rises, and all stays as it was."""
    scene, begin = problem()

    def forgetful(terms: Terms, fitted: Fitted, relative: F64, out: list[int], _: int) -> list[Change]:
        gone = fitted.state.of_atoms(out)
        entries = [Entry("removed", "forgotten", 0, int(number), (0.0, 0.0, 0.0), 0.0) for number in gone.number]
        return [Change(gone.number[[i]], gone.of_atoms([]), (one,)) for i, one in enumerate(entries)]

    monkeypatch.setattr(site_search, "doubted", forgetful)
    monkeypatch.setattr(site_search, "doubtful", lambda terms, state, relative, asked: [0, 1] if not asked else [])
    found = mended(scene, begin)
    assert not found.ledger
    assert len(found.fitted.state.position) == ATOMS


def test_r_is_the_sum_of_differences_over_that_of_the_image_where_it_is_trusted() -> None:
    scene, state = problem()
    images = np.zeros((2, 2, 2), np.float32)
    images[0] = [[1, 2], [3, -4]]
    models = np.ones((2, 2, 2), np.float32)
    small = replace(scene, images=images)
    assert_allclose(r_by_tilt(small, models), [(0 + 1 + 2 + 5) / 10, np.nan])
    assert_allclose(r_factor(small, models), 0.8)
    seen = np.ones_like(images)
    seen[0, 1, 1] = 0
    assert_allclose(r_by_tilt(replace(small, seen=seen), models)[0], 3 / 6)
    assert r_factor(scene, scene.models(state)) < 1
    assert BACKGROUND > 0
