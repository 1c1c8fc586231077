from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from aetx.kernels.image_shift import shifted
from aetx.kernels.pose_matching import Plan, Poses, _columns, _Unseen, matched, translation_of
from aetx.kernels.projection import Grid, Projector, rotation
from aetx.kernels.reconstruction import Scheme

SIZE, WIDTH = 28, 1.8
ATOMS = np.array([[4.0, 1.0, -3.0], [-5.0, 3.0, 2.0], [1.0, -6.0, 5.0], [-2.0, 5.0, -6.0], [3.0, -2.0, 6.0], [0, 0, 0]])


def drawn(turned: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Images of Gaussian atoms, written out: p = transpose(R) r, centre at index n // 2."""
    side = np.arange(SIZE) - SIZE // 2
    images = []
    for turn, (x, y) in zip(turned, shift, strict=True):
        seen = ATOMS @ turn
        parts = [np.exp(-((side - p - s) ** 2) / (2 * WIDTH**2)) for p, s in ((seen[:, 1:2], y), (seen[:, :1], x))]
        images.append(np.einsum("ay,ax->yx", *parts))
    return np.array(images, np.float32)


def dense() -> np.ndarray:
    side = np.arange(SIZE) - SIZE // 2
    z, y, x = (np.exp(-((side - ATOMS[:, i : i + 1]) ** 2) / (2 * WIDTH**2)) for i in (2, 1, 0))
    return np.einsum("az,ay,ax->zyx", z, y, x).astype(np.float32) / (np.sqrt(2 * np.pi) * WIDTH)


def test_the_derivatives_are_those_of_images_drawn_atom_by_atom() -> None:
    turn = rotation(np.array([0.3]), np.array([0.7]), np.array([-0.2]))
    grid, box = Grid.centred(SIZE, SIZE), Grid.centred(SIZE, SIZE, SIZE)
    volume = Projector(turn, box, grid).volume_in(dense())
    plain, deep = _Unseen(volume, box, grid, np.array([0]), "cpu").projections(turn)
    np.testing.assert_allclose(plain[0], drawn(turn, np.zeros((1, 2)))[0], atol=0.06)
    columns = _columns(plain[0], deep[0], grid, np.ones((SIZE, SIZE), bool))
    step = 1e-3
    for i in range(5):
        change = np.zeros(5)
        change[i] = step
        ends = [
            drawn(turn @ Rotation.from_rotvec(sign * change[2:]).as_matrix(), sign * change[None, :2])
            for sign in (1, -1)
        ]
        true = (ends[0] - ends[1])[0].astype(float) / (2 * step)
        off = np.sqrt(((columns[2 + i] - true) ** 2).mean() / (true**2).mean())
        assert off < 0.1, i


def test_shifts_and_angles_are_found_again_up_to_a_motion_of_the_specimen() -> None:
    generator = np.random.default_rng(3)
    theta = np.deg2rad(np.linspace(-75, 75, 16))
    stated = rotation(0 * theta, theta, 0 * theta)
    shift = generator.uniform(-0.8, 0.8, (16, 2))
    wrong = np.deg2rad(generator.uniform(-1.5, 1.5, 16))
    true = stated @ Rotation.from_rotvec(np.stack([0 * wrong, 0 * wrong, wrong], axis=1)).as_matrix()
    images = drawn(true, shift)
    plan = Plan(6, 4, Scheme(30, 0.0, 1.0, positive=True), np.array([2, 2, 0, 0, 0.02]), (1e-3, 1e-4), whole=False)
    seen = np.ones(images.shape, bool)
    grid, box = Grid.centred(SIZE, SIZE), Grid.centred(SIZE, SIZE, SIZE)
    found = matched(images, seen, box, grid, Poses(stated, np.zeros((16, 2))), plan, "cpu")
    off = found.poses.shift - shift
    off -= translation_of(off, true)
    turn = np.rad2deg(Rotation.from_matrix(true.transpose(0, 2, 1) @ found.poses.turned).as_rotvec()[:, 2])
    assert np.sqrt((shift**2).mean()) > 0.4
    assert np.sqrt((off**2).mean()) < 0.08
    assert np.sqrt((turn**2).mean()) < 0.5 * np.sqrt((np.rad2deg(wrong) ** 2).mean())
    assert found.misfit[-1].mean() < 0.7 * found.misfit[0].mean()
    assert np.isnan(found.error[:, 2:4]).all()
    assert (found.error[:, [0, 1, 4]] > 0).all()


def test_one_translation_of_the_specimen_is_all_that_shifts_leave_open() -> None:
    turned = rotation(*np.random.default_rng(0).uniform(-1, 1, (3, 5)))
    made = np.einsum("tij,i->tj", turned, [1.0, -2.0, 0.5])[:, :2]
    np.testing.assert_allclose(translation_of(made, turned), made, atol=1e-12)
    assert np.abs(shifted(np.eye(4, dtype=np.float32), np.zeros(2)) - np.eye(4)).max() == 0
