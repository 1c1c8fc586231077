"""Networks as they are evaluated: norms folded, nothing joined that can be added, volumes padded and back."""

from __future__ import annotations

import copy
import itertools
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import leaky_relu_, max_pool3d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aetx.kernels.neural_networks import SLOPE, Published, Residual, channels_to_cubes
from aetx.kernels.winograd import convolved, transformed

F32 = NDArray[np.float32]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FLIPS = tuple(flip for count in range(4) for flip in itertools.combinations((2, 3, 4), count))
"""Axes along which the eight mirror images of a volume are turned."""


def prepared(network: Published | Residual, device: str, dtype: Literal["float32", "bfloat16"]) -> nn.Module:
    """Return a network that computes the same, faster, and cannot be trained: (N, 1, z, y, x) to the same shape.

    With ``bfloat16`` weights and layers are rounded to 8 bits, which changes the output by about 1 % of an atom.
    """
    fast = Folded(network) if isinstance(network, Published) else copy.deepcopy(network).eval()
    fast.requires_grad_(False)
    return fast.to(device=device, dtype=DTYPES[dtype], memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # declared for 4-d tensors


def evaluate(fast: nn.Module, volume: F32, multiple: int, mirrors: bool) -> F32:
    """Return what a prepared network makes of a volume of any shape (z, y, x).

    Behind its last voxels the volume is continued with zeros up to a multiple of `multiple`. `mirrors` takes the mean
    over the mirror images along z, y and x, all of which have the same missing wedge.
    """
    z, y, x = volume.shape
    weight = next(fast.parameters())
    with torch.inference_mode():
        given = weight.new_zeros(1, 1, *(-(-size // multiple) * multiple for size in volume.shape))
        given[0, 0, :z, :y, :x] = torch.from_numpy(np.ascontiguousarray(volume, np.float32))
        if not mirrors:
            return np.ascontiguousarray(fast(given)[0, 0, :z, :y, :x].float().cpu().numpy())
        total = torch.zeros(given.shape, dtype=torch.float32, device=given.device)
        for flip in FLIPS:
            total += fast(given.flip(flip)).flip(flip)
        return np.ascontiguousarray((total / len(FLIPS))[0, 0, :z, :y, :x].cpu().numpy())


class Folded(nn.Module):
    """`Published` with its norms folded into the convolutions and without joined tensors.

    Convolutions of two joined tensors, three quarters of the work, are done in parts; the last transposed convolution,
    of stride 2 to one channel, is a convolution of 2 voxels to 8 channels that are cubes of the result.
    """

    def __init__(self, network: Published) -> None:
        super().__init__()
        self.downs, self.rises, self.joins, self.lifts = (nn.ModuleList() for _ in range(4))
        for level in range(1, network.levels + 1):
            self.downs.append(_folded(network.get_submodule(f"down_{level}")))
        self.bridge = _folded(network.bridge)
        for place in range(1, network.levels + 1):
            self.rises.append(_folded(network.get_submodule(f"trans_up_{place}1")))
            self.joins.append(_Join(_folded(network.get_submodule(f"up_{place}"))[0]))
            if place < network.levels:
                self.lifts.append(_folded(network.get_submodule(f"trans_up_{place}2")))
        last = network.out[0]
        assert isinstance(last, nn.ConvTranspose3d)
        self.last = _doubling(last)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the volume of atoms, shape (N, 1, z, y, x)."""
        kept, flow = [], volume
        for down in self.downs:
            kept.append(_active(down, flow))
            flow = max_pool3d(kept[-1], 2)
        flow = _active(self.bridge, flow)
        for place, (rise, join) in enumerate(zip(self.rises, self.joins, strict=True)):
            flow = join(_active(rise, flow), kept.pop())
            if kept:
                flow = _active(self.lifts[place], flow)
        found = self.last(flow)[:, :, 1:, 1:, 1:]
        return channels_to_cubes(found).relu_()


class _Join(nn.Module):
    """The convolution of two joined tensors and its activation: in float32 on a processor by minimal filtering.

    Elsewhere it is the sum of two convolutions.
    """

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        assert isinstance(whole, nn.Conv3d)
        assert whole.bias is not None
        after = whole.out_channels
        before = whole.in_channels - after
        self.first = nn.Conv3d(before, after, 3, padding=1)
        self.second = nn.Conv3d(after, after, 3, padding=1, bias=False)
        with torch.no_grad():
            self.first.load_state_dict({"weight": whole.weight[:, :before], "bias": whole.bias})
            self.second.load_state_dict({"weight": whole.weight[:, before:]})
            self.register_buffer("taps", transformed(whole.weight))
            self.register_buffer("bias", whole.bias.clone())

    def forward(self, flow: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        if flow.device.type == "cpu" and flow.dtype == torch.float32:
            return convolved((flow, kept), self.get_buffer("taps"), self.get_buffer("bias"), SLOPE)
        found: torch.Tensor = self.first(flow)
        found += self.second(kept)
        return leaky_relu_(found, SLOPE)


def _folded(step: nn.Module) -> nn.Sequential:
    """Return the convolutions of a step with their norms folded in, one or two of them."""
    assert isinstance(step, nn.Sequential)
    found = nn.Sequential()
    for layer, norm in itertools.pairwise(copy.deepcopy(step).eval()):
        if isinstance(norm, nn.BatchNorm3d):
            assert isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)
            found.append(fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose3d)))
    return found


def _active(layers: nn.Module, flow: torch.Tensor) -> torch.Tensor:
    assert isinstance(layers, nn.Sequential)
    for layer in layers:
        flow = leaky_relu_(layer(flow), SLOPE)
    return flow


def _doubling(layer: nn.ConvTranspose3d) -> nn.Conv3d:
    """Return a transposed convolution of 3 voxels and stride 2 to one channel as a convolution to 8 channels.

    Along an axis the even output 2i takes the middle weight times input i, the odd one 2i + 1 the last weight times
    input i plus the first times input i + 1. The result begins one cube before the first.
    """
    made = nn.Conv3d(layer.in_channels, 8, 2, padding=1)
    weight = torch.zeros_like(made.weight)
    taps = {(0, 0): 1, (1, 0): 2, (1, 1): 0}
    for (a, i), (b, j), (c, k) in itertools.product(taps, repeat=3):
        weight[4 * a + 2 * b + c, :, i, j, k] = layer.weight[:, 0, taps[a, i], taps[b, j], taps[c, k]]
    assert layer.bias is not None
    with torch.no_grad():
        made.load_state_dict({"weight": weight, "bias": layer.bias.expand(8)})
    return made
