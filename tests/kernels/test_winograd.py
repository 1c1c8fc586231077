"""Minimal filtering gives what the convolution gives."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv3d, leaky_relu

from aetx.kernels.winograd import convolved, transformed


@pytest.mark.parametrize("shape", [(2, 2, 2), (4, 8, 6), (6, 2, 10)])
@pytest.mark.parametrize("channels", [(3,), (5, 2)])
def test_it_is_the_convolution_of_joined_tensors(shape: tuple[int, ...], channels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    parts = tuple(torch.randn(2, count, *shape).to(memory_format=torch.channels_last_3d) for count in channels)
    weight, bias = torch.randn(4, sum(channels), 3, 3, 3), torch.randn(4)
    whole = conv3d(torch.cat(parts, 1).double(), weight.double(), bias.double(), padding=1)
    wanted = leaky_relu(whole, 0.2)
    found = convolved(parts, transformed(weight), bias, 0.2)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=3e-5)


def test_one_voxel_spreads_the_turned_filter() -> None:
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[0, 0, 1, 2, 1] = 1.0
    weight = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
    found = convolved((volume,), transformed(weight), torch.zeros(1), 0.5)[0, 0]
    torch.testing.assert_close(found[0:3, 1:4, 0:3], weight[0, 0].flip(0, 1, 2))
    assert not found[3].any()


def test_order_in_memory_does_not_matter() -> None:
    volume = torch.randn(1, 3, 4, 4, 4)
    taps, bias = transformed(torch.randn(2, 3, 3, 3, 3)), torch.randn(2)
    last = volume.to(memory_format=torch.channels_last_3d)
    assert torch.equal(convolved((volume,), taps, bias, 0.2), convolved((last,), taps, bias, 0.2))
