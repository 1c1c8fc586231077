"""Images moved by fractions of a pixel, what their variance becomes, and which pixels were seen before."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from aetx.kernels.projection import F64

F32 = NDArray[np.float32]
Flags = NDArray[np.bool_]


def shifted(image: F32, shift: F64) -> F32:
    """Return an image whose content moves by `shift` (x, y), in pixels, shape (rows, columns).

    A phase ramp in Fourier space, so that nothing is blurred and white noise stays white; beyond its edges the image
    goes on as if mirrored there. Whole pixels move exactly.
    """
    if not shift.any():
        return image.copy()
    moved = irfft2(rfft2(_mirrored(image.astype(np.float64))) * _ramp(image.shape, shift), _double(image.shape))
    return np.asarray(moved[: image.shape[0], : image.shape[1]], np.float32)


def shifted_variance(variance: F32, shift: F64) -> F32:
    """Return the variance of each pixel of an image that `shifted` moved, if its pixels were independent before."""
    if not shift.any():
        return variance.copy()
    rows, columns = _double(variance.shape)
    response = irfft2(_ramp(variance.shape, shift), (rows, columns))
    spread = irfft2(rfft2(_mirrored(variance.astype(np.float64))) * rfft2(response**2), (rows, columns))
    return np.asarray(np.maximum(spread[: variance.shape[0], : variance.shape[1]], 0), np.float32)


def shifted_mask(mask: Flags, shift: F64) -> Flags:
    """Return which pixels come from trusted ones alone, those on either side of where they were; none from beyond."""
    kept = mask
    for axis, step in ((1, shift[0]), (0, shift[1])):
        size = kept.shape[axis]
        before = np.arange(size) - step
        low, high = np.floor(before + 1e-6).astype(int), np.ceil(before - 1e-6).astype(int)
        inside = (low >= 0) & (high < size)
        pair = [np.take(kept, np.clip(place, 0, size - 1), axis=axis) for place in (low, high)]
        kept = pair[0] & pair[1] & np.expand_dims(inside, 1 - axis)
    return kept


def _double(shape: tuple[int, ...]) -> tuple[int, int]:
    return 2 * shape[0], 2 * shape[1]


def _mirrored(image: F64) -> F64:
    wide = np.concatenate([image, image[::-1]], axis=0)
    return np.concatenate([wide, wide[:, ::-1]], axis=1)


def _ramp(shape: tuple[int, ...], shift: F64) -> NDArray[np.complex128]:
    """Return the factors that move an image doubled by its mirror image, for a half transform.

    At the Nyquist frequency, where the sign of a wave is not known, the factor is that of both signs: cos.
    """
    rows, columns = _double(shape)
    down = np.exp(-2j * math.pi * np.fft.fftfreq(rows) * shift[1])
    right = np.exp(-2j * math.pi * np.fft.rfftfreq(columns) * shift[0])
    down[rows // 2], right[columns // 2] = math.cos(math.pi * shift[1]), math.cos(math.pi * shift[0])
    return np.multiply.outer(down, right)
