from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from aetx.kernels.unit_peaks import unit_peaks
from aetx.train.examples import batch, cut, example, mirrored, scrambled
from aetx.train.pairs import Draw, Pair
from aetx.train.settings import Training
from tests.train.conftest import gaussians


def test_targets_are_those_of_plain_numpy() -> None:
    atom = np.random.default_rng(0).uniform(-2, 14, (12, 3))
    assert_allclose(unit_peaks(atom, 1.3, 11, 12, 13), gaussians(atom, 1.3, (11, 12, 13)), atol=2e-4)


def test_an_atom_on_a_voxel_has_height_one_there() -> None:
    target = unit_peaks(np.array([[3.0, 4.0, 5.0]]), 1.2, 8, 9, 10)
    assert target[3, 4, 5] == 1
    assert target[3, 4, 6] == pytest.approx(np.exp(-0.5 / 1.2**2), rel=1e-6)


@pytest.mark.parametrize("mirror", [(True, False, False), (False, True, True), (True, True, True)])
def test_mirrors_move_atoms_as_they_move_voxels(mirror: tuple[bool, bool, bool]) -> None:
    atom = np.random.default_rng(1).uniform(2, 9, (5, 3))
    cube, moved = mirrored(unit_peaks(atom, 1.3, 12, 12, 12), atom, np.array(mirror))
    assert_allclose(cube, unit_peaks(moved, 1.3, 12, 12, 12), atol=1e-6)


def test_no_axis_ever_takes_the_place_of_another(training: Training) -> None:
    """The wedge stays along z: what is drawn out along the first axis is so in every example."""
    grid = np.stack(np.meshgrid(*[np.arange(16) - 7.5] * 3, indexing="ij"), axis=-1)
    volume = np.exp(-((grid / (3.0, 1.5, 1.2)) ** 2).sum(-1) / 2).astype(np.float16)
    pair = Pair(volume, np.full((1, 3), 7.5, np.float32), 0.358, 1.0, Draw(0, 0, {}, False))
    quiet = training.model_copy(update={"noise": 0.0, "margin": 0})
    for number in range(20):
        cube, _ = example(pair, quiet, np.random.default_rng(number))
        moments = [float((cube * grid[..., axis] ** 2).sum()) for axis in range(3)]
        assert moments[0] > 2 * moments[1] > 2.5 * moments[2]


def test_a_cube_that_reaches_beyond_the_volume_is_empty_there_and_keeps_its_atoms_in_place(pairs: list[Pair]) -> None:
    cube, atom = cut(pairs[0], np.array([-3, 10, 0]), 16)
    assert_array_equal(cube[:3], 0)
    assert_array_equal(cube[:, 14:], 0)
    assert_array_equal(cube[3:, :14], pairs[0].volume[:13, 10:24, :16])
    kept = {tuple(np.round(one + np.array([-3, 10, 0]), 3)) for one in atom}
    assert kept <= {tuple(np.round(one.astype(float), 3)) for one in pairs[0].atom}


def test_input_and_target_of_an_example_agree(pairs: list[Pair], training: Training) -> None:
    quiet = training.model_copy(update={"noise": 0.0})
    found = []
    for number in range(20):
        cube, target = example(pairs[1], quiet, np.random.default_rng(number))
        if target.max() > 0.5:
            found.append(np.corrcoef(cube.ravel(), target.ravel())[0, 1])
    assert min(found) > 0.6


def test_noise_has_the_spectrum_of_a_cube_and_nothing_in_its_target(pairs: list[Pair], training: Training) -> None:
    only = training.model_copy(update={"noise": 0.999})
    cube, target = example(pairs[0], only, np.random.default_rng(0))
    assert not target.any()
    assert 0.5 < np.quantile(cube, 0.999) < 2
    given = pairs[0].volume[:16, :16, :16].astype(np.float32)
    noise = scrambled(given, np.random.default_rng(0))
    assert abs(np.corrcoef(noise.ravel(), given.ravel())[0, 1]) < 0.3


def test_a_step_sees_the_same_examples_whenever_it_is_asked(pairs: list[Pair], training: Training) -> None:
    first, again, other = (batch(pairs, training, step) for step in (7, 7, 8))
    assert_array_equal(first[0], again[0])
    assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (1, 1, 16, 16, 16)
