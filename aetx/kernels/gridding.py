"""The transforms of images at the points of a three-dimensional Fourier grid that lie near their planes.

A wave vector is told in steps of the padded grid, k / size cycles per pixel. The transform of a volume is
F(k) = sum_r density(r) exp(-2 pi i k.r / size), so that an image is its section: F(R (u, v, 0)) = sum image(x, y)
exp(-2 pi i (u x + v y) / size).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
C128 = NDArray[np.complex128]
I64 = NDArray[np.int64]

NEAREST = 1e-5
"""Distance below which a plane counts as passing through a point, in steps of the grid."""
TAPS, SHAPE = 10, 23.0
"""Width in samples, and exponent, of the window that reads a transform between its samples: good to 1e-9."""


@dataclass(frozen=True)
class Points:
    """Measured points of a Fourier grid, one of each pair k and -k.

    `key` is (ky * size + kz) * size + kx with kz and kx modulo `size`, rising; `value` the transform there.
    """

    size: int
    key: I64
    value: C128

    def waves(self) -> I64:
        """Return ky, kz, kx of each point, shape (points, 3)."""
        half, rest = self.size // 2, self.key % self.size**2
        inner = np.stack([rest // self.size, rest % self.size], axis=1)
        return np.concatenate(
            [self.key[:, None] // self.size**2, np.where(inner > half, inner - self.size, inner)], axis=1
        )


def from_samples(
    images: F32, start: tuple[float, float], turned: F64, size: int, radius: float, reach: float
) -> Points:
    """Return the grid points near samples of the transforms of padded images.

    Every sample within `reach` of the origin is handed to all points nearer than `radius`, with weight
    1 / (distance + 1e-5).

    Parameters
    ----------
    images
        Shape (tilts, y, x).
    start
        Where the first row and column are, in pixels from the rotation centre: y, x.
    turned
        R of each tilt, shape (tilts, 3, 3).
    size
        Edge of the padded grid.
    radius, reach
        In steps of that grid.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1.
    """
    wave = np.fft.fftfreq(size)
    shift = np.exp(-2j * np.pi * wave[:, None] * start[0]) * np.exp(-2j * np.pi * wave[None, :] * start[1])

    def found() -> Iterator[tuple[I64, F64, C128]]:
        for image, r in zip(images, turned, strict=True):
            whole = scipy.fft.fft2(image.astype(np.float64), (size, size)) * shift
            count = _near_samples(r, size, radius, reach, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
            key, sample, distance = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count)
            _near_samples(r, size, radius, reach, key, sample, distance)
            yield key, 1.0 / (distance + NEAREST), whole.ravel()[sample]

    return _merged(size, found())


def from_planes(images: F32, start: tuple[float, float], turned: F64, size: int, radius: float, reach: float) -> Points:
    """Return the grid points nearer than `radius` to the planes of images, with the transform at their feet.

    The foot of a point is the nearest one on the plane; the transform of the image there is computed to 1e-9, without
    interpolation between samples of the padded grid. Planes are averaged with weight 1 / max(distance, 1e-5). The
    arguments are those of `from_samples`.
    """

    def found() -> Iterator[tuple[I64, F64, C128]]:
        for image, r in zip(images, turned, strict=True):
            none = np.empty(0)
            count = _near_plane(r, size, radius, reach, np.empty(0, np.int64), none, none, none)
            key, u, v, distance = np.empty(count, np.int64), *(np.empty(count) for _ in range(3))
            _near_plane(r, size, radius, reach, key, u, v, distance)
            yield key, 1.0 / np.maximum(distance, NEAREST), transform_at(image, start, u / size, v / size)

    return _merged(size, found())


def transform_at(image: F32, start: tuple[float, float], u: F64, v: F64) -> C128:
    """Return sum image(x, y) exp(-2 pi i (u x + v y)) at any frequencies, in cycles per pixel, to 1e-9 of sum |image|.

    A transform twice as fine as the image is read through the window exp(23 ((1 - (2 s / 10)**2)**1/2 - 1)), whose own
    transform is divided out beforehand.

    References
    ----------
    A. H. Barnett, J. Magland, L. af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019), doi:10.1137/18M120885X.
    """
    fine = [scipy.fft.next_fast_len(max(2 * count, 2 * TAPS)) for count in image.shape]
    place = [np.arange(count) - count // 2 for count in image.shape]
    down, across = (_window_transform(i / size) for i, size in zip(place, fine, strict=True))
    padded = np.zeros(fine)
    padded[np.ix_(place[0] % fine[0], place[1] % fine[1])] = image / np.multiply.outer(down, across)
    told = _read(scipy.fft.fft2(padded), v * fine[0], u * fine[1])
    y, x = (begin - i[0] for begin, i in zip(start, place, strict=True))
    return np.asarray(told * np.exp(-2j * np.pi * (v * y + u * x)))


def _window_transform(f: F64) -> F64:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    window = np.exp(SHAPE * (np.sqrt(1 - nodes**2) - 1)) * weights * (TAPS / 2)
    return np.asarray(np.cos(np.pi * TAPS * np.multiply.outer(f, nodes)) @ window)


def _merged(size: int, parts: Iterator[tuple[I64, F64, C128]]) -> Points:
    """Return the weighted means of the values that share a point."""
    keys, weights, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    keys, weights, values = keys[order], weights[order], values[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    if first.size == 0:
        return Points(size, keys, values)
    mean = np.add.reduceat(values * weights, first) / np.add.reduceat(weights, first)
    return Points(size, keys[first], mean.astype(np.complex128))


@njit(nogil=True, cache=True)
def _chosen(ky: int, kz: int, kx: int, half: int) -> bool:
    """Tell whether a point is on the grid and the one of its pair that is kept."""
    if ky < 0 or ky > half or abs(kz) > half or abs(kx) > half:
        return False
    return ky > 0 or kx > 0 or (kx == 0 and kz >= 0)


@njit(nogil=True, cache=True)
def _near_samples(r: F64, size: int, radius: float, reach: float, key: I64, sample: I64, distance: F64) -> int:
    """Fill in the pairs of a sample and a grid point near it, as many as fit; return how many there are."""
    half, count = (size - 1) // 2, 0
    for v in range(-half, half + 1):
        for u in range(-half, half + 1):
            if u * u + v * v > reach * reach:
                continue
            x, y, z = r[0, 0] * u + r[0, 1] * v, r[1, 0] * u + r[1, 1] * v, r[2, 0] * u + r[2, 1] * v
            if y < -radius:
                continue
            for ky in range(int(np.ceil(y - radius)), int(np.floor(y + radius)) + 1):
                for kz in range(int(np.ceil(z - radius)), int(np.floor(z + radius)) + 1):
                    for kx in range(int(np.ceil(x - radius)), int(np.floor(x + radius)) + 1):
                        far = np.sqrt((kx - x) ** 2 + (ky - y) ** 2 + (kz - z) ** 2)
                        if far >= radius or not _chosen(ky, kz, kx, half):
                            continue
                        if count < key.size:
                            key[count] = (ky * size + kz % size) * size + kx % size
                            sample[count] = (v % size) * size + u % size
                            distance[count] = far
                        count += 1
    return count


@njit(nogil=True, cache=True)
def _near_plane(r: F64, size: int, radius: float, reach: float, key: I64, u: F64, v: F64, distance: F64) -> int:
    """Fill in the grid points near the plane of an image and their feet, as many as fit; return how many there are."""
    half, count = (size - 1) // 2, 0
    normal = r[:, 2]
    steep = int(np.argmax(np.abs(normal)))
    first, second = (steep + 1) % 3, (steep + 2) % 3
    k = np.zeros(3, np.int64)
    for a in range(-half, half + 1):
        for b in range(-half, half + 1):
            k[first], k[second] = a, b
            middle = -(a * normal[first] + b * normal[second]) / normal[steep]
            span = radius / abs(normal[steep])
            for c in range(max(-half, int(np.ceil(middle - span))), min(half, int(np.floor(middle + span))) + 1):
                k[steep] = c
                if not _chosen(k[1], k[2], k[0], half):
                    continue
                far, across, along = 0.0, 0.0, 0.0
                for i in range(3):
                    far += k[i] * normal[i]
                    across += k[i] * r[i, 0]
                    along += k[i] * r[i, 1]
                if abs(far) >= radius or across * across + along * along > reach * reach:
                    continue
                if count < key.size:
                    key[count] = (k[1] * size + k[2] % size) * size + k[0] % size
                    u[count], v[count], distance[count] = across, along, abs(far)
                count += 1
    return count


@njit(nogil=True, cache=True)
def _read(wave: C128, rows: F64, columns: F64) -> C128:
    """Sum the samples of a periodic array around each place, weighed by the window."""
    told = np.zeros(rows.size, np.complex128)
    tall, wide = wave.shape
    across = np.empty(TAPS)
    for i in range(rows.size):
        top, left = int(np.ceil(rows[i] - TAPS / 2)), int(np.ceil(columns[i] - TAPS / 2))
        for m in range(TAPS):
            across[m] = _window(columns[i] - left - m)
        total = 0.0 + 0.0j
        for n in range(TAPS):
            part = 0.0 + 0.0j
            row = (top + n) % tall
            for m in range(TAPS):
                part += across[m] * wave[row, (left + m) % wide]
            total += part * _window(rows[i] - top - n)
        told[i] = total
    return told


@njit(nogil=True, cache=True)
def _window(s: float) -> float:
    inside = 1.0 - (2.0 * s / TAPS) ** 2
    return np.exp(SHAPE * (np.sqrt(inside) - 1.0)) if inside > 0.0 else 0.0
