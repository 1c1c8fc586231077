"""Scattering factors as sums of Gaussians: the picture of an atom that is separable and smooth in its width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

F64 = NDArray[np.float64]

WIDTHS = np.concatenate([[0.0], np.geomspace(0.08, 2.6, 9)])
"""Standard deviations of the Gaussians, angstrom."""
NODES = 400
"""Frequencies at which the sum is fitted."""


def gaussians(factor: Callable[[F64], F64], width: float) -> tuple[F64, F64]:
    """Write a scattering factor as a sum of Gaussians with weights that are not negative.

        g(q) = sum weight * exp(-2 pi**2 spread**2 q**2)

    Kirkland's factors are such sums to better than 1e-3 of their value at q = 0, because their terms a / (q**2 + b)
    are mixtures of Gaussians with positive weights. The fit is done under the envelope of the Gaussian that blurs it.

    Parameters
    ----------
    factor
        g(q) with g(0) = 1, from q in 1/angstrom.
    width
        Standard deviation of the narrowest Gaussian by which the atom will be blurred, angstrom.

    Returns
    -------
    Weights, whose sum is 1, and spreads in angstrom, both of shape (gaussians,); only those with a weight.
    """
    q = np.linspace(0.0, 1.1 / width, NODES)
    envelope = np.sqrt(q + q[1]) * np.exp(-2.0 * (np.pi * width * q) ** 2)
    terms = np.exp(-2.0 * (np.pi * WIDTHS * q[:, None]) ** 2)
    weight = nnls(terms * envelope[:, None], factor(q) * envelope)[0]
    used = weight > 1e-5
    return weight[used] / weight[used].sum(), WIDTHS[used]


def radius(weight: F64, spread: F64, width: float, beyond: float) -> float:
    """Return the radius beyond which a part of the Fisher information about a lone atom's place lies, angstrom.

    Parameters
    ----------
    weight, spread
        Its Gaussians, as `gaussians` gives them.
    width
        Standard deviation of the Gaussian that blurs it, angstrom.
    beyond
        That part.
    """
    wide = np.sqrt(width**2 + spread**2)
    rho = np.linspace(0.0, 8.0 * wide.max(), 4000)[1:, None]
    each = weight / wide**2 * np.exp(-0.5 * (rho / wide) ** 2)
    told = rho[:, 0] * (each * rho / wide**2).sum(1) ** 2 / each.sum(1)
    return float(rho[np.searchsorted(np.cumsum(told), (1.0 - beyond) * told.sum()), 0])
