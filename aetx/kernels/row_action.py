"""Algebraic reconstruction: ray by ray (ART), and image by image (SART)."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.projection import F64, Grid, Projector
from aetx.kernels.reconstruction import Look, Reconstruction, Scheme, Watch, constrain, inverse

F32 = NDArray[np.float32]
GOLDEN = (5**0.5 - 1) / 2
GRAZING = 0.1
"""Row sums are taken to be at least this fraction of the greatest: rays that graze a support show more than it."""


def spread_order(count: int) -> NDArray[np.int64]:
    """Return an order of tilts in which each is far from the few before it, by the golden ratio."""
    place = np.arange(count) * GOLDEN % 1
    return np.argsort(np.argsort(place))


def art(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    decay: float,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Return Kaczmarz's reconstruction: volume += step a (b - a . volume) / |a|^2 for one ray a after the other.

    The arguments are those of `kernels.reconstruction.descend`; the step is below 2, and is multiplied by `decay` after
    each sweep over all rays. The rays are those of `cast`; R1 is that of the projector. Computes on the host, whatever
    the device.
    """
    watch = Watch(images, trusted, held, scheme)
    volume = torch.zeros(projector.volume_shape, dtype=torch.float32)
    inside = None if support is None else support.cpu()
    values = images.cpu().numpy()
    seen = np.ones_like(values) if trusted is None else trusted.cpu().numpy()
    starts = _first(projector.volume), _first(projector.image)
    shown, step = torch.zeros_like(images), scheme.step
    for number in range(1, scheme.iterations + 1):
        watch.see(shown)
        if watch.settled:
            break
        for tilt in spread_order(len(values)):
            if seen[tilt].any():
                kaczmarz(volume.numpy(), values[tilt], seen[tilt], projector.rotations[tilt], *starts, step)
                constrain(volume, scheme.positive, inside)
        step *= decay
        there = volume.to(images.device)
        shown = projector.project(there)
        if look is not None:
            look(number, there)
    return watch.result(volume.to(images.device), shown)


def sart(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    decay: float,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Return the simultaneous algebraic reconstruction: what SIRT does with all images, with one after the other.

    The arguments are those of `art`.
    """
    watch = Watch(images, trusted, held, scheme)
    seen = torch.ones_like(images) if trusted is None else trusted
    inside = torch.ones(projector.volume_shape, dtype=torch.float32, device=projector.device)
    if support is not None:
        inside.mul_(support)
    order = [tilt for tilt in spread_order(len(images)) if bool(seen[tilt].any())]
    parts = {tilt: _alone(projector, tilt) for tilt in order}
    sums = {tilt: part.project(inside) for tilt, part in parts.items()}
    rows = {tilt: inverse(one.clamp_(min=GRAZING * float(one.max()))).mul_(seen[tilt]) for tilt, one in sums.items()}
    volume, change, column = torch.zeros_like(inside), torch.empty_like(inside), inside
    shown, step = torch.zeros_like(images), scheme.step
    for number in range(1, scheme.iterations + 1):
        watch.see(shown)
        if watch.settled:
            break
        for tilt in order:
            part, mask = parts[tilt], seen[tilt : tilt + 1]
            residual = (images[tilt : tilt + 1] - part.project(volume)).mul_(rows[tilt])
            part.transpose(residual, change)
            part.transpose(mask, column)
            volume.addcmul_(change, inverse(column), value=step)
            constrain(volume, scheme.positive, support)
        step *= decay
        shown = projector.project(volume)
        if look is not None:
            look(number, volume)
    return watch.result(volume, shown)


def _alone(projector: Projector, tilt: int) -> Projector:
    """Return the projector of one tilt."""
    return Projector(projector.rotations[tilt : tilt + 1], projector.volume, projector.image, projector.device)


def _first(grid: Grid) -> F64:
    """Return the first coordinate of each axis of a grid, x first."""
    return np.array(grid.start[::-1], float)


@njit(nogil=True, cache=True)
def ray(
    u: float, v: float, rotation: F64, start: F64, along: int, side: int, up: int
) -> tuple[float, float, float, float, float]:
    """Return where a ray meets the first plane across its longest axis, how far it moves per plane, and its length.

    Places are in voxels along the axes `side` and `up`, the length in voxels per plane.
    """
    slope_side = rotation[side, 2] / rotation[along, 2]
    slope_up = rotation[up, 2] / rotation[along, 2]
    ahead = start[along] - u * rotation[along, 0] - v * rotation[along, 1]
    first_side = u * rotation[side, 0] + v * rotation[side, 1] + slope_side * ahead - start[side]
    first_up = u * rotation[up, 0] + v * rotation[up, 1] + slope_up * ahead - start[up]
    return first_side, slope_side, first_up, slope_up, abs(1.0 / rotation[along, 2])


@njit(nogil=True, cache=True)
def longest(rotation: F64) -> tuple[int, int, int]:
    """Return the axis (0 x, 1 y, 2 z) nearest to the beam, and the other two."""
    beam = np.abs(rotation[:, 2])
    if beam[2] >= beam[0] and beam[2] >= beam[1]:
        return 2, 0, 1
    if beam[0] >= beam[1]:
        return 0, 2, 1
    return 1, 2, 0


@njit(nogil=True, cache=True)
def cast(volume: F32, rotation: F64, starts: F64, corner: F64, shape: tuple[int, int]) -> F32:
    """Return an image, shape (x, y), of a volume (z, x, y) by Joseph's rays.

    Each ray is sampled, linearly in two directions, where it meets the planes across the axis that it is nearest to,
    times its length between two planes. Doi:10.1109/TMI.1982.4307572. `starts` and `corner` are the first coordinates
    of the volume (x, y, z) and of the image (x, y), in voxels from the rotation centre.
    """
    image = np.empty(shape, np.float32)
    for i in range(shape[0]):
        for j in range(shape[1]):
            image[i, j] = _sum(volume, rotation, starts, corner[0] + i, corner[1] + j)[0]
    return image


@njit(nogil=True, cache=True)
def kaczmarz(volume: F32, image: F32, seen: F32, rotation: F64, starts: F64, corner: F64, step: float) -> None:
    """Move a volume (z, x, y), in place, towards the hyperplane of each ray of an image (x, y) in turn.

    Rays are those of `cast`; those where `seen` is zero are left out.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if seen[i, j] == 0:
                continue
            u, v = corner[0] + i, corner[1] + j
            found, square = _sum(volume, rotation, starts, u, v)
            if square > 0:
                _add(volume, rotation, starts, u, v, step * (image[i, j] - found) / square)


@njit(nogil=True, cache=True)
def _plan(volume: F32) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sizes and strides of a volume (z, x, y) by axis x, y, z."""
    z, x, y = volume.shape
    return np.array([x, y, z]), np.array([y, 1, x * y])


@njit(nogil=True, cache=True)
def _sum(volume: F32, rotation: F64, starts: F64, u: float, v: float) -> tuple[float, float]:
    """Return the sum along a ray and the sum of its squared weights."""
    along, side, up = longest(rotation)
    sizes, strides = _plan(volume)
    a, slope_a, b, slope_b, length = ray(u, v, rotation, starts, along, side, up)
    flat = volume.ravel()
    total, square = 0.0, 0.0
    for plane in range(sizes[along]):
        low_a, low_b = int(np.floor(a)), int(np.floor(b))
        f, g = a - low_a, b - low_b
        for da in range(2):
            for db in range(2):
                ia, ib = low_a + da, low_b + db
                if 0 <= ia < sizes[side] and 0 <= ib < sizes[up]:
                    weight = length * (f if da else 1 - f) * (g if db else 1 - g)
                    total += weight * flat[plane * strides[along] + ia * strides[side] + ib * strides[up]]
                    square += weight * weight
        a += slope_a
        b += slope_b
    return total, square


@njit(nogil=True, cache=True)
def _add(volume: F32, rotation: F64, starts: F64, u: float, v: float, value: float) -> None:
    """Add a value along a ray, times its weights."""
    along, side, up = longest(rotation)
    sizes, strides = _plan(volume)
    a, slope_a, b, slope_b, length = ray(u, v, rotation, starts, along, side, up)
    flat = volume.ravel()
    for plane in range(sizes[along]):
        low_a, low_b = int(np.floor(a)), int(np.floor(b))
        f, g = a - low_a, b - low_b
        for da in range(2):
            for db in range(2):
                ia, ib = low_a + da, low_b + db
                if 0 <= ia < sizes[side] and 0 <= ib < sizes[up]:
                    weight = length * (f if da else 1 - f) * (g if db else 1 - g)
                    flat[plane * strides[along] + ia * strides[side] + ib * strides[up]] += np.float32(value * weight)
        a += slope_a
        b += slope_b
