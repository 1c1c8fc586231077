"""Networks that make a volume of atoms of one with artefacts: (N, 1, z, y, x) to the same shape, float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

SLOPE = 0.2
"""Slope of the activations below zero."""
DROPOUT = 0.2
"""Share of the channels that training leaves out, where it does."""
BIAS = 0.01
"""First bias of an output that is cut at zero: with none it may start, and stay, zero everywhere."""


class Published(nn.Module):
    """The U-Net of published atomic tomography, and the deeper one that followed it.

    Each level halves the edges twice, by a strided convolution whose result is kept and by pooling, and doubles the
    channels; on the way back two transposed convolutions double the edges, and between them the kept result joins.
    Kernels of 3 voxels, batch norm after each but the last, leaky ReLU of slope 0.2, a ReLU at the end. Two
    levels of 24 channels are the network of doi:10.1038/s41467-021-22204-1, whose layers have the names here.

    `multiple` is what the edges of a volume must be divisible by, `reach` how many voxels away along an axis an
    output voxel may be influenced from.

    Parameters
    ----------
    width
        Channels of the first level.
    levels
        How often the edges are divided by four.
    extra
        One more convolution of stride 1 after that of each level, another reading of "two layers deeper".
    """

    def __init__(self, width: int, levels: int, extra: bool) -> None:
        super().__init__()
        self.levels = levels
        self.multiple = 4**levels
        channels = [width * 2**level for level in range(levels)]
        before = 1
        for level, after in enumerate(channels, 1):
            self.add_module(f"down_{level}", _step(before, after, stride=2, dropout=level == 1, extra=extra))
            self.add_module(f"pool_{level}", nn.MaxPool3d(2))
            before = after
        self.bridge = _step(before, 2 * before, stride=1, dropout=True)
        before *= 2
        for place, kept in enumerate(reversed(channels), 1):
            self.add_module(f"trans_up_{place}1", _rise(before, before))
            last = place == levels
            self.add_module(f"up_{place}", _step(before + kept, kept, stride=1, dropout=last))
            if not last:
                self.add_module(f"trans_up_{place}2", _rise(kept, kept))
            before = kept
        self.out = nn.Sequential(_transposed(before, 1), nn.ReLU())
        nn.init.constant_(self.out.get_parameter("0.bias"), BIAS)
        self.reach = _reach(self, self.multiple)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the volume of atoms, shape (N, 1, z, y, x)."""
        kept, flow = [], volume
        for level in range(1, self.levels + 1):
            kept.append(self.get_submodule(f"down_{level}")(flow))
            flow = self.get_submodule(f"pool_{level}")(kept[-1])
        flow = self.bridge(flow)
        for place in range(1, self.levels + 1):
            flow = self.get_submodule(f"trans_up_{place}1")(flow)
            flow = self.get_submodule(f"up_{place}")(torch.cat([flow, kept.pop()], dim=1))
            if kept:
                flow = self.get_submodule(f"trans_up_{place}2")(flow)
        result: torch.Tensor = self.out(flow)
        return result


class Residual(nn.Module):
    """A U-Net of residual blocks at half and a quarter of the resolution, without norms.

    Cubes of 2 x 2 x 2 voxels become 8 channels before the first convolution, and 8 channels such cubes after the last,
    so that no layer works on single voxels (doi:10.1109/CVPR.2016.207). Between them each block adds to what it is
    given two convolutions with a leaky ReLU between (doi:10.1109/CVPRW.2017.151). In evaluation what falls below zero
    becomes zero. Its reach is short, so that tiles cost little. `multiple` and `reach` are as for `Published`.

    Parameters
    ----------
    width, inner
        Channels at half and at a quarter of the resolution.
    outer_blocks, inner_blocks
        Blocks at half of the resolution, on the way in and again on the way out, and at a quarter of it.
    """

    multiple = 4

    def __init__(self, width: int, inner: int, outer_blocks: int, inner_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8, width, 3, padding=1)
        self.enter = nn.Sequential(*(_Block(width) for _ in range(outer_blocks)))
        self.down = nn.Conv3d(width, inner, 2, stride=2)
        self.middle = nn.Sequential(*(_Block(inner) for _ in range(inner_blocks)))
        self.up = nn.ConvTranspose3d(inner, width, 2, stride=2)
        self.leave = nn.Sequential(*(_Block(width) for _ in range(outer_blocks)))
        self.head = nn.Conv3d(width, 8, 3, padding=1)
        self.reach = 2 * _reach(self, self.multiple // 2) + 1

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the volume of atoms, shape (N, 1, z, y, x)."""
        fine = self.enter(self.stem(cubes_to_channels(volume)))
        fine = self.leave(fine + self.up(self.middle(self.down(fine))))
        result = channels_to_cubes(self.head(fine))
        return result if self.training else torch.relu(result)


class _Block(nn.Module):
    """What is given, plus two convolutions of it; at first nothing is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, SLOPE)
        for layer in (self.first, self.second):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.second.weight)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.second(nn.functional.leaky_relu(self.first(volume), SLOPE))
        return volume + changed


DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "published": {"width": 24, "levels": 2, "extra": False},
    "deep": {"width": 24, "levels": 3, "extra": False},
    "residual": {"width": 16, "inner": 32, "outer_blocks": 1, "inner_blocks": 2},
}
"""Forms, and the options of each with their defaults."""
LARGEST: Mapping[str, int] = {
    "width": 256,
    "levels": 4,
    "extra": 1,
    "inner": 512,
    "outer_blocks": 16,
    "inner_blocks": 64,
}
"""Greatest values of options."""


def build(form: str, **options: Any) -> Published | Residual:
    """Return a network with fresh weights, in training mode.

    Parameters
    ----------
    form
        ``published`` or ``deep``, the U-Nets of atomic tomography with two and three levels, or ``residual``.
    **options
        In place of those of `DEFAULTS`.
    """
    chosen = {**DEFAULTS[form], **options}
    return Residual(**chosen) if form == "residual" else Published(**chosen)


def multiple(form: str, **options: Any) -> int:
    """Return what the edges of a volume must be divisible by."""
    return 4 if form == "residual" else 4 ** {**DEFAULTS[form], **options}["levels"]


def reach(form: str, **options: Any) -> int:
    """Return how many voxels away along an axis an output voxel may be influenced from."""
    with torch.device("meta"):
        return build(form, **options).reach


def cubes_to_channels(volume: torch.Tensor) -> torch.Tensor:
    """Return cubes of 2 x 2 x 2 voxels as channels: (N, 1, z, y, x) to (N, 8, z/2, y/2, x/2)."""
    count, _, z, y, x = volume.shape
    cubes = volume.reshape(count, z // 2, 2, y // 2, 2, x // 2, 2)
    return cubes.permute(0, 2, 4, 6, 1, 3, 5).reshape(count, 8, z // 2, y // 2, x // 2)


def channels_to_cubes(channels: torch.Tensor) -> torch.Tensor:
    """Return 8 channels as cubes of 2 x 2 x 2 voxels, the inverse of `cubes_to_channels`."""
    count, _, z, y, x = channels.shape
    cubes = channels.reshape(count, 2, 2, 2, z, y, x)
    return cubes.permute(0, 4, 1, 5, 2, 6, 3).reshape(count, 1, 2 * z, 2 * y, 2 * x)


def _step(before: int, after: int, *, stride: int, dropout: bool, extra: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv3d(before, after, 3, stride, padding=1), nn.BatchNorm3d(after)]
    layers += [nn.Dropout3d(DROPOUT)] * dropout + [nn.LeakyReLU(SLOPE)]
    if extra:
        layers += [nn.Conv3d(after, after, 3, padding=1), nn.BatchNorm3d(after), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


def _rise(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(_transposed(before, after), nn.BatchNorm3d(after), nn.LeakyReLU(SLOPE))


def _transposed(before: int, after: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(before, after, 3, stride=2, padding=1, output_padding=1)


def _reach(network: nn.Module, period: int) -> int:
    """Return the farthest influence on an output voxel, in voxels along an axis.

    Followed back from each output voxel of one period, through the layers in order: all lie on the longest path.
    """
    layers = [one for one in network.modules() if isinstance(one, nn.Conv3d | nn.ConvTranspose3d | nn.MaxPool3d)]
    farthest = 0
    for voxel in range(period):
        low = high = voxel
        for layer in reversed(layers):
            kernel, stride, padding = (_edge(one) for one in (layer.kernel_size, layer.stride, layer.padding))
            if isinstance(layer, nn.ConvTranspose3d):
                low, high = -((kernel - 1 - low - padding) // stride), (high + padding) // stride
            else:
                low, high = low * stride - padding, high * stride - padding + kernel - 1
        farthest = max(farthest, voxel - low, high - voxel)
    return farthest


def _edge(size: object) -> int:
    found = size[0] if isinstance(size, tuple) else size
    assert isinstance(found, int)
    return found
