"""Projection by central slices of an oversampled Fourier transform, as the published RESIRE does it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from aetx.kernels.projection import F64, Grid, Projector

SMOOTH = (2, 3, 5)
"""Prime factors of the sizes of the transforms."""


class FourierProjector(Projector):
    """A projector whose images are interpolated in Fourier space; its `transpose` is that of the real-space one.

    The volume is padded to `oversampling` times its size, and its transform read, linearly in three directions, at the
    frequencies R (q_u, q_v, 0) of each padded image. What linear interpolation in Fourier space multiplies the volume
    by, the product of sinc^2(c / padded size) over its axes, is taken out beforehand. The transpose is the bilinear
    one of the published method: nearly, not exactly, that of `project`.

    Parameters
    ----------
    rotations, volume, image, device
        As for `Projector`.
    oversampling
        At least 1; 3 or 4 in the published work.
    """

    def __init__(self, rotations: F64, volume: Grid, image: Grid, device: str = "cpu", *, oversampling: float) -> None:
        super().__init__(rotations, volume, image, device)
        z, x, y = self.volume_shape
        self.padded = tuple(_fast(size, oversampling) for size in (z, x, y))
        ends = [max(-first, first + size) for first, size in zip(image.start, image.shape, strict=True)][::-1]
        self.canvas = tuple(  # so wide that nothing beyond the image is folded into it
            _fast(size, max(oversampling, (reach + end + 1) / size))
            for size, reach, end in zip(self.image_shape[1:], _reach(rotations, volume), ends, strict=True)
        )
        start, corner = np.array(volume.start)[[0, 2, 1]], np.array(image.start)[::-1]
        self._places = [
            _wrapped(first, size, long) for first, size, long in zip(start, (z, x, y), self.padded, strict=True)
        ]
        self._pixels = [
            _wrapped(first, size, long)
            for first, size, long in zip(corner, self.image_shape[1:], self.canvas, strict=True)
        ]
        self._rest, self._corner_rest = start - np.round(start), corner - np.round(corner)
        envelope = [
            1.0 / np.sinc((first + np.arange(size)) / long) ** 2
            for first, size, long in zip(start, (z, x, y), self.padded, strict=True)
        ]
        self._envelope = [torch.as_tensor(one.astype(np.float32), device=device) for one in envelope]

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the images of a volume."""
        spectrum = self._spectrum(volume).reshape(-1)
        images = torch.empty(self.image_shape, dtype=torch.float32, device=volume.device)
        rows, columns = (torch.as_tensor(one, device=volume.device) for one in self._pixels)
        for tilt, rotation in enumerate(self.rotations):
            plane = torch.fft.irfft2(self._slice(spectrum, rotation), self.canvas)
            images[tilt] = plane[rows[:, None], columns]
        return images

    def _spectrum(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the half transform, shape (z, x, y // 2 + 1), of the padded volume with its zero at index 0."""
        ez, ex, ey = self._envelope
        made = volume * ez[:, None, None] * ex[:, None] * ey
        for axis in (2, 1, 0):  # each axis is padded only when its turn comes
            size = list(made.shape)
            size[axis] = self.padded[axis]
            wide = torch.zeros(size, dtype=made.dtype, device=made.device)
            wide.index_copy_(axis, torch.as_tensor(self._places[axis], device=made.device), made)
            made = torch.fft.rfft(wide, dim=2) if axis == 2 else torch.fft.fft(wide, dim=axis)
        return made

    def _slice(self, spectrum: torch.Tensor, rotation: F64) -> torch.Tensor:
        """Return the half transform of one padded image."""
        u = np.fft.fftfreq(self.canvas[0])[:, None]
        v = np.fft.rfftfreq(self.canvas[1])[None, :]
        q = np.stack([rotation[axis, 0] * u + rotation[axis, 1] * v for axis in (2, 0, 1)])
        inside = (np.abs(q) < 0.5).all(axis=0)
        lengths = np.array(self.padded)[:, None, None]
        flip = q[2] < 0
        k = np.where(flip, -q, q) * lengths
        base = np.floor(k).astype(np.int64)
        part = (k - base).astype(np.float32)
        size_z, size_x, size_y = self.padded[0], self.padded[1], self.padded[2] // 2 + 1
        device = spectrum.device
        total = torch.zeros(inside.shape, dtype=torch.complex64, device=device)
        for dz in (0, 1):
            for dx in (0, 1):
                row = ((base[0] + dz) % size_z * size_x + (base[1] + dx) % size_x) * size_y
                side = (part[0] if dz else 1 - part[0]) * (part[1] if dx else 1 - part[1])
                for dy in (0, 1):
                    place = row + np.minimum(base[2] + dy, size_y - 1)
                    weight = side * (part[2] if dy else 1 - part[2]) * inside
                    there = spectrum[torch.as_tensor(place.ravel(), device=device)].view(inside.shape)
                    total.addcmul_(there, torch.as_tensor(weight, device=device).to(torch.complex64))
        turned = torch.where(torch.as_tensor(flip, device=device), total.conj(), total)
        if self._rest.any() or self._corner_rest.any():
            shift = np.tensordot(self._rest, q, 1) - self._corner_rest[0] * u - self._corner_rest[1] * v
            turned = turned * torch.as_tensor(np.exp(-2j * np.pi * shift).astype(np.complex64), device=device)
        return turned


def _reach(rotations: F64, volume: Grid) -> F64:
    """Return how far from the rotation centre a volume shows along x and y of the images, in voxels."""
    ends = [
        (start - 0.5, start + size - 0.5) for start, size in zip(volume.start[::-1], volume.shape[::-1], strict=True)
    ]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    found: F64 = np.abs(corners @ rotations[:, :, :2]).max(axis=(0, 1))
    return found


def _wrapped(first: float, size: int, long: int) -> NDArray[np.int64]:
    """Return the indices of coordinates first, first + 1, ... in a periodic array whose zero is at index 0."""
    return (int(np.round(first)) + np.arange(size)) % long


def _fast(size: int, oversampling: float) -> int:
    """Return the least even size, at least the padded one, whose transform is fast."""
    wanted = int(np.ceil(size * oversampling / 2) * 2)
    while True:
        rest = wanted
        for prime in SMOOTH:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return wanted
        wanted += 2
