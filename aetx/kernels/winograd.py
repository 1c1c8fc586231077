"""Convolutions of 3 x 3 x 3 voxels by minimal filtering: 64 products in place of 216 for every 8 voxels.

Two neighbouring outputs of a filter of three taps take four products, of sums of four inputs with sums of the taps,
along each of the three axes: F(2 x 2 x 2, 3 x 3 x 3), doi:10.1109/CVPR.2016.435. All sums are of neighbours and exact
but for rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]

TAPS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
"""Sums of the three taps that are multiplied, by row."""


def transformed(weight: torch.Tensor) -> torch.Tensor:
    """Return the sums of taps of a convolution, (outputs, inputs, 3, 3, 3) to (64, inputs, outputs)."""
    sums = torch.tensor(TAPS, dtype=torch.float64)
    found = torch.einsum("ai,bj,ck,opijk->abcpo", sums, sums, sums, weight.double())
    return found.reshape(64, weight.shape[1], weight.shape[0]).to(weight.dtype).contiguous()


def convolved(parts: tuple[torch.Tensor, ...], taps: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
    """Return the leaky ReLU of a convolution of joined tensors, with zeros around them, on a processor in float32.

    Parameters
    ----------
    parts
        Tensors to join along their channels, each of shape (N, channels, z, y, x) in channels-last order, with even
        edges.
    taps
        From `transformed`.
    bias
        Shape (outputs,).
    slope
        Of the activation below zero.
    """
    count, _, z, y, x = parts[0].shape
    channels, outputs = taps.shape[1:]
    made = torch.empty((count, z, y, x, outputs))
    sums, products = torch.empty(64, x // 2, channels), torch.empty(64, x // 2, outputs)
    shift = bias.numpy()
    halves = np.empty((2, 16, x // 2 * outputs), np.float32)
    for one in range(count):
        given = [part[one].permute(1, 2, 3, 0).contiguous().numpy() for part in parts]
        rows = [np.zeros((4, 4, (x + 2) * values.shape[3]), np.float32) for values in given]
        for above in range(0, z, 2):
            for left in range(0, y, 2):
                first = 0
                for values, kept in zip(given, rows, strict=True):
                    _spread(values, above - 1, left - 1, kept, sums.numpy(), first)
                    first += values.shape[3]
                torch.bmm(sums, taps, out=products)
                _gather(products.numpy(), above, left, shift, np.float32(slope), halves, made[one].numpy())
    return made.permute(0, 4, 1, 2, 3)


@njit(nogil=True, cache=True)
def _row(volume: F32, z: int, y: int, k: int, row: F32) -> None:
    """Put sum `k` over z of one row of voxels between the zeros at its ends."""
    depth, height, width, channels = volume.shape
    size = width * channels
    plus = (0, 1, 2, 1)[k]
    other = (2, 2, 1, 3)[k]
    sign = np.float32(1.0 if k == 1 else -1.0)
    here = 0 <= y < height
    one, two = here and 0 <= z + plus < depth, here and 0 <= z + other < depth
    inside = row[channels : channels + size]
    if one and two:
        a, b = volume[z + plus, y].reshape(-1), volume[z + other, y].reshape(-1)
        for i in range(size):
            inside[i] = a[i] + sign * b[i]
    elif one:
        inside[:] = volume[z + plus, y].reshape(-1)
    elif two:
        b = volume[z + other, y].reshape(-1)
        for i in range(size):
            inside[i] = sign * b[i]
    else:
        inside[:] = 0


@njit(nogil=True, cache=True)
def _spread(volume: F32, z: int, y: int, rows: F32, sums: F32, first: int) -> None:
    """Make the sums of four inputs along each axis, of the cubes along one row of x.

    Parameters
    ----------
    volume
        Shape (z, y, x, channels).
    z, y
        The first of the four inputs, -1 at the face.
    rows
        Sums over z of four rows, shape (4, 4, (x + 2) channels); row y is at (y + 1) % 4, and two of them are as the
        call for the cubes before left them.
    sums
        Result, shape (64, x / 2, all channels).
    first
        Where the channels of this volume begin in it.
    """
    channels, size = volume.shape[3], rows.shape[2]
    for j in range(0 if y < 0 else 2, 4):
        for k in range(4):
            _row(volume, z, y + j, k, rows[k, (y + j + 1) % 4])
    row = np.empty(size, np.float32)
    for k in range(4):
        a, b, c, d = rows[k, (y + 1) % 4], rows[k, (y + 2) % 4], rows[k, (y + 3) % 4], rows[k, (y + 4) % 4]
        for j in range(4):
            if j == 0:
                for i in range(size):
                    row[i] = a[i] - c[i]
            elif j == 1:
                for i in range(size):
                    row[i] = b[i] + c[i]
            elif j == 2:
                for i in range(size):
                    row[i] = c[i] - b[i]
            else:
                for i in range(size):
                    row[i] = b[i] - d[i]
            _along(row, channels, sums[16 * k + 4 * j : 16 * k + 4 * j + 4], first)


@njit(nogil=True, cache=True)
def _along(row: F32, channels: int, sums: F32, first: int) -> None:
    """Make the four sums along a row, shape (4, x / 2, all channels)."""
    for cube in range(sums.shape[1]):
        four = row[2 * cube * channels : (2 * cube + 4) * channels]
        p, q = sums[0, cube, first : first + channels], sums[1, cube, first : first + channels]
        r, s = sums[2, cube, first : first + channels], sums[3, cube, first : first + channels]
        for i in range(channels):
            a, b, c, d = four[i], four[channels + i], four[2 * channels + i], four[3 * channels + i]
            p[i] = a - c
            q[i] = b + c
            r[i] = c - b
            s[i] = b - d


@njit(nogil=True, cache=True)
def _gather(products: F32, z: int, y: int, bias: F32, slope: np.float32, halves: F32, made: F32) -> None:
    """Make the two outputs along each axis of the products, shape (64, x / 2, outputs), and activate them.

    `halves` is room, of shape (2, 16, x / 2 outputs); `made` has shape (z, y, x, outputs).
    """
    cubes, outputs = products.shape[1:]
    size = cubes * outputs
    for n in range(16):
        a, b = products[n].reshape(-1), products[16 + n].reshape(-1)
        c, d = products[32 + n].reshape(-1), products[48 + n].reshape(-1)
        for i in range(size):
            halves[0, n, i] = a[i] + b[i] + c[i]
            halves[1, n, i] = b[i] - c[i] - d[i]
    for k in range(2):
        for n in range(4):
            a, b, c, d = halves[k, n], halves[k, 4 + n], halves[k, 8 + n], halves[k, 12 + n]
            for i in range(size):
                even = a[i] + b[i] + c[i]
                b[i] = b[i] - c[i] - d[i]
                a[i] = even
        for j in range(2):
            a, b, c, d = halves[k, 4 * j], halves[k, 4 * j + 1], halves[k, 4 * j + 2], halves[k, 4 * j + 3]
            row = made[z + k, y + j].reshape(-1)
            for cube in range(cubes):
                for i in range(outputs):
                    at = cube * outputs + i
                    even, odd = a[at] + b[at] + c[at] + bias[i], b[at] - c[at] - d[at] + bias[i]
                    row[2 * cube * outputs + i] = max(even, slope * even)
                    row[(2 * cube + 1) * outputs + i] = max(odd, slope * odd)
