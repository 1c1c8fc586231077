"""The model-based reconstruction: what it takes the noise to be, its prior, and where it ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aetx.kernels.edge_prior import EdgePrior, step, step_on_device
from aetx.kernels.model_based import Model, even_variance, mbir, mean_density, noise_power, poisson_variance
from aetx.kernels.projection import Grid, Projector, rotation
from aetx.kernels.reconstruction import Scheme

SIZE = 16
PLAIN = Scheme(30, 0.0, 1.0, positive=True)


def ball(size: int, radius: float) -> np.ndarray:
    """Return the images of a unit ball."""
    axis = np.arange(size) - size // 2
    return 2 * np.sqrt(np.maximum(radius**2 - axis[:, None] ** 2 - axis**2, 0))


def specimen() -> np.ndarray:
    """Return soft atoms, shape (z, y, x)."""
    axes = np.meshgrid(*[np.arange(SIZE) - SIZE // 2] * 3, indexing="ij")
    density = np.zeros((SIZE,) * 3)
    for centre in np.random.default_rng(1).uniform(-4, 4, (6, 3)):
        density += np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / 2)
    return density.astype(np.float32)


@pytest.fixture(scope="module")
def tool() -> Projector:
    noise = np.random.default_rng(3).uniform(-3, 3, (2, 15))
    turned = rotation(*np.deg2rad([noise[0], np.linspace(-70, 70, 15), noise[1]]))
    return Projector(turned, Grid.centred(*(SIZE,) * 3), Grid.centred(SIZE, SIZE))


@pytest.fixture(scope="module")
def images(tool: Projector) -> torch.Tensor:
    clean = tool.project(tool.volume_in(specimen()))
    return clean + 0.15 * torch.as_tensor(np.random.default_rng(7).standard_normal(clean.shape).astype(np.float32))


def test_the_variance_of_counts_is_found_from_the_images() -> None:
    expected = np.stack([ball(64, 20.0)] * 8) + 2.0
    counts = np.random.default_rng(0).poisson(20 * expected) / 20
    found = poisson_variance(counts.astype(np.float32))
    inner = ball(64, 20.0) > 30
    np.testing.assert_allclose(found[:, inner].mean(), expected[:, inner].mean() / 20, rtol=0.05)
    np.testing.assert_allclose(found[:, :4].mean(), 2.0 / 20, rtol=0.1)


def test_white_noise_is_measured_beside_soft_atoms() -> None:
    axis = np.arange(64) - 32
    atoms = 30 * np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.3**2))
    noise = 0.4 * np.random.default_rng(0).standard_normal((6, 64, 64))
    np.testing.assert_allclose(noise_power((atoms + noise).astype(np.float32)), 0.16, rtol=0.25)
    assert float(even_variance((atoms + noise).astype(np.float32)).mean()) == pytest.approx(0.16, rel=0.1)


def test_images_without_noise_have_a_variance_above_zero() -> None:
    assert (poisson_variance(np.zeros((3, 8, 8), np.float32)) > 0).all()
    assert (even_variance(np.ones((3, 8, 8), np.float32)) > 0).all()


def test_the_mean_density_of_a_ball_is_told_from_its_images() -> None:
    image = ball(64, 20.0)[None].astype(np.float32)
    assert mean_density(image, 64) == pytest.approx(0.8, abs=0.02)  # 3/2 of the radius over 1.886 of it
    assert mean_density(image, 10) == pytest.approx(3.0, abs=0.05)  # as deep as the box
    assert mean_density(np.zeros((2, 8, 8), np.float32), 8) == 0


def test_the_step_moves_along_the_slope_of_the_prior() -> None:
    rng = np.random.default_rng(5)
    prior = EdgePrior(0.7, 0.2)
    where = torch.as_tensor(rng.random((4, 5, 6)).astype(np.float32))

    def penalty(volume: np.ndarray) -> float:
        total = 0.0
        for axis in range(3):
            apart = np.abs(np.diff(volume, axis=axis))
            total += float((apart**2 / (apart + prior.transition)).sum())
        return prior.weight * total

    heavy = torch.full_like(where, 1e4)  # so much curvature that the step is the slope over it
    last, out = where.clone(), torch.empty_like(where)
    step(where, last, torch.zeros_like(where), heavy, prior, 0.0, False, out)
    moved = (where - out).numpy().astype(float) * 1e4
    for place in [(0, 0, 0), (1, 2, 3), (3, 4, 5)]:
        ends = []
        for sign in (1, -1):
            other = where.numpy().astype(float)
            other[place] += sign * 1e-4
            ends.append(penalty(other))
        assert moved[place] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=0.02)


@pytest.mark.parametrize("positive", [True, False])
def test_numba_and_torch_take_the_same_step(positive: bool) -> None:
    rng = np.random.default_rng(5)
    ahead, last, slope, bound = torch.as_tensor(rng.standard_normal((4, 7, 6, 5)).astype(np.float32))
    bound = bound.abs() + 1
    found = []
    for act in (step, step_on_device):
        volume, out = last.clone(), torch.empty_like(last)
        turned = act(ahead, volume, slope, bound, EdgePrior(0.5, 0.1), 0.4, positive, out)
        found.append((volume, out, torch.tensor(turned, dtype=torch.float32)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def objective(tool: Projector, images: torch.Tensor, model: Model, volume: torch.Tensor) -> float:
    misfit = float(((tool.project(volume) - images).square() * model.weights).sum()) / 2
    prior = 0.0
    for axis in range(3):
        apart = torch.diff(volume, dim=axis).abs()
        prior += float((apart.square() / (apart + model.prior.transition)).sum())
    return misfit + model.prior.weight * prior


def test_subsets_end_near_the_minimum_and_get_there_sooner(tool: Projector, images: torch.Tensor) -> None:
    weights = torch.full_like(images, 1 / 0.15**2)
    model = Model(weights, EdgePrior(5.0, 0.05), 1)
    least = objective(tool, images, model, mbir(tool, images, replace(PLAIN, iterations=400), model).volume)
    few = replace(PLAIN, iterations=8)
    plain = objective(tool, images, model, mbir(tool, images, few, model).volume)
    faster = objective(tool, images, model, mbir(tool, images, few, replace(model, subsets=3)).volume)
    long = objective(tool, images, model, mbir(tool, images, PLAIN, replace(model, subsets=3)).volume)
    assert least < faster < plain
    assert long < 1.03 * least


def test_the_prior_lowers_the_error_on_noisy_images(tool: Projector, images: torch.Tensor) -> None:
    weights = torch.full_like(images, 1 / 0.15**2)
    error = [
        float(
            np.square(tool.volume_out(mbir(tool, images, PLAIN, Model(weights, prior, 3)).volume) - specimen()).mean()
        )
        for prior in (EdgePrior(0.0, 0.05), EdgePrior(5.0, 0.05))
    ]
    assert error[1] < 0.8 * error[0]


def test_pixels_of_little_weight_hardly_matter(tool: Projector, images: torch.Tensor) -> None:
    spoiled, weights = images.clone(), torch.ones_like(images)
    spoiled[3, 5:8, 6:9] += 50
    weights[3, 5:8, 6:9] = 1e-6
    scheme = replace(PLAIN, iterations=60)
    once, again = (
        mbir(tool, one, scheme, Model(weights, EdgePrior(0.2, 0.1), 3), support=torch.ones(tool.volume_shape))
        for one in (images, spoiled)
    )
    difference = float((once.volume - again.volume).abs().max())
    assert difference < 0.05 * float(once.volume.max())


def test_too_many_subsets_do_not_run_away(tool: Projector) -> None:
    many = Projector(
        rotation(*np.deg2rad([np.zeros(40), np.linspace(-70, 70, 40), np.zeros(40)])), tool.volume, tool.image
    )
    clean = many.project(many.volume_in(specimen()))
    images = clean + 0.3 * torch.as_tensor(np.random.default_rng(7).standard_normal(clean.shape).astype(np.float32))
    model = Model(torch.ones_like(images), EdgePrior(1e-3, 0.1), 10)
    found = mbir(many, images, replace(PLAIN, iterations=60), model)
    assert found.history[-1] < 1.02 * found.history.min()
