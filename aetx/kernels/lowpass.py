"""Images without waves beyond a circle in Fourier space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def circle(shape: tuple[int, int], steps: tuple[float, float], radius: float, edge: float) -> F64:
    """Return the transfer of a circle with a soft edge, for the half spectrum of a real image of a shape.

    1 up to `radius - edge / 2`, a raised cosine from there, 0 beyond `radius + edge / 2`.

    Parameters
    ----------
    shape, steps
        Rows and columns, and the size of a pixel along both.
    radius, edge
        In the inverse unit of the steps.
    """
    frequency = np.hypot(fftfreq(shape[0], steps[0])[:, None], rfftfreq(shape[1], steps[1]))
    if edge == 0:
        return (frequency <= radius).astype(np.float64)
    fall = np.clip((frequency - radius) / edge + 0.5, 0, 1)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * fall))


def filtered(image: F32, steps: tuple[float, float], radius: float, edge: float) -> F32:
    """Return an image times `circle` in Fourier space, as if mirrored at its edges, shape (rows, columns)."""
    wide = _mirrored(image)
    made = irfft2(rfft2(wide) * circle(wide.shape, steps, radius, edge), wide.shape)
    return np.asarray(made[: image.shape[0], : image.shape[1]], np.float32)


def filtered_variance(variance: F32, steps: tuple[float, float], radius: float, edge: float) -> F32:
    """Return the variance of what `filtered` makes of pixels that are independent, shape (rows, columns)."""
    wide = _mirrored(variance)
    kernel = irfft2(circle(wide.shape, steps, radius, edge), wide.shape)
    made = irfft2(rfft2(wide) * rfft2(kernel**2), wide.shape)
    return np.asarray(np.maximum(made[: variance.shape[0], : variance.shape[1]], 0), np.float32)


def _mirrored(image: F32) -> F64:
    wide = np.concatenate([image, image[::-1]], axis=0)
    return np.concatenate([wide, wide[:, ::-1]], axis=1).astype(np.float64)
