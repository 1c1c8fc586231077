"""The picture that scans make together, and what all other lines say of one line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq, ifft2, irfft, rfft, rfftfreq
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, spline_filter

from aetx.kernels.scan_distortion import straightened, turned_back

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

NEIGHBOURS = 2.0
"""Gaussian standard deviation, in steps of frequency, over which the power of waves is averaged."""
NOISELESS = 1e-9
"""Least power of the noise, as a part of the greatest of the frames."""
ORDER: Final = 5
"""Order of the splines that sample the picture."""
KNOWN = 0.999
"""Least weight of pixels that all scans saw where a line is compared."""
LARGEST = 0.999
"""Largest part of itself that a line may have in the picture."""


def wiener(frames: F64) -> F64:
    """Return which part of each wave of the mean of frames is signal: P / (P + N / frames), shape as in fft2.

    The power P of what the frames have in common is that of their products, N that of the rest; both are averaged over
    neighbouring waves. Of a single frame, N is the median beyond half a wave per pixel, in the corners.

    Parameters
    ----------
    frames
        Laid upon each other, shape (frames, rows, columns).
    """
    count, rows, columns = frames.shape
    waves = fft2(frames - frames.mean(axis=(1, 2), keepdims=True))
    each = (np.abs(waves) ** 2).sum(axis=0)
    total = gaussian_filter(each / count, NEIGHBOURS, mode="wrap")
    if count > 1:
        products = (np.abs(waves.sum(axis=0)) ** 2 - each) / (count * (count - 1))
        common = gaussian_filter(products, NEIGHBOURS, mode="wrap")
    else:
        corner = np.hypot(fftfreq(rows)[:, None], fftfreq(columns)) >= 0.5
        common = total - (np.median(total[corner]) if corner.any() else 0.0)
    common = np.clip(common, 0, total)
    noise = np.maximum(total - common, NOISELESS * total.max() + np.finfo(float).tiny)
    share = common / (common + noise / count)
    share[0, 0] = 1.0
    return np.asarray(share)


@dataclass(frozen=True)
class Others:
    """What all other lines say of each line of a frame: the best linear prediction, by the powers that were found."""

    line: F64
    """The frame itself, less the level of the picture, shape (rows, columns)."""
    seen: Flags
    """Pixels that all scans show, the same shape."""
    picture: F64
    """What is predicted, the same shape."""
    slope: F64
    """Its slope down and right in the axes of the frame, shape (rows, columns, 2)."""
    noise: float
    """Variance of the prediction by the noise of the others, over that of a pixel of the frame."""
    rough: F64
    """The same of the slopes, squared per pixel, shape (2,)."""


@dataclass(frozen=True)
class Picture:
    """The mean of scans with every line where it lies, each wave as far as it is signal.

    Attributes
    ----------
    level
        Mean of all pixels.
    waves
        Transform of the picture less this level, shape as in fft2.
    share
        Part of each wave of the mean that is kept, the same shape.
    count
        Number of scans.
    known
        Which pixels all scans saw, shape (rows, columns).
    """

    level: float
    waves: NDArray[np.complex128]
    share: F64
    count: int
    known: Flags

    @property
    def width(self) -> float:
        """Standard deviation of the Gaussian that would leave as much white noise, pixel."""
        return 1 / math.sqrt(4 * math.pi * float((self.share**2).mean()))

    @cached_property
    def samples(self) -> tuple[F64, F64, F64]:
        """Spline coefficients of the picture and of its slopes along y and x, each (rows, columns)."""
        rows, columns = self.share.shape
        y, x = 2j * math.pi * fftfreq(rows)[:, None], 2j * math.pi * fftfreq(columns)
        made = [ifft2(self.waves * factor).real for factor in (1.0, y, x)]
        first, second, third = (spline_filter(one, order=ORDER, output=np.float64, mode="mirror") for one in made)
        return first, second, third

    def others(self, frame: F32, place: F64, turn: float) -> Others:
        """Return what all lines of all frames but itself say of each line of a frame.

        The picture holds h f of a line f, wave by wave along the line, with h the kernel of the picture along it over
        the number of frames; without it, picture' = (picture - h f) / (1 - h), as for any linear prediction. Across the
        line the kernel is even, so that the slope is that of the picture.

        Parameters
        ----------
        frame
            One of those that made the picture, shape (rows, columns).
        place
            Down and right in the axes of the frame, pixel, shape (rows, 2).
        turn
            Direction of its rows, radian from x towards y.
        """
        rows, columns = frame.shape
        c, s = math.cos(turn), math.sin(turn)
        v = (np.arange(rows) - rows // 2 - place[:, 0])[:, None]
        u = np.arange(columns) - columns // 2 - place[:, 1:]
        at = np.stack([u * s + v * c + rows // 2, u * c - v * s + columns // 2])
        seen = np.asarray(map_coordinates(self.known.astype(np.float32), at, np.float32, order=1)) > KNOWN
        all_lines, slope_y, slope_x = (_sampled(one, at) for one in self.samples)
        own = self._along(self.share, c, s) / self.count
        wave, line = 2 * math.pi * rfftfreq(columns), frame.astype(np.float64) - self.level
        part = own * rfft(line, axis=1)

        def without(values: F64, mine: NDArray[np.complex128]) -> F64:
            left = irfft((rfft(values, axis=1) - mine) / (1 - own), columns, axis=1)
            return np.asarray(np.where(seen, left, 0.0))

        down, right = slope_y * c - slope_x * s, slope_x * c + slope_y * s
        slope = np.stack([np.where(seen, down, 0.0), without(right, 1j * wave * part)], axis=-1)
        weight = np.full(wave.size, 2 / columns)
        weight[0] = 1 / columns
        if columns % 2 == 0:
            weight[-1] = 1 / columns
        power = (self._along(self.share**2, c, s) / self.count - own**2) / (1 - own) ** 2
        across = fftfreq(rows)[:, None] * c - fftfreq(columns) * s
        steep = float(((2 * math.pi * across * self.share) ** 2).mean()) / self.count
        rough = np.array([steep, float((weight * wave**2 * power).sum())])
        return Others(line, seen, without(all_lines, part), slope, float((weight * power).sum()), rough)

    def _along(self, transfer: F64, c: float, s: float) -> F64:
        """Return the transform of a filter's kernel along a line through its middle, at the waves of rfft."""
        columns = transfer.shape[1]
        away = (np.arange(columns) + columns // 2) % columns - columns // 2
        kernel = map_coordinates(
            ifft2(transfer).real, np.stack([away * s, away * c]), np.float64, order=3, mode="grid-wrap"
        )
        return np.asarray(np.clip(rfft(kernel).real, 0.0, LARGEST))


def picture_of(frames: F32, turns: F64, place: F64) -> Picture:
    """Return the picture of scans whose lines lie at `place`.

    Parameters
    ----------
    frames
        Shape (frames, rows, columns).
    turns
        Direction of the rows of each frame, radian from x towards y, shape (frames,).
    place
        Down and right in the axes of each frame, pixel, shape (frames, rows, 2).
    """
    made = [
        turned_back(*straightened(frame, lines[:, 0], lines[:, 1]), float(turn))
        for frame, lines, turn in zip(frames, place, turns, strict=True)
    ]
    upright, seen = np.stack([one for one, _ in made]).astype(np.float64), np.stack([one for _, one in made])
    count = seen.sum(axis=0)
    usual = np.where(seen, upright, 0).sum(axis=0) / np.maximum(count, 1)
    if (count == 0).any():  # goes on as the nearest pixel that was seen: a step would ring
        row, column = distance_transform_edt(count == 0, return_distances=False, return_indices=True)
        usual = usual[row, column]
    level = float(usual.mean())
    share = wiener(np.where(seen, upright, usual))
    waves = np.asarray(fft2(usual - level) * share, np.complex128)
    return Picture(level, waves, share, len(frames), count == len(frames))


def _sampled(coefficients: F64, at: F64) -> F64:
    return np.asarray(map_coordinates(coefficients, at, np.float64, order=ORDER, mode="mirror", prefilter=False))
