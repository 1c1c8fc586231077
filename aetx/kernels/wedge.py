"""Fourier power of a volume where images measured it and where none did."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

REGIONS = ("measured", "missing")
BEYOND = 1.5
"""Angle to the nearest measured plane above which a direction is missing, over that midway between two images."""


@dataclass(frozen=True)
class Power:
    """Mean power of the coefficients by region and shell, their number, and the frequency of each shell."""

    mean: F64
    count: F64
    frequency: F64


def missing_angle(beams: F64) -> float:
    """Return how far from the nearest measured plane a direction is missing, radian.

    An image measures the plane across its beam; between two neighbouring images no direction is farther from a plane
    than half the angle between them.

    Parameters
    ----------
    beams
        Unit vectors along the beam of each image, shape (images, 3).
    """
    apart = np.arccos(np.clip(np.abs(beams @ beams.T), 0.0, 1.0))
    np.fill_diagonal(apart, np.inf)
    return BEYOND * float(np.median(apart.min(axis=1))) / 2


def tapered(density: F32) -> F32:
    """Return a volume less its mean under a Hann window along each axis, so that its sides leave no streaks."""
    made = density - density.mean(dtype=np.float64).astype(np.float32)
    for axis, size in enumerate(density.shape):
        shape = [1, 1, 1]
        shape[axis] = size
        made = made * np.hanning(size + 2)[1:-1].astype(np.float32).reshape(shape)
    return made


def half_power(density: F32) -> F32:
    """Return |F|**2 of a volume (z, y, x) on the half grid of frequencies along x."""
    wave = fft.rfftn(density)
    made: F32 = (wave.real**2 + wave.imag**2).astype(np.float32)
    return made


def shell_power(power: F32, columns: int, step: float, beams: F64) -> Power:
    """Return the mean power of measured and of missing directions, shell by shell; NaN where a shell has none.

    Shells are as wide as the frequency step of the shortest axis, up to the Nyquist frequency, without the zero
    frequency. A direction is missing where it is farther than `missing_angle` from every measured plane.

    Parameters
    ----------
    power
        As `half_power` returns it.
    columns
        Voxels along x.
    step
        Edge of a voxel, angstrom.
    beams
        As for `missing_angle`.
    """
    shortest = min(power.shape[0], power.shape[1], columns)
    shells, width = shortest // 2, 1.0 / (shortest * step)
    axes = fft.fftfreq(power.shape[0], step), fft.fftfreq(power.shape[1], step), fft.rfftfreq(columns, step)
    share = np.full(power.shape[2], 2.0)
    share[0] = 1.0
    if columns % 2 == 0:
        share[-1] = 1.0
    sums, count = _shells(power, *axes, share, beams, math.sin(missing_angle(beams)), width, shells)
    mean = np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)
    return Power(mean[:, 1:], count[:, 1:], width * np.arange(1.0, shells + 1))


@njit(nogil=True, cache=True)
def _shells(
    power: F32, z: F64, y: F64, x: F64, share: F64, beams: F64, least: float, width: float, shells: int
) -> tuple[F64, F64]:
    """Return sums of the power and counts of the coefficients, shape (regions, shells + 1)."""
    sums, count = np.zeros((2, shells + 1)), np.zeros((2, shells + 1))
    for a in range(z.size):
        for b in range(y.size):
            for c in range(x.size):
                length = math.sqrt(z[a] ** 2 + y[b] ** 2 + x[c] ** 2)
                shell = int(length / width + 0.5)
                if shell < 1 or shell > shells:
                    continue
                nearest = 2.0
                for i in range(beams.shape[0]):
                    away = abs(beams[i, 0] * x[c] + beams[i, 1] * y[b] + beams[i, 2] * z[a]) / length
                    if away < nearest:
                        nearest = away
                region = 1 if nearest > least else 0
                sums[region, shell] += share[c] * power[a, b, c]
                count[region, shell] += share[c]
    return sums, count


def section(power: F32, columns: int, step: float, thick: float) -> tuple[F32, F64, F64]:
    """Return the mean power near the plane of kx and kz, with both signs of kx, and the frequencies kz and kx.

    Parameters
    ----------
    power, columns, step
        As for `shell_power`.
    thick
        Greatest |ky|, 1/angstrom.
    """
    near = np.abs(fft.fftfreq(power.shape[1], step)) <= thick
    z, x = fft.fftfreq(power.shape[0], step), fft.rfftfreq(columns, step)
    # the conjugate of (z, y, x) is (-z, -y, -x); the rows near the plane are as many on both sides of it
    half = power[:, near].mean(axis=1)
    other = np.roll(half[::-1], 1, axis=0)[:, 1 : (columns + 1) // 2][:, ::-1]
    order = np.argsort(z, kind="stable")
    whole = np.concatenate([other, half], axis=1)[order]
    return whole.astype(np.float32), z[order], np.concatenate([-x[1 : (columns + 1) // 2][::-1], x])
