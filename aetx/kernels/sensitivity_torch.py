"""The twin of `rendering.render` and `sensitivity` in torch, for devices that do much at once.

Every atom is a window of pixels: the product of a line along each axis. Windows are added to an image as whole numbers
of a small unit, whose sum does not depend on the order, so that the same call gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from aetx.kernels.drawing import Drawing
from aetx.kernels.profiles import NARROW
from aetx.kernels.rendering import REACH
from aetx.kernels.sensitivity import ROUGHLY, SLOPE, SPREAD, VALUE

BLOCK = 1 << 23
"""Most pixels of the windows of those atoms that are drawn together."""
UNIT = 2.0**-38
"""What windows are rounded to, over the greatest value in any."""


class _Windows(NamedTuple):
    """Some of the atoms, and what an image holds of each."""

    some: slice
    across: torch.Tensor
    """Gaussians of unit integral, their derivatives by centre and width, (3, atoms, edge), float32."""
    along: torch.Tensor
    pixel: torch.Tensor
    """Place of each pixel in a flat image, (atoms, edge, edge); where it is outside, the lines are zero."""


class Lines(NamedTuple):
    """Where atoms are in images of a size, to draw them with: places and widths in pixels, float64, shape (atoms,)."""

    x: torch.Tensor
    y: torch.Tensor
    width: torch.Tensor
    rows: int
    columns: int
    rough: bool = False


def _windows(drawn: Lines) -> Iterator[_Windows]:
    x, y, width, rows, columns, rough = drawn
    if not len(x):
        return
    edge = int(2.0 * ((ROUGHLY if rough else REACH) * float(width.max()) + 0.5)) + 1
    together = max(1, BLOCK // edge**2)
    for first in range(0, len(x), together):
        some = slice(first, first + together)
        across, column = _lines(x[some], width[some], columns, edge, rough)
        along, row = _lines(y[some], width[some], rows, edge, rough)
        yield _Windows(some, across, along, row[:, :, None] * columns + column[:, None, :])


def _lines(
    centre: torch.Tensor, width: torch.Tensor, size: int, edge: int, rough: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lines of atoms, (3, atoms, edge), and their pixels, (atoms, edge)."""
    reach = (ROUGHLY if rough else REACH) * width + 0.5
    first = torch.ceil(centre - reach).to(torch.int64)
    pixel = first[:, None] + torch.arange(edge, device=centre.device)
    away = pixel - centre[:, None]
    inside = (away <= reach[:, None]) & (pixel >= 0) & (pixel < size)
    w = width.to(torch.float32)[:, None]
    t, scale = (away / width[:, None]).to(torch.float32), 1.0 / (w * math.sqrt(2.0 * math.pi))
    value = scale * torch.exp(-0.5 * t * t)
    made = torch.stack([value, value * t / w, value * (t * t - 1.0) / w])
    narrow = width < NARROW
    if bool(narrow.any()) and not rough:
        ends = [t[narrow] + sign * 0.5 / w[narrow] for sign in (-1, 1)]
        before, after = (scale[narrow] * torch.exp(-0.5 * end * end) for end in ends)
        made[VALUE, narrow] = 0.5 * (torch.erf(ends[1] / math.sqrt(2.0)) - torch.erf(ends[0] / math.sqrt(2.0)))
        made[SLOPE, narrow] = before - after
        made[SPREAD, narrow] = ends[0] * before - ends[1] * after
    return made * inside, pixel.clamp(0, size - 1)


def _add(windows: torch.Tensor, pixel: torch.Tensor, image: torch.Tensor) -> None:
    """Add windows to an image, in whole numbers of a unit."""
    unit = UNIT * windows.abs().max().to(torch.float64).clamp(min=1e-300)
    whole = torch.round(windows.to(torch.float64) / unit).to(torch.int64)
    total = torch.zeros(image.numel(), device=image.device, dtype=torch.int64)
    total.index_add_(0, pixel.reshape(-1), whole.reshape(-1))
    image += (total * unit).to(torch.float32).reshape(image.shape)


def render(
    x: torch.Tensor, y: torch.Tensor, height: torch.Tensor, width: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """Draw atoms as `rendering.render` does: places and widths float64, shape (atoms,); the image float32."""
    image = torch.zeros(rows, columns, device=x.device)
    for some, across, along, pixel in _windows(Lines(x, y, width, rows, columns)):
        scaled = along[VALUE] * height[some].to(torch.float32)[:, None]
        _add(scaled[:, :, None] * across[VALUE][:, None, :], pixel, image)
    return image


def change(
    drawn: Lines,
    height: torch.Tensor,
    by_x: torch.Tensor,
    by_y: torch.Tensor,
    by_height: torch.Tensor,
    by_width: torch.Tensor,
    rows: int,
    columns: int,
) -> torch.Tensor:
    """Return the derivative of an image along a change of its atoms, as `sensitivity.change` does."""
    image = torch.zeros(rows, columns, device=height.device)
    dx, dy, dw = ((height * one).to(torch.float32)[:, None] for one in (by_x, by_y, by_width))
    dh = by_height.to(torch.float32)[:, None]
    for some, across, along, pixel in _windows(drawn):
        mixed = dx[some] * across[SLOPE] + dw[some] * across[SPREAD] + dh[some] * across[VALUE]
        second = dy[some] * along[SLOPE] + dw[some] * along[SPREAD]
        window = along[VALUE][:, :, None] * mixed[:, None, :] + second[:, :, None] * across[VALUE][:, None, :]
        _add(window, pixel, image)
    return image


def collect(image: torch.Tensor, drawn: Lines, height: torch.Tensor) -> torch.Tensor:
    """Return the transpose of `change`, as `sensitivity.collect` does: shape (atoms, 4), float64."""
    made = torch.zeros(len(height), 4, device=height.device, dtype=torch.float64)
    flat = image.reshape(-1)
    for some, across, along, pixel in _windows(drawn):
        summed = torch.einsum("ank,nkl->anl", along, flat[pixel])
        h = height[some]
        made[some, 0] = h * (summed[VALUE] * across[SLOPE]).sum(1)
        made[some, 1] = h * (summed[SLOPE] * across[VALUE]).sum(1)
        made[some, 2] = (summed[VALUE] * across[VALUE]).sum(1).to(torch.float64)
        made[some, 3] = h * (summed[VALUE] * across[SPREAD] + summed[SPREAD] * across[VALUE]).sum(1)
    return made


def own(weight: torch.Tensor, drawn: Lines, height: torch.Tensor) -> torch.Tensor:
    """Return weighted products of the derivatives of each atom, as `sensitivity.own` does: (atoms, 4, 4), float64."""
    made = torch.zeros(len(height), 4, 4, device=height.device, dtype=torch.float64)
    flat = weight.reshape(-1)
    # each derivative is a sum of products of a line along and a line across: the width has two of them
    terms = (((VALUE, SLOPE),), ((SLOPE, VALUE),), ((VALUE, VALUE),), ((VALUE, SPREAD), (SPREAD, VALUE)))
    for some, across, along, pixel in _windows(drawn):
        summed = torch.einsum("ank,bnk,nkl->abnl", along, along, flat[pixel])
        for i in range(4):
            for k in range(i + 1):
                total = torch.zeros_like(height[some])
                for a, c in terms[i]:
                    for b, d in terms[k]:
                        total += (summed[a, b] * across[c] * across[d]).sum(1)
                made[some, i, k] = made[some, k, i] = total
    factor = torch.stack([height, height, torch.ones_like(height), height], dim=1)
    return made * factor[:, :, None] * factor[:, None, :]


def filtered(image: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Return a periodic image times a real function of the half grid of frequencies, as `drawing.filtered` does."""
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer, list(image.shape))


def on_device(device: str) -> Drawing:
    """Return how images are drawn on a device of torch: arrays go there and come back in every call; lines stay."""

    def sent(values: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device) if isinstance(values, np.ndarray) else values

    def there(function: Callable[..., torch.Tensor]) -> Callable[..., Any]:
        return lambda *arguments: function(*map(sent, arguments)).cpu().numpy()

    def lines(*arguments: Any) -> Lines:
        return Lines(*map(sent, arguments))

    return Drawing(there(render), lines, there(change), there(collect), there(own), there(filtered))
