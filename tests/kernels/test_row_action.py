"""Rays and images taken in turn: the sums along rays against an independent one, and what the iterations find."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from aetx.kernels.projection import F64, Grid, Projector, rotation
from aetx.kernels.reconstruction import Scheme
from aetx.kernels.row_action import art, cast, kaczmarz, sart, spread_order

SIZE = 14


def turned(theta: F64, wobble: float = 4.0) -> F64:
    noise = np.random.default_rng(3).uniform(-wobble, wobble, (2, theta.size))
    return rotation(*np.deg2rad([noise[0], theta, noise[1]]))


def specimen() -> np.ndarray:
    """Return soft atoms, shape (z, y, x)."""
    axes = np.meshgrid(*[np.arange(SIZE) - SIZE // 2] * 3, indexing="ij")
    density = np.zeros((SIZE,) * 3)
    for centre in np.random.default_rng(1).uniform(-3, 3, (6, 3)):
        density += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 2)
    return density.astype(np.float32)


def joseph(density: np.ndarray, r: F64) -> F64:
    """Return the sums along rays in plain numpy, shape (x, y)."""
    half = SIZE // 2
    along = int(np.abs(r[:, 2]).argmax())
    made = np.zeros((SIZE, SIZE))
    for i in range(SIZE):
        for j in range(SIZE):
            planes = np.arange(SIZE) - half
            start = (i - half) * r[:, 0] + (j - half) * r[:, 1]
            points = start[:, None] + r[:, 2:] * (planes - start[along]) / r[along, 2]
            values = map_coordinates(density, points[::-1] + half, order=1, mode="grid-constant")
            made[i, j] = values.sum() / abs(r[along, 2])
    return made


@pytest.mark.parametrize(("theta", "psi"), [(10.0, 5.0), (-70.0, 3.0), (20.0, 80.0)])
def test_rays_are_summed_as_in_plain_numpy(theta: float, psi: float) -> None:
    r = rotation(*np.deg2rad([[7.0], [theta], [psi]]))[0]
    start = np.full(3, -float(SIZE // 2))
    found = cast(np.ascontiguousarray(specimen().transpose(0, 2, 1)), r, start, start[:2], (SIZE, SIZE))
    np.testing.assert_allclose(found, joseph(specimen(), r), atol=1e-4)


def test_a_step_of_one_fits_the_last_ray_exactly() -> None:
    r, start = turned(np.array([25.0]))[0], np.full(3, -float(SIZE // 2))
    volume, image, seen = (
        np.zeros((SIZE,) * 3, np.float32),
        np.full((SIZE, SIZE), 3.0, np.float32),
        np.zeros((SIZE,) * 2),
    )
    seen[6, 7] = 1
    kaczmarz(volume, image, seen.astype(np.float32), r, start, start[:2], 1.0)
    found = cast(volume, r, start, start[:2], (SIZE, SIZE))
    assert found[6, 7] == pytest.approx(3, rel=1e-5)
    assert np.count_nonzero(volume) <= 4 * SIZE


def test_an_order_by_the_golden_ratio_visits_each_tilt_once_and_far_from_the_last() -> None:
    order = spread_order(21)
    assert sorted(order) == list(range(21))
    assert np.abs(np.diff(order)).min() >= 5


@pytest.mark.parametrize("method", [art, sart])
def test_the_specimen_is_found_and_nothing_outside_the_support(method) -> None:  # type: ignore[no-untyped-def]
    tool = Projector(turned(np.linspace(-70, 70, 15)), Grid.centred(*(SIZE,) * 3), Grid.centred(SIZE, SIZE))
    images, inside = tool.project(tool.volume_in(specimen())), tool.volume_in((specimen() > 0.05).astype(np.float32))
    found = method(tool, images, Scheme(8, 0.0, 0.8, positive=True), 0.9, support=inside)
    assert np.corrcoef(tool.volume_out(found.volume).ravel(), specimen().ravel())[0, 1] > 0.93
    assert float(found.volume[inside == 0].abs().max()) == 0
    assert found.history[-1] < 0.15
    assert found.free.size == 0


@pytest.mark.parametrize("method", [art, sart])
def test_pixels_held_out_are_judged_and_not_fitted(method) -> None:  # type: ignore[no-untyped-def]
    tool = Projector(turned(np.linspace(-70, 70, 9)), Grid.centred(*(SIZE,) * 3), Grid.centred(SIZE, SIZE))
    images = tool.project(tool.volume_in(specimen()))
    held = torch.zeros_like(images)
    held[4] = 1
    wrong = images.clone()
    wrong[4] = 100
    first, second = (
        method(tool, one, Scheme(3, 0.0, 0.8, positive=True), 0.9, trusted=1 - held, held=held)
        for one in (images, wrong)
    )
    torch.testing.assert_close(first.volume, second.volume)
    assert first.free.shape == (4,)
    assert first.free[-1] < 0.5 < second.free[-1]


@pytest.mark.parametrize("method", [art, sart])
def test_the_step_shrinks_from_sweep_to_sweep(method) -> None:  # type: ignore[no-untyped-def]
    tool = Projector(turned(np.linspace(-70, 70, 5)), Grid.centred(*(SIZE,) * 3), Grid.centred(SIZE, SIZE))
    images = tool.project(tool.volume_in(specimen()))
    once, again = (method(tool, images, Scheme(count, 0.0, 0.8, positive=True), 1e-6) for count in (1, 3))
    torch.testing.assert_close(again.volume, once.volume, rtol=1e-3, atol=1e-5)
    longer = method(tool, images, Scheme(3, 0.0, 0.8, positive=True), 1.0)
    assert longer.history[-1] < 0.9 * once.history[-1]
