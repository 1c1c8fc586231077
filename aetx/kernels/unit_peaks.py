"""What a network is to give: atoms as Gaussians of height one."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REACH = 4.5
"""Where a Gaussian ends, in its standard deviations: below 5e-5 of its height."""


@njit(nogil=True, cache=True)
def unit_peaks(atom: F64, width: float, depth: int, rows: int, columns: int) -> F32:
    """Return the sum of Gaussians of height one.

    Parameters
    ----------
    atom
        Places in voxels along z, y, x from the centre of the voxel of index 0, shape (atoms, 3); also outside.
    width
        Standard deviation, voxels.
    depth, rows, columns
        Size of the volume.

    Returns
    -------
    Shape (depth, rows, columns).
    """
    volume = np.zeros((depth, rows, columns), np.float32)
    shape, reach = (depth, rows, columns), REACH * width
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    profile = np.zeros((3, int(2 * reach) + 2), np.float32)
    for i in range(len(atom)):
        for k in range(3):
            first[k] = max(0, math.ceil(atom[i, k] - reach))
            last[k] = min(shape[k], math.floor(atom[i, k] + reach) + 1)
            for j in range(first[k], last[k]):
                profile[k, j - first[k]] = math.exp(-0.5 * ((j - atom[i, k]) / width) ** 2)
        for z in range(first[0], last[0]):
            for y in range(first[1], last[1]):
                scale = profile[0, z - first[0]] * profile[1, y - first[1]]
                for x in range(first[2], last[2]):
                    volume[z, y, x] += scale * profile[2, x - first[2]]
    return volume
