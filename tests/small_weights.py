"""A small network that passes on what it is given, as weights for tests of what surrounds it."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from aetx.core.weights import Card, write
from aetx.kernels.neural_networks import Residual, build

OPTIONS = {"width": 8, "inner": 2, "outer_blocks": 1, "inner_blocks": 1}


def card(**changes: Any) -> Card:
    stated: dict[str, Any] = {
        "name": "small",
        "form": "residual",
        "options": OPTIONS,
        "pixel_size": (0.34, 0.85),
        "largest_tilt": (60.0, 75.0),
        "width": 0.45,
    }
    return Card(**stated | changes)


def passing() -> Residual:
    """A network whose output is its input, where that is above zero."""
    network = build("residual", **OPTIONS)
    assert isinstance(network, Residual)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for channel in range(8):
            network.stem.weight[channel, channel, 1, 1, 1] = 1.0
            network.head.weight[channel, channel, 1, 1, 1] = 1.0
    return network


@functools.cache
def small_weights() -> Path:
    """Write the weights, once and until the tests end, and return their path."""
    folder = Path(tempfile.mkdtemp(prefix="aetx-weights-"))
    atexit.register(shutil.rmtree, folder)
    write(folder, passing(), card())
    return folder / "small.safetensors"
