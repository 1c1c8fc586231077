"""A volume as the camera sees it, slice by slice along the beam, by cubic splines; differentiable."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

ROOM = 8
"""Voxels of vacuum around the volume into which its spline reaches."""
POLE = math.sqrt(3) - 2
"""Decay of the spline's coefficients from voxel to voxel."""


def spline_coefficients(volume: torch.Tensor) -> torch.Tensor:
    """Return the coefficients of the cubic spline through the voxels, zero outside, with `ROOM` voxels on each side.

    A spline through samples s has the coefficients c_i = sqrt(3) sum_j (sqrt(3) - 2)**|i - j| s_j along each axis.

    References
    ----------
    M. Unser, IEEE Signal Processing Magazine 16(6), 22 (1999), doi:10.1109/79.799930.
    """
    found = volume
    for axis in range(volume.ndim):
        size = volume.shape[axis]
        place = torch.arange(size, dtype=torch.float64)
        away = (torch.arange(-ROOM, size + ROOM, dtype=torch.float64)[:, None] - place[None, :]).abs()
        sign = 1.0 - 2.0 * (away % 2)
        matrix = math.sqrt(3) * sign * torch.exp(away * math.log(-POLE))
        found = torch.tensordot(found, matrix.to(volume), dims=([0], [1]))  # the axes come back in order after all
    return found


def turned_slices(
    coefficients: torch.Tensor, rotation: torch.Tensor, shape: tuple[int, int, int]
) -> Iterator[torch.Tensor]:
    """Yield the slices of V(R p) on the grid of the camera, in the order of the beam: p_z rising.

    Parameters
    ----------
    coefficients
        Of the volume, from `spline_coefficients`, axes z, y, x.
    rotation
        R, shape (3, 3), columns and rows x, y, z: the specimen is at r = R p. It may carry a gradient.
    shape
        Voxels of the grid along p_z, p_y and p_x; its centre, index size // 2, is that of the volume.

    Yields
    ------
    Slices, shape (p_y, p_x), in the unit of the volume. Only one is in memory at a time.
    """
    dtype, device = coefficients.dtype, coefficients.device
    to_voxels = rotation.to(coefficients).flip(0, 1)  # rows and columns z, y, x
    depth, rows, columns = shape
    centre = torch.tensor([(size - 2 * ROOM) // 2 + ROOM for size in coefficients.shape], dtype=dtype, device=device)
    y, x = (torch.arange(size, dtype=dtype, device=device) - size // 2 for size in (rows, columns))
    flat = y[:, None] * to_voxels[:, 1, None, None] + x[None, :] * to_voxels[:, 2, None, None]
    flat = flat.reshape(3, -1) + centre[:, None]
    for k in range(depth):
        place = flat + (k - depth // 2) * to_voxels[:, 0, None]
        yield _interpolate(coefficients, place).reshape(rows, columns)


def _interpolate(coefficients: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return the spline at places, shape (3, points), in voxels; zero beyond the coefficients."""
    sizes = torch.tensor(coefficients.shape, device=place.device)[:, None]
    first = torch.floor(place.detach()).long() - 1
    inside = ((first >= 0) & (first + 3 < sizes)).all(0)
    first = torch.minimum(first.clamp(min=0), sizes - 4)
    weight = _weights(place - first - 1)  # (4, 3, points)
    step = torch.arange(4, device=place.device)[:, None]
    z, y, x = (first[axis] + step for axis in range(3))
    plane = z[:, None] * coefficients.shape[1] + y[None, :]
    index = plane[:, :, None] * coefficients.shape[2] + x[None, None]  # (4, 4, 4, points)
    taken = coefficients.reshape(-1)[index]
    found = torch.einsum("kjip,kp,jp,ip->p", taken, weight[:, 0], weight[:, 1], weight[:, 2])
    return torch.where(inside, found, torch.zeros_like(found))


def _weights(t: torch.Tensor) -> torch.Tensor:
    """Return the four values of the cubic B-spline around places t in [0, 1) behind the second, stacked in front."""
    back = 1 - t
    return (
        torch.stack(
            [back**3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * back**2 + 3 * back**3, t**3],
        )
        / 6
    )
