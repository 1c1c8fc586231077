"""Total variation: its value, its denoising, and the numba and torch forms of both."""

import numpy as np
import pytest
import torch

from aetx.kernels import total_variation as tv
from aetx.kernels.projection import Grid, Projector, rotation
from aetx.kernels.reconstruction import Scheme


def noisy(shape: tuple[int, int, int] = (5, 6, 7)) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(4).standard_normal(shape).astype(np.float32))


def test_the_variation_of_a_step_is_its_height_times_its_area() -> None:
    volume = torch.zeros((6, 5, 4))
    volume[3:] = 2.5
    assert tv.total_variation(volume) == pytest.approx(2.5 * 5 * 4)


def test_denoising_a_step_moves_each_side_by_weight_over_thickness() -> None:
    volume = torch.zeros((8, 3, 3))
    volume[:4] = 1.0
    tv.denoise(volume, torch.zeros((3, 8, 3, 3)), 0.4, False, None, 400)
    np.testing.assert_allclose(volume[:4].numpy(), 1 - 0.4 / 4, atol=2e-3)
    np.testing.assert_allclose(volume[4:].numpy(), 0.4 / 4, atol=2e-3)


def test_denoising_lowers_what_it_minimises_and_no_small_change_lowers_it_further() -> None:
    given, weight = noisy(), 0.3

    def objective(volume: torch.Tensor) -> float:
        return 0.5 * float((volume - given).square().sum()) + weight * tv.total_variation(volume)

    found = given.clone()
    tv.denoise(found, torch.zeros((3, *given.shape)), weight, False, None, 500)
    least = objective(found)
    assert least < objective(given)
    for seed in range(5):
        change = torch.as_tensor(np.random.default_rng(seed).standard_normal(given.shape).astype(np.float32))
        assert objective(found + 0.01 * change) > least


def test_numba_and_torch_agree() -> None:
    class Elsewhere(torch.Tensor):
        """A tensor on the host that says it is not."""

        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return torch.device("meta")

    given, dual = noisy(), torch.zeros((3, 5, 6, 7))
    here = given.clone()
    tv.denoise(here, dual, 0.2, True, None, 20)
    other = given.clone().as_subclass(Elsewhere)
    tv.denoise(other, torch.zeros((3, 5, 6, 7)), 0.2, True, None, 20)
    np.testing.assert_allclose(other.as_subclass(torch.Tensor).numpy(), here.numpy(), atol=1e-5)
    told = tv.total_variation(given.as_subclass(Elsewhere))
    assert told == pytest.approx(tv.total_variation(given), rel=1e-5)


def test_no_weight_is_least_squares_and_more_weight_is_smoother() -> None:
    rng = np.random.default_rng(0)
    turned = rotation(*np.deg2rad([rng.uniform(-3, 3, 9), np.linspace(-70, 70, 9), rng.uniform(-3, 3, 9)]))
    tool = Projector(turned, Grid.centred(10, 10, 10), Grid.centred(10, 10))
    truth = np.zeros((10, 10, 10), np.float32)
    truth[3:7, 4:7, 3:8] = 1
    images = tool.project(tool.volume_in(truth))
    images += 0.5 * torch.as_tensor(rng.standard_normal(images.shape).astype(np.float32))
    scheme = Scheme(60, 0.0, 1.0, positive=True)
    found = [tv.fista(tool, images, scheme, strength) for strength in (0.0, 0.01, 0.1)]
    variation = [tv.total_variation(one.volume) for one in found]
    assert variation == sorted(variation, reverse=True)
    error = [np.square(tool.volume_out(one.volume) - truth).mean() for one in found]
    assert error[1] < 0.8 * error[0]
    assert found[0].history[-1] < found[1].history[-1] < found[2].history[-1]
