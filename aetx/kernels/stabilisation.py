"""Counts with Poisson and Gaussian noise made into images whose noise is 1 everywhere, and back without bias."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TABULATED = 16.0
"""Square root of the counts up to which the inverse is tabulated; beyond, its expansion is good to 1e-4 of them."""
NODES = 1024
QUADRATURE = 80
SPREAD = 9.0
"""Standard deviations of noise over which expectations are summed."""


def stabilise(image: F32, gain: float, offset: float, read_noise: float) -> F32:
    """Return f(z) = 2 / gain * sqrt(max(gain * z + 3/8 gain**2 + read_noise**2 - gain * offset, 0)).

    The noise of z = gain * Poisson(counts) + offset + Normal(0, read_noise) has a standard deviation near 1 after
    that, from some two counts up. Without gain there is read noise alone: (z - offset) / read_noise.

    Notes
    -----
    M. Makitalo, A. Foi, IEEE Transactions on Image Processing 22, 91 (2013), doi:10.1109/TIP.2012.2202675, eq. 2.
    """
    if gain == 0:
        return np.asarray((image - offset) / read_noise, np.float32)
    inner = (image - offset) / gain + (0.375 + (read_noise / gain) ** 2)
    return np.asarray(2 * np.sqrt(np.maximum(inner, 0)), np.float32)


def destabilise(stable: F32, gain: float, offset: float, read_noise: float) -> F32:
    """Return the expected image whose stabilised image has the expectation that is given: the exact unbiased inverse.

    What lies below the expectation of no counts at all becomes the offset.

    Notes
    -----
    Makitalo and Foi (2013), eq. 7, tabulated; and its expansion (their eq. 10) where counts are many.
    """
    if gain == 0:
        return np.asarray(stable * read_noise + offset, np.float32)
    spread = read_noise / gain
    mean, counts = _table(spread)
    root = np.sqrt(1.5)
    safe = np.maximum(stable.astype(np.float64), mean[-1])
    many = safe**2 / 4 + root / (4 * safe) - 11 / (8 * safe**2) + 5 * root / (8 * safe**3) - 0.125 - spread**2
    found = np.where(stable > mean[-1], many, np.interp(stable, mean, counts))
    return np.asarray(gain * found + offset, np.float32)


@lru_cache(maxsize=128)
def _table(spread: float) -> tuple[F64, F64]:
    """Return the expectation of stabilised counts, rising, and the expected counts, both of shape (nodes,)."""
    counts = np.linspace(0, TABULATED, NODES) ** 2
    electrons = np.arange(int(TABULATED**2 + SPREAD * TABULATED) + 2)
    chance = poisson.pmf(electrons, counts[:, None])
    return chance @ _expected_root(electrons.astype(np.float64), spread), counts


def _expected_root(electrons: F64, spread: float) -> F64:
    """Return the expectation of 2 sqrt(max(n + 3/8 + spread**2, 0)) over n of the normal law (electrons, spread).

    Integrated over u = sqrt of what is under the root, so that nothing has an edge: the integral of 4 u**2 N(u**2).
    """
    centre = electrons + 0.375 + spread**2
    if spread == 0:
        return 2 * np.sqrt(centre)
    low, high = (np.sqrt(np.maximum(centre + side * SPREAD * spread, 0)) for side in (-1, 1))
    node, weight = np.polynomial.legendre.leggauss(QUADRATURE)
    half = (high - low) / 2
    u = low[:, None] + half[:, None] * (node + 1)
    density = np.exp(-0.5 * ((u**2 - centre[:, None]) / spread) ** 2) / (np.sqrt(2 * np.pi) * spread)
    return half * ((4 * u**2 * density) @ weight)
