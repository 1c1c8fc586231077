"""Where the specimen is, from a volume of it: a tight and a loose support, on a grid coarser than the voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


def centres(size: int, every: int) -> I64:
    """Return the indices along an axis of `size` voxels that the coarse grid keeps: the middle of every few."""
    return np.arange(every // 2, size, every)


def averaged(block: F32, corner: I64, low: I64, high: I64, every: I64, half: I64) -> F32:
    """Return the means over windows around the coarse grid's points that lie in a box; beyond the faces it is empty.

    Parameters
    ----------
    block
        Voxels from `corner` on, with at least `half` around the box, or up to the faces of the volume.
    low, high
        The box, as indices in the whole volume.
    every
        Voxels to a step of the coarse grid, along z, y, x.
    half
        Voxels of a window to each side of its middle, along z, y, x.
    """
    out = block.astype(np.float64)
    for axis in range(3):
        first = -(-(int(low[axis]) - every[axis] // 2) // every[axis]) * every[axis] + every[axis] // 2
        middles = np.arange(first, high[axis], every[axis]) - corner[axis]
        padded = np.pad(out, [(half[axis],) * 2 if k == axis else (0, 0) for k in range(3)])
        window = 2 * int(half[axis]) + 1
        out = sum(np.take(padded, middles + shift, axis=axis) for shift in range(window)) / window
    return out.astype(np.float32)


def supports(
    coarse: F32, steps: F64, threshold: float, volume: float, closing: float, margin: float
) -> tuple[Flags, Flags]:
    """Return the tight and the loose support, of the shape of `coarse`.

    Parameters
    ----------
    coarse
        Smoothed density.
    steps
        Of its grid along z, y, x, angstrom.
    threshold
        Least density, over Otsu's threshold.
    volume
        Least volume of a connected piece, angstrom**3.
    closing
        Gaps and pores of up to twice this depth are closed, angstrom.
    margin
        How far the loose support goes beyond the tight one, angstrom.
    """
    seen = coarse > threshold * threshold_otsu(coarse) if np.ptp(coarse) > 0 else np.zeros(coarse.shape, bool)
    pieces, count = ndimage.label(seen)
    size = np.bincount(pieces.ravel(), minlength=count + 1) * float(np.prod(steps))
    size[0] = 0.0
    kept = (size >= volume)[pieces]
    if not kept.any():
        return kept, kept
    around = [(int(np.ceil(closing / step)) + 1,) * 2 for step in steps]
    grown = ndimage.distance_transform_edt(np.pad(~kept, around, constant_values=True), sampling=steps) <= closing
    inside = ndimage.distance_transform_edt(grown, sampling=steps) > closing
    tight = inside[tuple(slice(a, -b) for a, b in around)] | kept
    loose = ndimage.distance_transform_edt(~tight, sampling=steps) <= margin
    return tight, loose
