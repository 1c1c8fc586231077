"""How tall the atoms of a volume are: the one number that a network's input is divided by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.peaks import height_histogram, local_maxima, typical_height


def volume_scale(volume: NDArray[np.floating]) -> float:
    """Return the height of a typical bright maximum of a volume, 0 where it has none above zero.

    The median of the local maxima weighted by the fourth power of their heights: it needs no number of atoms and no
    support, the weight keeps it among atoms where noise has many times as many maxima, and it rises with the
    volume, whatever reconstruction made that. Counts of parts add up, so that volumes beyond the memory have the
    same one (`aetx.core.peaks.typical_maximum`).

    Parameters
    ----------
    volume
        Shape (z, y, x).
    """
    whole = np.ascontiguousarray(volume, np.float32)
    z, y, x = whole.shape
    return typical_height(height_histogram(local_maxima(whole, (0, 0, 0), (z, y, x), 0.0)[1]))
