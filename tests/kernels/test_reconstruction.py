"""The iterations: what they converge to, and what they do with nothing."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aetx.kernels.projection import Grid, Projector, rotation
from aetx.kernels.reconstruction import (
    Reconstruction,
    Scheme,
    descend,
    film_grid,
    largest_eigenvalue,
    r1_by_tilt,
    sirt,
    whole_rays,
)

SIZE = 18
PLAIN = Scheme(iterations=40, tolerance=0.0, step=1.0, positive=True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def turned(theta: NDArray[np.float64], wobble: float = 0.0) -> NDArray[np.float64]:
    noise = np.random.default_rng(3).uniform(-wobble, wobble, (2, theta.size))
    return rotation(*np.deg2rad([noise[0], theta, noise[1]]))


def specimen() -> NDArray[np.float32]:
    """Return eight soft atoms in a box."""
    axes = np.meshgrid(*[np.arange(SIZE) - SIZE // 2] * 3, indexing="ij")
    density = np.zeros((SIZE,) * 3)
    for centre in np.random.default_rng(1).uniform(-4, 4, (8, 3)):
        density += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 2)
    return density.astype(np.float32)


@pytest.fixture(scope="module")
def tool() -> Projector:
    return Projector(turned(np.linspace(-70, 70, 21), 2.0), Grid.centred(SIZE, SIZE, SIZE), Grid.centred(SIZE, SIZE))


@pytest.fixture(scope="module")
def images(tool: Projector) -> torch.Tensor:
    return tool.project(tool.volume_in(specimen()))


def likeness(tool: Projector, found: Reconstruction) -> float:
    return float(np.corrcoef(tool.volume_out(found.volume).ravel(), specimen().ravel())[0, 1])


def test_descent_with_momentum_finds_the_specimen(tool: Projector, images: torch.Tensor) -> None:
    found = descend(tool, images, momentum=True, scheme=PLAIN)
    assert likeness(tool, found) > 0.985
    assert np.nanmean(found.r1) < 0.02
    assert found.r1.shape == (21,)
    assert found.history.shape == (41,)
    assert found.history[0] == pytest.approx(1)
    assert found.history[-1] == pytest.approx(np.mean(found.r1))


def test_momentum_saves_iterations(tool: Projector, images: torch.Tensor) -> None:
    slow = descend(tool, images, momentum=False, scheme=PLAIN)
    fast = descend(tool, images, momentum=True, scheme=PLAIN)
    assert fast.history[-1] < 0.5 * slow.history[-1]


def test_plain_descent_never_raises_the_misfit(tool: Projector, images: torch.Tensor) -> None:
    misfit = []
    for count in (1, 2, 4, 8, 16):
        found = descend(tool, images, momentum=False, scheme=replace(PLAIN, iterations=count, step=1.9))
        misfit.append(float((tool.project(found.volume) - images).square().sum()))
    assert misfit == sorted(misfit, reverse=True)


def test_sirt_finds_the_specimen_and_its_residual_falls(tool: Projector, images: torch.Tensor) -> None:
    found = sirt(tool, images, scheme=PLAIN)
    assert likeness(tool, found) > 0.9
    assert (np.diff(found.history) < 0).all()


def test_long_steps_with_momentum_do_not_run_away(tool: Projector, images: torch.Tensor) -> None:
    found = descend(tool, images, momentum=True, scheme=replace(PLAIN, step=1.9))
    assert found.history[-1] < 0.05


def test_density_may_fall_below_zero_where_that_is_allowed(tool: Projector, images: torch.Tensor) -> None:
    assert float(descend(tool, images, momentum=True, scheme=PLAIN).volume.min()) >= 0
    assert float(descend(tool, images, momentum=True, scheme=replace(PLAIN, positive=False)).volume.min()) < 0


def test_scaling_the_images_scales_the_volume(tool: Projector, images: torch.Tensor) -> None:
    once = descend(tool, images, momentum=True, scheme=PLAIN)
    more = descend(tool, images * 1e4, momentum=True, scheme=PLAIN)
    np.testing.assert_allclose(more.volume.numpy(), 1e4 * once.volume.numpy(), rtol=2e-2, atol=20)


def test_nothing_lies_outside_the_support(tool: Projector, images: torch.Tensor) -> None:
    mask = tool.volume_in((specimen() > 0.1).astype(np.float32))
    better = descend(tool, images, momentum=True, support=mask, scheme=PLAIN)
    for found in (better, sirt(tool, images, support=mask, scheme=PLAIN)):
        assert float(found.volume[mask == 0].abs().max()) == 0
        assert float(found.volume.max()) > 0
    assert likeness(tool, better) > 0.96


def test_pixels_that_are_not_trusted_do_not_matter(tool: Projector, images: torch.Tensor) -> None:
    trusted = torch.ones_like(images)
    trusted[:, 3:6, 4:9] = 0
    spoiled = images + 50 * (1 - trusted)
    for solve in (
        lambda b: descend(tool, b, momentum=True, trusted=trusted, scheme=PLAIN),
        lambda b: sirt(tool, b, trusted=trusted, scheme=PLAIN),
    ):
        first, second = solve(images), solve(spoiled)
        np.testing.assert_allclose(first.volume.numpy(), second.volume.numpy(), atol=1e-4)
        assert np.nanmax(second.r1) < 0.2


def test_iteration_stops_when_r1_has_settled(tool: Projector, images: torch.Tensor) -> None:
    noisy = images + torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    found = descend(tool, noisy, momentum=True, scheme=replace(PLAIN, iterations=400, tolerance=0.05))
    assert 20 <= found.history.size < 100
    assert found.history[-1] == pytest.approx(np.mean(found.r1))
    whole = descend(tool, noisy, momentum=True, scheme=replace(PLAIN, iterations=found.history.size - 1))
    torch.testing.assert_close(found.volume, whole.volume)


@pytest.mark.parametrize("level", [0.0, -1.0])
def test_images_without_anything_give_an_empty_volume(tool: Projector, level: float) -> None:
    empty = torch.full(tool.image_shape, level)
    for found in (descend(tool, empty, momentum=True, scheme=PLAIN), sirt(tool, empty, scheme=PLAIN)):
        assert float(found.volume.abs().max()) == 0
        assert np.isnan(found.r1).all() == (level == 0)


def test_constant_images_give_finite_volumes(tool: Projector) -> None:
    flat = torch.full(tool.image_shape, 7.0)
    for found in (descend(tool, flat, momentum=True, scheme=PLAIN), sirt(tool, flat, scheme=PLAIN)):
        assert bool(torch.isfinite(found.volume).all())
        assert np.isfinite(found.history).all()


@pytest.fixture(scope="module")
def small() -> Projector:
    return Projector(turned(np.array([-50.0, 10, 60]), 3.0), Grid.centred(7, 6, 8), Grid.centred(6, 8))


@pytest.fixture(scope="module")
def matrix(small: Projector) -> NDArray[np.float64]:
    """Return the projector as a plain matrix, images by voxels."""
    rows = [small.project(row.view(small.volume_shape)).ravel() for row in torch.eye(7 * 6 * 8)]
    return torch.stack(rows).double().numpy().T


def test_the_largest_eigenvalue_is_that_of_the_matrix(small: Projector, matrix: NDArray[np.float64]) -> None:
    assert largest_eigenvalue(small, None) == pytest.approx(np.linalg.norm(matrix, 2) ** 2, rel=0.02)


def test_descent_follows_the_textbook(small: Projector, matrix: NDArray[np.float64]) -> None:
    """Fast projected gradient descent in plain numpy: the gradient is taken at the point ahead."""
    observed = np.random.default_rng(2).random(matrix.shape[0])
    volume = ahead = np.zeros(matrix.shape[1])
    pace, speed = 1 / largest_eigenvalue(small, None), 1.0
    for _ in range(6):
        last, volume = volume, np.maximum(ahead - pace * matrix.T @ (matrix @ ahead - observed), 0)
        following = (1 + np.sqrt(1 + 4 * speed**2)) / 2
        ahead, speed = volume + (speed - 1) / following * (volume - last), following
    images = torch.as_tensor(observed, dtype=torch.float32).view(small.image_shape)
    found = descend(small, images, replace(PLAIN, iterations=6), momentum=True)
    np.testing.assert_allclose(found.volume.numpy().ravel(), volume, atol=1e-5)


def test_sirt_follows_the_textbook(small: Projector, matrix: NDArray[np.float64]) -> None:
    observed = np.random.default_rng(2).random(matrix.shape[0])
    volume, row, column = np.zeros(matrix.shape[1]), matrix.sum(1), matrix.sum(0)
    for _ in range(4):
        misfit = np.divide(observed - matrix @ volume, row, out=np.zeros_like(row), where=row > 1e-4)
        change = np.divide(matrix.T @ misfit, column, out=np.zeros_like(column), where=column > 1e-4)
        volume = np.maximum(volume + 1.5 * change, 0)
    images = torch.as_tensor(observed, dtype=torch.float32).view(small.image_shape)
    found = sirt(small, images, replace(PLAIN, iterations=4, step=1.5))
    np.testing.assert_allclose(found.volume.numpy().ravel(), volume, atol=1e-5)


def test_threads_do_not_change_one_bit(tool: Projector, images: torch.Tensor) -> None:
    threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            made.append(descend(tool, images, momentum=True, scheme=replace(PLAIN, iterations=5)).volume)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_r1_is_the_sum_of_differences_over_the_sum_of_images() -> None:
    observed = torch.tensor([[[1.0, -3.0]], [[0.0, 0.0]]])
    shown = torch.tensor([[[2.0, -3.0]], [[1.0, 0.0]]])
    np.testing.assert_equal(r1_by_tilt(shown, observed), [0.25, np.nan])
    np.testing.assert_equal(r1_by_tilt(shown, observed, torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]])), [0, np.nan])


def test_the_box_of_a_film_holds_the_rays_to_both_faces() -> None:
    grid = film_grid(turned(np.array([60.0, -30])), Grid.centred(10, 21), 11)
    # at 60 degrees x = (u + z sin) / cos, with u = 10.5 and z = 5.5 at the edges of pixels and slab
    edge = (10.5 + 5.5 * np.sin(np.pi / 3)) / 0.5
    assert grid.shape[:2] == (11, 10)
    assert grid.start[2] - 0.5 <= -edge < grid.start[2] + 0.5
    assert grid.start[2] + grid.shape[2] - 0.5 >= edge


def test_a_film_that_fills_the_view_comes_back_even() -> None:
    r, image = turned(np.linspace(-60, 60, 15), 1.0), Grid.centred(20, 24)
    grid = film_grid(r, image, 12)
    full = Projector(r, grid, image)
    images = full.project(torch.ones(full.volume_shape))
    found = full.volume_out(descend(full, images, momentum=True, scheme=PLAIN).volume)
    middle = [slice(round(-s) - 5, round(-s) + 5) for s in grid.start]
    assert found[middle[0], middle[1], middle[2]].mean() == pytest.approx(1, abs=0.03)
    narrow = Projector(r, Grid.centred(12, 20, 24), image)
    assert descend(full, images, momentum=True, scheme=PLAIN).history[-1] < 0.01
    assert descend(narrow, images, momentum=True, scheme=PLAIN).history[-1] > 0.1


def test_whole_rays_are_those_that_leave_by_the_faces_of_z() -> None:
    r = turned(np.array([0.0, 45.0, 90.0]))
    inside = whole_rays(r, Grid.centred(5, 41), Grid.centred(11, 5, 41))
    assert inside[0].all()
    # at 45 degrees u = (x - z) cos(45), and x must stay within 20.5 for z = -5.5 and 5.5
    u = np.arange(41) - 20
    assert (inside[1] == (np.abs(u) <= 15 / np.sqrt(2))[None]).all()
    assert not inside[2].any()
