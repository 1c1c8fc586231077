"""Networks as they are evaluated give what a plain forward pass gives, whole, padded, turned and in half precision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as f

from aetx.kernels.inference import evaluate, prepared
from aetx.kernels.neural_networks import DEFAULTS, Published, Residual, build

F32 = NDArray[np.float32]


def random_network(form: str, **options: int) -> Published | Residual:
    """A network with random weights, and norms that have seen something."""
    torch.manual_seed(0)
    network = build(form, **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.2)
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d) and not layer.weight.any():
            nn.init.normal_(layer.weight, 0, 0.1)
    return network.eval()


def published_forward(state: Mapping[str, torch.Tensor], volume: F32) -> F32:
    """The published network, written down layer by layer from its table, norms and joined tensors as they are."""

    def norm(name: str, flow: torch.Tensor) -> torch.Tensor:
        mean, variance = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
        scale = state[f"{name}.1.weight"] / torch.sqrt(variance + 1e-5)
        shift = state[f"{name}.1.bias"] - mean * scale
        return f.leaky_relu(flow * scale[:, None, None, None] + shift[:, None, None, None], 0.2)

    def down(name: str, flow: torch.Tensor, stride: int) -> torch.Tensor:
        return norm(name, f.conv3d(flow, state[f"{name}.0.weight"], state[f"{name}.0.bias"], stride, padding=1))

    def rise(name: str, flow: torch.Tensor) -> torch.Tensor:
        weight, bias = state[f"{name}.0.weight"], state[f"{name}.0.bias"]
        return f.conv_transpose3d(flow, weight, bias, stride=2, padding=1, output_padding=1)

    with torch.no_grad():
        first = down("down_1", torch.from_numpy(volume)[None, None], 2)
        second = down("down_2", f.max_pool3d(first, 2), 2)
        flow = down("bridge", f.max_pool3d(second, 2), 1)
        flow = norm("trans_up_11", rise("trans_up_11", flow))
        flow = down("up_1", torch.cat([flow, second], 1), 1)
        flow = norm("trans_up_12", rise("trans_up_12", flow))
        flow = norm("trans_up_21", rise("trans_up_21", flow))
        flow = down("up_2", torch.cat([flow, first], 1), 1)
        return np.asarray(f.relu(rise("out", flow))[0, 0].numpy())


def volume(*shape: int) -> F32:
    return np.random.default_rng(1).uniform(0, 10, shape).astype(np.float32)


def test_random_weights_of_the_published_form_give_what_a_plain_forward_pass_gives() -> None:
    network, given = random_network("published"), volume(48, 32, 64)
    wanted = published_forward(network.state_dict(), given)
    assert wanted.max() > 0
    found = evaluate(prepared(network, "cpu", "float32"), given, 16, False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("name", ["DL_aug_Pt_FCC_Bf5", "DL_aug_Pt_FCC_Bf3.2", "DL_aug_Pt_amorphous_Bf5"])
def test_the_published_weights_give_what_a_plain_forward_pass_gives(
    name: str, real_data: Callable[[str], Path]
) -> None:
    state = torch.load(real_data(f"kaist_unet_weights/{name}"), map_location="cpu", weights_only=True)
    network = build("published")
    network.load_state_dict(state)
    grid = np.stack(np.meshgrid(*[np.arange(64)] * 3, indexing="ij"), -1)
    atoms = np.random.default_rng(0).uniform(16, 48, (60, 3))
    given = sum(19 * np.exp(-((grid - atom) ** 2).sum(-1) / 6) for atom in atoms).astype(np.float32)
    wanted = published_forward(state, given)
    assert wanted.max() > 30  # atoms of 78
    found = evaluate(prepared(network.eval(), "cpu", "float32"), given, 16, False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("form", DEFAULTS)
def test_every_form_gives_what_its_network_gives(form: str) -> None:
    network = random_network(form, **({} if form == "residual" else {"width": 4, "extra": 1}))
    given = volume(64, 64, 128)
    with torch.no_grad():
        wanted = network(torch.from_numpy(given)[None, None])[0, 0].numpy()
    found = evaluate(prepared(network, "cpu", "float32"), given, network.multiple, False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("form", ["published", "residual"])
def test_any_shape_is_continued_with_zeros_and_cut_back(form: str) -> None:
    network, given = random_network(form), volume(21, 34, 47)
    fast = prepared(network, "cpu", "float32")
    padded = np.pad(given, [(0, -size % network.multiple) for size in given.shape])
    wanted = evaluate(fast, padded, network.multiple, False)[:21, :34, :47]
    np.testing.assert_allclose(evaluate(fast, given, network.multiple, False), wanted, atol=1e-5 * wanted.max())


def test_preparing_leaves_the_network_as_it_was() -> None:
    network = random_network("published", width=4)
    before = copy.deepcopy(network.state_dict())
    prepared(network, "cpu", "bfloat16")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_mean_over_mirrors_turns_with_the_volume() -> None:
    fast, given = prepared(random_network("published", width=4), "cpu", "float32"), volume(16, 16, 32)
    for axis in range(3):
        turned = evaluate(fast, np.flip(given, axis), 16, True)
        wanted = np.flip(evaluate(fast, given, 16, True), axis)
        np.testing.assert_allclose(turned, wanted, atol=1e-5 * wanted.max())
        alone = np.flip(evaluate(fast, given, 16, False), axis)
        assert np.abs(evaluate(fast, np.flip(given, axis), 16, False) - alone).max() > 1e-2 * wanted.max()


def test_half_precision_errs_by_about_a_hundredth() -> None:
    network, given = random_network("published"), volume(32, 32, 32)
    whole = evaluate(prepared(network, "cpu", "float32"), given, 16, False)
    half = evaluate(prepared(network, "cpu", "bfloat16"), given, 16, False)
    assert half.dtype == np.float32
    assert 1e-4 < np.linalg.norm(half - whole) / np.linalg.norm(whole) < 0.03
