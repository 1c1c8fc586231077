"""Covariances of a joint fit: the exact one against the inverse of the fit's own operator, the drawn against both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aetx.kernels import bound, uncertainty
from aetx.kernels.projection import rotation
from aetx.kernels.refinement import Free, Linear, Prior, Scene, State

F64 = NDArray[np.float64]
STEP, SIZE, IMAGES = 0.4, 44, 9
WEIGHT, SPREAD = np.ones((1, 1)), np.zeros((1, 1))
FREE: dict[str, Any] = {"scale": False, "background": False, "heights": "fixed", "widths": "fixed"}


def fit(free: Free, prior: Prior | None = None, atoms: int = 14, seed: int = 0) -> Linear:
    """A cluster at the end of a fit, where the images are those of the model."""
    generator = np.random.default_rng(seed)
    position: list[F64] = []
    while len(position) < atoms:
        one = generator.uniform(-4.0, 4.0, 3)
        if all(np.linalg.norm(one - other) > 2.0 for other in position):
            position.append(one)
    angles = np.stack([generator.normal(0, 0.1, IMAGES), np.linspace(-1.1, 1.1, IMAGES), np.zeros(IMAGES)])
    state = State(
        np.array(position),
        np.full(atoms, 150.0),
        generator.uniform(0.42, 0.48, atoms),
        np.zeros(atoms, np.int64),
        np.arange(atoms),
        rotation(*angles),
        generator.normal(0, 0.2, (IMAGES, 2)),
        np.linspace(0.9, 1.1, IMAGES),
        np.full(IMAGES, 0.3),
        np.zeros((IMAGES, 3)),
    )
    corner = np.full(2, -STEP * (SIZE // 2))
    empty = np.zeros((IMAGES, SIZE, SIZE), np.float32)
    scene = Scene(empty, STEP, corner, [None], 0, (SIZE, SIZE), np.zeros(1))
    models = scene.models(state)
    return Linear(scene, state, free, (1 / models).astype(np.float32), prior or Prior())


def whole(linear: Linear) -> F64:
    """The Fisher matrix of all unknowns by the operator of the fit."""
    return np.stack([linear.apply(one) for one in np.eye(linear.size)], axis=1)


def motions(linear: Linear) -> F64:
    """Orthonormal basis of turns and translations of all atoms, in the space of their positions."""
    place = linear.state.position
    every = [np.cross(axis, place).ravel() for axis in np.eye(3)]
    every += [np.tile(axis, len(place)) for axis in np.eye(3)]
    return np.linalg.qr(np.stack(every, axis=1))[0]


def inverse_of(linear: Linear) -> F64:
    """Inverse of the whole matrix, without what it does not tell."""
    matrix = whole(linear)
    scale = 1 / np.sqrt(matrix.diagonal())
    values, vectors = np.linalg.eigh(matrix * scale[:, None] * scale)
    kept = values > 1e-6
    root = scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    made: F64 = root @ root.T
    return made


def aligned_positions(linear: Linear) -> F64:
    """Covariance of the positions after rigid alignment, from the inverse of the whole matrix, (3 N, 3 N)."""
    inverse = inverse_of(linear)
    atoms, unknowns = linear.shapes[0]
    place = (np.arange(atoms)[:, None] * unknowns + np.arange(3)).ravel()
    inverse = inverse[np.ix_(place, place)]
    basis = motions(linear)
    off = np.eye(3 * atoms) - basis @ basis.T
    return off @ inverse @ off


def blocks(matrix: F64) -> F64:
    size = len(matrix) // 3
    return np.einsum("iaib->iab", matrix.reshape(size, 3, size, 3))


CASES = [
    (Free(**FREE), Prior()),
    (Free(heights="shared", widths="shared"), Prior()),
    (Free(heights="each", widths="shared"), Prior()),
    (Free(heights="each", widths="each", background=False), Prior(height=0.05, width=0.05)),
    (Free(**FREE | {"background": True}, distortion=True), Prior(turn=0.01, shift=0.1, stretch=0.01)),
]


@pytest.mark.parametrize(("free", "prior"), CASES)
def test_the_exact_covariance_is_the_inverse_of_what_the_fit_solves(free: Free, prior: Prior) -> None:
    linear = fit(free, prior)
    wanted = blocks(aligned_positions(linear))
    found = uncertainty.exact(linear, WEIGHT, SPREAD).atoms[:, :3, :3]
    np.testing.assert_allclose(found, wanted, rtol=0.01, atol=0.005 * wanted.max())


def test_the_background_and_the_stretches_of_images_are_known_as_the_fit_says() -> None:
    """They are no part of what no image tells, so that the inverse of the whole matrix holds their variances."""
    linear = fit(*CASES[-1])
    _, _, wanted = linear.parts(inverse_of(linear).diagonal().copy())
    found = np.einsum("taa->ta", uncertainty.exact(linear, WEIGHT, SPREAD).images)
    names = uncertainty.free_of(linear.free).of_image
    for column, name in enumerate(names):
        if not name.startswith(("turn", "shift")):
            np.testing.assert_allclose(found[:, column], wanted[:, column], rtol=0.01)
    assert "background" in names
    assert "stretch_xy" in names


@pytest.mark.parametrize(("free", "prior"), CASES)
def test_drawn_errors_have_the_exact_covariance(free: Free, prior: Prior) -> None:
    linear = fit(free, prior)
    exact = uncertainty.exact(linear, WEIGHT, SPREAD)
    drawn = uncertainty.covariance(uncertainty.draw(linear, WEIGHT, SPREAD, 60, 0))
    wanted, found = (np.diagonal(one.atoms, axis1=1, axis2=2)[:, :3] for one in (exact, drawn))
    assert found.sum() == pytest.approx(wanted.sum(), rel=4 * drawn.total_error)
    assert drawn.total_error < 0.06
    off = (found - wanted) / drawn.error
    assert 0.4 < np.sqrt((off**2).mean()) < 1.7
    part = np.einsum("taa->ta", drawn.images) / np.einsum("taa->ta", exact.images)
    assert np.nanmean(part) == pytest.approx(1.0, abs=0.15)


def test_a_distortion_moves_atoms_in_the_image_as_the_fit_does() -> None:
    linear = fit(Free(**FREE))
    linear.state.stretch[:] = np.random.default_rng(0).normal(0, 0.02, (IMAGES, 3))
    made = uncertainty.information_of(linear, WEIGHT, SPREAD)
    for tilt in range(IMAGES):
        x, y = linear.scene.place(linear.state, tilt)
        seen = (made.position @ made.turned[tilt])[:, :2] + linear.state.shift[tilt] - linear.scene.corner
        np.testing.assert_allclose(seen / STEP, np.stack([x, y], axis=1), atol=1e-9)


def test_what_is_left_after_a_fit_scores_less_than_the_noise() -> None:
    """Scores of an atom in each image: their sum over images along the fitted unknowns is zero."""
    linear = fit(Free(**FREE))
    drawn = uncertainty.draw(linear, WEIGHT, SPREAD, 2, 0)
    summed = np.einsum("stnc,tkc->snk", drawn.scores[..., :2], linear.state.turned[:, :, :2])
    assert np.abs(summed).max() < 0.05 * np.abs(drawn.scores[..., :2]).max()


def test_random_errors_do_not_hang_on_the_number_of_threads() -> None:
    linear = fit(Free())
    threaded = replace(linear, scene=replace(linear.scene, workers=3))
    one, three = (uncertainty.draw(each, WEIGHT, SPREAD, 1, 5) for each in (linear, threaded))
    np.testing.assert_array_equal(one.owed, three.owed)


def test_an_atom_that_no_image_shows_is_refused() -> None:
    linear = fit(Free(**FREE))
    linear.state.position[3] = 100.0
    with pytest.raises(bound.UndeterminedError):
        uncertainty.exact(linear, WEIGHT, SPREAD)
    with pytest.raises(bound.UndeterminedError):
        uncertainty.draw(linear, WEIGHT, SPREAD, 1, 0)
