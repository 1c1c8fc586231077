"""Pixels that stand out from their neighbours by more than noise allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
"""The neighbours of a pixel."""
GROUPS = 16
"""Groups of pixels of like brightness of which the noise is taken."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def outliers(image: F32, threshold: float) -> tuple[Flags, F32]:
    """Find pixels far above or below their neighbours.

    A pixel stands out where it is above the second brightest of its eight neighbours, or below the second darkest, by
    `threshold` standard deviations of the noise: so the peak of an atom does not, and of two hot pixels side by side
    both do. The noise of a pixel depends on the median of its neighbours: it is that of the pixels of like brightness,
    from the median absolute deviation.

    Parameters
    ----------
    image
        Shape (rows, columns).
    threshold
        In standard deviations.

    Returns
    -------
    Flags, and the median of the neighbours that do not stand out, both of shape (rows, columns).
    """
    middle = median_filter(image, footprint=RING, mode="mirror")
    noise = _noise(image - middle, middle)
    neighbours = _neighbours(image)
    neighbours.sort(axis=0)
    found = (image > neighbours[-2] + threshold * noise) | (image < neighbours[1] - threshold * noise)
    if not found.any():
        return found, middle
    kept = _neighbours(np.where(found, np.nan, image).astype(np.float32))
    some = np.isfinite(kept).any(axis=0)
    mended = middle.copy()
    mended[some] = np.nanmedian(kept[:, some], axis=0)
    return found, mended


def _neighbours(image: F32) -> F32:
    """Return the eight neighbours of each pixel, mirrored at the edges, shape (8, rows, columns)."""
    wide = np.pad(image, 1, mode="reflect")
    rows, columns = image.shape
    return np.stack([wide[i : i + rows, j : j + columns] for i, j in np.argwhere(RING)])


def _noise(away: F32, brightness: F32) -> F64:
    """Return the standard deviation of `away`, which depends on the brightness alone, shape of both."""
    bounds = np.unique(np.quantile(brightness, np.linspace(0, 1, GROUPS + 1)))
    group = np.clip(np.searchsorted(bounds, brightness, side="right") - 1, 0, max(0, bounds.size - 2))
    spread = np.zeros(max(1, bounds.size - 1))
    centre = np.zeros(spread.size)
    for i in range(spread.size):
        part = group == i
        if part.any():
            spread[i] = NORMAL * float(np.median(np.abs(away[part] - np.median(away[part]))))
            centre[i] = float(brightness[part].mean())
    return np.asarray(np.interp(brightness, centre, np.maximum.accumulate(spread)), np.float64)
