"""The torch twin of the drawing of atoms against the one on the processor, and against itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from aetx.kernels import sensitivity_torch
from aetx.kernels.drawing import HOST, Drawing
from aetx.kernels.refinement import F64, Free, Noise, Plan, Prior, fit
from aetx.kernels.sensitivity_torch import on_device
from tests.kernels.scenes import cluster, disturbed, scene_of, state_of, turned
from tests.kernels.test_sensitivity import COLUMNS, ROWS, atoms, noise

WIDTHS = [(0.4, 0.95), (1.05, 2.2), (0.5, 2.0)]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def twin(request: pytest.FixtureRequest) -> Drawing:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return on_device(request.param)


def close(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> None:
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def changed(drawing: Drawing, made: Any, by: Any, rough: bool = False) -> NDArray[np.float32]:
    x, y, height, width = made
    return drawing.change(drawing.lines(x, y, width, ROWS, COLUMNS, rough), height, *by, ROWS, COLUMNS)


def collected(drawing: Drawing, image: NDArray[np.float32], made: Any, rough: bool = False) -> F64:
    x, y, height, width = made
    found: F64 = drawing.collect(image, drawing.lines(x, y, width, ROWS, COLUMNS, rough), height)
    return found


def own(drawing: Drawing, weight: NDArray[np.float32], made: Any, rough: bool = False) -> F64:
    x, y, height, width = made
    found: F64 = drawing.own(weight, drawing.lines(x, y, width, ROWS, COLUMNS, rough), height)
    return found


@pytest.mark.parametrize(("narrow", "wide"), WIDTHS, ids=["narrow", "wide", "both"])
def test_the_twin_draws_the_same(twin: Drawing, narrow: float, wide: float) -> None:
    made = atoms(200, narrow, wide)
    close(twin.render(*made, ROWS, COLUMNS), HOST.render(*made, ROWS, COLUMNS))


@pytest.mark.parametrize("unknown", range(4), ids=["x", "y", "height", "width"])
@pytest.mark.parametrize(("narrow", "wide"), WIDTHS, ids=["narrow", "wide", "both"])
@pytest.mark.parametrize("rough", [False, True], ids=["fine", "rough"])
def test_the_twin_changes_the_same(twin: Drawing, narrow: float, wide: float, unknown: int, rough: bool) -> None:
    made, by = atoms(200, narrow, wide), np.zeros((4, 200))
    by[unknown] = np.random.default_rng(1).uniform(-1, 1, 200)
    close(changed(twin, made, by, rough), changed(HOST, made, by, rough))


@pytest.mark.parametrize(("narrow", "wide"), WIDTHS, ids=["narrow", "wide", "both"])
@pytest.mark.parametrize("rough", [False, True], ids=["fine", "rough"])
def test_the_twin_collects_the_same(twin: Drawing, narrow: float, wide: float, rough: bool) -> None:
    made, image = atoms(200, narrow, wide), noise(2)
    found, wanted = collected(twin, image, made, rough), collected(HOST, image, made, rough)
    for column in range(4):
        close(found[:, column], wanted[:, column])


@pytest.mark.parametrize(("narrow", "wide"), WIDTHS, ids=["narrow", "wide", "both"])
@pytest.mark.parametrize("rough", [False, True], ids=["fine", "rough"])
def test_the_twin_has_the_same_own_information(twin: Drawing, narrow: float, wide: float, rough: bool) -> None:
    made, weight = atoms(200, narrow, wide), np.abs(noise(3))
    found, wanted = own(twin, weight, made, rough), own(HOST, weight, made, rough)
    for i in range(4):
        for k in range(4):
            size = np.sqrt(wanted[:, i, i].max() * wanted[:, k, k].max())
            assert_allclose(found[:, i, k], wanted[:, i, k], atol=1e-5 * size)


def test_the_twin_filters_the_same(twin: Drawing) -> None:
    transfer = np.random.default_rng(4).random((ROWS, COLUMNS // 2 + 1)).astype(np.float32)
    close(twin.filtered(noise(5), transfer), HOST.filtered(noise(5), transfer))


def test_atoms_in_blocks_are_those_at_once(twin: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    made, by, image = atoms(50), np.random.default_rng(6).uniform(-1, 1, (4, 50)), noise(6)

    def all_four() -> list[F64]:
        drawn = twin.render(*made, ROWS, COLUMNS), changed(twin, made, by)
        return [one.astype(np.float64) for one in (*drawn, collected(twin, image, made), own(twin, image, made))]

    whole = all_four()
    monkeypatch.setattr(sensitivity_torch, "BLOCK", 7 * 22**2)
    for one, other in zip(all_four(), whole, strict=True):
        assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_no_atoms_and_atoms_that_no_pixel_sees_give_nothing(twin: Drawing) -> None:
    none = (np.zeros(0),) * 4
    assert not twin.render(*none, ROWS, COLUMNS).any()
    assert collected(twin, noise(7), none).shape == (0, 4)
    assert own(twin, noise(7), none).shape == (0, 4, 4)
    far = (np.array([-60.0, 200.0]), np.array([10.0, 10.0]), np.ones(2), np.full(2, 1.2))
    assert not changed(twin, far, np.ones((4, 2))).any()
    assert not collected(twin, noise(7), far).any()


def test_the_order_of_the_atoms_changes_no_bit_of_an_image(twin: Drawing) -> None:
    made, by = np.stack(atoms(300)), np.random.default_rng(8).uniform(-1, 1, (4, 300))
    order = np.random.default_rng(9).permutation(300)
    first = changed(twin, made, by)
    assert (first == changed(twin, made[:, order], by[:, order])).all()


def test_a_fit_ends_with_the_same_atoms(twin: Drawing) -> None:
    truth = state_of(cluster(8), turned(7))
    scene = scene_of(truth)
    begin, plan = disturbed(truth, 1, position=0.1), Plan(20, 30, 1e-9)
    one, two = (
        fit(replace(scene, drawing=drawing), begin, Free(heights="each"), Noise(), plan, Prior(turn=0.05, shift=1.0))
        for drawing in (HOST, twin)
    )
    assert np.abs(one.state.position - two.state.position).max() < 1e-4
