"""The pseudo-polar Fourier transform, its transpose, and equal-slope iterations on slices, on torch.

The grid has two fans of lines through the origin. Line l of fan 0 has the points kx = m / radial, kz = 2 l kx / slopes;
in fan 1, x and z change places. Frequencies are in cycles per pixel. m runs from -radial / 2 over `radial` values, l
over `slopes` values from -slopes / 2 in fan 0 and from 1 - slopes / 2 in fan 1: no line comes twice. Both are even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK = {"cpu": 2**18, "cuda": 2**27}
"""Points of pseudo-polar grids that are in memory at once."""
TOGETHER = {"cpu": 2**17, "cuda": 2**27}
"""Points of the padded slices that are iterated at once: as many as a cache holds."""


class PseudoPolar:
    """The transform of images (..., z, x) at a pseudo-polar grid, shape (..., 2, radial, slopes), and its transpose.

    F(kx, kz) = sum image(z, x) exp(-2 pi i (kx x + kz z)): a fast transform along one axis, then along the other one a
    chirp transform whose step is proportional to m. No interpolation: exact to rounding.

    Parameters
    ----------
    shape
        Rows and columns of the images, none above `radial`.
    start
        Coordinates of the first row and column, in pixels from the origin.
    radial, slopes
        Points of a line, and lines of a fan.
    dtype
        ``torch.complex64`` or ``torch.complex128``.
    device
        Where torch computes.

    References
    ----------
    A. Averbuch et al., SIAM J. Sci. Comput. 30, 764 (2008), doi:10.1137/060650283; J. Miao, F. Foerster, O. Levi, Phys.
    Rev. B 72, 052103 (2005), doi:10.1103/PhysRevB.72.052103.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        start: tuple[float, float],
        radial: int,
        slopes: int,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        self.shape, self.radial, self.slopes, self.dtype = shape, radial, slopes, dtype
        self._fans = [
            _Fan(
                (shape[fan], shape[1 - fan]), (start[fan], start[1 - fan]), radial, _numbers(fan, slopes), dtype, device
            )
            for fan in (0, 1)
        ]

    def transform(self, image: torch.Tensor) -> torch.Tensor:
        """Return the transform of images."""
        told = (self._fans[0].transform(image), self._fans[1].transform(image.transpose(-1, -2)))
        return torch.stack(told, dim=-3)

    def transpose(self, values: torch.Tensor) -> torch.Tensor:
        """Return the conjugate transpose of `transform` applied to values on the grid: complex images."""
        one, other = (fan.transpose(values[..., number, :, :]) for number, fan in enumerate(self._fans))
        return one + other.transpose(-1, -2)


def areas(radial: int, slopes: int) -> torch.Tensor:
    """Return the area in frequency that each point stands for, shape (2, radial, slopes).

    It is |m| times the step in slope over radial**2; the points at the origin share the square around it.
    """
    distance = np.abs(np.arange(radial) - radial // 2).astype(float)
    area = np.where(distance > 0, 2 * distance / slopes, 1 / (2 * slopes)) / radial**2
    return torch.from_numpy(np.broadcast_to(area[None, :, None], (2, radial, slopes)).copy())


class _Fan:
    """One fan: a fast transform along the last axis, a chirp transform along the one before."""

    def __init__(
        self,
        shape: tuple[int, int],
        start: tuple[float, float],
        radial: int,
        line: I64,
        dtype: torch.dtype,
        device: str,
    ) -> None:
        (self.down, self.across), self.radial = shape, radial
        self.slopes = slopes = line.size
        m, place = np.arange(radial) - radial // 2, start[0] + np.arange(self.down)
        pace = 2.0 * m / (radial * slopes)
        self.length = int(scipy.fft.next_fast_len(self.down + slopes - 1))
        offset = np.concatenate([np.arange(slopes), np.arange(-self.down + 1, 0)])
        apart = line[0] - start[0] + offset
        chirp = np.zeros((radial, self.length), complex)
        chirp[:, offset % self.length] = np.exp(1j * np.pi * np.multiply.outer(pace, apart**2))
        turn = np.exp(-2j * np.pi * m * start[1] / radial)
        self.rows = self._tensor(turn[:, None] * np.exp(-1j * np.pi * np.multiply.outer(pace, place**2)), dtype, device)
        self.lines = self._tensor(np.exp(-1j * np.pi * np.multiply.outer(pace, line.astype(float) ** 2)), dtype, device)
        self.chirp = self._tensor(scipy.fft.fft(chirp, axis=1), dtype, device)

    @staticmethod
    def _tensor(values: NDArray[np.complex128], dtype: torch.dtype, device: str) -> torch.Tensor:
        return torch.from_numpy(values).to(dtype).to(device)

    def transform(self, image: torch.Tensor) -> torch.Tensor:
        wave = torch.fft.fftshift(torch.fft.fft(image, n=self.radial, dim=-1), dim=-1).transpose(-1, -2)
        wave = torch.fft.fft(wave * self.rows, n=self.length, dim=-1).mul_(self.chirp)
        return torch.fft.ifft(wave, dim=-1)[..., : self.slopes] * self.lines

    def transpose(self, values: torch.Tensor) -> torch.Tensor:
        wave = torch.fft.fft(values * self.lines.conj(), n=self.length, dim=-1).mul_(self.chirp.conj())
        wave = torch.fft.ifft(wave, dim=-1)[..., : self.down] * self.rows.conj()
        wave = torch.fft.ifftshift(wave.transpose(-1, -2), dim=-1)
        return torch.fft.ifft(wave, dim=-1)[..., : self.across] * self.radial


@dataclass(frozen=True)
class Lines:
    """The line of the grid that each image is taken for: its fan, its number from 0, and its angle theta, radian."""

    fan: I64
    number: I64
    theta: F64


def nearest_lines(theta: F64, slopes: int) -> Lines:
    """Return the lines nearest to tilts about y: the image at theta is the section k = q (cos theta, -sin theta)."""
    cosine, sine = np.cos(theta), np.sin(theta)
    fan = (np.abs(sine) > np.abs(cosine)).astype(np.int64)
    slope = np.where(fan == 0, -sine, -cosine) / np.where(fan == 0, cosine, sine)
    line, half = np.round(slope * slopes / 2).astype(np.int64), slopes // 2
    fan = np.where(line == half, 1, np.where(line == -half, 0, fan))
    turned = np.where(fan == 0, -np.arctan(line / half), np.arctan2(1.0, -line / half))
    turned += np.pi * np.round((theta - turned) / np.pi)
    return Lines(fan, line + half - fan, turned)


def _numbers(fan: int, slopes: int) -> I64:
    return np.asarray(np.arange(slopes) - slopes // 2 + fan)


def sections(images: torch.Tensor, start: float, lines: Lines, radial: int) -> torch.Tensor:
    """Return the transforms of rows of images (rows, tilts, x) at the points of their lines, (rows, tilts, radial).

    Points beyond half a cycle per pixel, and the first one, which has no partner, are zero.
    """
    m = np.arange(radial) - radial // 2
    x = start + np.arange(images.shape[-1])
    along = np.where(lines.fan == 0, np.cos(lines.theta), -np.sin(lines.theta))
    told = []
    for tilt, pace in enumerate(along):
        q = m / (radial * pace)
        wave = np.where(_inside(q, m, radial)[:, None], np.exp(-2j * np.pi * np.multiply.outer(q, x)), 0.0)
        told.append(
            images[:, tilt].to(torch.complex64) @ torch.from_numpy(wave.T).to(torch.complex64).to(images.device)
        )
    return torch.stack(told, dim=1)


def measured(lines: Lines, radial: int, slopes: int) -> F64:
    """Return how many images measure each point of the grid, shape (2, radial, slopes)."""
    m, count = np.arange(radial) - radial // 2, np.zeros((2, radial, slopes))
    along = np.where(lines.fan == 0, np.cos(lines.theta), np.sin(lines.theta))
    for fan, number, pace in zip(lines.fan, lines.number, along, strict=True):
        count[fan, :, number] += _inside(m / (radial * pace), m, radial)
    return count


def _inside(q: F64, m: I64, radial: int) -> NDArray[np.bool_]:
    return np.asarray((np.abs(q) <= 0.5) & (m > -radial // 2))


@dataclass(frozen=True)
class Scheme:
    """How to iterate: steps, whether density stays above zero, and whether volumes are extrapolated."""

    iterations: int
    positive: bool
    momentum: bool


@dataclass(frozen=True)
class Slices:
    """Slices (y, z, x), and for each of them and each tilt sum |F - M| and sum |M| over its line, shape (y, tilts)."""

    density: torch.Tensor
    apart: torch.Tensor
    total: torch.Tensor


def reconstruct(
    images: torch.Tensor,
    start: tuple[float, float],
    depth: int,
    lines: Lines,
    slopes: int,
    scheme: Scheme,
    support: torch.Tensor | None,
) -> Slices:
    """Return slices whose transforms agree with measured lines of the pseudo-polar grid, under the constraints.

    Each step puts the measured values in place of those of the slices on their lines and goes back by the weighted
    transpose: x <- P(x + A* W (M - A x) / L). What A* W A tells one pixel about another depends on their difference
    only, so that it is applied as a convolution; L is the greatest factor of that. Slices do not depend on each other.

    Parameters
    ----------
    images
        Rows of the images, shape (y, tilts, x).
    start
        Where the first row and column of a slice are, in pixels from the rotation centre: z, x.
    depth
        Rows of a slice.
    lines
        Where the images belong.
    slopes
        Lines of a fan.
    scheme
        How to iterate.
    support
        Mask (y, z, x) of ones and zeros, or None.
    """
    device, width = str(images.device), images.shape[-1]
    radial = 2 * max(depth, width)
    count = measured(lines, radial, slopes)
    mask = torch.from_numpy(count > 0).to(device)
    share = areas(radial, slopes).to(device) * mask
    lags, least = (2 * depth - 1, 2 * width - 1), (1.0 - depth, 1.0 - width)
    lag = PseudoPolar(lags, least, radial, slopes, torch.complex64, device).transpose(share.to(torch.complex64)).real
    sizes = [int(scipy.fft.next_fast_len(2 * edge - 1, real=True)) for edge in (depth, width)]
    lag = torch.nn.functional.pad(lag, (0, sizes[1] - lag.shape[1], 0, sizes[0] - lag.shape[0]))
    factor = torch.fft.rfft2(torch.roll(lag, (1 - depth, 1 - width), (0, 1))).real
    bound = float(factor.max())
    factor = (factor / bound).to(torch.float32)
    grid = PseudoPolar((depth, width), start, radial, slopes, torch.complex64, device)
    told = sections(images, start[1], lines, radial)
    each = share / bound / torch.from_numpy(np.maximum(count, 1)).to(device)
    target = torch.empty((len(images), depth, width), dtype=torch.float32, device=device)
    block = max(1, BLOCK[images.device.type] // (2 * radial * slopes))
    fan, number = (torch.from_numpy(part).to(device) for part in (lines.fan, lines.number))
    scale = each[fan, :, number].to(torch.float32)
    for first in range(0, len(images), block):
        some = slice(first, first + block)
        values = torch.zeros((len(images[some]), 2, radial, slopes), dtype=torch.complex64, device=device)
        values.permute(1, 3, 0, 2).index_put_((fan, number), (told[some] * scale).transpose(0, 1), accumulate=True)
        target[some] = grid.transpose(values).real
    density = torch.empty_like(target)
    together = max(1, TOGETHER[images.device.type] // (sizes[0] * sizes[1]))
    for first in range(0, len(images), together):
        some = slice(first, first + together)
        allowed = None if support is None else support[some]
        density[some] = _iterate(target[some], factor, sizes, scheme, allowed)
    apart, total = (torch.zeros((len(images), len(fan)), dtype=torch.float64, device=device) for _ in range(2))
    for first in range(0, len(images), block):
        some = slice(first, first + block)
        shown = grid.transform(density[some])[:, fan, :, number].transpose(0, 1) * mask[fan, :, number]
        apart[some] = (shown - told[some]).abs().sum(dim=2, dtype=torch.float64)
        total[some] = told[some].abs().sum(dim=2, dtype=torch.float64)
    return Slices(density, apart, total)


def _iterate(
    target: torch.Tensor, factor: torch.Tensor, sizes: list[int], scheme: Scheme, support: torch.Tensor | None
) -> torch.Tensor:
    """Return slices (y, z, x) after the last step; momentum starts anew in each slice that it takes uphill."""
    depth, width = target.shape[1:]
    density = torch.zeros_like(target)
    ahead, speed = density.clone(), torch.ones((len(target), 1, 1), device=target.device)
    wave = torch.zeros((len(target), *factor.shape), dtype=torch.complex64, device=target.device)
    for _ in range(scheme.iterations):
        wave[:, :depth] = torch.fft.rfft(ahead, n=sizes[1], dim=2)
        plane = torch.fft.ifft(torch.fft.fft(wave, dim=1).mul_(factor), dim=1)[:, :depth]
        made = (ahead + target).sub_(torch.fft.irfft(plane, n=sizes[1], dim=2)[:, :, :width])
        if scheme.positive:
            made.clamp_(min=0.0)
        if support is not None:
            made.mul_(support)
        if scheme.momentum:
            step = made - density
            uphill = ahead.sub_(made).mul_(step).sum(dim=(1, 2), keepdim=True) > 0
            speed = torch.where(uphill, 1.0, speed)
            following = (1 + (1 + 4 * speed * speed).sqrt()) / 2
            ahead = torch.addcmul(made, step, (speed - 1) / following)
            speed = following
        else:
            ahead = made
        density = made
    return density
