"""What the networks are: shapes, sizes, and how far an output looks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from aetx.kernels.neural_networks import (
    DEFAULTS,
    Published,
    Residual,
    build,
    channels_to_cubes,
    cubes_to_channels,
    multiple,
)

Network = Published | Residual
SMALL: dict[str, dict[str, int]] = {
    "published": {"width": 2},
    "deep": {"width": 1},
    "residual": {"width": 4, "inner": 4, "inner_blocks": 1},
}


def filled(form: str) -> Network:
    """A small network in which every voxel passes on what reaches it."""
    torch.manual_seed(1)
    network = build(form, **SMALL[form]).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.uniform_(layer.weight, 0.05, 0.1)
    return network


def test_the_published_forms_have_the_published_numbers_of_weights() -> None:
    assert sum(one.numel() for one in build("published").parameters()) == 764_641
    assert sum(one.numel() for one in build("deep").parameters()) == pytest.approx(3.25e6, rel=2e-3)
    assert 120_000 < sum(one.numel() for one in build("residual").parameters()) < 300_000


@pytest.mark.parametrize("form", DEFAULTS)
def test_a_volume_of_a_multiple_keeps_its_shape(form: str) -> None:
    network, edge = filled(form), multiple(form)
    assert network.multiple == edge
    with torch.no_grad():
        assert network(torch.rand(1, 1, edge, 2 * edge, edge)).shape == (1, 1, edge, 2 * edge, edge)


@pytest.mark.parametrize("form", ["published", "residual"])
def test_an_output_looks_as_far_as_the_reach_and_no_farther(form: str) -> None:
    network = filled(form)
    middle, edge = 8 * network.multiple, 16 * network.multiple
    before = after = 0
    for pooled in range(2):
        # a maximum passes on only the larger of two: either may be
        volume = torch.full((1, 1, edge, network.multiple, network.multiple), 0.1)
        volume += 0.01 * torch.linspace(0, 1, edge)[:, None, None] * (1 - 2 * pooled)
        for voxel in range(middle, middle + network.multiple):
            seen = volume.clone().requires_grad_()
            network(seen)[0, 0, voxel].sum().backward()
            assert seen.grad is not None
            reached = torch.nonzero(seen.grad.abs().sum((0, 1, 3, 4)))
            before = max(before, voxel - int(reached.min()))
            after = max(after, int(reached.max()) - voxel)
    assert max(before, after) == network.reach


def test_cubes_are_channels_and_back() -> None:
    volume = torch.arange(4 * 6 * 8.0).reshape(1, 1, 4, 6, 8)
    channels = cubes_to_channels(volume)
    assert channels.shape == (1, 8, 2, 3, 4)
    assert channels[0, :, 1, 2, 3].tolist() == volume[0, 0, 2:4, 4:6, 6:8].ravel().tolist()
    assert torch.equal(channels_to_cubes(channels), volume)


def test_a_fresh_residual_network_adds_nothing_in_its_blocks() -> None:
    network = build("residual")
    flow = torch.rand(1, 16, 4, 4, 4)
    with torch.no_grad():
        assert torch.equal(network.get_submodule("enter")(flow), flow)


def test_the_other_reading_of_two_layers_deeper_has_two_more_convolutions() -> None:
    plain, extra = build("published", width=2), build("published", width=2, extra=True)
    count = [sum(isinstance(one, nn.Conv3d) for one in network.modules()) for network in (plain, extra)]
    assert count[1] == count[0] + 2
    assert extra.reach > plain.reach
