"""Reconstruction with total variation: FISTA, and the denoising step inside it."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.projection import Projector
from aetx.kernels.reconstruction import Look, Reconstruction, Scheme, Watch, accelerated, pace_of

F32 = NDArray[np.float32]
INNER = 4
"""Dual steps per denoising, each from where the last denoising ended."""


def fista(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    strength: float,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Minimise half the squared misfit plus `strength` times the greatest gradient of the misfit at zero times TV.

    TV is the sum over voxels of the length of the forward differences. The arguments are those of
    `kernels.reconstruction.descend`, and so is the rule of momentum and restart.
    """
    watch = Watch(images, trusted, held, scheme)
    pace = pace_of(projector, scheme, support)
    gradient = projector.transpose(images if trusted is None else images * trusted)
    weight = strength * float(gradient.max()) * pace
    dual = torch.zeros((3, *gradient.shape), dtype=torch.float32, device=gradient.device)

    def nearest(volume: torch.Tensor) -> None:
        denoise(volume, dual, weight, scheme.positive, support, INNER)

    def penalty(volume: torch.Tensor) -> float:
        return 2 * weight / max(pace, 1e-30) * total_variation(volume)

    return accelerated(projector, watch, pace, nearest, penalty, look=look)


def total_variation(volume: torch.Tensor) -> float:
    """Return the sum over voxels of the length of the forward differences, zero across the far faces."""
    if volume.device.type == "cpu":
        return float(_variation(volume.numpy()))
    square = torch.zeros_like(volume)
    for axis in range(3):
        size = volume.shape[axis]
        square.narrow(axis, 0, size - 1).add_(torch.diff(volume, dim=axis).square_())
    return float(square.sqrt_().sum(dtype=torch.float64))


def denoise(
    volume: torch.Tensor, dual: torch.Tensor, weight: float, positive: bool, support: torch.Tensor | None, steps: int
) -> None:
    """Put in place of a volume v the minimiser x of |x - v|^2 / 2 + weight * TV(x), in the set that is allowed.

    Projected gradient descent on the dual field, shape (3, z, x, y), which is left as a start for the next call:
    A. Beck, M. Teboulle, IEEE Trans. Image Process. 18, 2419 (2009), doi:10.1109/TIP.2009.2028250, without momentum.
    """
    if weight == 0.0:
        _allow(volume, positive, support)
        return
    given = volume.clone()
    for _ in range(steps):
        _primal(given, dual, weight, volume)
        _allow(volume, positive, support)
        _ascend(volume, dual, 1.0 / (12.0 * weight))
    _primal(given, dual, weight, volume)
    _allow(volume, positive, support)


def _allow(volume: torch.Tensor, positive: bool, support: torch.Tensor | None) -> None:
    if positive:
        volume.clamp_(min=0.0)
    if support is not None:
        volume.mul_(support)


def _primal(given: torch.Tensor, dual: torch.Tensor, weight: float, out: torch.Tensor) -> None:
    """Write given - weight * transpose(differences) dual into out."""
    if out.device.type == "cpu":
        _divergence(given.numpy(), dual.numpy(), np.float32(weight), out.numpy())
        return
    out.copy_(given)
    for axis in range(3):
        size = out.shape[axis]
        flow = dual[axis].narrow(axis, 0, size - 1)
        out.narrow(axis, 0, size - 1).add_(flow, alpha=weight)
        out.narrow(axis, 1, size - 1).sub_(flow, alpha=weight)


def _ascend(volume: torch.Tensor, dual: torch.Tensor, pace: float) -> None:
    """Add pace * differences to the dual field, and shorten its vectors to one."""
    if volume.device.type == "cpu":
        _climb(volume.numpy(), dual.numpy(), np.float32(pace))
        return
    for axis in range(3):
        size = volume.shape[axis]
        dual[axis].narrow(axis, 0, size - 1).add_(torch.diff(volume, dim=axis), alpha=pace)
    dual.div_(dual.square().sum(dim=0).sqrt_().clamp_(min=1.0))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _variation(volume: F32) -> float:
    planes, rows, size = volume.shape
    found, square = 0.0, np.empty(size, np.float32)
    for z in range(planes):
        for x in range(rows):
            square[:] = np.float32(0)
            here = volume[z, x]
            if z < planes - 1:
                _squared(here, volume[z + 1, x], square)
            if x < rows - 1:
                _squared(here, volume[z, x + 1], square)
            _squared(here[:-1], here[1:], square[:-1])
            total = np.float32(0)
            for k in range(size):
                total += np.sqrt(square[k])
            found += float(total)
    return found


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _squared(here: F32, there: F32, square: F32) -> None:
    for k in range(here.size):
        difference = there[k] - here[k]
        square[k] += difference * difference


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _divergence(given: F32, dual: F32, weight: np.float32, out: F32) -> None:
    planes, rows = given.shape[:2]
    for z in range(planes):
        for x in range(rows):
            row = out[z, x]
            row[:] = given[z, x]
            if z < planes - 1:
                _add(row, dual[0, z, x], weight)
            if z > 0:
                _add(row, dual[0, z - 1, x], -weight)
            if x < rows - 1:
                _add(row, dual[1, z, x], weight)
            if x > 0:
                _add(row, dual[1, z, x - 1], -weight)
            _add(row[:-1], dual[2, z, x, :-1], weight)
            _add(row[1:], dual[2, z, x, :-1], -weight)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _add(row: F32, other: F32, factor: np.float32) -> None:
    for k in range(row.size):
        row[k] += factor * other[k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _climb(volume: F32, dual: F32, pace: np.float32) -> None:
    planes, rows, size = volume.shape
    scale = np.empty(size, np.float32)
    for z in range(planes):
        for x in range(rows):
            here = volume[z, x]
            if z < planes - 1:
                _raise(dual[0, z, x], volume[z + 1, x], here, pace)
            if x < rows - 1:
                _raise(dual[1, z, x], volume[z, x + 1], here, pace)
            _raise(dual[2, z, x, :-1], here[1:], here[:-1], pace)
            scale[:] = np.float32(0)
            for axis in range(3):
                flow = dual[axis, z, x]
                for k in range(size):
                    scale[k] += flow[k] * flow[k]
            for k in range(size):
                scale[k] = np.float32(1) / max(np.sqrt(scale[k]), np.float32(1))
            for axis in range(3):
                flow = dual[axis, z, x]
                for k in range(size):
                    flow[k] *= scale[k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _raise(flow: F32, there: F32, here: F32, pace: np.float32) -> None:
    for k in range(flow.size):
        flow[k] += pace * (there[k] - here[k])
