"""The picture of one atom and its derivatives: Gaussians along an axis, and radial profiles of scattering factors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import j0, j1

F64 = NDArray[np.float64]

NARROW = 1.0
"""Width in pixels below which a Gaussian is integrated over each pixel; from there on it is taken at the centre."""
FALL = 40.0
"""Exponent at which the Gaussian envelope of a profile counts as zero: exp(-40) = 4e-18."""


@njit(nogil=True, cache=True)
def gaussian(centre: float, width: float, first: int, last: int) -> tuple[F64, F64, F64]:
    """Return a Gaussian of unit integral at the pixels from first up to last, with its derivatives.

    The image of an atom is height * G(x) * G(y); its derivative by x is height * dG(x) * G(y), and by the width
    height * (wG(x) * G(y) + G(x) * wG(y)).

    Parameters
    ----------
    centre
        In pixels from the centre of pixel 0.
    width
        Standard deviation in pixels, above 0; narrower than a pixel, the Gaussian is integrated over each pixel.
    first, last
        Range of pixels.

    Returns
    -------
    Value, derivative by the centre, derivative by the width, each of shape (last - first,), per pixel.
    """
    value, by_centre, by_width = np.empty(last - first), np.empty(last - first), np.empty(last - first)
    scale = 1.0 / (width * math.sqrt(2.0 * math.pi))
    if width < NARROW:
        t = (first - 0.5 - centre) / width
        before, height_before, t_before = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t), t
        for i in range(first, last):
            t = (i + 0.5 - centre) / width
            after, height = math.erf(t / math.sqrt(2.0)), scale * math.exp(-0.5 * t * t)
            value[i - first] = 0.5 * (after - before)
            by_centre[i - first] = height_before - height
            by_width[i - first] = t_before * height_before - t * height
            before, height_before, t_before = after, height, t
    else:
        for i in range(first, last):
            t = (i - centre) / width
            height = scale * math.exp(-0.5 * t * t)
            value[i - first] = height
            by_centre[i - first] = height * t / width
            by_width[i - first] = height * (t * t - 1.0) / width
    return value, by_centre, by_width


def radial_table(factor: Callable[[F64], F64], width: float, step: float, reach: float) -> F64:
    """Tabulate the radial profile of an atom of unit integral, blurred by a Gaussian.

        P(rho) = 2 pi * integral of q g(q) exp(-2 pi**2 width**2 q**2) J0(2 pi q rho) dq

    Parameters
    ----------
    factor
        g(q) from q in 1/angstrom: the scattering factor f(q) / f(0), or one for a Gaussian.
    width
        Standard deviation of the Gaussian, angstrom, above 0.
    step
        Between the radii of the table, angstrom; a tenth of the width makes the interpolation good to 1e-6.
    reach
        Last radius, angstrom.

    Returns
    -------
    Shape (radii, 4): P in 1/angstrom**2, dP/d rho, dP/d width, and the derivative of that by rho; for `radial`.
    """
    most = math.sqrt(FALL / 2.0) / (math.pi * width)
    nodes, weights = np.polynomial.legendre.leggauss(64 + math.ceil(8 * most * reach))
    q = 0.5 * most * (nodes + 1.0)
    envelope = math.pi * most * weights * q * factor(q) * np.exp(-2.0 * (math.pi * width * q) ** 2)
    widening = -4.0 * math.pi**2 * width * q**2 * envelope
    rho = step * np.arange(math.ceil(reach / step) + 2)
    turn = 2.0 * math.pi * q
    even, odd = j0(np.outer(rho, turn)), -j1(np.outer(rho, turn)) * turn
    return np.stack([even @ envelope, odd @ envelope, even @ widening, odd @ widening], axis=1)


@njit(nogil=True, cache=True)
def radial(table: F64, step: float, rho: float) -> tuple[float, float, float]:
    """Return P, dP/d rho and dP/d width at a radius from a `radial_table`, by cubic Hermite interpolation.

    Zero beyond the table. The image of an atom is height * P(rho) at the centre of each pixel, and its derivative by
    the position p of the atom -height * dP/d rho * (r - p) / rho, which is zero at rho = 0.
    """
    place = rho / step
    i = int(place)
    if i + 1 >= table.shape[0]:
        return 0.0, 0.0, 0.0
    t = place - i
    low, high = (1.0 + 2.0 * t) * (1.0 - t) ** 2, t * t * (3.0 - 2.0 * t)
    rise, fall = t * (1.0 - t) ** 2 * step, t * t * (t - 1.0) * step
    value = low * table[i, 0] + high * table[i + 1, 0] + rise * table[i, 1] + fall * table[i + 1, 1]
    by_width = low * table[i, 2] + high * table[i + 1, 2] + rise * table[i, 3] + fall * table[i + 1, 3]
    turn = 6.0 * t * (1.0 - t) / step
    slope = turn * (table[i + 1, 0] - table[i, 0])
    slope += (1.0 - t) * (1.0 - 3.0 * t) * table[i, 1] + t * (3.0 * t - 2.0) * table[i + 1, 1]
    return value, slope, by_width
