"""Bond-orientational order: spherical harmonics of the directions to neighbours, and their invariants."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import permutations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.neighbours import Adjacency

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
C128 = NDArray[np.complex128]

DEGREES = 12
"""Greatest degree; the monomials by which harmonics are summed lose about a digit for every two degrees."""


def harmonics(
    position: F64, neighbours: Adjacency, degrees: tuple[int, ...], first: int, last: int
) -> tuple[C128, ...]:
    """Return the mean spherical harmonics of the directions from each point to its neighbours.

    A harmonic is a polynomial of the unit vector, (x + iy)^m times one of z; the monomials are summed over all
    neighbours, once for all degrees.

    Parameters
    ----------
    position
        Shape (points, 3).
    neighbours
        Of these points.
    degrees
        Each at most `DEGREES`.
    first, last
        The points whose harmonics are returned, the last not among them.

    Returns
    -------
    For each degree l the orders m = 0 ... l, shape (last - first, l + 1); that of -m is (-1)^m times the conjugate.
    NaN for a point without neighbours.
    """
    table = np.zeros((len(degrees), DEGREES + 1, DEGREES + 1))
    for k, degree in enumerate(degrees):
        table[k, : degree + 1] = _polynomials(degree)
    every = np.empty((last - first, sum(degree + 1 for degree in degrees)), np.complex128)
    odd = degrees[0] % 2
    step = 2 if all(degree % 2 == odd for degree in degrees) else 1
    summed = _summer(max(degrees), odd, step)
    summed(position, first, neighbours.start, neighbours.index, np.array(degrees, np.int64), table, every)
    ends = np.cumsum([degree + 1 for degree in degrees])
    return tuple(every[:, end - degree - 1 : end] for end, degree in zip(ends, degrees, strict=True))


def averaged(mean: C128, neighbours: Adjacency) -> C128:
    """Return the mean of each point's harmonics and those of its neighbours, shape as `mean`.

    A neighbour that has none, as one that knows no neighbours, makes NaN.

    References
    ----------
    W. Lechner, C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970, eq. 6.
    """
    found = np.empty(mean.shape, np.complex128)
    _averaged(mean, neighbours.start, neighbours.index, found)
    return found


def second(mean: C128) -> F64:
    """Return q_l = sqrt(4 pi / (2l + 1) sum_m |q_lm|^2) of harmonics of one degree, shape (points,)."""
    power = mean.real**2 + mean.imag**2
    total = 2 * power.sum(axis=1) - power[:, 0]
    return np.sqrt(4 * math.pi / (2 * mean.shape[1] - 1) * total)


def third(mean: C128) -> F64:
    """Return w_l, the sum of Wigner 3j symbols times three harmonics, over the cube of their length, shape (points,).

    The degree is even; of an odd one it is 0.

    References
    ----------
    P. J. Steinhardt, D. R. Nelson, M. Ronchetti, Phys. Rev. B 28, 784 (1983), doi:10.1103/PhysRevB.28.784, eq. 1.7.
    """
    degree = mean.shape[1] - 1
    terms = _symbols(degree)
    orders = np.array([term[:3] for term in terms], np.int64)
    found = np.empty(len(mean))
    _third(mean, orders, np.array([term[3] for term in terms]), found)
    return found


@cache
def _polynomials(degree: int) -> F64:
    """Return for each order m >= 0 the powers of z in the harmonic over (x + iy)^m, shape (degree + 1, DEGREES + 1)."""
    table = np.zeros((degree + 1, DEGREES + 1))
    legendre = np.polynomial.legendre.leg2poly([0] * degree + [1])
    for order in range(degree + 1):
        scale = (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - order) / math.factorial(degree + order)
        powers = np.polynomial.polynomial.polyder(legendre, order)
        table[order, : len(powers)] = (-1) ** order * math.sqrt(scale) * powers
    return table


@cache
def _symbols(degree: int) -> tuple[tuple[int, int, int, float], ...]:
    """Return orders a >= b >= c of sum 0, and the sum of Wigner 3j symbols (l l l; a b c) over their permutations."""
    found = []
    for a in range(degree + 1):
        for b in range(max(-degree, -degree - a), min(a, degree - a) + 1):
            c = -a - b
            if c <= b:
                found.append((a, b, c, len(set(permutations((a, b, c)))) * _wigner(degree, a, b)))
    return tuple(found)


def _wigner(degree: int, a: int, b: int) -> float:
    """Return the symbol (l l l; a b -a-b) by Racah's formula, in exact fractions up to the root."""
    f, c = math.factorial, -a - b
    total = Fraction(0)
    for t in range(max(0, -a, b), min(degree, degree - a, degree + b) + 1):
        below = f(t) * f(a + t) * f(t - b) * f(degree - t) * f(degree - t - a) * f(degree - t + b)
        total += Fraction((-1) ** t, below)
    root = Fraction(f(degree) ** 3, f(3 * degree + 1))
    for order in (a, b, c):
        root *= f(degree + order) * f(degree - order)
    return (-1) ** c * float(total) * math.sqrt(root)


@cache
def _summer(most: int, odd: int, step: int) -> Callable[[F64, int, I64, I32, I64, F64, C128], None]:
    """Return the loop over points for degrees up to `most`; with these numbers known, the loops over orders unroll.

    Powers of z begin at 0 or 1 with the parity of ``odd + m`` and rise by `step`: a degree knows powers of one parity.
    """
    wide = most + 1

    @njit(nogil=True, cache=True, error_model="numpy")
    def summed(position: F64, first: int, start: I64, index: I32, degrees: I64, table: F64, out: C128) -> None:
        sums, height = np.empty((wide, wide, 2)), np.empty(wide)
        for i in range(first, first + len(out)):
            sums[:] = 0.0
            x0, y0, z0 = position[i, 0], position[i, 1], position[i, 2]
            for k in range(start[i], start[i + 1]):
                j = index[k]
                x, y, z = position[j, 0] - x0, position[j, 1] - y0, position[j, 2] - z0
                inverse = 1.0 / math.sqrt(x * x + y * y + z * z)
                x, y, z = x * inverse, y * inverse, z * inverse
                power = 1.0
                for p in range(wide):
                    height[p] = power
                    power *= z
                real, imaginary = 1.0, 0.0
                for m in range(wide):
                    for p in range((odd + m) % step, wide - m, step):
                        sums[m, p, 0] += real * height[p]
                        sums[m, p, 1] += imaginary * height[p]
                    real, imaginary = real * x - imaginary * y, real * y + imaginary * x
            count = start[i + 1] - start[i]
            share = 1.0 / count if count > 0 else np.nan
            at = 0
            for d in range(degrees.size):
                for m in range(degrees[d] + 1):
                    real, imaginary = 0.0, 0.0
                    for p in range((degrees[d] + m) % 2, degrees[d] - m + 1, 2):
                        real += table[d, m, p] * sums[m, p, 0]
                        imaginary += table[d, m, p] * sums[m, p, 1]
                    out[i - first, at] = complex(real * share, imaginary * share)
                    at += 1

    return summed


@njit(nogil=True, cache=True)
def _averaged(mean: C128, start: I64, index: I32, out: C128) -> None:
    """Average harmonics over a point and its neighbours."""
    for i in range(len(mean)):
        for m in range(mean.shape[1]):
            out[i, m] = mean[i, m]
        for k in range(start[i], start[i + 1]):
            for m in range(mean.shape[1]):
                out[i, m] += mean[index[k], m]
        for m in range(mean.shape[1]):
            out[i, m] /= start[i + 1] - start[i] + 1


@njit(nogil=True, cache=True)
def _third(mean: C128, orders: I64, symbol: F64, out: F64) -> None:
    """Sum symbols times three harmonics; for even degrees, permutations of three orders have the same symbol."""
    degree = mean.shape[1] - 1
    whole = np.empty(2 * degree + 1, np.complex128)
    for i in range(len(mean)):
        square = 0.0
        for m in range(degree + 1):
            one = mean[i, m]
            whole[degree + m] = one
            whole[degree - m] = one.conjugate() if m % 2 == 0 else -one.conjugate()
            square += (1 if m == 0 else 2) * (one.real**2 + one.imag**2)
        total = 0.0
        for k in range(symbol.size):
            product = whole[degree + orders[k, 0]] * whole[degree + orders[k, 1]]
            last = whole[degree + orders[k, 2]]
            total += symbol[k] * (product.real * last.real - product.imag * last.imag)
        out[i] = total / square**1.5 if square > 0 else np.nan
