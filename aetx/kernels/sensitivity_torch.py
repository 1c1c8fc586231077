"""The twin of `rendering.render` and `sensitivity` in torch, for devices on which products of matrices are cheap.

A Gaussian is the product of one line along each axis, so that an image of many is a product of two matrices of lines:
no window is scattered, and the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from aetx.kernels.drawing import Drawing
from aetx.kernels.profiles import NARROW
from aetx.kernels.rendering import REACH
from aetx.kernels.sensitivity import SLOPE, SPREAD, VALUE

BLOCK = 1 << 23
"""Most pixels of the lines of those atoms that are drawn together."""


def _lines(centre: torch.Tensor, width: torch.Tensor, size: int) -> torch.Tensor:
    """Return Gaussians of unit integral and their derivatives by centre and width, (3, atoms, size), float32."""
    away = torch.arange(size, device=centre.device, dtype=centre.dtype) - centre[:, None]
    inside = away.abs() <= REACH * width[:, None] + 0.5
    w = width.to(torch.float32)[:, None]
    t, scale = (away / width[:, None]).to(torch.float32), 1.0 / (w * math.sqrt(2.0 * math.pi))
    value = scale * torch.exp(-0.5 * t * t)
    made = torch.stack([value, value * t / w, value * (t * t - 1.0) / w])
    narrow = width < NARROW
    if bool(narrow.any()):
        ends = [t[narrow] + sign * 0.5 / w[narrow] for sign in (-1, 1)]
        first, last = (scale[narrow] * torch.exp(-0.5 * end * end) for end in ends)
        made[VALUE, narrow] = 0.5 * (torch.erf(ends[1] / math.sqrt(2.0)) - torch.erf(ends[0] / math.sqrt(2.0)))
        made[SLOPE, narrow] = first - last
        made[SPREAD, narrow] = ends[0] * first - ends[1] * last
    return made * inside


def _blocks(atoms: int, longest: int) -> Iterator[slice]:
    together = max(1, BLOCK // longest)
    for first in range(0, atoms, together):
        yield slice(first, first + together)


def render(
    x: torch.Tensor, y: torch.Tensor, height: torch.Tensor, width: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """Draw atoms as `rendering.render` does: places and widths float64, shape (atoms,); the image float32."""
    image = torch.zeros(rows, columns, device=x.device)
    for some in _blocks(len(x), max(rows, columns)):
        across, along = (_lines(one[some], width[some], size)[VALUE] for one, size in ((x, columns), (y, rows)))
        image += (along * height[some].to(torch.float32)[:, None]).T @ across
    return image


def change(
    x: torch.Tensor,
    y: torch.Tensor,
    height: torch.Tensor,
    width: torch.Tensor,
    by_x: torch.Tensor,
    by_y: torch.Tensor,
    by_height: torch.Tensor,
    by_width: torch.Tensor,
    rows: int,
    columns: int,
) -> torch.Tensor:
    """Return the derivative of an image along a change of its atoms, as `sensitivity.change` does."""
    image = torch.zeros(rows, columns, device=x.device)
    dx, dy, dw = ((height * one).to(torch.float32)[:, None] for one in (by_x, by_y, by_width))
    dh = by_height.to(torch.float32)[:, None]
    for some in _blocks(len(x), max(rows, columns)):
        across, along = _lines(x[some], width[some], columns), _lines(y[some], width[some], rows)
        mixed = dx[some] * across[SLOPE] + dw[some] * across[SPREAD] + dh[some] * across[VALUE]
        image += along[VALUE].T @ mixed
        image += (dy[some] * along[SLOPE] + dw[some] * along[SPREAD]).T @ across[VALUE]
    return image


def collect(
    image: torch.Tensor, x: torch.Tensor, y: torch.Tensor, height: torch.Tensor, width: torch.Tensor
) -> torch.Tensor:
    """Return the transpose of `change`, as `sensitivity.collect` does: shape (atoms, 4), float64."""
    rows, columns = image.shape
    made = torch.zeros(len(x), 4, device=x.device, dtype=torch.float64)
    for some in _blocks(len(x), max(rows, columns)):
        across, along = _lines(x[some], width[some], columns), _lines(y[some], width[some], rows)
        summed = along @ image
        h = height[some]
        made[some, 0] = h * (summed[VALUE] * across[SLOPE]).sum(1)
        made[some, 1] = h * (summed[SLOPE] * across[VALUE]).sum(1)
        made[some, 2] = (summed[VALUE] * across[VALUE]).sum(1).to(torch.float64)
        made[some, 3] = h * (summed[VALUE] * across[SPREAD] + summed[SPREAD] * across[VALUE]).sum(1)
    return made


def own(
    weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor, height: torch.Tensor, width: torch.Tensor
) -> torch.Tensor:
    """Return weighted products of the derivatives of each atom, as `sensitivity.own` does: (atoms, 4, 4), float64."""
    rows, columns = weight.shape
    made = torch.zeros(len(x), 4, 4, device=x.device, dtype=torch.float64)
    # each derivative is a sum of products of a line along and a line across: the width has two of them
    terms = (((VALUE, SLOPE),), ((SLOPE, VALUE),), ((VALUE, VALUE),), ((VALUE, SPREAD), (SPREAD, VALUE)))
    for some in _blocks(len(x), 4 * max(rows, columns)):
        across, along = _lines(x[some], width[some], columns), _lines(y[some], width[some], rows)
        summed = {(a, b): (along[a] * along[b]) @ weight for a in range(3) for b in range(a + 1)}
        for i in range(4):
            for k in range(i + 1):
                total = torch.zeros_like(height[some])
                for a, c in terms[i]:
                    for b, d in terms[k]:
                        total += (summed[max(a, b), min(a, b)] * across[c] * across[d]).sum(1)
                made[some, i, k] = made[some, k, i] = total
    factor = torch.stack([height, height, torch.ones_like(height), height], dim=1)
    return made * factor[:, :, None] * factor[:, None, :]


def filtered(image: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Return a periodic image times a real function of the half grid of frequencies, as `drawing.filtered` does."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, list(image.shape))


def on_device(device: str) -> Drawing:
    """Return how images are drawn on a device of torch: arrays go there and come back in every call."""

    def there(function: Callable[..., torch.Tensor]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            arrays = (
                torch.from_numpy(np.ascontiguousarray(one)).to(device) if isinstance(one, np.ndarray) else one
                for one in arguments
            )
            return function(*arrays).cpu().numpy()

        return call

    return Drawing(there(render), there(change), there(collect), there(own), there(filtered))
