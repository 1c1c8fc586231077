"""The Fisher matrix: each derivative against differences of images, and one way of computing against another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.kernels import bound, fisher
from aetx.kernels.mixtures import gaussians
from aetx.kernels.projection import rotation
from aetx.kernels.scattering import kirkland

F64 = NDArray[np.float64]
STEP, SIZE, HALF = 0.4, 41, 13
ALL = np.arange(4)
FIXED = bound.Free(False, False, False, "fixed", "fixed")


def problem(
    free: bound.Free = FIXED,
    atoms: int = 7,
    width: float = 0.5,
    images: int = 5,
    background: float = 0.2,
    seed: int = 0,
    room: float = 1.5,
) -> bound.Information:
    """Atoms of two sorts, near each other, in a few images at odd poses."""
    generator = np.random.default_rng(seed)
    position = generator.uniform(-room, room, (atoms, 3))
    angles = generator.uniform(-1.2, 1.2, (3, images))
    weight, spread = gaussians(lambda q: kirkland(78, q) / kirkland(78, 0.0), width)
    sort = np.arange(atoms) % 2
    profiles = np.stack([weight, np.eye(weight.size)[0]])
    scene = fisher.Scene(
        np.zeros((images, atoms, 2)),
        np.outer(np.linspace(0.8, 1.2, images), 100.0 + 20 * sort),
        generator.uniform(0.9, 1.1, atoms) * width / STEP,
        sort,
        profiles,
        np.stack([spread, 0 * spread]) / STEP,
        HALF,
        SIZE,
        SIZE + 2,
    )
    made = bound.Information(scene, position, rotation(*angles), STEP, np.zeros((images, SIZE, SIZE + 2)), free)
    made = moved(made, position, made.turned)
    return replace(made, weight=1.0 / (np.stack([image(made, i) for i in range(images)]) + background))


def moved(
    made: bound.Information, position: F64, turned: F64, shift: float | F64 = 0.0, **changes: Any
) -> bound.Information:
    place = np.einsum("nk,tkl->tnl", position, turned)[:, :, :2] + shift
    scene = replace(made.scene, place=place / STEP + np.array([SIZE // 2 + 1, SIZE // 2]), **changes)
    return replace(made, position=position, turned=turned, scene=scene)


def image(made: bound.Information, number: int) -> F64:
    ones = np.ones((len(made.position), 1, 1))
    return made.scene.forward(number, np.array([fisher.HEIGHT]), ones)[:, :, 0]


def full(made: bound.Information) -> F64:
    low = made.dense()
    return np.tril(low) + np.tril(low, -1).T


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_derivatives_by_the_unknowns_of_an_atom_are_differences_of_images(width: float) -> None:
    made = problem(bound.Free(False, False, False, "each", "each"), width=width)
    atom, step = 3, 1e-5
    for unknown in range(5):
        change = np.zeros((7, 5))
        change[atom, unknown] = 1.0
        pair = []
        for sign in (-step, step):
            part = sign * change
            pair.append(
                moved(
                    made,
                    made.position + part[:, :3],
                    made.turned,
                    height=made.scene.height * (1 + part[:, 3]),
                    width=made.scene.width + part[:, 4] / STEP,
                )
            )
        for number in range(5):
            given = np.einsum("kd,nd->nk", made.chain(number), change)[:, :, None]
            told = made.scene.forward(number, made.free.kinds, given)[:, :, 0]
            wanted = (image(pair[1], number) - image(pair[0], number)) / (2 * step)
            np.testing.assert_allclose(told, wanted, atol=2e-6 * np.abs(wanted).max() + 1e-6)


def test_derivatives_by_the_nuisances_are_differences_of_images() -> None:
    made = problem(bound.Free(True, True, True, "shared", "shared"))
    step, number = 1e-5, 2
    told = made._nuisances(number)
    assert told.shape[2] == 6 + 4
    assert made.gram.shape == (5 * 6 + 4, 5 * 6 + 4)
    sorts = [np.where(made.scene.sort == sort, 1.0, 0.0) for sort in range(2)]
    turns = [Rotation.from_rotvec(step * np.eye(3)[axis]).as_matrix() for axis in range(3)]

    def changed(column: int, sign: float) -> bound.Information:
        scene = made.scene
        if column < 3:  # p becomes p + step w x p, and p = transpose(R) r
            turn = turns[column] if sign > 0 else turns[column].T
            return moved(made, made.position, made.turned @ turn.T)
        if column < 5:
            return moved(made, made.position, made.turned, sign * step * np.eye(2)[column - 3])
        if column < 8:
            which = np.ones(7) if column == 5 else sorts[column - 6]
            return moved(made, made.position, made.turned, height=scene.height * (1 + sign * step * which))
        return moved(made, made.position, made.turned, width=scene.width + sign * step / STEP * sorts[column - 8])

    for column in range(10):
        wanted = (image(changed(column, 1), number) - image(changed(column, -1), number)) / (2 * step)
        np.testing.assert_allclose(told[:, :, column], wanted, atol=2e-5 * np.abs(wanted).max())


def test_gathering_is_the_transpose_of_scattering() -> None:
    made = problem()
    generator = np.random.default_rng(1)
    change, values = generator.standard_normal((7, 4, 3)), generator.standard_normal((SIZE, SIZE + 2, 3))
    there, back = made.scene.forward(1, ALL, change), made.scene.adjoint(1, ALL, values)
    np.testing.assert_allclose((there * values).sum((0, 1)), (change * back).sum((0, 1)), rtol=1e-12)


def test_the_matrix_is_the_product_of_derivative_images() -> None:
    made = problem(bound.Free(False, False, False, "each", "each"))
    wanted = np.zeros((35, 35))
    for number, weight in enumerate(made.weight):
        given = np.einsum("kd,ndv->nkv", made.chain(number), np.eye(35).reshape(7, 5, 35))
        derivative = made.scene.forward(number, made.free.kinds, given)
        wanted += np.einsum("yxa,yx,yxb->ab", derivative, weight, derivative)
    tolerance = 1e-10 * np.abs(wanted).max()
    np.testing.assert_allclose(full(made), wanted, atol=tolerance)
    np.testing.assert_allclose(made.apply(np.eye(35)), wanted, atol=tolerance)
    own = np.stack([wanted[i * 5 : i * 5 + 5, i * 5 : i * 5 + 5] for i in range(7)])
    np.testing.assert_allclose(made.own(), own, atol=tolerance)


def test_windows_that_reach_over_the_edge_are_cut_there() -> None:
    made = replace(problem(), weight=np.ones((5, SIZE, SIZE + 2)))
    near = replace(made, scene=replace(made.scene, place=made.scene.place - 18.0))
    np.testing.assert_allclose(near.apply(np.eye(21)), full(near), atol=1e-9 * np.abs(full(near)).max())
    assert 0 < np.trace(full(near)) < np.trace(full(made))


@pytest.mark.parametrize(
    "free",
    [
        bound.Free(True, True, False, "fixed", "fixed"),
        bound.Free(True, False, True, "each", "shared"),
        bound.Free(True, True, True, "shared", "each"),
    ],
)
def test_the_exact_bound_is_the_pseudo_inverse_of_the_whole_matrix(free: bound.Free) -> None:
    made = problem(free, atoms=12, images=9, seed=2)
    count, unknowns = 12, free.unknowns
    whole = np.block([[full(made), made.coupling], [made.coupling.T, made.gram]])
    found = bound.exact(made)
    scale = 1 / np.sqrt(whole.diagonal())
    inverse = scale[:, None] * np.linalg.pinv(whole * scale[:, None] * scale, rcond=1e-10, hermitian=True) * scale
    gauge = made.gauge()
    off = np.eye(made.size) - gauge @ gauge.T
    atoms = off @ inverse[: made.size, : made.size] @ off
    blocks = np.einsum("nanb->nab", atoms.reshape(count, unknowns, count, unknowns))
    np.testing.assert_allclose(
        found.atoms[:, :3, :3], blocks[:, :3, :3], rtol=1e-5, atol=1e-6 * blocks[:, :3, :3].max()
    )
    assert not found.total_error
    assert not found.error.any()


def test_the_gauge_is_what_no_image_tells() -> None:
    made = problem(bound.Free(True, True, True, "each", "fixed"), atoms=12, images=9)
    whole = np.block([[full(made), made.coupling], [made.coupling.T, made.gram]])
    gauge = made.gauge()
    assert gauge.shape[1] == 7
    with_nuisances = (
        full(made) - made.coupling @ np.linalg.pinv(made.gram, rcond=1e-12, hermitian=True) @ made.coupling.T
    )
    assert np.abs(with_nuisances @ gauge).max() < 1e-6 * np.abs(with_nuisances).max()
    assert np.linalg.matrix_rank(whole, 1e-9 * np.linalg.norm(whole)) <= len(whole) - 7


@pytest.mark.parametrize(
    "free", [bound.Free(True, True, False, "fixed", "fixed"), bound.Free(True, True, True, "each", "shared")]
)
def test_random_errors_have_the_covariance_of_the_exact_bound(free: bound.Free) -> None:
    made = problem(free, atoms=20, images=7, seed=4, room=4.0)
    exact, drawn = bound.exact(made), bound.stochastic(made, 256, 0)
    wanted, found = (np.diagonal(one.atoms, axis1=1, axis2=2)[:, :3] for one in (exact, drawn))
    assert found.sum() == pytest.approx(wanted.sum(), rel=4 * drawn.total_error)
    assert drawn.total_error < 0.05
    off = (found - wanted) / drawn.error
    assert np.abs(off).max() < 6
    assert 0.5 < np.sqrt((off**2).mean()) < 1.6
    part = np.einsum("taa->ta", drawn.images) / np.einsum("taa->ta", exact.images)
    np.testing.assert_allclose(part, 1.0, atol=0.35)
    assert part.mean() == pytest.approx(1.0, abs=0.08)
    np.testing.assert_allclose(drawn.shared, exact.shared, rtol=0.35)


def test_what_the_images_do_not_determine_is_refused() -> None:
    free = bound.Free(True, True, False, "fixed", "fixed")
    with pytest.raises(bound.UndeterminedError, match="cannot be told"):
        bound.exact(problem(free, atoms=2, images=9))
    with pytest.raises(bound.UndeterminedError, match="place of the whole"):
        bound.exact(problem(free, atoms=1, images=9))
    with pytest.raises(bound.UndeterminedError, match="cannot be told"):
        bound.exact(problem(images=1))
    unseen = problem()
    away = replace(unseen, scene=replace(unseen.scene, place=unseen.scene.place + 500.0))
    for solve in (bound.exact, lambda one: bound.stochastic(one, 2, 0)):
        with pytest.raises(bound.UndeterminedError, match="no effect"):
            solve(away)
